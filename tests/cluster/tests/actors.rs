//! Actors on real processes: their workers are killed, frozen, drained and cut off, their coordinator and their clients
//! die, and there is one incarnation at a time (L11), whose calls keep their order (L12) and run one by one (L13).

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::{Duration, Instant};

use farloop::actor::{Restart, Supervisor};
use farloop::prelude::*;
use farloop::{Error, Task};
use farloop_core::limits::{ACTOR_LEASE, STREAM_ITEMS};
use farloop_test_cluster::actors::{Cart, Forgetful, Log, LogRef, Pulse, Relay, RelayRef, Source};
use farloop_test_cluster::apart::{Apart, Cut, apart};
use farloop_test_cluster::embedded::Embedded;
use farloop_test_cluster::kept::Kept;
use farloop_test_cluster::node::{Node, ORPHANS_END, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::{self, Mark, Tally};
use farloop_test_cluster::{bounded, bounded_by, storm, until};

const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");
const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

/// After so much of its lease a worker that is cut off has stopped its named actors.
const STOPS_AFTER: Duration = Duration::from_millis(ACTOR_LEASE.as_millis() as u64 * 2 / 3);

struct Cluster {
    tally: Tally,
    url: String,
    people: People,
    _event_loop: farloop::Loop,
    _coordinator: Node,
}

impl Cluster {
    async fn start() -> Self {
        let (coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let people = People::at(&url).await;
        let event_loop = farloop::connect(&url).await.expect("the coordinator is there");
        Self { tally: Tally::new(), url, people, _event_loop: event_loop, _coordinator: coordinator }
    }

    async fn with(&mut self, name: &str) -> Node {
        self.with_labels(name, "").await
    }

    async fn with_labels(&mut self, name: &str, labels: &str) -> Node {
        let program = Program::new(COUNTING).at(&self.url).named(name).tally(&self.tally);
        let worker = program.env("FARLOOP_LABELS", labels).start();
        self.people.joined(&[name]).await;
        worker
    }

    /// SIGKILL, and whoever watched over the process tells.
    async fn kill_and_report(&mut self, worker: &mut Node, name: &str) {
        let known = self.people.worker(name).await.unwrap();
        worker.kill();
        assert_eq!(self.people.report_killed(&known).await, 1);
    }
}

/// The call was at an incarnation that is gone, and nobody knows how far it came.
fn may_have_run<T: std::fmt::Debug>(result: farloop::Result<T>) -> String {
    match result {
        Err(error @ Error::ActorUnavailable(_)) => {
            assert_eq!(error.may_have_run(), Some(true), "{error}");
            error.to_string()
        }
        other => panic!("it was lost with the incarnation, and ended as {other:?}"),
    }
}

/// What bodies of `log.say(..)` began with, in order.
fn begun(tally: &Tally, label: &str) -> Vec<u64> {
    let number = |mark: Mark| mark.label.strip_prefix(label)?.trim().parse().ok();
    tally.marks().into_iter().filter(|mark| mark.what == "begun").filter_map(number).collect()
}

/// 400 calls wait at a worker and at the coordinator when that worker is killed. When the next incarnation begins.
async fn killed_under_a_stream_of_calls(reported: bool) -> Duration {
    let mut cluster = Cluster::start().await;
    let mut first = cluster.with("first").await;
    let log = Log::spawn("log").name("log").await.unwrap();
    let second = cluster.with("second").await;
    let calls: Vec<Task<u64>> = (0..400).map(|n| ensure_future(log.say(n, 5))).collect();
    until("some have run", async || (begun(&cluster.tally, "log").len() >= 20).then_some(())).await;

    let killed = Instant::now();
    if reported {
        cluster.kill_and_report(&mut first, "first").await;
    } else {
        first.kill();
    }
    cluster.tally.begins_in("log", second.pid()).await;
    let pause = killed.elapsed();

    let mut kept = Vec::new();
    let mut lost = Vec::new();
    for (n, call) in (0..).zip(calls) {
        match call.await {
            Ok(count) => {
                kept.push(n);
                assert_eq!(count, kept.len() as u64, "the state is what was answered, and nothing else");
            }
            failed => {
                let why = may_have_run(failed);
                assert!(why.contains("count.Log"), "{why}");
                lost.push(n);
            }
        }
    }
    // Those that were at the worker are the ones in between: what was answered before, and what waited, is there.
    assert_eq!(lost, (lost[0]..lost[0] + lost.len() as u64).collect::<Vec<_>>());
    assert!((20 - 1..100).contains(&lost[0]) && lost.last().unwrap() < &399, "{lost:?}");
    assert_eq!(log.said().await.unwrap(), kept);
    let order = begun(&cluster.tally, "log");
    assert!(order.is_sorted_by(|a, b| a < b), "in the order of sending, each once at most: {order:?}");
    assert!(kept.iter().all(|n| order.contains(n)));
    assert_eq!(log.pid().await.unwrap(), second.pid());
    assert_eq!(cluster.people.actor(log.id().unwrap()).await.unwrap().incarnation, Some(2));
    pause
}

#[test]
fn l11_after_a_kill_that_nobody_reports_the_next_incarnation_waits_for_the_lease() {
    bounded(async {
        let pause = killed_under_a_stream_of_calls(false).await;
        // Its worker could have been cut off instead, and would have stopped it by then.
        assert!(pause >= STOPS_AFTER, "{pause:?}");
    });
}

#[test]
fn l11_after_a_kill_that_is_reported_the_next_incarnation_begins_at_once() {
    bounded(async {
        let pause = killed_under_a_stream_of_calls(true).await;
        assert!(pause < STOPS_AFTER, "{pause:?}");
    });
}

#[test]
fn l11_a_worker_that_is_watched_over_is_reported_and_its_actor_comes_back_in_the_next_one() {
    bounded(async {
        let tally = Tally::new();
        let dev = Program::new(NODE).tally(&tally).env(ORPHANS_END, "");
        let words = ["dev", "--port", "0", "--restart", "--", COUNTING];
        let dev = words.iter().fold(dev, |dev, word| dev.arg(word)).start();
        let url = loop {
            if let Some(url) = dev.line().split_whitespace().find(|word| word.starts_with("http://")) {
                break url.to_owned();
            }
        };
        let _event_loop = farloop::connect(&url).await.unwrap();
        let log = Log::spawn("log").name("log").await.unwrap();
        assert_eq!((log.say(7, 0).await.unwrap(), log.murmur(8).await.unwrap()), (1, 2));
        let before = log.pid().await.unwrap();
        let began = Instant::now();
        may_have_run(log.kills().await);
        assert_eq!(log.said().await.unwrap(), [7], "as it was saved last");
        assert_ne!(log.pid().await.unwrap(), before);
        assert!(began.elapsed() < STOPS_AFTER, "{:?}", began.elapsed());
    });
}

/// A worker that could not even stop its actors in time: nothing it does when it thaws counts.
#[test]
fn l11_a_frozen_incarnation_neither_answers_nor_writes_when_it_comes_back() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let frozen = cluster.with("frozen").await;
        let log = Log::spawn("log").name("log").await.unwrap();
        assert_eq!(log.say(1, 0).await.unwrap(), 1);
        let held = ensure_future(log.hold("held", "gate", 666));
        cluster.tally.begins_in("held", frozen.pid()).await;
        let mut other = cluster.with("other").await;

        frozen.freeze();
        let since = Instant::now();
        cluster.tally.begins_in("log", other.pid()).await;
        assert!(since.elapsed() >= STOPS_AFTER, "{:?}", since.elapsed());
        may_have_run(held.await);
        assert_eq!(log.say(2, 0).await.unwrap(), 2);
        cluster.tally.open("gate");
        frozen.thaw();
        until("its state is gone", async || {
            cluster.tally.of("gone", "log").into_iter().find(|mark| mark.pid == frozen.pid())
        })
        .await;
        assert_eq!(log.said().await.unwrap(), [1, 2]);

        // And its worker is as good as new: it gets the actor back, as the other one saved it.
        cluster.people.joined(&["frozen"]).await;
        cluster.kill_and_report(&mut other, "other").await;
        assert_eq!(log.say(3, 0).await.unwrap(), 3);
        assert_eq!((log.pid().await.unwrap(), log.said().await.unwrap()), (frozen.pid(), vec![1, 2, 3]));
    });
}

