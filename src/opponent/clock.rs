//! Time: what is played with, what each side has left, and how much of it a move may take.

use crate::go::Color;

/// Moves that a game has still before it, at the least: its last ones are many and cheap.
const MOVES_LEFT_MIN: f64 = 12.0;
/// Share of a board's points that one side plays on in a game.
const MOVES_PER_POINT: f64 = 0.4;
/// Share of a period's time that a move takes while there is main time: the period is not lost, the main time is.
const PERIOD_SHARE: f64 = 0.5;
/// Share of the time left that one move may take at the most when nothing follows it.
const LEFT_SHARE_MAX: f64 = 0.25;

/// How time is counted, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeControl {
    /// One time for the whole game.
    Absolute {
        /// The time.
        main: f64,
    },
    /// Main time, then periods that hold for a number of moves each.
    Canadian {
        /// Main time.
        main: f64,
        /// A period.
        period: f64,
        /// Moves of a period, 1 or more.
        stones: u32,
    },
    /// Main time, then a number of periods; a move that takes less than one leaves it whole.
    ByoYomi {
        /// Main time.
        main: f64,
        /// A period.
        period: f64,
        /// How many, 1 or more.
        periods: u32,
    },
    /// A time that grows with each move.
    Fischer {
        /// Time at the start.
        main: f64,
        /// What each move adds.
        increment: f64,
    },
}

/// What one player has left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeLeft {
    /// Seconds: of the main time, of the Canadian period, or of the present byo-yomi period.
    pub seconds: f64,
    /// Moves left in the Canadian period, or byo-yomi periods; 0 in main time.
    pub stones: u32,
}

/// The clock of a game.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clock {
    control: Option<TimeControl>,
    left: [Option<TimeLeft>; 2],
}

impl Clock {
    /// Starts anew; none is no limit.
    pub fn set(&mut self, control: Option<TimeControl>) {
        *self = Clock { control, left: [None; 2] };
    }

    /// Both sides have all of their time again.
    pub fn restart(&mut self) {
        self.left = [None; 2];
    }

    /// Notes what `color` has left.
    pub fn tell(&mut self, color: Color, left: TimeLeft) {
        self.left[color.index()] = Some(left);
    }

    /// How time is counted; none is no limit.
    pub fn control(&self) -> Option<TimeControl> {
        self.control
    }

    /// What `color` has left: as told or counted, else all of it; none without a limit.
    pub fn left(&self, color: Color) -> Option<TimeLeft> {
        self.left[color.index()].or_else(|| {
            self.control.map(|control| match control {
                TimeControl::Absolute { main } | TimeControl::Fischer { main, .. } => TimeLeft { seconds: main, stones: 0 },
                TimeControl::Canadian { main, .. } | TimeControl::ByoYomi { main, .. } if main > 0.0 => {
                    TimeLeft { seconds: main, stones: 0 }
                }
                TimeControl::Canadian { period, stones, .. } => TimeLeft { seconds: period, stones },
                TimeControl::ByoYomi { period, periods, .. } => TimeLeft { seconds: period, stones: periods },
            })
        })
    }

    /// Counts a move of `color` that took `seconds`, for controllers that do not tell what is left.
    pub fn spend(&mut self, color: Color, seconds: f64) {
        let (Some(control), Some(TimeLeft { seconds: had, stones })) = (self.control, self.left(color)) else { return };
        let rest = had - seconds;
        let left = match control {
            TimeControl::Absolute { .. } => TimeLeft { seconds: rest.max(0.0), stones: 0 },
            TimeControl::Fischer { increment, .. } => TimeLeft { seconds: rest.max(0.0) + increment, stones: 0 },
            _ if stones == 0 && rest > 0.0 => TimeLeft { seconds: rest, stones: 0 },
            TimeControl::Canadian { period, stones: all, .. } => {
                let (rest, stones) = if stones == 0 { (period + rest, all - 1) } else { (rest, stones - 1) };
                match stones {
                    0 => TimeLeft { seconds: period, stones: all },
                    _ => TimeLeft { seconds: rest.max(0.0), stones },
                }
            }
            TimeControl::ByoYomi { period, periods, .. } => {
                let (rest, stones) = if stones == 0 { (period + rest, periods) } else { (rest, stones) };
                // Each whole period that the move took is gone; the one that it ended in is whole again.
                let gone = if rest < 0.0 && period > 0.0 { (-rest / period).ceil() as u32 } else { 0 };
                TimeLeft { seconds: period, stones: stones.saturating_sub(gone).max(1) }
            }
        };
        self.left[color.index()] = Some(left);
    }

