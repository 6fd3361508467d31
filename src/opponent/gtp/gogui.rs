//! GoGui's own commands: what its Analyze menu shows.

use super::Reply;
use super::analyze::general;
use crate::base::Result;
use crate::base::symmetry::Symmetry;
use crate::go::Color;
use crate::opponent::session::Session;
use std::fmt::Write;

/// The menu: type, label, command.
pub(super) const COMMANDS: &str = "\
gfx/Policy/gogui-policy
dboard/Ownership/gogui-ownership
string/Winning chance/gogui-winrate
varc/Principal variation/gogui-pv %c
param/Settings/gogui-param";

/// Probabilities of the first thought as a map of influence; a label in percent where there is one.
pub(super) fn policy(session: &mut Session, _: &[&str]) -> Result<Reply> {
    let (color, size) = (session.game().to_move(), session.game().size());
    let (output, _) = session.raw(color, Symmetry::IDENTITY)?;
    let (mut influence, mut labels) = ("INFLUENCE".to_string(), "LABEL".to_string());
    let sign = if color == Color::Black { 1.0 } else { -1.0 };
    for p in size.points() {
        let share = output.policy[p.index(size.len_max())];
        if share >= 0.01 {
            write!(influence, " {} {}", p.gtp(size), general(sign * share.sqrt())).expect("a string takes everything");
            write!(labels, " {} {:.0}", p.gtp(size), 100.0 * share).expect("a string takes everything");
        }
    }
    Ok(Ok(format!("{influence}\n{labels}")))
}

/// Black's points 1, White's -1.
pub(super) fn ownership(session: &mut Session, _: &[&str]) -> Result<Reply> {
    let (color, size) = (session.game().to_move(), session.game().size());
    let (output, _) = session.raw(color, Symmetry::IDENTITY)?;
    let sign = if color == Color::Black { 1.0 } else { -1.0 };
    let row = |y: usize| {
        let cells: Vec<String> =
            (0..size.w()).map(|x| format!("{:.3}", sign * output.ownership[y * size.len_max() + x])).collect();
        cells.join(" ")
    };
    Ok(Ok((0..size.h()).map(row).collect::<Vec<_>>().join("\n")))
}

/// What the player to move thinks about the game.
pub(super) fn winrate(session: &mut Session, _: &[&str]) -> Result<Reply> {
    let color = session.game().to_move();
    let (output, _) = session.raw(color, Symmetry::IDENTITY)?;
    let win = 100.0 * (output.win + 0.5 * output.no_result);
    Ok(Ok(format!("{} {win:.1} % lead {:.1}", color.letter(), output.lead)))
}

/// The expected moves of the last search.
pub(super) fn variation(session: &mut Session, _: &[&str]) -> Result<Reply> {
    let size = session.game().size();
    let best = session.report().and_then(|report| report.moves.into_iter().next());
    let moves = best.map(|best| best.pv.iter().map(|(mv, _)| mv.gtp(size)).collect::<Vec<_>>().join(" "));
    Ok(Ok(moves.unwrap_or_default()))
}