/// A worker is cut off from the coordinator with a named actor that is alive, and under a call.
async fn partition(network: &Apart, cut: Cut) {
    let tally = Tally::new();
    let (_coordinator, port) = network.coordinator(NODE);
    let far = network.far(COUNTING, port, |worker| worker.named("far").tally(&tally).env("FARLOOP_LABELS", "host=far"));
    let _event_loop = farloop::connect(network.url(port)).await.unwrap();
    let pulse = Pulse::spawn("pulse").name("pulse").await.unwrap();
    tally.begins_in("pulse", far.pid()).await;
    assert_eq!(pulse.add(1).await.unwrap(), (far.pid(), 1));
    let held = ensure_future(pulse.add_later("held", "gate", 666));
    tally.begins_in("held", far.pid()).await;
    let mut near = network.near(COUNTING, port).named("near").tally(&tally).env("FARLOOP_LABELS", "host=near").start();
    Log::spawn("near log").label("host", "near").await.unwrap();
    let beats_of = |pid: u32| tally.of("beat", "pulse").into_iter().filter(move |mark| mark.pid == pid);
    until("it beats", async || beats_of(far.pid()).next()).await;

    network.cut(cut);
    let cut_at = tally::now();
    tally.begins_in("pulse", near.pid()).await;
    until("the next one beats", async || beats_of(near.pid()).next()).await;
    let marks = tally.marks();
    let last = marks.iter().rposition(|mark| mark.what == "beat" && mark.pid == far.pid()).unwrap();
    let next = marks.iter().position(|mark| mark.what == "begun" && mark.label == "pulse" && mark.pid == near.pid());
    let next = next.unwrap();
    println!("cut at {cut_at}, last beat at {}, the next one begins at {}", marks[last].at, marks[next].at);
    assert!(last < next, "one at a time");
    assert!(marks[last].at > cut_at, "a short cut would not have hurt it");
    assert!(marks[last].at < cut_at + ACTOR_LEASE.as_millis() as u64, "it stopped before its lease was over");
    may_have_run(held.await);
    assert_eq!(pulse.add(10).await.unwrap(), (near.pid(), 11));

    // What the far one still has to say: nothing.
    tally.open("gate");
    network.heal();
    let log = Log::spawn("far log").label("host", "far").await.unwrap();
    assert_eq!(log.pid().await.unwrap(), far.pid(), "its worker is back");
    assert_eq!(pulse.add(100).await.unwrap(), (near.pid(), 111));
    assert!(tally.of("passed", "held").is_empty());
    let after = tally.marks().split_off(last + 1);
    assert!(!after.iter().any(|mark| mark.what == "beat" && mark.pid == far.pid()));
    // Nor has it written: what is saved is what the near one saved.
    near.terminate();
    assert!(near.ended().await.success());
    assert_eq!(pulse.add(1_000).await.unwrap(), (far.pid(), 1_111));
}

