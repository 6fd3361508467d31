//! Commands that report while the search goes on: `kata-analyze`, `lz-analyze`, `kata-genmove_analyze` and their kin.

use super::commands::parse_color;
use super::{Input, framed};
use crate::base::{Error, Result};
use crate::go::{Color, Move, Size};
use crate::opponent::session::{Answer, Session, Side, Then};
use crate::search::{MoveReport, Report, Value};
use std::fmt::Write as _;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often a search is looked at for the next line of input.
const TICK: Duration = Duration::from_millis(5);
/// Longest interval between reports, in hundredths of a second: a day.
const INTERVAL_MAX: f64 = 8_640_000.0;

/// Whose words the reports are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Kata,
    Leela,
}

/// When a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The next line of input.
    Input,
    /// A move was found, which is then played or told.
    Move(Then),
    /// The same, or the next line of input.
    MoveOrInput,
}

/// The commands, as `list_commands` gives them.
pub(super) const NAMES: [&str; 8] = [
    "lz-analyze",
    "kata-analyze",
    "lz-genmove_analyze",
    "kata-genmove_analyze",
    "kata-search_analyze",
    "kata-search_analyze_cancellable",
    "kata-search",
    "kata-search_cancellable",
];

fn find(name: &str) -> Option<(Dialect, Until)> {
    Some(match name {
        "lz-analyze" => (Dialect::Leela, Until::Input),
        "kata-analyze" | "analyze" => (Dialect::Kata, Until::Input),
        "lz-genmove_analyze" => (Dialect::Leela, Until::Move(Then::Play)),
        "kata-genmove_analyze" | "genmove_analyze" => (Dialect::Kata, Until::Move(Then::Play)),
        "kata-search_analyze" | "kata-search" => (Dialect::Kata, Until::Move(Then::Tell)),
        "kata-search_analyze_cancellable" | "kata-search_cancellable" => (Dialect::Kata, Until::MoveOrInput),
        _ => return None,
    })
}

/// What is to be reported.
#[derive(Debug)]
struct Ask {
    color: Color,
    interval: Option<Duration>,
    moves_min: usize,
    moves_max: usize,
    barred: Vec<Move>,
    dialect: Dialect,
    root_info: bool,
    ownership: bool,
    moves_ownership: bool,
    pv_visits: bool,
    pv_edge_visits: bool,
}

/// Runs the command `name`, if it is one of these: true. Its whole answer is written to `out`.
pub(super) fn run(
    session: &mut Session,
    (id, name, args): (&str, &str, &[&str]),
    input: &mut dyn Input,
    out: &mut dyn Write,
) -> Result<bool> {
    let Some((dialect, until)) = find(name) else { return Ok(false) };
    let write = |out: &mut dyn Write, text: &str| {
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::new("stdout", e))
    };
    let ask = match parse(session, dialect, args) {
        Ok(ask) => ask,
        Err(text) => return write(out, &framed(id, Err(text))).map(|()| true),
    };
    let (size, side) = (session.game().size(), session.side);
    if matches!(name, "kata-search" | "kata-search_cancellable") {
        let mut broken = |_: &dyn Fn() -> Option<Report>| stop_if(until == Until::MoveOrInput && input.is_waiting());
        let answer = session.genmove_watched(ask.color, Then::Tell, TICK, &mut broken)?;
        let text = answer.map_or("cancelled".to_string(), |answer| answer.gtp(size));
        return write(out, &framed(id, Ok(text))).map(|()| true);
    }
    write(out, &format!("={id}\n"))?;
    let mut told = Ok(());
    let mut last = Instant::now();
    let mut n_told = 0;
    let mut owners = ask.moves_ownership.then(|| session.owners(ask.color));
    let mut describe = |report: Option<Report>| -> Result<Option<String>> {
        let Some(mut report) = report else { return Ok(None) };
        report.fill_up(ask.moves_min);
        let owners = match &mut owners {
            Some(owners) => owners.after(&report, ask.moves_max)?,
            None => Vec::new(),
        };
        Ok(line(&report, &owners, &ask, side, size))
    };
    let mut watch = |report: &dyn Fn() -> Option<Report>| {
        let is_waiting = !matches!(until, Until::Move(_)) && input.is_waiting();
        let is_due = ask.interval.is_some_and(|interval| last.elapsed() >= interval || (is_waiting && n_told == 0));
        if is_due {
            told = describe(report()).and_then(|line| {
                let Some(line) = line else { return Ok(()) };
                (last, n_told) = (Instant::now(), n_told + 1);
                write(out, &line)
            });
        }
        stop_if(is_waiting || told.is_err())
    };
    let found = match until {
        Until::Input => {
            let played = session.analyze(ask.color, &ask.barred, TICK, &mut watch);
            played?;
            // There may be no room for more; the controller still decides when it is enough.
            while !input.is_waiting() && told.is_ok() {
                std::thread::sleep(TICK);
            }
            None
        }
        Until::Move(then) => session.genmove_watched(ask.color, then, TICK, &mut watch)?,
        Until::MoveOrInput => session.genmove_watched(ask.color, Then::Tell, TICK, &mut watch)?,
    };
    told?;
    if n_told == 0
        && ask.interval.is_some()
        && let Some(line) = describe(session.report().map(|report| beginning_with(report, found)))?
    {
        write(out, &line)?;
    }
    let ending = if until == Until::Input { String::new() } else { play_line(found, size) };
    write(out, &format!("{ending}\n")).map(|()| true)
}

