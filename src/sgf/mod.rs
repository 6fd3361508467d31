//! The sgf room.