fn partitioned(name: &str, cut: Cut) {
    apart(name, cut, |network| bounded_by(Duration::from_secs(100), partition(network, cut)));
}

#[test]
fn l11_a_worker_that_is_cut_off_stops_its_named_actors_before_they_live_elsewhere() {
    partitioned("l11_a_worker_that_is_cut_off_stops_its_named_actors_before_they_live_elsewhere", Cut::Both);
}

#[test]
fn l11_a_worker_that_is_not_heard_any_more_stops_its_named_actors() {
    partitioned("l11_a_worker_that_is_not_heard_any_more_stops_its_named_actors", Cut::FromFar);
}

#[test]
fn l11_a_worker_that_hears_nothing_any_more_stops_its_named_actors() {
    partitioned("l11_a_worker_that_hears_nothing_any_more_stops_its_named_actors", Cut::ToFar);
}

#[test]
fn l12_a_coordinator_that_is_killed_leaves_actors_and_the_order_of_their_calls_alone() {
    bounded(async {
        let mut kept = Kept::start(env!("CARGO_BIN_EXE_kept_coordinator")).await;
        let tally = Tally::new();
        let start = |name: &str| Program::new(COUNTING).at(&kept.url()).named(name).tally(&tally).start();
        let _workers = [start("one"), start("two")];
        People::at(&kept.url()).await.joined(&["one", "two"]).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        let named = Log::spawn("named").name("named").await.unwrap();
        let nameless = Log::spawn("nameless").await.unwrap();
        let forgetful = Forgetful::spawn("forgetful").await.unwrap();
        let calls = |log: &LogRef| -> Vec<Task<u64>> { (0..600).map(|n| ensure_future(log.say(n, 2))).collect() };
        let (of_named, of_nameless) = (calls(&named), calls(&nameless));
        for n in [50, 200, 350] {
            assert_eq!(
                forgetful.count().await.unwrap().1,
                [50, 200, 350].iter().position(|at| *at == n).unwrap() as u64 + 1
            );
            until("some have run", async || (begun(&tally, "named").len() >= n).then_some(())).await;
            kept.kill();
            kept.again().await;
        }
        let answers = gather((gather_all(of_named), gather_all(of_nameless))).await.unwrap();
        // First, for it tells more where calls have overtaken each other.
        for label in ["named", "nameless"] {
            let order = begun(&tally, label);
            let leaps: Vec<&[u64]> = order.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
            assert!(
                leaps.is_empty() && order.len() == 600,
                "{label}: {} bodies began, with leaps {leaps:?}",
                order.len()
            );
        }
        assert_eq!(answers, ((1..=600).collect(), (1..=600).collect()));
        for (log, label) in [(&named, "named"), (&nameless, "nameless")] {
            assert_eq!(log.said().await.unwrap(), (0..600).collect::<Vec<_>>());
            assert_eq!(tally.of("begun", label).len(), 1, "{label} is the same incarnation");
        }
        assert_eq!(forgetful.count().await.unwrap().1, 4);
        let mut people = People::at(&kept.url()).await;
        assert_eq!(people.actor(named.id().unwrap()).await.unwrap().incarnation, Some(1));
    });
}

