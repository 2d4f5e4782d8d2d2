//! Which segments are there, what they hold, and when the oldest one leaves.
//!
//! A part leaves when its time is over, or when the journal is larger than it should be. What is still known of it is
//! written once more, so a rule is needed that keeps a journal of things that live long from being rewritten for ever:
//! what is carried has to be earned by what is new. A byte that is new pays for one that is carried because of time,
//! and for four that are carried because of room, which keeps at least a fifth of a full journal for what is new.

use std::collections::VecDeque;

use farloop_core::time::Time;

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) number: u64,
    /// Number of its last record.
    pub(super) last: u64,
    /// Bytes of the file and of its blobs.
    pub(super) bytes: u64,
    /// The latest moment that its records tell of.
    pub(super) newest: Time,
}

/// All segments with records, the oldest first.
#[derive(Debug)]
pub(super) struct Parts {
    sealed: VecDeque<Sealed>,
    /// The segment that is written to.
    active: Sealed,
    /// Bytes of a segment.
    segment: u64,
    /// Bytes above which parts leave before their time.
    keep: u64,
    /// Bytes that may be carried because of time.
    by_time: i64,
    /// Bytes that may be carried because of room.
    by_room: i64,
    /// The oldest part was asked to leave.
    leaving: bool,
}

impl Parts {
    pub(super) fn new(sealed: VecDeque<Sealed>, active: Sealed, segment: u64, keep: u64) -> Self {
        let (by_time, by_room) = (limit(segment), 2 * limit(segment));
        Self { sealed, active, segment, keep, by_time, by_room, leaving: false }
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> u64 {
        self.sealed.iter().chain([&self.active]).map(|part| part.bytes).sum()
    }

    /// A record came.
    pub(super) fn earn(&mut self, bytes: usize, carried: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if carried {
            self.by_time -= bytes;
            self.by_room -= bytes;
        } else {
            // Bounded, or a busy day would pay for a quiet year of carrying.
            self.by_time = (self.by_time + bytes).min(limit(self.segment));
            self.by_room = (self.by_room + 4 * bytes).min(4 * limit(self.segment));
        }
    }

    /// A frame was written to the active segment.
    pub(super) fn wrote(&mut self, bytes: u64, last: u64, newest: Time) {
        self.active.bytes += bytes;
        self.active.last = last;
        self.active.newest = self.active.newest.max(newest);
    }

    /// A blob was written whose record will be.
    pub(super) fn wrote_blob(&mut self, bytes: u64) {
        self.active.bytes += bytes;
    }

    /// The active segment is full, and the next one is.
    pub(super) fn rotated(&mut self, number: u64, bytes: u64) {
        let next = Sealed { number, last: self.active.last, bytes, newest: Time(0) };
        self.sealed.push_back(std::mem::replace(&mut self.active, next));
    }

    /// The oldest part, if it is time for it. `free` are the bytes that may still be written, if there may be no more.
    pub(super) fn leaving(&mut self, finished_before: Time, free: Option<u64>) -> Option<Sealed> {
        let oldest = *self.sealed.front()?;
        let time = oldest.newest < finished_before && self.by_time >= 0;
        let room = (self.bytes() > self.keep || free.is_some()) && self.by_room >= 0;
        // Carrying needs room before it makes some.
        let fits = free.is_none_or(|free| free >= oldest.bytes);
        self.leaving |= (time || room) && fits;
        self.leaving.then_some(oldest)
    }

    /// The oldest part, if that is its number.
    pub(super) fn oldest(&self, number: u64) -> Option<Sealed> {
        self.sealed.front().copied().filter(|oldest| oldest.number == number)
    }

    /// The oldest part is gone.
    pub(super) fn dropped(&mut self) {
        self.sealed.pop_front();
        self.leaving = false;
    }
}

fn limit(segment: u64) -> i64 {
    i64::try_from(segment).unwrap_or(i64::MAX / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1_000;

    fn part(number: u64) -> Sealed {
        Sealed { number, last: number * 10, bytes: SEGMENT, newest: Time(number) }
    }

    fn parts(sealed: u64, keep: u64) -> Parts {
        let active = Sealed { bytes: 0, ..part(sealed + 1) };
        Parts::new((1..=sealed).map(part).collect(), active, SEGMENT, keep)
    }

    #[test]
    fn what_ended_long_ago_leaves() {
        let mut parts = parts(3, u64::MAX);
        assert_eq!(parts.leaving(Time(1), None), None);
        assert_eq!(parts.leaving(Time(2), None), Some(part(1)));
        assert_eq!(parts.leaving(Time(0), None), Some(part(1)), "it was asked, so it stays the answer");
        parts.dropped();
        assert_eq!(parts.leaving(Time(2), None), None);
    }

    #[test]
    fn what_is_too_much_leaves_before_its_time() {
        let mut parts = parts(3, 2_500);
        assert_eq!(parts.leaving(Time(0), None), Some(part(1)));
        parts.dropped();
        assert_eq!(parts.leaving(Time(0), None), None);
    }

    /// Everything lives for ever: each part that leaves comes back as large as it was.
    #[test]
    fn a_journal_of_living_things_is_not_rewritten_for_ever() {
        let mut parts = parts(8, 2_000);
        let mut carried = 0;
        while let Some(oldest) = parts.leaving(Time(1_000), None) {
            parts.earn(1_000, true);
            parts.wrote(1_000, 1, Time(0));
            parts.rotated(oldest.number + 20, 0);
            parts.dropped();
            carried += 1;
            assert!(carried < 10, "it goes on for ever");
        }
        parts.earn(1_000, false);
        assert!(parts.leaving(Time(1_000), None).is_some(), "what is new pays for more");
    }

    #[test]
    fn a_full_disk_is_not_filled_by_carrying() {
        let mut parts = parts(3, u64::MAX);
        assert_eq!(parts.leaving(Time(0), Some(SEGMENT - 1)), None);
        assert_eq!(parts.leaving(Time(0), Some(SEGMENT)), Some(part(1)));
    }
}
