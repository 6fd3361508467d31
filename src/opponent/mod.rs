//! The opponent room.
