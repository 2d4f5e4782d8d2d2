//! Lists that run through the task records.

use super::tasks::{Task, Tasks};

/// No index.
pub(crate) const NIL: u32 = u32::MAX;

/// Which list a link belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chain {
    /// Ready queue, leases of a worker, or finished tasks: a task is in one of them at a time.
    Place = 0,
    /// Children of one creator.
    Sibling = 1,
    /// Tasks one session owns.
    Owned = 2,
}

/// Neighbours in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    prev: u32,
    next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { prev: NIL, next: NIL }
    }
}

/// A list that runs through the records: joining and leaving cost the same at every length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push_back(&mut self, tasks: &mut Tasks, chain: Chain, index: u32) {
        tasks[index].links[chain as usize] = Links { prev: self.tail, next: NIL };
        match self.tail {
            NIL => self.head = index,
            tail => tasks[tail].links[chain as usize].next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    pub(crate) fn push_front(&mut self, tasks: &mut Tasks, chain: Chain, index: u32) {
        tasks[index].links[chain as usize] = Links { prev: NIL, next: self.head };
        match self.head {
            NIL => self.tail = index,
            head => tasks[head].links[chain as usize].prev = index,
        }
        self.head = index;
        self.len += 1;
    }

    /// Puts it where it belongs in a list that is sorted: before the first that is `later`. Looks from `from` on, which
    /// must be in the list.
    pub(crate) fn insert_by(
        &mut self,
        tasks: &mut Tasks,
        chain: Chain,
        index: u32,
        from: u32,
        later: impl Fn(&Task) -> bool,
    ) {
        let mut next = from;
        while next != NIL && !later(&tasks[next]) {
            next = tasks[next].links[chain as usize].next;
        }
        let mut prev = if next == NIL { self.tail } else { tasks[next].links[chain as usize].prev };
        while prev != NIL && later(&tasks[prev]) {
            next = prev;
            prev = tasks[prev].links[chain as usize].prev;
        }
        if prev == NIL {
            return self.push_front(tasks, chain, index);
        }
        if next == NIL {
            return self.push_back(tasks, chain, index);
        }
        tasks[index].links[chain as usize] = Links { prev, next };
        tasks[prev].links[chain as usize].next = index;
        tasks[next].links[chain as usize].prev = index;
        self.len += 1;
    }

    /// `index` must be in this list.
    pub(crate) fn remove(&mut self, tasks: &mut Tasks, chain: Chain, index: u32) {
        let links = core::mem::take(&mut tasks[index].links[chain as usize]);
        match links.prev {
            NIL => self.head = links.next,
            prev => tasks[prev].links[chain as usize].next = links.next,
        }
        match links.next {
            NIL => self.tail = links.prev,
            next => tasks[next].links[chain as usize].prev = links.prev,
        }
        self.len -= 1;
    }

    /// The one behind it; NIL: none.
    pub(crate) fn after(tasks: &Tasks, chain: Chain, index: u32) -> u32 {
        tasks[index].links[chain as usize].next
    }

    /// From the last to the first.
    pub(crate) fn iter_back(self, tasks: &Tasks, chain: Chain) -> impl Iterator<Item = u32> {
        let mut at = self.tail;
        core::iter::from_fn(move || {
            let index = at;
            if index == NIL {
                return None;
            }
            at = tasks[index].links[chain as usize].prev;
            Some(index)
        })
    }

    pub(crate) fn iter(self, tasks: &Tasks, chain: Chain) -> impl Iterator<Item = u32> {
        let mut at = self.head;
        core::iter::from_fn(move || {
            let index = at;
            if index == NIL {
                return None;
            }
            at = tasks[index].links[chain as usize].next;
            Some(index)
        })
    }
}
