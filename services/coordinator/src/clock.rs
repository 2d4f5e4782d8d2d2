//! The core's clock. It counts from the zero of a coordinator's first life, on the wall, and goes on where the last life
//! ended: what records say of times needs no translation.

use std::time::{Duration, Instant, SystemTime};

use farloop_core::time::Time;

/// One life's clock. It never goes back, whatever becomes of the wall clock: neither while it runs nor from one life to
/// the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When this clock was set, and what it showed.
    set: (Instant, Time),
    /// Milliseconds since 1970 at time zero.
    zero_ms: u64,
}

impl Clock {
    /// Of a first life: its zero is now, in whole milliseconds.
    pub(crate) fn begin() -> Self {
        Self::set(since_1970(), None)
    }

    /// Of a life after others: they began at `zero_ms` and the last thing they recorded was at `last`.
    pub(crate) fn go_on(zero_ms: u64, last: Time) -> Self {
        Self::set(since_1970(), Some((zero_ms, last)))
    }

    fn set(wall: Duration, before: Option<(u64, Time)>) -> Self {
        let millis = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let (zero_ms, last) = before.unwrap_or((millis, Time(0)));
        let since = wall.saturating_sub(Duration::from_millis(zero_ms));
        let now = Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self { set: (Instant::now(), now.max(last)), zero_ms }
    }

    pub(crate) fn now(&self) -> Time {
        self.set.1 + self.set.0.elapsed()
    }

    pub(crate) fn zero_ms(&self) -> u64 {
        self.zero_ms
    }

    /// When this life began.
    pub(crate) fn began(&self) -> Time {
        self.set.1
    }

    /// A moment of the core on the wall.
    pub(crate) fn on_the_wall(&self, at: Time) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.zero_ms) + at.since(Time(0))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_micros(1_700_000_000_123_456);

    #[test]
    fn a_first_life_begins_at_the_last_whole_millisecond() {
        let clock = Clock::set(WALL, None);
        assert_eq!((clock.zero_ms(), clock.began()), (1_700_000_000_123, Time(456)));
        assert_eq!(clock.on_the_wall(clock.began()), SystemTime::UNIX_EPOCH + WALL);
    }

    #[test]
    fn time_goes_on_over_lives_and_never_goes_back() {
        let first = Clock::set(WALL, None);
        let hour = Duration::from_secs(3_600);
        let second = Clock::set(WALL + hour, Some((first.zero_ms(), Time(5))));
        assert_eq!(second.began(), first.began() + hour);
        assert_eq!(second.on_the_wall(second.began()), SystemTime::UNIX_EPOCH + WALL + hour);
        // The wall clock was set back in between: what was recorded counts.
        let third = Clock::set(WALL - hour, Some((first.zero_ms(), second.began())));
        assert_eq!(third.began(), second.began());
        assert!(third.now() >= third.began());
    }
}
