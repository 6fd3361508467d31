//! Under which rules and komi a record was played, as far as it says.

use crate::go::rules::{Rules, Scoring};
use crate::sgf::GameRecord;

/// How the rules of a record are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// RU names them.
    Name,
    /// RU speaks of them.
    Words,
    /// By komi and server.
    Guess,
}

/// The rules named in RU, or those that go with the komi and the server.
///
/// RU is free text: a rule set's name (`Japanese`, `AGA`, `NZ`), a name with more around it (`Chinese Rules 2002`), or
/// KataGo's form (`koPOSITIONALscoreAREAtaxNONEsui1`). Without a known name a komi of 7 or more means Chinese, as 5.5
/// and 6.5 are the Japanese values and every rule set with 7.5 counts area; else the server's rules.
pub(super) fn rules_of(record: &GameRecord) -> (Rules, Source) {
    let text = record.rules.as_deref().unwrap_or_default().trim();
    if let Some(rules) = Rules::named(text).or_else(|| katago_form(text)) {
        return (rules, Source::Name);
    }
    if let Some(rules) = name_inside(text) {
        return (rules, Source::Words);
    }
    let guess = match record.komi {
        Some(komi) if komi >= 7.0 => Rules::CHINESE,
        _ => server_rules(record).unwrap_or(Rules::JAPANESE),
    };
    (guess, Source::Guess)
}

/// Words in AP or PC that name a server or program, and the rules usual there.
const SERVERS: [(&str, Rules); 14] = [
    ("foxwq", Rules::CHINESE),
    ("野狐", Rules::CHINESE),
    ("cgos", Rules::CHINESE),
    ("goquest", Rules::CHINESE),
    ("minigo", Rules::CHINESE),
    ("leela", Rules::CHINESE),
    ("katago", Rules::CHINESE),
    ("sayuri", Rules::CHINESE),
    ("gokgs", Rules::JAPANESE),
    ("cgoban", Rules::JAPANESE),
    ("online-go", Rules::JAPANESE),
    ("pandanet", Rules::JAPANESE),
    ("tygem", Rules::JAPANESE),
    ("wbaduk", Rules::JAPANESE),
];

fn server_rules(record: &GameRecord) -> Option<Rules> {
    let places = [&record.application, &record.place].map(|text| text.as_deref().unwrap_or_default().to_lowercase());
    let is_named = |word: &str| places.iter().any(|place| place.contains(word));
    SERVERS.iter().find(|(word, _)| is_named(word)).map(|(_, rules)| *rules)
}

/// Komi in points that rules and handicap usually go with: half a point in handicap games, and 7 under New Zealand rules,
/// and on 9x9 where area is counted (as CGOS and Go Quest have it).
pub(super) fn usual_komi(record: &GameRecord, rules: &Rules) -> f32 {
    let is_small = record.size.len_max() <= 9;
    match (record.handicap, rules.scoring) {
        (Some(2..), _) => 0.5,
        (_, Scoring::Territory) => 6.5,
        (_, Scoring::Area) if is_small || Some(*rules) == Rules::named("new-zealand") => 7.0,
        (_, Scoring::Area) => 7.5,
    }
}

/// Words that name a rule set in a longer text, in the order they are looked for.
const WORDS: [(&str, &str); 16] = [
    ("chin", "chinese"),
    ("jap", "japanese"),
    ("korea", "korean"),
    ("中国", "chinese"),
    ("中國", "chinese"),
    ("日本", "japanese"),
    ("韩国", "korean"),
    ("韓国", "korean"),
    ("韓國", "korean"),
    ("한국", "korean"),
    ("zealand", "new-zealand"),
    ("tromp", "tromp-taylor"),
    ("aga", "aga"),
    ("bga", "bga"),
    ("goe", "goe"),
    ("ing ", "ing"),
];

fn name_inside(text: &str) -> Option<Rules> {
    if text.is_empty() {
        return None;
    }
    if text.eq_ignore_ascii_case("cn") {
        return Some(Rules::CHINESE);
    }
    if text.eq_ignore_ascii_case("jp") {
        return Some(Rules::JAPANESE);
    }
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
            assert_eq!(rules_of(&record(text, komi)).0, expected, "{text:?} {komi:?}");
        }
        let katago = rules_of(&record("koSITUATIONALscoreTERRITORYtaxSEKIsui0button0whbN-1", None)).0;
        assert_eq!((katago.ko, katago.scoring), (Ko::Situational, Scoring::Territory));
        assert_eq!(katago.white_handicap_bonus, HandicapBonus::NMinusOne);
    }

    #[test]
    fn usual_komi_by_rules_handicap_and_server() {
        let mut stones = record("", None);
        stones.handicap = Some(4);
        let mut fox = record("", None);
        fox.application = Some("foxwq".to_string());
        let mut small = record("Chinese", None);
        small.size = Size::square(9).unwrap();
        let cases = [(record("Japanese", None), 6.5), (record("Chinese", None), 7.5), (record("NZ", None), 7.0), (stones, 0.5)];
        for (record, expected) in cases.into_iter().chain([(fox, 7.5), (small, 7.0)]) {
            assert_eq!(usual_komi(&record, &rules_of(&record).0), expected, "{:?}", record.rules);
        }
    }
}
