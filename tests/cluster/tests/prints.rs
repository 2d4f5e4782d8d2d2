//! What a body prints reaches the process whose call it serves, once, and its task's log; and no flood of it harms anybody.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::prelude::*;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{number, parks_inside, says};
use farloop_test_cluster::{bounded, until};

struct Cluster {
    url: String,
    people: People,
    tally: Tally,
    _coordinator: Node,
}

impl Cluster {
    async fn start() -> Self {
        let (coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
        let url = format!("http://{address}");
        Self { people: People::at(&url).await, url, tally: Tally::new(), _coordinator: coordinator }
    }

    async fn worker(&mut self, name: &str, slots: &str) -> Node {
        let worker = Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&self.url).named(name).tally(&self.tally);
        let worker = worker.env("FARLOOP_SLOTS", slots).start();
        self.people.joined(&[name]).await;
        worker
    }

    fn client(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_cluster_client")).at(&self.url)
    }
}

fn lines_of<'a>(text: &'a str, label: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(label)).collect()
}

#[test]
fn a_gather_over_two_workers_prints_at_the_client_before_it_returns() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let (first, second) = (cluster.worker("first", "1").await, cluster.worker("second", "1").await);
        let (out, err) = cluster.client().arg("hears").arg("one").arg("3").arg("two").arg("2").output();
        assert_eq!(lines_of(&out, "one"), ["one 1", "one 2", "one 3 by one"]);
        assert_eq!(lines_of(&out, "two"), ["two 1", "two 2 by two"]);
        assert_eq!(out.lines().last(), Some("gathered one two"));
        assert_eq!(out.lines().count(), 6, "each line once: {out}");
        assert!(err.contains("one err\n") && err.contains("two err\n"), "{err}");
        // An idle worker is preferred, so each ran one; and printed at home as well.
        let mut homes = [first.line(), second.line()];
        homes.sort();
        assert_eq!(homes, ["one 1", "two 1"]);
    });
}

#[test]
fn a_stream_prints_at_its_consumer_before_the_item_that_follows() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let worker = cluster.worker("first", "1").await;
        let (out, err) = cluster.client().arg("counts").arg("s").arg("2").output();
        assert_eq!(err, "");
        let lines: Vec<&str> = out.lines().collect();
        let at = |line: &str| lines.iter().position(|l| *l == line).unwrap_or_else(|| panic!("'{line}' in {out}"));
        let last = |line: &str| lines.iter().rposition(|l| *l == line).unwrap_or_else(|| panic!("'{line}' in {out}"));
        for n in [1, 2] {
            assert!(at(&format!("s sends {n}")) < at(&format!("s got {n}")), "{out}");
            assert!(at(&format!("s makes {n}")) < last(&format!("s got {n}")), "{out}");
        }
        assert!(at("s has sent") < at("s makes 1"), "before its outcome: {out}");
        assert_eq!((lines.len(), lines.last()), (10, Some(&"counted")), "each line once: {out}");
        assert_eq!(worker.line(), "s sends 1");
    });
}

#[test]
fn coroutines_of_a_remote_body_share_its_thread_and_print_where_it_does() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        // One slot: what awaits gives it back, in a coroutine of the loop's own, too.
        let worker = cluster.worker("first", "1").await;
        let (out, err) = cluster.client().arg("splits").arg("s").output();
        let mut lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines.pop(), err.as_str()), (Some("s 17"), ""), "{out}");
        lines.sort_unstable();
        assert_eq!(lines, ["s adds 11", "s adds 6"]);
        drop(worker);
    });
}

#[test]
fn a_cancel_reaches_the_coroutine_that_a_remote_body_awaits() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("first", "1").await;
        let event_loop = farloop::connect(&cluster.url).await.unwrap();
        let task = ensure_future(parks_inside("p"));
        until("the inner coroutine", async || (!cluster.tally.of("begun", "inside p").is_empty()).then_some(())).await;
        assert!(task.cancel(()));
        assert!(task.await.unwrap_err().is_cancelled());
        let cancelled = |who: &str| cluster.tally.of("cancelled", who).len();
        assert_eq!((cancelled("inside p"), cancelled("p")), (1, 1));
        event_loop.close().await;
    });
}

#[test]
fn without_an_address_the_bodies_print_into_this_process_once() {
    bounded(async {
        let (out, err) = Program::new(env!("CARGO_BIN_EXE_cluster_client")).arg("hears").arg("one").arg("2").output();
        assert_eq!(out.lines().collect::<Vec<_>>(), ["one 1", "one 2 by one", "gathered one"]);
        assert_eq!(err.lines().collect::<Vec<_>>(), ["one err"]);
    });
}

#[test]
fn a_task_without_a_client_prints_into_its_log() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("first", "4").await;
        let event_loop = farloop::connect(&cluster.url).await.unwrap();
        let task = ensure_future(says("alone", 3, "gate").detached());
        // While it runs, too.
        let id = task.id();
        until("the log of a running task", async || {
            let log = cluster.people.log(id).await;
            (log.text.lines().count() == 4).then_some(())
        })
        .await;
        cluster.tally.open("gate");
        task.await.unwrap();
        let log = cluster.people.log(id).await;
        assert_eq!((log.text.as_str(), log.lost_lines), ("alone 1\nalone 2\nalone err\nalone 3 by alone\n", 0));
        event_loop.close().await;
    });
}

#[test]
fn a_flood_loses_lines_and_says_so_and_others_go_on() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("first", "4").await;
        let event_loop = farloop::connect(&cluster.url).await.unwrap();
        let lines = 300_000;
        let flood = ensure_future(says("a line of a flood that nobody will ever read to its end", lines, "gate"));
        let id = flood.id();
        cluster.people.reaches(id, State::Running).await;
        for n in 0..20 {
            assert_eq!(number(n, 0).await.unwrap(), n);
        }
        cluster.tally.open("gate");
        flood.await.unwrap();
        let log = cluster.people.log(id).await;
        let kept = log.text.lines().count();
        assert!(log.text.len() <= 16 * 1024 && log.lost_lines > 0, "{} {}", log.text.len(), log.lost_lines);
        assert_eq!(kept + log.lost_lines as usize, lines as usize + 1, "every line is there or counted");

        let (out, err) = cluster.client().arg("hears").arg("flood").arg("300000").output();
        let shown = lines_of(&out, "flood").len();
        let lost: usize =
            err.lines().filter_map(|l| l.strip_prefix("farloop: ")?.split(' ').next()?.parse::<usize>().ok()).sum();
        assert!(lost > 0 && shown > 1_000, "{shown} {lost}");
        assert_eq!(shown + lost + lines_of(&err, "flood").len(), 300_001);
        assert_eq!(out.lines().last(), Some("gathered flood"));
        event_loop.close().await;
    });
}
