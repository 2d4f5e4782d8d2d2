//! The coordinator's shell around the core: inputs in, outputs obeyed, batches out, ticks when they are due.

use std::time::Duration;

use farloop_core::api::{Input, Output, Reply};
use farloop_core::frame::HelloReply;
use farloop_core::id::SessionId;

use crate::lives::Armed;
use crate::network::Direction;
use crate::world::{Event, World};

impl World {
    /// The shell takes batches for as long as the connection takes them.
    pub(crate) fn pump(&mut self, session: SessionId, force: bool) {
        if !self.up() {
            return;
        }
        let Some(conn) = self.history.conn(session) else { return };
        self.history.unfinished = self.work_waits();
        while self.network.get(conn).is_some_and(|c| c.open_at_core && c.down.in_flight < self.plan.window) {
            let Some(batch) = self.core.poll_batch(self.now, session, force) else {
                self.history.drained(session);
                break;
            };
            self.trace.mix(batch.first ^ batch.ack.rotate_left(20));
            self.history.sent(self.now, session, &batch, &mut self.trace);
            let calls = &self.calls;
            self.history.gathers_answered(calls);
            if self.rng.chance(self.plan.gap) {
                self.swallow(conn);
                continue;
            }
            // None: into the void. A half-open connection takes whatever it is given.
            if let Some(at) = self.network.send(conn, Direction::Down, self.now, &self.plan, &mut self.rng) {
                self.at(at, Event::Down(conn, batch));
            }
            if self.strikes(Armed::Batches) {
                return;
            }
        }
        self.settle();
    }

    /// L21: what follows from an input may still wait in the core, while frames leave and others come.
    fn work_waits(&self) -> bool {
        self.core.next_deadline().is_some_and(|at| at <= self.now)
    }

    /// Gives the core an input, and does what it wants done.
    pub fn feed(&mut self, input: Input) {
        if !self.up() {
            return;
        }
        self.history.unfinished = self.work_waits();
        self.history.input(self.now, &input, &mut self.trace);
        self.core.handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.history.output(self.now, &output, &mut self.trace);
            self.obey(output);
            if !self.up() {
                self.untold();
                return;
            }
        }
        if let Err(violation) = self.core.check() {
            self.history.fail(violation.law, violation.to_string());
        }
        if let Some(at) = self.core.next_deadline()
            && self.tick_at.is_none_or(|set| at < set || set < self.now)
        {
            let at = at.max(self.now);
            self.tick_at = Some(at);
            let late = self.rng.below(300);
            self.at(at + Duration::from_micros(late), Event::Tick);
        }
    }

    /// The process died in the middle of a step: whose session that step gave up nobody is told any more, and what is on
    /// record of the step rests on it.
    fn untold(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let Output::Event(event) = &output {
                self.history.gave_up(event);
            }
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Hello { conn, reply } => {
                let welcome = matches!(reply, HelloReply::Welcome { .. });
                if let Some(c) = self.network.get_mut(conn) {
                    c.open_at_core = welcome;
                }
                if let Some(at) = self.network.send(conn, Direction::Down, self.now, &self.plan, &mut self.rng) {
                    self.at(at, Event::Welcome(conn, reply));
                }
            }
            Output::Wake(session) => {
                let delay = if self.plan.flush > 0 { self.rng.below(self.plan.flush) } else { 0 };
                self.at(self.now + Duration::from_micros(delay), Event::Pump(session, false));
            }
            Output::Close { conn, .. } => {
                if let Some(c) = self.network.get_mut(conn) {
                    c.open_at_core = false;
                }
                self.network.cut(conn, true);
                let delay = Duration::from_micros(self.rng.below(self.plan.latency + 1));
                self.at(self.now + delay, Event::CutAtPeer(conn));
            }
            Output::Reply { call, reply } => {
                let reply = *reply;
                if let (Err(_), Some(task)) = (&reply, self.calls.submitting(call)) {
                    self.history.refuse_call(task);
                }
                if let (Ok(Reply::Opened), Some(request)) = (&reply, self.calls.asking(call).cloned()) {
                    let pace = if self.rng.chance(500) { 0 } else { self.rng.below(3_000_000) };
                    let asked = self.calls.asked_at(call).unwrap_or(self.now);
                    self.readers.open(call, &request, asked, pace);
                    self.read(call);
                }
                let complaint = self.calls.answer(self.now, call, &reply);
                if let Some((law, what)) = complaint {
                    self.history.fail(law, what);
                }
                self.history.reply(self.now, &reply);
            }
            Output::Persist { seq, record } => {
                if !self.strikes(Armed::Records) {
                    self.keep(seq, record);
                }
            }
            Output::Carried { part, seq } => self.carried(part, seq),
            Output::More(call) => self.read(call),
            Output::Event(_) => {}
        }
    }
}
