//! The game itself: points, rules, boards, ladders, scores and games with their history.
//!
//! Invariant: every position reached here is legal under the rules it was played with, or was stated as a set-up.

pub mod board;
mod branch;
pub mod eyes;
pub mod game;
pub mod handicap;
pub mod ladder;
pub mod life;
pub mod playout;
pub mod point;
mod pointset;
pub mod rules;
pub mod score;

pub use board::{Board, Illegal, Undo};
pub use branch::Branch;
pub use game::Game;
pub use point::{Color, Move, Point, Size};
pub use pointset::{PointList, PointSet};
pub use rules::Rules;
