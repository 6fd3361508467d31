//! RE: who won, and how.

use super::komi::{decimal, loose_decimal};

/// What RE says, as far as it is understood. Nothing at all where it is unknown, void or unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GameResult {
    /// Who won.
    pub winner: Option<Winner>,
    /// By what; `None` where only the winner is known.
    pub margin: Option<Margin>,
}

/// Who won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// Black.
    Black,
    /// White.
    White,
    /// Nobody: jigo.
    Draw,
}

/// How the game was won.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// By counting, in points.
    Points(f32),
    /// The other side resigned.
    Resignation,
    /// The other side ran out of time.
    Time,
    /// The other side forfeited.
    Forfeit,
}

/// Largest margin that can be meant, in points.
const MARGIN_MAX: f64 = 1000.0;

impl GameResult {
    /// Reads RE in the standard form, or in words of English, Chinese, Japanese and Korean records.
    pub fn parse(text: &str) -> GameResult {
        let text = text.trim();
        let (winner, margin) = plain(text);
        let margin = margin.and_then(PlainMargin::checked);
        match winner {
            Some(winner) if margin.is_some() => GameResult { winner: Some(winner), margin },
            Some(Winner::Draw) => GameResult { winner, margin: None },
            _ => loose(text),
        }
    }

    /// Whether RE is in the standard form, in any case; a result in other words was understood by its meaning.
    pub fn is_standard(text: &str) -> bool {
        match plain(text.trim()) {
            (Some(Winner::Draw), _) => true,
            (Some(_), margin) => margin.is_some() || text.trim().ends_with('+'),
            (None, _) => matches!(text.trim().to_ascii_lowercase().as_str(), "" | "?" | "void"),
        }
    }

    /// The result as RE writes it; `?` where the winner is unknown.
    pub fn text(&self) -> String {
        let letter = match self.winner {
            Some(Winner::Black) => 'B',
            Some(Winner::White) => 'W',
            Some(Winner::Draw) => return "0".to_string(),
            None => return "?".to_string(),
        };
        match self.margin {
            Some(Margin::Points(points)) => format!("{letter}+{points}"),
            Some(Margin::Resignation) => format!("{letter}+R"),
            Some(Margin::Time) => format!("{letter}+T"),
            Some(Margin::Forfeit) => format!("{letter}+F"),
            None => format!("{letter}+"),
        }
    }
}

/// A margin in the precision it is written in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PlainMargin {
    Points(f64),
    Resignation,
    Time,
    Forfeit,
}

impl PlainMargin {
    fn checked(self) -> Option<Margin> {
        match self {
            PlainMargin::Points(points) => (points <= MARGIN_MAX).then_some(Margin::Points(points as f32)),
            PlainMargin::Resignation => Some(Margin::Resignation),
            PlainMargin::Time => Some(Margin::Time),
            PlainMargin::Forfeit => Some(Margin::Forfeit),
        }
    }
}

/// The forms of the standard, in any case: `B+3.5`, `W+Resign`, `0`, `Draw`.
pub(super) fn plain(text: &str) -> (Option<Winner>, Option<PlainMargin>) {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "0" | "draw" | "jigo") {
        return (Some(Winner::Draw), None);
    }
    let (winner, rest) = if let Some(rest) = lower.strip_prefix("b+") {
        (Winner::Black, rest)
    } else if let Some(rest) = lower.strip_prefix("w+") {
        (Winner::White, rest)
    } else {
        return (None, None);
    };
    let rest = rest.trim();
    let margin = match rest.strip_suffix('.').unwrap_or(rest) {
        "r" | "res" | "resign" | "resigned" | "resignation" => Some(PlainMargin::Resignation),
        _ => match rest {
            "t" | "time" => Some(PlainMargin::Time),
            "f" | "forf" | "forfeit" => Some(PlainMargin::Forfeit),
            _ => decimal(rest).filter(|d| d.1.is_empty()).map(|d| PlainMargin::Points(d.0)),
        },
    };
    (Some(winner), margin)
}

/// The forms people write.
fn loose(text: &str) -> GameResult {
    let lower = text.to_lowercase();
    if matches!(lower.as_str(), "tie" | "持碁" | "和棋" | "和局" | "무승부") {
        return GameResult { winner: Some(Winner::Draw), margin: None };
    }
    match winner(&lower) {
        Some((winner, how)) => GameResult { winner: Some(winner), margin: margin(how) },
        None => GameResult::default(),
    }
}

