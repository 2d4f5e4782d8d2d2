//! A life begins.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Aftermath, LIFE_BITS};
use crate::api::Output;
use crate::frame::{HelloReply, Owner, Role};
use crate::id::{ConnId, Life, SessionId, TaskId};
use crate::machine::hello::Opening;
use crate::machine::lists::{Chain, NIL};
use crate::machine::tasks::Phase;
use crate::machine::{Core, Work};
use crate::record::{LifeBegan, Record};

impl Core {
    /// All records were read. No peer was heard yet, so this looks at all tasks at once, once in a life.
    pub(crate) fn on_recovered(&mut self, cluster: u128) {
        if !self.config.durable || self.recovery.alive {
            return;
        }
        let last = self.recovery.began.as_ref().map_or(Life { cluster, number: 0 }, |began| began.life);
        let life = Life { number: last.number + 1, ..last };
        let began = LifeBegan { life, zero_ms: self.config.wall_at_zero_ms, at: self.now };
        self.epoch = if planted!(self, EpochNotRaised) { 1 } else { life.number } << LIFE_BITS;
        if !planted!(self, TokensBeginAgain) {
            self.sync.tokens_from(self.config.wall_at_zero_ms.saturating_mul(1_000).saturating_add(self.now.0));
        }
        self.recovery.born = self.persist(Record::Life(began.clone()));
        self.recovery.former = self.serial;
        self.recovery.began = Some(began);
        self.recovery.alive = true;
        self.recovery.reading.disordered = true;
        self.put_in_order();
        self.open_stubs();
        let after = self.link_up();
        if !after.is_empty() {
            self.work.push_back(Work::Aftermath(after));
        }
        (self.recovery.open, self.recovery.opened) = (true, self.now);
        if planted!(self, HeldLeasedInWindow) {
            self.recovery.awaited.clear();
        }
        self.close_window_if_all_are_back();
    }

    /// Answers a peer. Not before it is durable that this life began: the next one must not take its number, nor give its
    /// leases once more.
    pub(crate) fn welcome(&mut self, conn: ConnId, reply: HelloReply) {
        let output = Output::Hello { conn, reply };
        if self.recovery.born > self.durable {
            self.held.push_back((self.recovery.born, output));
        } else {
            self.outputs.push_back(output);
        }
    }

    /// Sessions of former lives whose peers may come back: they have their time from now on.
    fn open_stubs(&mut self) {
        let roster: Vec<_> = self.recovery.roster.iter().map(|(worker, name)| (*worker, name.clone())).collect();
        for (worker, name) in roster {
            self.insert_session(Opening::stub(SessionId(worker.0), Role::Worker, name));
            self.recovery.awaited.insert(worker);
        }
    }

    /// The session with this id: a stub, if nobody has needed one yet.
    fn stub(&mut self, id: SessionId) -> u32 {
        match self.session_ids.get(&id) {
            Some(index) => *index,
            None => self.insert_session(Opening::stub(id, Role::Client, String::new())),
        }
    }

    /// Gives all that is not over back to its owners, and what could not be found while records were read to whom it
    /// belongs.
    fn link_up(&mut self) -> Aftermath {
        for index in 0..self.tasks.slots() {
            let Some(task) = self.tasks.at(index).filter(|t| !t.over()) else { continue };
            let (root, owner, top) = (task.root, task.owner, task.parent == TaskId(0));
            if root != SessionId(0) && (owner == Owner::Root || (owner == Owner::Await && top)) {
                let session = self.stub(root);
                self.sessions[session as usize].owned.push_back(&mut self.tasks, Chain::Owned, index);
                self.tasks[index].owner_session = session;
            }
            if self.tasks[index].spec.stream {
                let consumer = self.recovery.reading.consumers.get(&index).copied().unwrap_or(root);
                let session = self.stub(consumer);
                let key = self.session_key(session);
                self.open_stream(index, Some(key));
            }
        }
        self.recovery.reading.late = true;
        for index in core::mem::take(&mut self.recovery.reading.unlinked) {
            self.link_late(index);
        }
        let gone = self.link_actors();
        let mut reading = core::mem::take(&mut self.recovery.reading);
        for (index, outcome) in gone {
            reading.doomed.entry(index).or_insert(outcome);
        }
        Aftermath {
            end: reading.doomed.into_iter().map(|(index, end)| (self.tasks.key(index), end)).collect(),
            cancel: reading.orphans.into_iter().map(|index| self.tasks.key(index)).collect(),
        }
    }

    /// A task that was read before its creator, or before a task whose result it takes.
    fn link_late(&mut self, index: u32) {
        let task = &self.tasks[index];
        if task.parent_index == NIL && task.owner != Owner::Nobody {
            let creator = task.creator;
            match self.tasks.find(task.parent).filter(|parent| !self.tasks[*parent].over()) {
                Some(parent) if creator > self.tasks[parent].epoch => self.join_family(parent, index),
                Some(_) => {
                    self.recovery.reading.orphans.insert(index);
                }
                None => {}
            }
        }
        if self.tasks[index].phase == Phase::Waiting {
            self.look_for_inputs(index);
            self.hold_if_complete(index);
            if self.recovery.reading.unlinked.remove(&index) && self.tasks[index].phase == Phase::Waiting {
                let gone = self.argument_gone(index);
                self.recovery.reading.doomed.entry(index).or_insert(gone);
            }
        }
    }
}
