//! Matches: two players, many games, and what they say about who is the stronger.
//!
//! [`Match::run`] plays the games of a [`MatchConfig`] in a folder: each [opening](OpeningConfig) twice with colours
//! swapped, several at once, under a board that decides what is legal. A game is a line of the journal as soon as it is
//! over, so a match goes on where it was stopped. [`Pairs`] gives Elo with an interval, [`SprtConfig`] ends early.
//!
//! Invariant: what a foreign program does (ends, hangs, lies) costs at most its game.

mod config;
mod journal;
mod opening;
mod pairs;
mod referee;
mod report;
mod run;
mod seat;
mod sprt;

pub use config::{GAMES_MAX, MatchConfig, NetsConfig, OnFault, OpeningConfig, OpeningKind, PlayerConfig};
pub use journal::{Ending, FaultLine, GameLine, JOURNAL_NAME, Name};
pub use pairs::{Estimate, Pairs, elo_of_score, score_of_elo};
pub use report::{REPORT_NAME, Report, SprtState, Tally, Wdl, table};
pub use run::{Entrant, Kind, Match, Watch};
pub use seat::FaultKind;
pub use sprt::{SprtConfig, Verdict};
