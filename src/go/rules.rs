//! Rule sets, by name and in KataGo's JSON form.

use crate::base::{Error, Result};
use serde_json::{Map, Value, json};

/// Which repetitions are forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ko {
    /// Only the immediate retake.
    Simple,
    /// Any earlier position of the stones.
    Positional,
    /// Any earlier position of the stones with the same player to move.
    Situational,
}

/// What counts at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Stones and surrounded points.
    Area,
    /// Surrounded points and prisoners.
    Territory,
}

/// Which groups pay for their eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tax {
    /// None.
    None,
    /// Groups in seki have no points in their eyes.
    Seki,
    /// Every group pays two points, those in seki all.
    All,
}

/// Which suicides are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suicide {
    /// None.
    Forbidden,
    /// Of two and more stones.
    MultiStone,
    /// Of single stones too.
    Allowed,
}

/// Points White gets for Black's handicap stones under area scoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandicapBonus {
    /// None.
    Zero,
    /// One a stone.
    N,
    /// One a stone but the first.
    NMinusOne,
}

/// What a pass made for reasons of courtesy means to the history (KataGo's friendlyPassOk).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FriendlyPass {
    /// A pass is a statement that the position is finished as it stands.
    Literal,
    /// Dead stones need not be captured before passing.
    Ok,
}

/// A rule set; komi is the game's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Forbidden repetitions.
    pub ko: Ko,
    /// What counts.
    pub scoring: Scoring,
    /// Group tax.
    pub tax: Tax,
    /// Legal suicides.
    pub suicide: Suicide,
    /// White's compensation for handicap stones.
    pub white_handicap_bonus: HandicapBonus,
    /// Meaning of a pass with dead stones left.
    pub friendly_pass: FriendlyPass,
    /// Whether half a point is on the table for the first to pass (area scoring).
    pub button: bool,
}

impl Rules {
    /// Tromp-Taylor as KataGo reads it: single-stone suicides are illegal.
    pub const TROMP_TAYLOR: Rules = Rules {
        ko: Ko::Positional,
        scoring: Scoring::Area,
        tax: Tax::None,
        suicide: Suicide::MultiStone,
        white_handicap_bonus: HandicapBonus::Zero,
        friendly_pass: FriendlyPass::Literal,
        button: false,
    };
    /// Chinese rules as played: simple ko, area scoring.
    pub const CHINESE: Rules = Rules {
        ko: Ko::Simple,
        suicide: Suicide::Forbidden,
        white_handicap_bonus: HandicapBonus::N,
        friendly_pass: FriendlyPass::Ok,
        ..Rules::TROMP_TAYLOR
    };
    /// Japanese rules: simple ko, territory scoring.
    pub const JAPANESE: Rules =
        Rules { ko: Ko::Simple, scoring: Scoring::Territory, tax: Tax::Seki, suicide: Suicide::Forbidden, ..Rules::TROMP_TAYLOR };
    /// AGA rules: situational superko, area scoring.
    pub const AGA: Rules = Rules {
        ko: Ko::Situational,
        suicide: Suicide::Forbidden,
        white_handicap_bonus: HandicapBonus::NMinusOne,
        friendly_pass: FriendlyPass::Ok,
        ..Rules::TROMP_TAYLOR
    };

    /// The names that [`Rules::parse`] knows.
    pub const NAMES: [&'static str; 15] = [
        "tromp-taylor",
        "chinese",
        "chinese-ogs",
        "chinese-kgs",
        "japanese",
        "korean",
        "aga",
        "bga",
        "french",
        "aga-button",
        "new-zealand",
        "stone-scoring",
        "ancient-territory",
        "goe",
        "ing",
    ];

    /// A rule set by name; case, blanks, `-` and `_` do not matter.
    pub fn named(name: &str) -> Option<Rules> {
        let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect();
        Some(match plain.as_str() {
            "tromptaylor" => Rules::TROMP_TAYLOR,
            "chinese" => Rules::CHINESE,
            "chineseogs" | "chinesekgs" => Rules { ko: Ko::Positional, ..Rules::CHINESE },
            "japanese" | "korean" => Rules::JAPANESE,
            "aga" | "bga" | "french" => Rules::AGA,
            "agabutton" => Rules { button: true, ..Rules::AGA },
            "newzealand" | "nz" => {
                Rules { suicide: Suicide::MultiStone, white_handicap_bonus: HandicapBonus::Zero, ..Rules::AGA }
            }
            "stonescoring" => Rules { tax: Tax::All, white_handicap_bonus: HandicapBonus::Zero, ..Rules::CHINESE },
            "ancientterritory" => Rules { tax: Tax::All, ..Rules::JAPANESE },
            "goe" | "ing" => Rules { friendly_pass: FriendlyPass::Ok, ..Rules::TROMP_TAYLOR },
            _ => return None,
        })
    }

