//! The corpus room.
