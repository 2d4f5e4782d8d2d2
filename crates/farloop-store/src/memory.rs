//! Records in memory: they survive nothing but a restart of the core in the same process, which is what tests need.

use std::collections::VecDeque;

use farloop_core::time::Time;

use crate::{Entry, Part, Room, Store, StoreError};

/// Keeps every record until it leaves or the store is dropped.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    entries: VecDeque<Entry>,
    /// Number of the last record.
    last: u64,
    durable: u64,
    /// Records in a part.
    per_part: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_parts(4_096)
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose parts hold that many records, at least 1.
    #[must_use]
    pub fn with_parts(records: u64) -> Self {
        Self { entries: VecDeque::new(), last: 0, durable: 0, per_part: records.max(1) }
    }

    /// Forgets what was not synced: what a crash does.
    pub fn crash(&mut self) {
        self.entries.retain(|entry| entry.seq <= self.durable);
        self.last = self.durable;
    }

    /// Number of the oldest part, if all of it is durable.
    fn oldest(&self) -> Option<u64> {
        let part = (self.entries.front()?.seq - 1) / self.per_part;
        (self.end_of(part) <= self.durable).then_some(part)
    }

    /// Number of a part's last record.
    fn end_of(&self, part: u64) -> u64 {
        (part + 1) * self.per_part
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &str {
        "memory"
    }

    fn append(&mut self, entry: Entry) -> Result<(), StoreError> {
        let expected = self.last + 1;
        if entry.seq != expected {
            return Err(StoreError::OutOfOrder { expected, got: entry.seq });
        }
        self.last = expected;
        self.entries.push_back(entry);
        Ok(())
    }

    fn sync(&mut self) -> Result<u64, StoreError> {
        self.durable = self.last;
        Ok(self.durable)
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError> {
        self.entries.iter().take_while(|entry| entry.seq <= self.durable).cloned().for_each(each);
        Ok(())
    }

    fn room(&mut self) -> Room {
        Room::Plenty
    }

    fn leaving(&mut self, finished_before: Time) -> Result<Option<Part>, StoreError> {
        let Some(number) = self.oldest() else { return Ok(None) };
        let end = self.end_of(number);
        let records = || self.entries.iter().take_while(|entry| entry.seq <= end).map(|entry| &entry.record);
        if records().any(|record| record.newest() >= finished_before) {
            return Ok(None);
        }
        let mut tasks: Vec<_> = records().filter_map(|record| record.begins()).collect();
        tasks.sort_unstable();
        tasks.dedup();
        Ok(Some(Part { number, tasks }))
    }

    fn drop_part(&mut self, number: u64) -> Result<(), StoreError> {
        if self.oldest() != Some(number) {
            return Err(StoreError::NotOldest(number));
        }
        let end = self.end_of(number);
        self.entries.retain(|entry| entry.seq > end);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;
    use farloop_core::id::TaskId;
    use farloop_core::record::Record;

    fn entry(seq: u64) -> Entry {
        Entry { seq, record: Record::Started { task: TaskId(seq.into()) } }
    }

    #[test]
    fn one_sync_covers_everything_appended() {
        let mut store = MemoryStore::new();
        (1..=3).for_each(|seq| store.append(entry(seq)).unwrap());
        assert_eq!(store.durable(), 0);
        assert_eq!(store.sync().unwrap(), 3);
    }

    #[test]
    fn a_crash_keeps_exactly_the_durable_prefix() {
        let mut store = MemoryStore::new();
        store.append(entry(1)).unwrap();
        store.sync().unwrap();
        store.append(entry(2)).unwrap();
        store.crash();
        let mut read = Vec::new();
        store.replay(&mut |e| read.push(e.seq)).unwrap();
        assert_eq!(read, [1]);
        store.append(entry(2)).unwrap();
    }

    #[test]
    fn a_gap_is_refused() {
        let mut store = MemoryStore::new();
        let refused = store.append(entry(2));
        assert!(matches!(refused, Err(StoreError::OutOfOrder { expected: 1, got: 2 })));
        store.append(entry(1)).unwrap();
    }

    #[test]
    fn parts_leave_whole_and_oldest_first() {
        let mut store = MemoryStore::with_parts(2);
        (1..=5).for_each(|seq| store.append(entry(seq)).unwrap());
        assert_eq!(store.leaving(Time(1)).unwrap(), None, "nothing is durable yet");
        store.sync().unwrap();
        let part = store.leaving(Time(1)).unwrap().unwrap();
        assert!(matches!(store.drop_part(part.number + 1), Err(StoreError::NotOldest(_))));
        store.drop_part(part.number).unwrap();
        let mut read = Vec::new();
        store.replay(&mut |e| read.push(e.seq)).unwrap();
        assert_eq!(read, [3, 4, 5]);
        store.append(entry(6)).unwrap();
    }
}
