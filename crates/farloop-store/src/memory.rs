//! Records in memory: they survive nothing but a restart of the core in the same process, which is what tests need.

use crate::{Entry, Store, StoreError};

/// Keeps every record until it is dropped.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    entries: Vec<Entry>,
    durable: usize,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what was not synced: what a crash does.
    pub fn crash(&mut self) {
        self.entries.truncate(self.durable);
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &str {
        "memory"
    }

    fn append(&mut self, entry: Entry) -> Result<(), StoreError> {
        let expected = self.entries.len() as u64 + 1;
        if entry.seq != expected {
            return Err(StoreError::OutOfOrder { expected, got: entry.seq });
        }
        self.entries.push(entry);
        Ok(())
    }

    fn sync(&mut self) -> Result<u64, StoreError> {
        self.durable = self.entries.len();
        Ok(self.durable())
    }

    fn durable(&self) -> u64 {
        self.durable as u64
    }

    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError> {
        self.entries[..self.durable].iter().cloned().for_each(each);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;
    use farloop_core::api::Record;
    use farloop_core::id::TaskId;

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
}