#[test]
fn l12_a_worker_that_is_asked_to_leave_hands_its_actors_on_and_callers_notice_nothing() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut leaving = cluster.with("leaving").await;
        let logs = [Log::spawn("a").name("a").await.unwrap(), Log::spawn("b").await.unwrap()];
        let forgetful = Forgetful::spawn("forgetful").await.unwrap();
        assert_eq!(forgetful.count().await.unwrap(), (leaving.pid(), 1));
        let staying = cluster.with("staying").await;
        let calls: Vec<Vec<Task<u64>>> =
            logs.iter().map(|log| (0..500).map(|n| ensure_future(log.say(n, 2))).collect()).collect();
        until("some have run", async || (begun(&cluster.tally, "a").len() >= 30).then_some(())).await;

        leaving.terminate();
        for calls in calls {
            for (n, call) in (1..).zip(calls) {
                assert_eq!(call.await.unwrap(), n);
            }
        }
        for (log, label) in logs.iter().zip(["a", "b"]) {
            assert_eq!(begun(&cluster.tally, label), (0..500).collect::<Vec<_>>());
            assert_eq!((log.pid().await.unwrap(), log.said().await.unwrap().len()), (staying.pid(), 500));
            let begun = cluster.tally.of("begun", label);
            assert_eq!((begun.len(), begun[1].pid), (2, staying.pid()));
            let marks = cluster.tally.marks();
            let gone = marks.iter().position(|mark| mark.what == "gone" && mark.label == label).unwrap();
            let again = marks.iter().position(|mark| mark.what == "again" && mark.label == label).unwrap();
            assert!(gone < again, "one at a time");
        }
        assert_eq!(forgetful.count().await.unwrap(), (staying.pid(), 1), "one that saves nothing is made anew");
        let status = leaving.ended().await;
        assert!(status.success(), "{status}");
    });
}

