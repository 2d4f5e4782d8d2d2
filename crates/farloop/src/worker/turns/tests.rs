//! The queue against a model that is as plain as the rules are: two lists, looked through from the front.

use farloop_core::id::{Epoch, TaskId};
use proptest::prelude::*;

use super::*;

fn call(n: u64) -> AttemptId {
    AttemptId { task: TaskId(u128::from(n)), epoch: Epoch(1) }
}

fn all(queue: &mut TurnQueue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| queue.next(false)).collect()
}

#[test]
fn alone_is_alone() {
    let mut queue = TurnQueue::default();
    for n in 0..3 {
        queue.arrive(call(n), Turns::Alone, false, n);
    }
    for n in 0..3 {
        assert_eq!(all(&mut queue), [n]);
        assert!(queue.ended(call(n)));
    }
    assert!(queue.is_idle() && !queue.ended(call(0)));
}

#[test]
fn those_of_a_kind_share_and_nobody_passes_the_first() {
    let mut queue = TurnQueue::default();
    let kinds = [Turns::Shared, Turns::Shared, Turns::Alone, Turns::Shared, Turns::Interleaved, Turns::Interleaved];
    for (n, kind) in (0..).zip(kinds) {
        queue.arrive(call(n), kind, false, n);
    }
    assert_eq!(all(&mut queue), [0, 1]);
    queue.ended(call(0));
    assert_eq!(all(&mut queue), [] as [u64; 0], "the third could run with none, and the fourth waits behind it");
    queue.ended(call(1));
    assert_eq!(all(&mut queue), [2]);
    queue.ended(call(2));
    assert_eq!(all(&mut queue), [3]);
    queue.ended(call(3));
    assert_eq!(all(&mut queue), [4, 5]);
}

#[test]
fn what_runs_is_not_kept_waiting_by_what_waits_for_it() {
    let mut queue = TurnQueue::default();
    queue.arrive(call(1), Turns::Shared, false, 1);
    queue.arrive(call(2), Turns::Alone, false, 2);
    assert_eq!(all(&mut queue), [1]);
    queue.arrive(call(3), Turns::Shared, true, 3);
    queue.arrive(call(4), Turns::Alone, true, 4);
    queue.arrive(call(5), Turns::Shared, true, 5);
    assert_eq!(all(&mut queue), [3, 5], "the fourth's caller excludes it, which is not the fifth's affair");
    for n in [1, 3, 5] {
        queue.ended(call(n));
    }
    assert_eq!(all(&mut queue), [4], "before the second, which came earlier");
}

#[test]
fn of_what_has_not_begun_only_what_runs_waits_for_stays() {
    let mut queue = TurnQueue::default();
    for n in 1..4 {
        queue.arrive(call(n), Turns::Interleaved, false, n);
    }
    assert_eq!(queue.next(false), Some(1));
    queue.arrive(call(4), Turns::Interleaved, true, 4);
    assert_eq!(queue.drain(), [2, 3]);
    assert_eq!(queue.next(true), Some(4));
    queue.arrive(call(5), Turns::Interleaved, false, 5);
    assert_eq!(queue.next(true), None);
    assert_eq!(queue.drain_all(), [5]);
    assert_eq!(queue.calls().collect::<Vec<_>>(), [call(1), call(4)]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive {
        turns: Turns,
        reenters: bool,
    },
    /// One of those that run ends.
    End(usize),
    /// One of those that wait is taken out.
    Remove(usize),
}

fn turns() -> impl Strategy<Value = Turns> {
    prop_oneof![Just(Turns::Alone), Just(Turns::Shared), Just(Turns::Interleaved)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (turns(), prop::bool::weighted(0.25)).prop_map(|(turns, reenters)| Step::Arrive { turns, reenters }),
        4 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..200)
}

#[derive(Default)]
struct Model {
    running: Vec<(u64, Turns)>,
    inner: Vec<(u64, Turns)>,
    outer: Vec<(u64, Turns)>,
}

impl Model {
    fn fits(&self, turns: Turns) -> bool {
        self.running.iter().all(|(_, running)| turns == *running && turns != Turns::Alone)
    }

    fn next(&mut self) -> Option<u64> {
        let begins = match self.inner.iter().position(|(_, turns)| self.fits(*turns)) {
            Some(at) => self.inner.remove(at),
            None if self.inner.is_empty() && self.outer.first().is_some_and(|(_, turns)| self.fits(*turns)) => {
                self.outer.remove(0)
            }
            None => return None,
        };
        self.running.push(begins);
        Some(begins.0)
    }
}

proptest! {
    #[test]
    fn it_does_as_the_model_does(steps in steps()) {
        let (mut queue, mut model) = (TurnQueue::default(), Model::default());
        for (n, step) in (0..).zip(steps) {
            match step {
                Step::Arrive { turns, reenters } => {
                    queue.arrive(call(n), turns, reenters, n);
                    if reenters { model.inner.push((n, turns)) } else { model.outer.push((n, turns)) }
                }
                Step::End(which) if !model.running.is_empty() => {
                    let (ended, _) = model.running.swap_remove(which % model.running.len());
                    prop_assert!(queue.ended(call(ended)));
                }
                Step::Remove(which) => {
                    let (inner, outer) = (model.inner.len(), model.outer.len());
                    if inner + outer == 0 {
                        prop_assert_eq!(queue.remove(call(n)), None);
                        continue;
                    }
                    let at = which % (inner + outer);
                    let (removed, _) = if at < inner { model.inner.remove(at) } else { model.outer.remove(at - inner) };
                    prop_assert!(queue.waits(call(removed)));
                    prop_assert_eq!(queue.remove(call(removed)), Some(removed));
                }
                Step::End(_) => {}
            }
            loop {
                let (given, expected) = (queue.next(false), model.next());
                prop_assert_eq!(given, expected);
                if given.is_none() {
                    break;
                }
            }
            // L13, as it is said: one that runs alone is alone, and all others are of one kind.
            let kinds: Vec<Turns> = model.running.iter().map(|(_, turns)| *turns).collect();
            prop_assert!(kinds.len() < 2 || kinds.iter().all(|kind| *kind == kinds[0] && *kind != Turns::Alone));
            // And nothing waits for nothing.
            prop_assert!(queue.is_running() || queue.is_idle());
        }
    }
}