/// With the move that is played, where none was tried before.
fn beginning_with(mut report: Report, found: Option<Answer>) -> Report {
    match found {
        Some(Answer::Move(mv)) => report.begin_with(mv),
        Some(Answer::Resign) if report.moves.is_empty() => report.fill_up(1),
        Some(Answer::Resign) | None => {}
    }
    report
}

fn stop_if(stops: bool) -> ControlFlow<()> {
    if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn play_line(answer: Option<Answer>, size: Size) -> String {
    format!("play {}\n", answer.map_or("cancelled".to_string(), |answer| answer.gtp(size)))
}

fn parse(session: &Session, dialect: Dialect, args: &[&str]) -> std::result::Result<Ask, String> {
    let game = session.game();
    let mut ask = Ask {
        color: game.to_move(),
        interval: None,
        moves_min: 0,
        moves_max: usize::MAX,
        barred: Vec::new(),
        dialect,
        root_info: false,
        ownership: false,
        moves_ownership: false,
        pv_visits: false,
        pv_edge_visits: false,
    };
    let mut args = args.iter().copied().peekable();
    if let Some(color) = args.peek().and_then(|arg| Color::parse(arg)) {
        ask.color = color;
        args.next();
    }
    if let Some(interval) = args.peek().and_then(|arg| arg.parse::<f64>().ok()) {
        ask.interval = Some(hundredths(interval)?);
        args.next();
    }
    while let Some(key) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("Could not parse analyze arguments, no value for '{key}'"));
        match key {
            "interval" => {
                let value = value()?;
                ask.interval = Some(hundredths(value.parse().map_err(|_| bad(key, value))?)?);
            }
            "minmoves" => ask.moves_min = number(key, value()?)?,
            "maxmoves" => ask.moves_max = number(key, value()?)?,
            "avoid" | "allow" => {
                let (color, vertices, depth) = (parse_color(value()?)?, value()?, value()?);
                if number("untilDepth", depth)? > 1 {
                    log::warn!("{key} counts for the first move only");
                }
                match color == ask.color {
                    true => bar(&mut ask.barred, key, vertices, game.size())?,
                    false => log::warn!("{key} counts for the player to move only"),
                }
            }
            "rootInfo" if dialect == Dialect::Kata => ask.root_info = flag(key, value()?)?,
            "ownership" if dialect == Dialect::Kata => ask.ownership = flag(key, value()?)?,
            "pvVisits" if dialect == Dialect::Kata => ask.pv_visits = flag(key, value()?)?,
            "movesOwnership" if dialect == Dialect::Kata => ask.moves_ownership = flag(key, value()?)?,
            "pvEdgeVisits" if dialect == Dialect::Kata => ask.pv_edge_visits = flag(key, value()?)?,
            // Numbers that this search does not have are left out.
            "ownershipStdev" | "movesOwnershipStdev" | "noResultValue" if dialect == Dialect::Kata => {
                if flag(key, value()?)? {
                    log::warn!("{key} is not available");
                }
            }
            _ => return Err(format!("Could not parse analyze arguments or arguments out of range: '{key}'")),
        }
    }
    Ok(ask)
}

