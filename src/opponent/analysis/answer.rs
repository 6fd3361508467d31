//! Answers as JSON.

use super::query::Query;
use crate::go::{Color, Game};
use crate::opponent::session::Side;
use crate::search::{MoveReport, Report, Value};
use serde_json::{Map, Value as Json, json};

/// Whether the search goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// It goes on.
    During,
    /// It is over.
    Final,
}

/// A position that was ended before it had anything to tell.
pub(super) fn no_results(id: &str, turn: usize) -> Json {
    json!({"id": id, "turnNumber": turn, "isDuringSearch": false, "noResults": true})
}

/// What was found so far. `owners`: who owns each point after each of the moves, `[moves][len * len]`, White's view; empty if
/// nobody asked.
pub(super) fn results(query: &Query, turn: usize, game: &Game, report: &Report, stage: Stage, owners: &[Vec<f32>]) -> Json {
    let sign = match query.side {
        Side::Black => -1.0,
        Side::ToMove if report.to_move == Color::Black => -1.0,
        Side::White | Side::ToMove => 1.0,
    };
    let mut moves: Vec<Json> =
        report.moves.iter().enumerate().map(|(order, m)| move_info(query, game, report, m, order, sign)).collect();
    let (size, len) = (game.size(), game.size().len_max());
    for (info, owner) in moves.iter_mut().zip(owners) {
        info["ownership"] = size.points().map(|p| number(sign * owner[p.index(len)])).collect();
    }
    let mut answer = Map::new();
    answer.insert("id".to_string(), query.id.clone().into());
    answer.insert("turnNumber".to_string(), turn.into());
    answer.insert("isDuringSearch".to_string(), matches!(stage, Stage::During).into());
    answer.insert("moveInfos".to_string(), moves.into());
    answer.insert("rootInfo".to_string(), root_info(game, report, sign));
    if query.includes_ownership {
        let owner = |i: usize| number(sign * report.ownership.get(i).copied().unwrap_or(0.0));
        answer.insert("ownership".to_string(), size.points().map(|p| owner(p.index(len))).collect());
    }
    if query.includes_policy {
        let mut policy = vec![-1.0; len * len + 1];
        report.policy.iter().for_each(|&(i, p)| policy[i as usize] = p);
        let cells = size.points().map(|p| p.index(len)).chain([len * len]);
        answer.insert("policy".to_string(), cells.map(|i| number(policy[i])).collect());
    }
    Json::Object(answer)
}

fn move_info(query: &Query, game: &Game, report: &Report, m: &MoveReport, order: usize, sign: f32) -> Json {
    let v = seen(&m.value, sign);
    // A bound from below for the player to move is one from above for the other.
    let is_players = (sign > 0.0) == (report.to_move == Color::White);
    let (lcb, utility_lcb) = if is_players { (m.win_lcb, m.utility_lcb) } else { (1.0 - m.win_lcb, -m.utility_lcb) };
    let pv: Vec<String> = m.pv.iter().take(query.pv_moves_max).map(|(mv, _)| mv.gtp(game.size())).collect();
    let mut info = json!({
        "move": m.mv.gtp(game.size()),
        "order": order,
        "visits": m.visits,
        "edgeVisits": m.visits,
        "weight": f64::from(m.visits),
        "edgeWeight": f64::from(m.visits),
        "playSelectionValue": f64::from(m.visits),
        "winrate": number(v.win),
        "scoreLead": number(v.lead),
        "scoreMean": number(v.lead),
        "scoreSelfplay": number(v.score),
        "scoreStdev": number(stdev(&v)),
        "utility": number(v.utility),
        "utilityLcb": number(utility_lcb),
        "lcb": number(lcb),
        "prior": number(m.prior),
        "pv": pv,
    });
    if query.includes_pv_visits {
        let visits: Vec<u32> = m.pv.iter().take(query.pv_moves_max).map(|(_, n)| *n).collect();
        info["pvVisits"] = visits.clone().into();
        info["pvEdgeVisits"] = visits.into();
    }
    info
}

fn root_info(game: &Game, report: &Report, sign: f32) -> Json {
    let (v, raw) = (seen(&report.value, sign), seen(&report.root, sign));
    let hash = format!("{:016X}", game.board().hash());
    json!({
        "currentPlayer": report.to_move.letter().to_string(),
        "visits": report.visits,
        "weight": f64::from(report.visits),
        "winrate": number(v.win),
        "scoreLead": number(v.lead),
        "scoreSelfplay": number(v.score),
        "scoreStdev": number(stdev(&v)),
        "utility": number(v.utility),
        "thisHash": hash,
        "symHash": hash,
        "rawWinrate": number(raw.win),
        "rawLead": number(raw.lead),
        "rawScoreSelfplay": number(raw.score),
        "rawScoreSelfplayStdev": number(stdev(&raw)),
        "rawStWrError": -1.0,
        "rawStScoreError": -1.0,
        "rawVarTimeLeft": -1.0,
    })
}

fn seen(value: &Value, sign: f32) -> Value {
    let win = if sign > 0.0 { value.win } else { 1.0 - value.win };
    Value { win, utility: sign * value.utility, lead: sign * value.lead, score: sign * value.score, ..*value }
}

fn stdev(value: &Value) -> f32 {
    (value.score_square - value.score * value.score).max(0.0).sqrt()
}

/// A number with the digits it has, not those of its double.
fn number(x: f32) -> Json {
    let shortest = format!("{x}").parse().unwrap_or(0.0);
    serde_json::Number::from_f64(shortest).map_or(json!(0.0), Json::Number)
}
