//! The infer room.