    /// A rule set by name or as KataGo's JSON object; keys that are absent are as in tromp-taylor.
    pub fn parse(text: &str) -> Result<Rules> {
        if text.trim_start().starts_with('{') {
            let object: Map<String, Value> = serde_json::from_str(text).map_err(|e| Error::call("rules", e))?;
            return Rules::from_json(&object);
        }
        Rules::named(text).ok_or_else(|| {
            Error::call("rules", format!("no rule set is called `{text}`")).hint(format!("one of {}", Rules::NAMES.join(", ")))
        })
    }

    /// Reads KataGo's JSON object.
    pub fn from_json(object: &Map<String, Value>) -> Result<Rules> {
        let mut rules = Rules::TROMP_TAYLOR;
        let has_tax = object.contains_key("tax");
        for (key, value) in object {
            rules.set(key, value)?;
        }
        if !has_tax && rules.scoring == Scoring::Territory {
            rules.tax = Tax::Seki;
        }
        Ok(rules)
    }

    /// Changes one rule by its key in KataGo's JSON form.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<()> {
        let text = value.as_str().map(str::to_ascii_uppercase).unwrap_or_else(|| value.to_string());
        let flag = || value.as_bool().ok_or_else(|| bad_value(key, value, "true or false"));
        match (key, text.as_str()) {
            ("ko", "SIMPLE") => self.ko = Ko::Simple,
            ("ko", "POSITIONAL") => self.ko = Ko::Positional,
            ("ko", "SITUATIONAL") => self.ko = Ko::Situational,
            ("scoring" | "score", "AREA") => self.scoring = Scoring::Area,
            ("scoring" | "score", "TERRITORY") => self.scoring = Scoring::Territory,
            ("tax", "NONE") => self.tax = Tax::None,
            ("tax", "SEKI") => self.tax = Tax::Seki,
            ("tax", "ALL") => self.tax = Tax::All,
            ("suicide", _) => self.suicide = if flag()? { Suicide::MultiStone } else { Suicide::Forbidden },
            ("whiteHandicapBonus", "0") => self.white_handicap_bonus = HandicapBonus::Zero,
            ("whiteHandicapBonus", "N") => self.white_handicap_bonus = HandicapBonus::N,
            ("whiteHandicapBonus", "N-1") => self.white_handicap_bonus = HandicapBonus::NMinusOne,
            ("friendlyPassOk", _) => self.friendly_pass = if flag()? { FriendlyPass::Ok } else { FriendlyPass::Literal },
            ("hasButton", _) => self.button = flag()?,
            ("ko", _) => return Err(bad_value(key, value, "SIMPLE, POSITIONAL or SITUATIONAL")),
            ("scoring" | "score", _) => return Err(bad_value(key, value, "AREA or TERRITORY")),
            ("tax", _) => return Err(bad_value(key, value, "NONE, SEKI or ALL")),
            ("whiteHandicapBonus", _) => return Err(bad_value(key, value, "\"0\", \"N\" or \"N-1\"")),
            _ => return Err(Error::call("rules", format!("unknown rule `{key}`"))),
        }
        Ok(())
    }

    /// KataGo's JSON object: one line, keys sorted, no blanks.
    pub fn to_json(&self) -> String {
        json!({
            "friendlyPassOk": self.friendly_pass == FriendlyPass::Ok,
            "hasButton": self.button,
            "ko": match self.ko { Ko::Simple => "SIMPLE", Ko::Positional => "POSITIONAL", Ko::Situational => "SITUATIONAL" },
            "scoring": match self.scoring { Scoring::Area => "AREA", Scoring::Territory => "TERRITORY" },
            "suicide": self.suicide != Suicide::Forbidden,
            "tax": match self.tax { Tax::None => "NONE", Tax::Seki => "SEKI", Tax::All => "ALL" },
            "whiteHandicapBonus": match self.white_handicap_bonus {
                HandicapBonus::Zero => "0",
                HandicapBonus::N => "N",
                HandicapBonus::NMinusOne => "N-1",
            },
        })
        .to_string()
    }
}

fn bad_value(key: &str, value: &Value, expected: &str) -> Error {
    Error::call("rules", format!("{key} is {value}, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_json_round_trip() {
        for name in Rules::NAMES {
            let rules = Rules::parse(name).unwrap();
            assert_eq!(Rules::parse(&rules.to_json()).unwrap(), rules, "{name}");
            assert_eq!(Rules::parse(&name.replace('-', "_").to_uppercase()).unwrap(), rules, "{name}");
        }
        assert_eq!(
            Rules::TROMP_TAYLOR.to_json(),
            r#"{"friendlyPassOk":false,"hasButton":false,"ko":"POSITIONAL","scoring":"AREA","suicide":true,"tax":"NONE","whiteHandicapBonus":"0"}"#
        );
        assert_eq!(Rules::parse(r#"{"score":"TERRITORY"}"#).unwrap().tax, Tax::Seki);
    }

    #[test]
    fn wrong_rules_are_refused() {
        for bad in ["klingon", "", r#"{"ko":"NONE"}"#, r#"{"suicide":"yes"}"#, r#"{"x":1}"#, "{", r#"{"tax":3}"#] {
            assert_eq!(Rules::parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
