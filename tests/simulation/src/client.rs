//! A model client: submits, cancels, meddles, and remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farloop_core::frame::{Down, Owner, Submit, Up};
use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;
use farloop_core::spec::Spec;

use crate::calls::Complaint;
use crate::peer::{Alarm, Ctx};
use crate::script::Args;

/// A client process.
#[derive(Debug, Default)]
pub struct Client {
    /// Things it will still do.
    pub actions: usize,
    /// Futures without an outcome (L10).
    pub outstanding: BTreeSet<TaskId>,
    /// Futures that were open when the coordinator started again.
    crossed: BTreeSet<TaskId>,
    told: BTreeMap<TaskId, Outcome>,
    mine: Vec<TaskId>,
    /// Ids it tried to take from others: the answer to those is not their outcome.
    meddled: BTreeSet<TaskId>,
    consumed: BTreeMap<TaskId, Consumed>,
    /// Tasks whose progress it wants to hear of.
    follows: BTreeSet<TaskId>,
    /// What it was told and should not have been.
    pub complaint: Option<Complaint>,
}

/// A stream that a client consumes.
#[derive(Debug, Default)]
struct Consumed {
    received: u64,
    taken: u64,
    /// Microseconds from an item to its being taken; those that came meanwhile are taken with it.
    pace: u64,
    waiting: bool,
    /// It wants no more: it takes nothing, and has asked the producer to stop.
    dropped: bool,
}

impl Client {
    /// A client that has not connected.
    #[must_use]
    pub fn new(actions: usize) -> Self {
        Self { actions, ..Self::default() }
    }

    /// The session is lost: its futures fail with `SessionLost` on this side.
    pub fn lost(&mut self) {
        self.outstanding.clear();
        self.meddled.clear();
        self.consumed.clear();
        self.follows.clear();
    }

    /// The coordinator started again: these are its open futures. `unsaid`: asked for by what will be sent again anyway.
    pub(crate) fn rejoin(&mut self, unsaid: &BTreeSet<TaskId>, out: &mut Vec<Up>) {
        out.extend(self.outstanding.difference(unsaid).map(|task| Up::Watch(*task)));
        out.extend(self.follows.iter().map(|task| Up::WatchProgress(*task)));
        self.crossed.extend(&self.outstanding);
        out.push(Up::Rejoined { starts: 0 });
        // Said before, and perhaps lost on its way to the producer.
        let taken = self.consumed.iter().filter(|(_, stream)| stream.taken > 0);
        out.extend(taken.map(|(task, stream)| Up::Credit { task: *task, taken: stream.taken }));
    }

    /// A frame came.
    pub fn hear(&mut self, frame: Down, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        match frame {
            Down::Resolved { task, outcome } => {
                self.outstanding.remove(&task);
                self.follows.remove(&task);
                self.told.insert(task, outcome);
                self.consumed.remove(&task);
            }
            Down::Item { task, seq, .. } => {
                let stream = self.consumed.entry(task).or_insert_with(|| Consumed {
                    pace: *ctx.rng.pick(&[0, 0, 1_000, 50_000, 900_000]),
                    ..Consumed::default()
                });
                if seq <= stream.received {
                    // A coordinator that started again cannot know what came.
                    return;
                }
                if seq != stream.received + 1 && self.crossed.contains(&task) {
                    // What was on its way when the coordinator died is lost if the body had ended by then: the items
                    // are not whole, and the end says so to whoever counts them.
                    return;
                }
                if seq != stream.received + 1 && !stream.dropped {
                    let what = format!("item {seq} of {task} came after {}", stream.received);
                    self.complaint.get_or_insert(("L23", what));
                }
                stream.received = seq;
                if !stream.dropped && ctx.rng.chance(3) {
                    stream.dropped = true;
                    out.push(cancel(task));
                }
                if !stream.dropped && !std::mem::replace(&mut stream.waiting, true) {
                    ctx.alarm(stream.pace, Alarm::Take(task));
                }
            }
            _ => {}
        }
    }

    /// Takes what came of a stream.
    pub fn take(&mut self, task: TaskId, out: &mut Vec<Up>) {
        let Some(stream) = self.consumed.get_mut(&task) else { return };
        stream.waiting = false;
        if !stream.dropped && stream.taken < stream.received {
            stream.taken = stream.received;
            out.push(Up::Credit { task, taken: stream.taken });
        }
    }

