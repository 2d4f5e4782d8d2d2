//! Every bound with its name and the value in force, for people: what [`limits`](crate::limits) says, unless the
//! configuration says otherwise.

use alloc::vec::Vec;
use core::time::Duration;

use crate::api::Config;
use crate::limits as l;

/// Where a bound stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A count, or bytes.
    Amount(u64),
    /// A length of time.
    Time(Duration),
}

/// All of them, by the names that errors use.
#[must_use]
pub fn in_force(config: &Config) -> Vec<(&'static str, Bound)> {
    let amount = |name, value: usize| (name, Bound::Amount(value as u64));
    Vec::from([
        amount("PART", l::PART),
        amount("WINDOW_ITEMS", l::WINDOW_ITEMS),
        amount("WINDOW_BYTES", l::WINDOW_BYTES),
        amount("BATCH_ITEMS", l::BATCH_ITEMS),
        amount("BATCH_BYTES", l::BATCH_BYTES),
        ("ACK_EVERY", Bound::Amount(l::ACK_EVERY)),
        amount("MAX_PAYLOAD", config.max_payload),
        amount("MAX_LIVE_TASKS", config.max_live_tasks),
        amount("MAX_CHILDREN", l::MAX_CHILDREN),
        ("MAX_DEPTH", Bound::Amount(l::MAX_DEPTH.into())),
        amount("MAX_DEPENDENCIES", l::MAX_DEPENDENCIES),
        amount("EDGES", l::EDGES),
        amount("TOUCH", l::TOUCH),
        amount("TOMBSTONES", l::TOMBSTONES),
        amount("LABELS", l::LABELS),
        amount("GATHER_MEMBERS", l::GATHER_MEMBERS),
        amount("CALLS", l::CALLS),
        amount("SHORT_IDS", l::SHORT_IDS),
        amount("WATCHES", l::WATCHES),
        amount("WATCH_CHANGES", l::WATCH_CHANGES),
        amount("PRINT", l::PRINT),
        amount("PRINTS_WAITING", l::PRINTS_WAITING),
        amount("LOG", l::LOG),
        amount("LOGS", l::LOGS),
        amount("PAGE", l::PAGE),
        amount("TELLS", l::TELLS),
        amount("MAX_SESSIONS", config.max_sessions),
        amount("MAX_FUNCTIONS", l::MAX_FUNCTIONS),
        amount("MAX_NAME", l::MAX_NAME),
        amount("MAX_MESSAGE", l::MAX_MESSAGE),
        amount("FAILURE_TEXT", l::FAILURE_TEXT),
        amount("FAILURE_DETAILS", l::FAILURE_DETAILS),
        amount("FAILURE_CAUSES", l::FAILURE_CAUSES),
        amount("MAX_DETAILS", l::MAX_DETAILS),
        ("MAX_CRASHES", Bound::Amount(l::MAX_CRASHES.into())),
        ("CANCEL_GRACE", Bound::Time(l::CANCEL_GRACE)),
        ("WORKER_DEAD_AFTER", Bound::Time(config.worker_dead_after)),
        ("SESSION_TTL", Bound::Time(config.session_ttl)),
        ("RETENTION", Bound::Time(config.retention)),
        amount("RETAINED_TASKS", config.retained_tasks),
        amount("RETAINED_BYTES", config.retained_bytes),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    /// A new limit without a line here fails.
    #[test]
    fn every_limit_is_among_them() {
        let source = include_str!("limits.rs");
        let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        let listed = in_force(&Config::default());
        assert_eq!(declared.collect::<BTreeSet<_>>(), listed.iter().map(|(name, _)| *name).collect());
    }
}
