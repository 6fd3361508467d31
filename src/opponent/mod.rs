//! The opponent: a game being played against whoever sits opposite.
//!
//! [`Session`] holds the game, the rules, the clock and the net; [`gtp`] puts the Go Text Protocol around it;
//! [`Program`] is a GTP program of somebody else; [`play_game`] lets two of them play.
//!
//! Invariant: a session never answers with a move that its rules forbid, and a game it plays comes to an end.

pub mod analysis;
pub mod config;
pub mod gtp;

mod choice;
mod clock;
mod judge;
mod level;
mod matchup;
mod mind;
mod owners;
mod program;
mod session;
mod show;
mod words;

pub use clock::{Clock, TimeControl, TimeLeft};
pub use config::OpponentConfig;
pub use level::Level;
pub use matchup::{Header, Outcome, Player, Seats, play_game, result_text, to_sgf};
pub use mind::Effort;
pub use program::{Failure, Program};
pub use session::{Answer, Persona, Ponder, Resigning, Session, Side, Then, Watch};
pub use show::{board_text, score_text};