    /// Does the next thing.
    pub fn act(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        if self.actions == 0 {
            return;
        }
        self.actions -= 1;
        if self.actions > 0 {
            let gap =
                if ctx.rng.chance(400) { 0 } else { ctx.rng.below(2 * ctx.plan.calm_at / ctx.plan.actions as u64) };
            ctx.alarm(gap, Alarm::Act);
        }
        if ctx.rng.chance(ctx.plan.policy / 4) && !self.mine.is_empty() {
            let task = *ctx.rng.pick(&self.mine);
            self.follows.insert(task);
            out.push(Up::WatchProgress(task));
        }
        let dice = ctx.rng.below(1000);
        if dice < ctx.plan.cancel && !self.mine.is_empty() {
            let task = *ctx.rng.pick(&self.mine);
            // Who wants no more of a stream does not change its mind: the producer would wait for ever.
            let dropped = self.consumed.get(&task).is_some_and(|s| s.dropped);
            out.push(if ctx.rng.chance(200) && !dropped { Up::Uncancel(task) } else { cancel(task) });
        } else if dice < ctx.plan.cancel + ctx.plan.odd {
            self.meddle(ctx, out);
        } else {
            self.submit(ctx, out);
        }
    }

    fn submit(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let script = ctx.rng.index(ctx.library.len());
        let mut args = Args::of(script);
        if script == ctx.library.chain() {
            args.param = *ctx.rng.pick(&[1, 3, 10, 40]);
        }
        let mut dependencies = Vec::new();
        while !self.mine.is_empty() && dependencies.len() < 4 && ctx.rng.chance(ctx.plan.depend / 2) {
            dependencies.push(*ctx.rng.pick(&self.mine));
        }
        if ctx.rng.chance(ctx.plan.deadlock) {
            return self.ring(ctx, out);
        }
        let task = ctx.new_task();
        let spec = ctx.library.spec(args, &dependencies, ctx.rng);
        let early = ctx.rng.chance(ctx.plan.cancel / 4);
        self.send(task, spec, ctx, out);
        if early {
            // The control lane overtakes: this arrives before the task does.
            out.push(cancel(task));
            if ctx.rng.chance(200) {
                out.push(Up::Uncancel(task));
            }
        }
    }

    /// Tasks that may await each other in a circle.
    fn ring(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let tasks = (0..ctx.rng.between(1, 3)).map(|_| ctx.new_task()).collect::<Vec<_>>();
        for (i, task) in tasks.iter().enumerate() {
            let peer = tasks[(i + 1) % tasks.len()];
            let script = ctx.rng.index(ctx.library.len());
            let spec = ctx.library.spec(Args { peer, ..Args::of(script) }, &[], ctx.rng);
            self.send(*task, spec, ctx, out);
        }
    }

    fn send(&mut self, task: TaskId, spec: Arc<Spec>, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        ctx.roots.push((task, spec.clone()));
        self.mine.push(task);
        self.outstanding.insert(task);
        let owner = if ctx.rng.chance(250) { Owner::Nobody } else { Owner::Root };
        out.push(Up::Submit(Submit { task, spec, owner, creator: None, within: None }));
    }

    /// What no good client does, and a good one after bad luck.
    fn meddle(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        if ctx.roots.is_empty() {
            return self.submit(ctx, out);
        }
        let (task, spec) = ctx.roots[ctx.rng.index(ctx.roots.len())].clone();
        let stranger = ctx.new_task();
        let plain = ctx.library.spec(Args::of(0), &[], ctx.rng);
        let fresh = !self.told.contains_key(&task) && !self.outstanding.contains(&task);
        match ctx.rng.below(9) {
            // Submitted twice: once (L2). The outcome comes once per session, so the future is open only if it was not.
            0 | 1 if ctx.plan.again && !self.meddled.contains(&task) => {
                if fresh {
                    self.outstanding.insert(task);
                }
                out.push(Up::Submit(Submit { task, spec, owner: Owner::Root, creator: None, within: None }));
            }
            // Another body under a taken id.
            2 if ctx.plan.again && fresh => {
                self.meddled.insert(task);
                let spec = ctx.library.spec(Args { param: 77, ..Args::decode(&spec.args) }, &[], ctx.rng);
                out.push(Up::Submit(Submit { task, spec, owner: Owner::Root, creator: None, within: None }));
            }
            3 | 4 if fresh && !self.meddled.contains(&task) => {
                self.outstanding.insert(task);
                out.push(Up::Watch(task));
            }
            5 => {
                self.outstanding.insert(stranger);
                out.push(Up::Watch(stranger));
            }
            6 => out.push(cancel(*ctx.rng.pick(&[task, stranger]))),
            // Arguments that wait for each other, or for what nobody ever submits.
            7 => {
                let other = ctx.new_task();
                let first = ctx.library.spec(Args::of(1), &[other], ctx.rng);
                let second = ctx.library.spec(Args::of(1), &[stranger], ctx.rng);
                self.send(stranger, first, ctx, out);
                if ctx.rng.chance(800) {
                    self.send(other, second, ctx, out);
                }
            }
            8 => {
                let itself = ctx.library.spec(Args::of(1), &[stranger], ctx.rng);
                self.send(stranger, itself, ctx, out);
            }
            _ => self.send(stranger, plain, ctx, out),
        }
    }
}

fn cancel(task: TaskId) -> Up {
    Up::Cancel { task, message: Some("the client asked".into()) }
}