#[test]
fn a_client_that_is_killed_takes_its_own_actors_along_and_leaves_the_detached_ones() {
    bounded(async {
        let tally = Tally::new();
        let coordinator = Embedded::with(|core| core.session_ttl = Duration::from_secs(1));
        let url = coordinator.url();
        let _worker = Program::new(COUNTING).named("counting").tally(&tally).at(&url).start();
        People::at(&url).await.joined(&["counting"]).await;
        let client = Program::new(env!("CARGO_BIN_EXE_cluster_client")).at(&url);
        let mut client = client.arg("keeps").start();
        assert_eq!(client.line(), "made");
        let _event_loop = farloop::connect(&url).await.unwrap();
        let (own, detached) = (Log::lookup("own").await.unwrap(), Log::lookup("detached").await.unwrap());
        let watch = own.watch();
        // A call of somebody else does not keep it.
        let calling = ensure_future(own.hold("calling", "gate", 1));
        tally.sees(1, "begun", "calling").await;

        client.kill();
        assert!(watch.await.unwrap_err().is_cancelled());
        tally.sees(1, "gone", "own").await;
        let error = calling.await.unwrap_err();
        assert!(matches!(error, Error::ActorDied(_)) && error.may_have_run() == Some(true), "{error:?}");
        let error = Log::lookup("own").await.unwrap_err();
        assert!(matches!(error, Error::ActorDied(_)), "{error:?}");
        assert_eq!(detached.said().await.unwrap(), [2]);
        assert_eq!(tally.of("begun", "detached").len(), 1);
        detached.stop().await.unwrap();
        tally.sees(1, "gone", "detached").await;
    });
}

#[test]
fn an_actor_on_demand_falls_asleep_and_wakes_elsewhere_with_what_it_had() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut first = cluster.with("first").await;
        let cart = Cart::at("ada");
        assert_eq!(cart.put("tea").await.unwrap(), (first.pid(), vec!["tea".into()]));
        cluster.tally.sees(1, "gone", "ada").await;
        let second = cluster.with("second").await;
        first.terminate();
        assert!(first.ended().await.success());
        let (pid, items) = cart.put("milk").await.unwrap();
        assert_eq!((pid, items), (second.pid(), vec!["tea".to_owned(), "milk".to_owned()]));
        cluster.tally.sees(2, "gone", "ada").await;
        assert_eq!(cluster.tally.of("begun", "ada").len(), 2);
    });
}

#[test]
fn supervised_one_for_all_they_start_again_together_on_two_workers() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let left = cluster.with_labels("left", "side=left").await;
        let right = cluster.with_labels("right", "side=right").await;
        let policy = Restart::on_failure().at_most(1).backoff(Duration::from_millis(10));
        let team = Supervisor::one_for_all().restart(policy);
        let a = team.spawn(Log::spawn("a").label("side", "left")).await.unwrap();
        let b = team.spawn(Log::spawn("b").label("side", "right")).await.unwrap();
        let alone = Log::spawn("alone").label("side", "right").await.unwrap();
        for log in [&a, &b, &alone] {
            log.say(1, 0).await.unwrap();
            log.murmur(2).await.unwrap();
        }
        let error = a.panics().await.unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
        assert_eq!((a.said().await.unwrap(), b.said().await.unwrap()), (vec![1], vec![1]), "both as they were saved");
        assert_eq!(alone.said().await.unwrap(), [1, 2]);
        assert_eq!((a.pid().await.unwrap(), b.pid().await.unwrap()), (left.pid(), right.pid()));
        cluster.tally.sees(1, "again", "b").await;

        // Once was allowed: now all of them are over.
        let ended = b.watch();
        assert!(b.panics().await.is_err());
        assert!(ended.await.unwrap_err().to_string().contains("on purpose"));
        assert!(a.watch().await.unwrap_err().is_cancelled());
        assert!(!a.exists().await.unwrap() && alone.exists().await.unwrap());
        for label in ["a", "b"] {
            cluster.tally.sees(2, "gone", label).await;
        }
    });
}