fn bad(key: &str, value: &str) -> String {
    format!("Could not parse analyze arguments or arguments out of range: '{key} {value}'")
}

fn hundredths(interval: f64) -> std::result::Result<Duration, String> {
    match (0.0..=INTERVAL_MAX).contains(&interval) {
        true => Ok(Duration::from_secs_f64(interval / 100.0)),
        false => Err(bad("interval", &interval.to_string())),
    }
}

fn number(key: &str, value: &str) -> std::result::Result<usize, String> {
    value.parse().map_err(|_| bad(key, value))
}

fn flag(key: &str, value: &str) -> std::result::Result<bool, String> {
    value.parse().map_err(|_| bad(key, value))
}

/// Bars the moves named, or all others. They count for the first move; deeper ones are searched freely.
fn bar(barred: &mut Vec<Move>, key: &str, vertices: &str, size: Size) -> std::result::Result<(), String> {
    let parse = |name: &str| Move::parse_gtp(name, size).ok_or_else(|| format!("Could not parse vertex: '{name}'"));
    let named: Vec<Move> = vertices.split(',').map(parse).collect::<std::result::Result<_, String>>()?;
    match key {
        "avoid" => barred.extend(named),
        _ => barred.extend(size.points().map(Move::Play).chain([Move::Pass]).filter(|mv| !named.contains(mv))),
    }
    Ok(())
}

/// One report, a line; none while no move was tried.
fn line(report: &Report, owners: &[Vec<f32>], ask: &Ask, side: Side, size: Size) -> Option<String> {
    let sign = match side {
        Side::ToMove if report.to_move == Color::Black => -1.0,
        Side::Black => -1.0,
        Side::ToMove | Side::White => 1.0,
    };
    let mut text = String::new();
    for (order, m) in report.moves.iter().take(ask.moves_max).enumerate() {
        match ask.dialect {
            Dialect::Kata => {
                kata_info(&mut text, m, order, sign, report.to_move, ask, size);
                if let Some(owner) = owners.get(order) {
                    text += &format!("movesOwnership {} ", owned(owner, sign, size));
                }
            }
            Dialect::Leela => leela_info(&mut text, m, order, sign, report.to_move, size),
        }
    }
    if text.is_empty() {
        return None;
    }
    if ask.root_info {
        let v = seen(&report.value, sign);
        write!(
            text,
            "rootInfo visits {} utility {} winrate {} scoreMean {} scoreStdev {} scoreLead {} scoreSelfplay {} weight {} rawStWrError -1 rawStScoreError -1 rawVarTimeLeft -1 ",
            report.visits,
            general(v.utility),
            general(v.win),
            general(v.lead),
            general(stdev(&v)),
            general(v.lead),
            general(v.score),
            report.visits,
        )
        .expect("a string takes everything");
    }
    if ask.ownership {
        text += &format!("ownership {}", owned(&report.ownership, sign, size));
    }
    Some(format!("{}\n", text.trim_end()))
}