    /// Seconds that the next move of `color` may take, on a board of `n_points` after `n_moves` of both sides; none
    /// without a limit. A margin for delays is the caller's.
    pub fn budget(&self, color: Color, n_points: usize, n_moves: usize) -> Option<f64> {
        let TimeLeft { seconds, stones } = self.left(color)?;
        let moves_left = (MOVES_PER_POINT * n_points as f64 - 0.5 * n_moves as f64).max(MOVES_LEFT_MIN);
        let share = seconds / moves_left;
        Some(match self.control {
            _ if stones == 0 && seconds <= 0.0 => 0.0,
            Some(TimeControl::Fischer { increment, .. }) => (share + increment).min(seconds * (1.0 - LEFT_SHARE_MAX)),
            Some(TimeControl::Canadian { period, stones, .. }) if period > 0.0 && self.is_main(color) => {
                share + PERIOD_SHARE * period / f64::from(stones)
            }
            Some(TimeControl::ByoYomi { period, .. }) if self.is_main(color) => share + PERIOD_SHARE * period,
            Some(TimeControl::ByoYomi { .. }) => seconds,
            // A Canadian period as it was told, whatever was agreed before.
            _ if stones > 0 => seconds / f64::from(stones),
            _ => share.min(seconds * LEFT_SHARE_MAX),
        })
    }

    fn is_main(&self, color: Color) -> bool {
        self.left(color).is_some_and(|left| left.stones == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROLS: [TimeControl; 7] = [
        TimeControl::Absolute { main: 60.0 },
        TimeControl::Canadian { main: 30.0, period: 20.0, stones: 5 },
        TimeControl::Canadian { main: 0.0, period: 10.0, stones: 1 },
        TimeControl::ByoYomi { main: 20.0, period: 3.0, periods: 3 },
        TimeControl::ByoYomi { main: 0.0, period: 5.0, periods: 1 },
        TimeControl::Fischer { main: 30.0, increment: 2.0 },
        TimeControl::Fischer { main: 5.0, increment: 0.5 },
    ];

    #[test]
    fn nobody_who_keeps_to_the_budget_loses_on_time() {
        for control in CONTROLS {
            for n_points in [81, 361] {
                let mut clock = Clock::default();
                clock.set(Some(control));
                let mut periods = None;
                for n_moves in (0..2 * n_points).step_by(2) {
                    let left = clock.left(Color::White).unwrap();
                    let budget = clock.budget(Color::White, n_points, n_moves).unwrap();
                    let period = match control {
                        TimeControl::Canadian { period, .. } | TimeControl::ByoYomi { period, .. } if left.stones == 0 => period,
                        _ => 0.0,
                    };
                    assert!(budget >= 0.0 && budget <= left.seconds + period, "{control:?} {left:?} {budget}");
                    if let TimeControl::ByoYomi { .. } = control
                        && left.stones > 0
                    {
                        assert!(periods.is_none_or(|n| n == left.stones), "{control:?}: a period is lost");
                        periods = Some(left.stones);
                    }
                    clock.spend(Color::White, budget);
                    assert!(clock.left(Color::White).unwrap().seconds > 0.0, "{control:?} after {n_moves} moves");
                }
                assert_eq!(clock.left(Color::Black), Clock { control: Some(control), left: [None; 2] }.left(Color::Black));
            }
        }
    }

    #[test]
    fn what_is_told_counts() {
        let mut clock = Clock::default();
        assert_eq!(clock.budget(Color::Black, 361, 0), None);
        clock.set(Some(CONTROLS[1]));
        clock.tell(Color::Black, TimeLeft { seconds: 10.0, stones: 4 });
        assert_eq!(clock.budget(Color::Black, 361, 0), Some(2.5));
        clock.spend(Color::Black, 4.0);
        assert_eq!(clock.left(Color::Black), Some(TimeLeft { seconds: 6.0, stones: 3 }));
        clock.tell(Color::Black, TimeLeft { seconds: 0.0, stones: 0 });
        assert_eq!(clock.budget(Color::Black, 361, 0), Some(0.0));
        // Only told, without any settings.
        let mut told = Clock::default();
        told.tell(Color::White, TimeLeft { seconds: 120.0, stones: 0 });
        assert!(told.budget(Color::White, 361, 0).is_some_and(|b| b > 0.5 && b < 3.0));
    }

    #[test]
    fn byo_yomi_is_counted_in_periods() {
        let mut clock = Clock::default();
        clock.set(Some(TimeControl::ByoYomi { main: 10.0, period: 5.0, periods: 3 }));
        clock.spend(Color::Black, 12.0);
        assert_eq!(clock.left(Color::Black), Some(TimeLeft { seconds: 5.0, stones: 3 }));
        clock.spend(Color::Black, 6.0);
        assert_eq!(clock.left(Color::Black), Some(TimeLeft { seconds: 5.0, stones: 2 }));
    }
}
