//! What every room's `…Config` says about a value that cannot be.

use std::fmt::Display;
use std::ops::RangeBounds;

/// A config value outside of what its room can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The key, without its section.
    pub key: &'static str,
    /// What was got and what was expected.
    pub what: String,
}

impl BadValue {
    /// `key` holds something else than `expected`.
    pub fn new(key: &'static str, got: impl Display, expected: impl Display) -> BadValue {
        BadValue { key, what: format!("{key} is {got}, expected {expected}") }
    }
}

/// Refuses a value outside `range`; `unit` is said in the message, for instance `cores` or `(a share)`.
pub fn within<T, R>(key: &'static str, value: T, range: R, unit: &str) -> Result<(), BadValue>
where
    T: PartialOrd + Display,
    R: RangeBounds<T> + std::fmt::Debug,
{
    if range.contains(&value) {
        return Ok(());
    }
    let expected = match unit {
        "" => format!("{range:?}"),
        unit => format!("{range:?} {unit}"),
    };
    Err(BadValue::new(key, value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_key_value_and_range() {
        assert_eq!(within("cores", 4, 1..=8, "cores"), Ok(()));
        assert_eq!(within("cores", 0, 1..=8, "cores").unwrap_err().what, "cores is 0, expected 1..=8 cores");
        assert!(within("share", f32::NAN, 0.0..1.0, "").is_err());
    }
}
