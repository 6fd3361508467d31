//! Under which rules and komi a record was played, as far as it says.

use crate::go::rules::{Rules, Scoring};
use crate::sgf::GameRecord;

/// The rules named in RU, or those that go with the komi.
///
/// RU is free text: a rule set's name (`Japanese`, `AGA`, `NZ`), a name with more around it (`Chinese Rules 2002`), or
/// KataGo's form (`koPOSITIONALscoreAREAtaxNONEsui1`). Without a known name a komi of 7 or more means Chinese, as 5.5
/// and 6.5 are the Japanese values and every rule set with 7.5 counts area.
pub(super) fn rules_of(record: &GameRecord) -> Rules {
    let text = record.rules.as_deref().unwrap_or_default().trim();
    let by_komi = match record.komi {
        Some(komi) if komi >= 7.0 => Rules::CHINESE,
        _ => Rules::JAPANESE,
    };
    Rules::named(text).or_else(|| katago_form(text)).or_else(|| name_inside(text)).unwrap_or(by_komi)
}

/// Komi in points: as recorded, else what the rules usually give; half a point in handicap games.
pub(super) fn komi_of(record: &GameRecord, rules: &Rules) -> f32 {
    // More than the board holds is a typing error, and would drown the other inputs of the network.
    let komi_max = record.size.n_points() as f32;
    record.komi.filter(|komi| komi.abs() <= komi_max).unwrap_or(match (record.handicap, rules.scoring) {
        (Some(2..), _) => 0.5,
        (_, Scoring::Area) => 7.5,
        (_, Scoring::Territory) => 6.5,
    })
}

/// Words that name a rule set in a longer text, in the order they are looked for.
const WORDS: [(&str, &str); 9] = [
    ("chin", "chinese"),
    ("jap", "japanese"),
    ("korea", "korean"),
    ("zealand", "new-zealand"),
    ("tromp", "tromp-taylor"),
    ("aga", "aga"),
    ("bga", "bga"),
    ("goe", "goe"),
    ("ing ", "ing"),
];

fn name_inside(text: &str) -> Option<Rules> {
    let text = format!("{} ", text.to_lowercase());
    let (_, name) = WORDS.iter().find(|(word, _)| text.contains(word))?;
    Rules::named(name)
}

/// `koSIMPLEscoreAREAtaxNONEsui0`, with `button1` and `whbN` or `whbN-1` after it, as KataGo writes RU.
fn katago_form(text: &str) -> Option<Rules> {
    let mut rest = text.strip_prefix("ko")?;
    let mut json = serde_json::Map::new();
    let fields = [("ko", "score"), ("score", "tax"), ("tax", "sui")];
    for (key, next) in fields {
        let (value, after) = rest.split_once(next)?;
        json.insert(key.to_string(), value.into());
        rest = after;
    }
    json.insert("suicide".to_string(), rest.starts_with('1').into());
    json.insert("hasButton".to_string(), rest.contains("button1").into());
    json.insert("friendlyPassOk".to_string(), rest.contains("fpok").into());
    if let Some((_, bonus)) = rest.split_once("whb") {
        let bonus = ["N-1", "N", "0"].iter().find(|b| bonus.starts_with(*b))?;
        json.insert("whiteHandicapBonus".to_string(), (*bonus).into());
    }
    Rules::from_json(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::Size;
    use crate::go::rules::{HandicapBonus, Ko};

    fn record(rules: &str, komi: Option<f32>) -> GameRecord {
        let mut record = GameRecord::new(Size::square(19).unwrap());
        record.rules = (!rules.is_empty()).then(|| rules.to_string());
        record.komi = komi;
        record
    }

    #[test]
    fn rules_by_name_text_and_komi() {
        let cases = [
            ("Japanese", None, Rules::JAPANESE),
            ("japanese rules", Some(7.5), Rules::JAPANESE),
            ("Chinese", Some(6.5), Rules::CHINESE),
            ("Chinese Rules 2002", None, Rules::CHINESE),
            ("NZ", None, Rules::named("new-zealand").unwrap()),
            ("AGA", None, Rules::AGA),
            ("Ing", None, Rules::named("ing").unwrap()),
            ("", Some(7.0), Rules::CHINESE),
            ("", Some(6.5), Rules::JAPANESE),
            ("my own", None, Rules::JAPANESE),
            ("koPOSITIONALscoreAREAtaxNONEsui1", None, Rules::TROMP_TAYLOR),
        ];
        for (text, komi, expected) in cases {
            assert_eq!(rules_of(&record(text, komi)), expected, "{text:?} {komi:?}");
        }
        let katago = rules_of(&record("koSITUATIONALscoreTERRITORYtaxSEKIsui0button0whbN-1", None));
        assert_eq!((katago.ko, katago.scoring), (Ko::Situational, Scoring::Territory));
        assert_eq!(katago.white_handicap_bonus, HandicapBonus::NMinusOne);
    }

    #[test]
    fn komi_by_record_rules_and_handicap() {
        let mut stones = record("", None);
        stones.handicap = Some(4);
        for (record, expected) in [
            (record("Japanese", Some(5.5)), 5.5),
            (record("Japanese", None), 6.5),
            (record("Chinese", None), 7.5),
            (record("Chinese", Some(9999.0)), 7.5),
            (stones, 0.5),
        ] {
            assert_eq!(komi_of(&record, &rules_of(&record)), expected, "{:?}", record.rules);
        }
    }
}