#[test]
fn actors_are_where_their_labels_say_and_wait_for_a_worker_that_has_them() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let left = cluster.with_labels("left", "side=left, disk=fast").await;
        let right = cluster.with_labels("right", "side=right").await;
        for (side, pid) in [("left", left.pid()), ("right", right.pid())] {
            for n in 0..4 {
                let log = Log::spawn(format!("{side} {n}")).label("side", side).await.unwrap();
                assert_eq!(log.pid().await.unwrap(), pid);
            }
        }
        let near = Log::spawn("near").near(&Log::spawn("it").label("disk", "fast").await.unwrap()).await.unwrap();
        assert_eq!(near.pid().await.unwrap(), left.pid());
        let mut pids = Vec::new();
        for n in 0..4 {
            pids.push(Log::spawn(format!("packed {n}")).pack().await.unwrap().pid().await.unwrap());
        }
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");

        let waiting = Log::spawn("waiting").label("side", "right").label("disk", "fast").start().unwrap();
        let call = ensure_future(waiting.pid());
        until("it says what it waits for", async || {
            let why = cluster.people.explain(waiting.id().unwrap()).await;
            (why.contains("side=right") && why.contains("of 2 workers that offer its type, 0")).then_some(())
        })
        .await;
        let third = cluster.with_labels("third", "side=right,disk=fast").await;
        assert_eq!(call.await.unwrap(), third.pid());
    });
}

#[test]
fn l13_actors_of_two_workers_that_await_each_other_are_told_the_path() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let left = cluster.with_labels("left", "side=left").await;
        let right = cluster.with_labels("right", "side=right").await;
        let a = Relay::spawn().label("side", "left").await.unwrap();
        let b = Relay::spawn().label("side", "right").await.unwrap();
        assert_eq!(a.ask(vec![b.clone()]).await.unwrap(), right.pid());
        let began = Instant::now();
        let call = ensure_future(a.ask(vec![b.clone(), a.clone()]));
        let error = call.clone().await.unwrap_err();
        let Error::Deadlock(path) = &error else { panic!("{error:?}") };
        assert_eq!(path.len(), 3, "A's call, B's, and the one that waits for its turn at A: {error}");
        assert!(path.contains(&call.id()), "{error}");
        for task in path {
            let function = cluster.people.task(*task).await.unwrap().function;
            assert_eq!(function, "count.Relay.ask");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // Both live, and answer.
        let idle: Vec<RelayRef> = Vec::new();
        assert_eq!((a.ask(idle.clone()).await.unwrap(), b.ask(idle).await.unwrap()), (left.pid(), right.pid()));
    });
}

#[test]
fn l23_a_stream_of_an_actor_waits_for_its_consumer() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.with("one").await;
        let source = Source::spawn().await.unwrap();
        let mut items = source.numbers(20_000, 1_000).start();
        assert_eq!(items.next().await.unwrap().unwrap().0, 1);
        let task = items.task_id().unwrap();
        let full = async |people: &mut People| {
            until("a full window", async || {
                people.explain(task).await.contains("waits for its consumer").then_some(())
            })
            .await;
        };
        full(&mut cluster.people).await;
        let made = source.made().await.unwrap();
        assert!(made <= 2 * STREAM_ITEMS as u64, "{made}");
        for n in 2..=100 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
        }
        full(&mut cluster.people).await;
        let then = source.made().await.unwrap();
        assert!(then < made + 1_000, "it goes on as far as its consumer does: {made}, then {then}");
        for n in 101..=20_000 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
        }
        assert!(items.next().await.is_none());
        // One that is not wanted any more ends.
        let mut unwanted = source.numbers(u64::MAX, 1_000).start();
        assert_eq!(unwanted.next().await.unwrap().unwrap().0, 1);
        drop(unwanted);
        source.stop().await.unwrap();
    });
}

#[test]
fn l12_calls_that_were_sent_ahead_keep_their_order_over_cut_connections() {
    storm::play(COUNTING, async |scene| {
        let label = scene.own("log");
        let log = Log::spawn(&*label).await?;
        scene.storm_on(2_000, 5);
        let calls: Vec<Task<u64>> = (0..1_000).map(|n| ensure_future(log.say(n, 0))).collect();
        let answers = gather_all(calls).await?;
        assert_eq!(begun(scene.tally, &label), (0..1_000).collect::<Vec<_>>());
        let said = log.said().await?;
        log.stop().await?;
        Ok((answers, said))
    });
}
