//! Every bound with its name and the value in force, for people: what [`limits`] says, unless the
//! configuration says otherwise.

use alloc::vec::Vec;
use core::time::Duration;

use crate::api::Config;
use crate::limits;

/// Where a bound stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A count, or bytes.
    Amount(u64),
    /// A length of time.
    Time(Duration),
}

impl From<usize> for Bound {
    fn from(amount: usize) -> Self {
        Self::Amount(amount as u64)
    }
}
impl From<u64> for Bound {
    fn from(amount: u64) -> Self {
        Self::Amount(amount)
    }
}
impl From<u32> for Bound {
    fn from(amount: u32) -> Self {
        Self::Amount(amount.into())
    }
}
impl From<Duration> for Bound {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

/// All of them, by the names that errors use.
#[must_use]
pub fn in_force(config: &Config) -> Vec<(&'static str, Bound)> {
    let mut all = limits::all();
    for (name, bound) in &mut all {
        *bound = match *name {
            "MAX_PAYLOAD" => config.max_payload.into(),
            "MAX_LIVE_TASKS" => config.max_live_tasks.into(),
            "MAX_SESSIONS" => config.max_sessions.into(),
            "WORKER_DEAD_AFTER" => config.worker_dead_after.into(),
            "SESSION_TTL" => config.session_ttl.into(),
            "RETENTION" => config.retention.into(),
            "RETAINED_TASKS" => config.retained_tasks.into(),
            "RETAINED_BYTES" => config.retained_bytes.into(),
            "PINNED_TASKS" => config.pinned_tasks.into(),
            "PINNED_BYTES" => config.pinned_bytes.into(),
            _ => continue,
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    /// A limit outside of the list fails.
    #[test]
    fn every_limit_is_among_them() {
        let source = include_str!("limits.rs");
        let declared = source.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split(':').next());
        let listed = in_force(&Config::default());
        let declared: BTreeSet<&str> = declared.filter(|name| !name.starts_with('$')).collect();
        assert_eq!(declared, listed.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn the_configuration_decides_where_it_can() {
        let config = Config { max_sessions: 3, ..Config::default() };
        assert!(in_force(&config).contains(&("MAX_SESSIONS", Bound::Amount(3))));
    }
}
