//! Commands about time.

use super::Reply;
use super::commands::parse_color;
use crate::opponent::clock::{TimeControl, TimeLeft};
use crate::opponent::session::Session;

/// Longest time that is believed, in seconds.
const SECONDS_MAX: f64 = 1e9;

/// Canadian time, GTP's own form: main time, a period, and the stones of a period. A period without stones is no limit.
pub(super) fn settings(session: &mut Session, args: &[&str]) -> Reply {
    let numbers: Vec<Option<f64>> = args.iter().map(|arg| arg.parse().ok().filter(|n| (0.0..SECONDS_MAX).contains(n))).collect();
    let [Some(main), Some(period), Some(stones)] = numbers[..] else {
        return Err(format!("Expected three numbers, 0 or more, for time_settings but got '{}'", args.join(" ")));
    };
    session.clock.set(match (period, stones as u32) {
        (0.0, _) => Some(TimeControl::Absolute { main }),
        (_, 0) => None,
        (period, stones) => Some(TimeControl::Canadian { main, period, stones }),
    });
    Ok(String::new())
}

pub(super) fn left(session: &mut Session, args: &[&str]) -> Reply {
    let &[color, seconds, stones] = args else {
        return Err(format!("Expected three arguments for time_left but got '{}'", args.join(" ")));
    };
    let color = parse_color(color)?;
    // Some controllers tell a negative rest when the time is up.
    let seconds: f64 =
        seconds.parse().ok().filter(|s: &f64| s.is_finite()).ok_or_else(|| format!("Could not parse time: '{seconds}'"))?;
    let stones: u32 = stones.parse().map_err(|_| format!("Could not parse stones: '{stones}'"))?;
    session.clock.tell(color, TimeLeft { seconds: seconds.max(0.0), stones });
    Ok(String::new())
}

/// `kgs-time_settings` and `kata-time_settings`: `none`, `absolute m`, `byoyomi m period periods`, `canadian m period stones`,
/// `fischer m increment`.
pub(super) fn kgs(session: &mut Session, args: &[&str]) -> Reply {
    let numbers: Option<Vec<f64>> =
        args.iter().skip(1).map(|arg| arg.parse().ok().filter(|n| (0.0..SECONDS_MAX).contains(n))).collect();
    let numbers = numbers.ok_or_else(|| format!("Expected numbers, 0 or more, but got '{}'", args.join(" ")))?;
    let kind = args.first().copied().unwrap_or("");
    let control = match (kind, &numbers[..]) {
        ("none", []) => None,
        ("absolute", &[main]) => Some(TimeControl::Absolute { main }),
        ("byoyomi", &[main, period, periods]) => match periods as u32 {
            0 => Some(TimeControl::Absolute { main }),
            periods => Some(TimeControl::ByoYomi { main, period, periods }),
        },
        ("canadian", &[main, period, stones]) => match stones as u32 {
            0 => Some(TimeControl::Absolute { main }),
            stones => Some(TimeControl::Canadian { main, period, stones }),
        },
        ("fischer", &[main, increment]) => Some(TimeControl::Fischer { main, increment }),
        _ => return Err(format!("Unknown or incomplete time settings: '{}'", args.join(" "))),
    };
    session.clock.set(control);
    Ok(String::new())
}
