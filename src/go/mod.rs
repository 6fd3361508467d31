//! The game itself: points, rules, boards, ladders, scores and games with their history.
//!
//! Invariant: every position reached here is legal under the rules it was played with, or was stated as a set-up.

pub mod point;

pub use point::{Color, Move, Point, Size};
