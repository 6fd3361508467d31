//! `kata-raw-nn`: the net's answers as they are.

use super::Reply;
use super::commands::parse_color;
use crate::base::Result;
use crate::base::symmetry::Symmetry;
use crate::go::{Color, Move};
use crate::infer::Output;
use crate::opponent::session::Session;
use std::fmt::Write;

/// `kata-raw-nn [colour] sym|all [optimism]`
pub(super) fn raw_nn(session: &mut Session, args: &[&str]) -> Result<Reply> {
    let (color, args) = match args {
        [first, rest @ ..] if !rest.is_empty() && parse_color(first).is_ok() => (parse_color(first).ok(), rest),
        all => (None, all),
    };
    let color = color.unwrap_or(session.game().to_move());
    let symmetries: Vec<Symmetry> = match args {
        ["all"] | ["all", _] => Symmetry::all().collect(),
        [number] | [number, _] if number.parse().is_ok_and(|n: u8| n < 8) => {
            vec![Symmetry::new(number.parse().expect("tried above"))]
        }
        _ => {
            let got = args.join(" ");
            return Ok(Err(format!("Expected a symmetry argument 'all' or index [0-7] but got '{got}' for kata-raw-nn")));
        }
    };
    let mut blocks = Vec::new();
    for symmetry in symmetries {
        let (output, legal) = session.raw(color, symmetry)?;
        blocks.push(block(session, color, symmetry, &output, &legal));
    }
    Ok(Ok(blocks.join("\n").trim_end_matches('\n').to_string()))
}

fn block(session: &Session, color: Color, symmetry: Symmetry, out: &Output, legal: &[bool]) -> String {
    let size = session.game().size();
    let len = size.len_max();
    let sign = if color == Color::White { 1.0 } else { -1.0 };
    let (win, loss) = if color == Color::White { (out.win, out.loss) } else { (out.loss, out.win) };
    let square = out.score_mean * out.score_mean + out.score_stdev * out.score_stdev;
    let (time, winloss_error, score_error) =
        out.short_term.map_or((-1.0, -1.0, -1.0), |s| (s.variance_time, s.winloss_error, s.score_error));
    let mut text = format!(
        "symmetry {}\nwhiteWin {win:.6}\nwhiteLoss {loss:.6}\nnoResult {:.6}\nwhiteLead {:.3}\nwhiteScoreSelfplay {:.3}\nwhiteScoreSelfplaySq {square:.3}\nvarTimeLeft {time:.3}\nshorttermWinlossError {winloss_error:.3}\nshorttermScoreError {score_error:.3}\npolicy\n",
        symmetry.number(),
        out.no_result,
        sign * out.lead,
        sign * out.score_mean,
    );
    let rows = |cell: &dyn Fn(usize) -> String, text: &mut String| {
        for y in 0..size.h() {
            let cells: Vec<String> = (0..size.w()).map(|x| cell(y * len + x)).collect();
            writeln!(text, "{} ", cells.join(" ")).expect("a string takes everything");
        }
    };
    let policy = |i: usize| if legal[i] { format!("{:8.6}", out.policy[i]) } else { "    NAN ".to_string() };
    rows(&policy, &mut text);
    writeln!(text, "policyPass {:8.6} ", out.policy[Move::Pass.policy_index(len)]).expect("a string takes everything");
    text += "whiteOwnership\n";
    rows(&|i| format!("{:9.7}", sign * out.ownership[i]), &mut text);
    text
}