/// Who won, and the words about how.
fn winner(lower: &str) -> Option<(Winner, &str)> {
    for (name, winner) in [("black", Winner::Black), ("white", Winner::White), ("b", Winner::Black), ("w", Winner::White)] {
        let Some(rest) = lower.strip_prefix(name).map(str::trim_start) else {
            continue;
        };
        if rest.is_empty() {
            return Some((winner, rest));
        }
        for verb in ["+", "wins", "won", "win"] {
            if let Some(how) = rest.strip_prefix(verb) {
                return Some((winner, how.trim_start().strip_prefix("by ").unwrap_or(how).trim_start()));
            }
        }
    }
    for (name, winner) in
        [("黑", Winner::Black), ("黒", Winner::Black), ("白", Winner::White), ("흑", Winner::Black), ("백", Winner::White)]
    {
        if let Some(rest) = lower.strip_prefix(name)
            && ["胜", "勝", "승"].iter().any(|wins| rest.contains(wins))
        {
            return Some((winner, rest.trim_start().trim_start_matches(['胜', '勝', ' '])));
        }
    }
    None
}

fn margin(how: &str) -> Option<Margin> {
    let says = |words: &[&str]| words.iter().any(|word| how.contains(word));
    if says(&["resign", "中盘", "中盤", "中押", "불계"]) {
        return Some(Margin::Resignation);
    }
    if says(&["time", "超时", "超時", "時間", "시간"]) {
        return Some(Margin::Time);
    }
    if says(&["forfeit"]) {
        return Some(Margin::Forfeit);
    }
    let (whole, unit) = match loose_decimal(how) {
        Some(number) => number,
        // Half a point needs no digit.
        None if how.starts_with(['半', '반']) => (0.0, how),
        None => return None,
    };
    if unit.starts_with(['.', ',', '/', '-', 'e', '+']) {
        return None;
    }
    let unit = unit.trim_start();
    let half = if unit.trim_start_matches(['目', '집', '子', ' ']).starts_with(['半', '반']) { 0.5 } else { 0.0 };
    // A stone by which Chinese counting wins is two points.
    let points = if unit.contains('子') { 2.0 * (whole + half) } else { whole + half };
    PlainMargin::Points(points).checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_in_use() {
        use Margin::{Forfeit, Points, Resignation, Time};
        use Winner::{Black, Draw, White};
        let cases = [
            ("B+R", Some(Black), Some(Resignation)),
            ("w+res.", Some(White), Some(Resignation)),
            ("W+3.5", Some(White), Some(Points(3.5))),
            ("B+ 12", Some(Black), Some(Points(12.0))),
            ("B + 3.5", Some(Black), Some(Points(3.5))),
            ("W+3,5", Some(White), Some(Points(3.5))),
            ("B+1/2", Some(Black), Some(Points(0.5))),
            ("B+1 1/2", Some(Black), Some(Points(1.5))),
            ("B+3.5 (moves after 250 unknown)", Some(Black), Some(Points(3.5))),
            ("0", Some(Draw), None),
            ("Jigo", Some(Draw), None),
            ("持碁", Some(Draw), None),
            ("B+", Some(Black), None),
            ("W", Some(White), None),
            ("B+T", Some(Black), Some(Time)),
            ("W+Forfeit", Some(White), Some(Forfeit)),
            ("B+Offline", Some(Black), None),
            ("B+1e9", Some(Black), None),
            ("B+99999999999999999999", Some(Black), None),
            ("Black wins by resignation", Some(Black), Some(Resignation)),
            ("White wins by 2.5 points", Some(White), Some(Points(2.5))),
            ("White+Resign", Some(White), Some(Resignation)),
            ("白中盘胜", Some(White), Some(Resignation)),
            ("黑胜3.5目", Some(Black), Some(Points(3.5))),
            ("白3目半勝", Some(White), Some(Points(3.5))),
            ("黑胜1又3/4子", Some(Black), Some(Points(3.5))),
            ("黒半目勝ち", Some(Black), Some(Points(0.5))),
            ("백 불계승", Some(White), Some(Resignation)),
            ("흑 2집반승", Some(Black), Some(Points(2.5))),
            ("Void", None, None),
            ("?", None, None),
            ("", None, None),
            ("unfinished", None, None),
            ("打ち掛け", None, None),
            ("both lost", None, None),
            ("White to play", None, None),
            ("Black loses", None, None),
            ("黑负", None, None),
        ];
        for (text, winner, margin) in cases {
            assert_eq!(GameResult::parse(text), GameResult { winner, margin }, "{text}");
        }
    }

    #[test]
    fn text_is_read_back() {
        for text in ["B+R", "W+T", "B+F", "W+3.5", "B+12", "0", "?", "W+"] {
            assert_eq!(GameResult::parse(text).text(), text);
        }
    }
}
