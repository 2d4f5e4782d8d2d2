//! Ids that are not known (L2): never submitted, or forgotten? What was forgotten must not run once more.
//!
//! Ids that were forgotten lately are remembered one by one, which is exact and needs no clock. Older ones are told by
//! the moment that an id carries: nothing is known any more that was made longer ago than outcomes are kept and clocks
//! may differ. Between the two lies what was forgotten early, by number, by size or by release, and has left the list
//! since: up to the [floor](Forgotten::floor) an id that *may* be a repetition counts as one. A submit that comes over
//! a link is none, for a link carries each frame once; so a slow client is not refused because others are fast.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::fmt;
use hashbrown::HashTable;

use super::Core;
use super::hash::Keyed;
use crate::id::TaskId;
use crate::limits;
use crate::outcome::FailureKind;

/// Tasks that were forgotten.
#[derive(Debug)]
pub(crate) struct Forgotten {
    keyed: Keyed,
    /// Hash of the id and when that was made, in milliseconds since 1970, in the order in which they were forgotten.
    order: VecDeque<(u64, u64)>,
    hashes: HashTable<u64>,
    /// No id in the list has higher first bits: nearly every new id is told from them by this alone.
    highest: u64,
    /// The newest that was ever in the list.
    newest: u64,
    /// What was made until then and has left the list was forgotten before its time.
    floor: u64,
}

impl Forgotten {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self { keyed, order: VecDeque::new(), hashes: HashTable::new(), highest: 0, newest: 0, floor: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Notes one. `old`: what was made before that is told by its age.
    fn note(&mut self, id: TaskId, now: u64, old: u64) {
        let made = if dated(id) { id.timestamp_ms() } else { now };
        while self.order.front().is_some_and(|(_, made)| *made < old) {
            self.pop();
        }
        if made < old {
            return;
        }
        if self.order.len() >= limits::FORGOTTEN
            && let Some(made) = self.pop()
        {
            self.floor = self.floor.max(made.min(now));
        }
        let hash = self.keyed.id(id.0);
        if self.hashes.find(hash, |h| *h == hash).is_none() {
            self.hashes.insert_unique(hash, hash, |h| *h);
            self.order.push_back((hash, made));
            self.highest = self.highest.max(id.timestamp_ms());
            self.newest = self.newest.max(made.min(now));
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let (hash, made) = self.order.pop_front()?;
        if let Ok(entry) = self.hashes.find_entry(hash, |h| *h == hash) {
            entry.remove();
        }
        if self.order.is_empty() {
            self.highest = 0;
        }
        Some(made)
    }

    fn holds(&self, id: TaskId) -> bool {
        if id.timestamp_ms() > self.highest || self.order.is_empty() {
            return false;
        }
        let hash = self.keyed.id(id.0);
        self.hashes.find(hash, |h| *h == hash).is_some()
    }
}

/// Whether an id says when it was made: a UUIDv7.
fn dated(id: TaskId) -> bool {
    (id.0 >> 76) & 0xf == 7
}

impl Core {
    /// The coordinator's wall clock, in milliseconds since 1970; 0 if it has none.
    pub(crate) fn wall_ms(&self) -> u64 {
        match self.config.wall_at_zero_ms {
            0 => 0,
            zero => zero + self.now.0 / 1_000,
        }
    }

    /// What was made before is not known any more.
    fn too_old(&self) -> u64 {
        let kept = self.config.retention.saturating_add(limits::CLOCK_SKEW);
        self.wall_ms().saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn note_forgotten(&mut self, id: TaskId) {
        let (now, old) = (self.wall_ms(), self.too_old());
        self.forgotten.note(id, now, old);
    }

    /// What [`Standing`](crate::record::Standing) says: an id made until then and not known after a restart may have run.
    #[must_use]
    pub fn horizon_ms(&self) -> u64 {
        self.forgotten.newest.max(self.forgotten.floor)
    }

    /// What a [`Standing`](crate::record::Standing) said.
    pub fn raise_horizon(&mut self, ms: u64) {
        self.forgotten.floor = self.forgotten.floor.max(ms);
    }

    /// Whether an unknown id was known once, or may have been. `again`: whoever names it may have named it before.
    pub(crate) fn expired(&self, id: TaskId, again: bool) -> bool {
        if self.forgotten.holds(id) {
            return !planted!(self, ForgottenRunsAgain);
        }
        let made = id.timestamp_ms();
        dated(id) && self.wall_ms() > 0 && (made < self.too_old() || (again && made <= self.forgotten.floor))
    }

    /// Why an id says nothing (L2).
    pub(crate) fn unknown(&self, id: TaskId) -> (FailureKind, String) {
        let kept = format!(
            "outcomes are kept for {:?}, {} of them at most",
            self.config.retention, self.config.retained_tasks
        );
        if !self.expired(id, true) {
            return (FailureKind::NotFound, format!("task {id} is not known here: it was never submitted ({kept})"));
        }
        let clocks = if self.wall_ms() > 0 && dated(id) {
            let horizon = self.too_old().max(self.forgotten.floor);
            format!(
                "; by the clock of whoever made the id that was at {}, it is {} by the coordinator's clock, and what was \
                 made before {} is forgotten",
                Moment(id.timestamp_ms()),
                Moment(self.wall_ms()),
                Moment(horizon)
            )
        } else {
            String::new()
        };
        let message =
            format!("task {id} is forgotten: its outcome is gone, and it does not run again ({kept}{clocks})");
        (FailureKind::Expired, message)
    }
}

/// Milliseconds since 1970, for people: `2026-11-23T08:17:36.123Z`.
struct Moment(u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // The calendar repeats every 400 years, and is simplest from the first of March of a year that divides by 400.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn id(ms: u64, n: u128) -> TaskId {
        TaskId((u128::from(ms) << 80) | (7 << 76) | n)
    }

    #[test]
    fn moments_read_as_people_write_them() {
        assert_eq!(Moment(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Moment(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Moment(1_795_421_856_123).to_string(), "2026-11-23T08:17:36.123Z");
        assert_eq!(Moment(4_107_542_399_999).to_string(), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn l2_l18_the_list_is_bounded_and_what_leaves_it_raises_the_floor() {
        let mut forgotten = Forgotten::new(Keyed::new(1));
        for n in 0..limits::FORGOTTEN as u64 + 10 {
            forgotten.note(id(1_000 + n, 1), 10_000_000, 0);
        }
        assert_eq!((forgotten.len(), forgotten.hashes.len()), (limits::FORGOTTEN, limits::FORGOTTEN));
        assert_eq!(forgotten.floor, 1_009);
        assert!(!forgotten.holds(id(1_009, 1)) && forgotten.holds(id(1_010, 1)) && !forgotten.holds(id(1_010, 2)));
    }

    #[test]
    fn l2_what_its_age_tells_is_not_noted() {
        let mut forgotten = Forgotten::new(Keyed::new(1));
        forgotten.note(id(100, 1), 1_000, 50);
        forgotten.note(id(40, 2), 1_000, 50);
        assert_eq!(forgotten.len(), 1);
        forgotten.note(id(900, 3), 1_000, 200);
        assert_eq!((forgotten.len(), forgotten.floor, forgotten.newest), (1, 0, 900));
    }

    #[test]
    fn l2_a_clock_that_is_ahead_does_not_move_the_floor_ahead() {
        let mut forgotten = Forgotten::new(Keyed::new(1));
        forgotten.note(id(500_000, 1), 1_000, 0);
        assert!(forgotten.holds(id(500_000, 1)));
        assert_eq!(forgotten.newest, 1_000);
    }
}