fn kata_info(text: &mut String, m: &MoveReport, order: usize, sign: f32, to_move: Color, ask: &Ask, size: Size) {
    let v = seen(&m.value, sign);
    let (lcb, utility_lcb) = bounds(m, sign, to_move);
    write!(
        text,
        "info move {} visits {} edgeVisits {} utility {} winrate {} scoreMean {} scoreStdev {} scoreLead {} scoreSelfplay {} prior {} lcb {} utilityLcb {} weight {} order {order} pv {} ",
        m.mv.gtp(size),
        m.visits,
        m.visits,
        general(v.utility),
        general(v.win),
        general(v.lead),
        general(stdev(&v)),
        general(v.lead),
        general(v.score),
        general(m.prior),
        general(lcb),
        general(utility_lcb),
        m.visits,
        variation(m, size),
    )
    .expect("a string takes everything");
    let visits = |of: &str| {
        let visits: Vec<String> = m.pv.iter().map(|(_, n)| n.to_string()).collect();
        format!("{of} {} ", visits.join(" "))
    };
    if ask.pv_visits {
        *text += &visits("pvVisits");
    }
    // A position that is reached by one way only has the visits of its last move.
    if ask.pv_edge_visits {
        *text += &visits("pvEdgeVisits");
    }
}

/// Who owns the points of `[len * len]`, rows from the top.
fn owned(owner: &[f32], sign: f32, size: Size) -> String {
    let own = |i: usize| general(sign * owner.get(i).copied().unwrap_or(0.0));
    let numbers: Vec<String> = size.points().map(|p| own(p.index(size.len_max()))).collect();
    numbers.join(" ")
}

fn leela_info(text: &mut String, m: &MoveReport, order: usize, sign: f32, to_move: Color, size: Size) {
    let whole = |share: f32| (share.clamp(0.0, 1.0) * 10_000.0).round();
    let (lcb, _) = bounds(m, sign, to_move);
    write!(
        text,
        "info move {} visits {} winrate {} prior {} lcb {} order {order} pv {} ",
        m.mv.gtp(size),
        m.visits,
        whole(seen(&m.value, sign).win),
        whole(m.prior),
        whole(lcb),
        variation(m, size),
    )
    .expect("a string takes everything");
}

/// A value as the side with `sign` sees it; 1 is White.
fn seen(value: &Value, sign: f32) -> Value {
    let win = if sign > 0.0 { value.win } else { 1.0 - value.win };
    Value { win, utility: sign * value.utility, lead: sign * value.lead, score: sign * value.score, ..*value }
}

/// Bounds of winning chance and utility: for the other side the bound of the player to move is an upper one.
fn bounds(m: &MoveReport, sign: f32, to_move: Color) -> (f32, f32) {
    let is_players = (sign > 0.0) == (to_move == Color::White);
    if is_players { (m.win_lcb, m.utility_lcb) } else { (1.0 - m.win_lcb, -m.utility_lcb) }
}

fn stdev(value: &Value) -> f32 {
    (value.score_square - value.score * value.score).max(0.0).sqrt()
}

fn variation(m: &MoveReport, size: Size) -> String {
    let moves: Vec<String> = m.pv.iter().map(|(mv, _)| mv.gtp(size)).collect();
    moves.join(" ")
}

/// A number as C++ streams write it: six significant digits, without zeros at the end.
pub(super) fn general(x: f32) -> String {
    if x == 0.0 || !x.is_finite() {
        return "0".to_string();
    }
    let scientific = format!("{x:.5e}");
    let (digits, exponent) = scientific.split_once('e').expect("a number with an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if (-4..6).contains(&exponent) {
        trimmed(&format!("{x:.*}", (5 - exponent) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_streams_write_them() {
        let cases = [
            (1.0, "1"),
            (0.5, "0.5"),
            (-0.0210907, "-0.0210907"),
            (13.676_94, "13.6769"),
            (0.00001234, "1.234e-05"),
            (1_234_567.0, "1.23457e+06"),
            (123_456.0, "123456"),
            (0.0, "0"),
            (f32::NAN, "0"),
        ];
        for (x, text) in cases {
            assert_eq!(general(x), text);
        }
    }
}
