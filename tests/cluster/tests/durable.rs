//! A coordinator that keeps its records is killed and started again: workers keep running, what they finished is
//! adopted, sessions go on, nothing acknowledged is lost and nothing runs again.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::prelude::*;
use farloop_test_cluster::kept::Kept;
use farloop_test_cluster::node::{Node, ORPHANS_END, Program, run_to_end};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::proxy::Proxy;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{gated, number, yields};
use farloop_test_cluster::{bounded, until};
use farloop_worker::demo::noop;

const KEPT: &str = env!("CARGO_BIN_EXE_kept_coordinator");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");
const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

fn worker(kept: &Kept, name: &str, tally: &Tally) -> Node {
    Program::new(COUNTING).at(&kept.url()).named(name).tally(tally).start()
}

#[test]
fn a_stream_goes_on_over_a_restart_or_says_how_far_it_came() {
    bounded(async {
        let mut kept = Kept::start(KEPT).await;
        let tally = Tally::new();
        let _worker = worker(&kept, "one", &tally);
        People::at(&kept.url()).await.joined(&["one"]).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        let mut items = yields("items", 5_000, 100, 0, "");
        for n in 1..=500 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
        }
        kept.kill();
        kept.again().await;
        let mut seen = 500;
        while let Some(item) = items.next().await {
            match item {
                Ok((n, _)) => {
                    seen += 1;
                    assert_eq!(n, seen);
                }
                Err(error) => {
                    assert!(error.to_string().contains(&format!("{seen} items")), "{error}");
                    break;
                }
            }
        }
        println!("{seen} of 5000 items came");
        assert_eq!(tally.of("begun", "items").len(), 1);
    });
}

/// The producer ends, which is on record, while its consumer is away; then the coordinator dies. Nobody has the last items
/// any more, and the consumer learns that in place of the end.
#[test]
fn l23_a_consumer_learns_that_the_last_items_are_gone_with_the_coordinator() {
    bounded(async {
        let mut kept = Kept::start(KEPT).await;
        let proxy = Proxy::to(kept.url().trim_start_matches("http://").parse().unwrap());
        let tally = Tally::new();
        let _worker = worker(&kept, "one", &tally);
        let mut people = People::at(&kept.url()).await;
        people.joined(&["one"]).await;
        let _event_loop = farloop::connect(proxy.url()).await.unwrap();
        let mut items = yields("items", 100, 10, 41, "gate");
        for n in 1..=40 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
        }
        proxy.refuse();
        tally.open("gate");
        until("it has ended", async || (people.count("state=SUCCEEDED").await == 1).then_some(())).await;
        until("that is durable", async || (people.store().await.waiting_records == 0).then_some(())).await;
        kept.kill();
        kept.again().await;
        proxy.accept();
        let error = items.next().await.unwrap().unwrap_err();
        assert!(matches!(error, farloop::Error::SessionLost(_)), "{error}");
        assert!(error.to_string().contains("40 of 100 have come"), "{error}");
        assert!(items.next().await.is_none());
    });
}

/// A planned restart: what runs is not waited for, and not interrupted.
#[test]
fn a_coordinator_that_is_asked_to_stop_leaves_everything_to_its_next_life() {
    bounded(async {
        let mut kept = Kept::start(KEPT).await;
        let tally = Tally::new();
        let mut worker = worker(&kept, "one", &tally);
        People::at(&kept.url()).await.joined(&["one"]).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        tally.sees(1, "begun", "running").await;
        kept.node().terminate();
        assert!(kept.node().ended().await.success());
        let meanwhile = ensure_future(number(7, 0));
        kept.again().await;
        assert_eq!(meanwhile.await.unwrap(), 7);
        tally.open("gate");
        assert_eq!(running.await.unwrap(), worker.pid());
        assert_eq!(tally.of("begun", "running").len(), 1);
        assert!(worker.runs());
    });
}

/// A life that ends before its window is over, with one worker that never comes back.
#[test]
fn l16_what_a_worker_that_is_gone_held_runs_elsewhere() {
    bounded(async {
        let mut kept = Kept::start_with(KEPT, 6).await;
        let tally = Tally::new();
        let mut gone = worker(&kept, "gone", &tally);
        People::at(&kept.url()).await.joined(&["gone"]).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        let again = ensure_future(gated("again", "gate"));
        let once = ensure_future(gated("once", "gate").max_crashes(0));
        for label in ["again", "once"] {
            tally.begins_in(label, gone.pid()).await;
        }
        kept.kill();
        gone.kill();
        kept.again().await;
        // In the middle of the window.
        kept.kill();
        kept.again().await;
        let staying = worker(&kept, "staying", &tally);
        // What is new does not wait for the window.
        assert_eq!(number(1, 0).await.unwrap(), 1);
        tally.begins_in("again", staying.pid()).await;
        tally.open("gate");
        assert_eq!(again.await.unwrap(), staying.pid());
        assert!(matches!(once.await, Err(farloop::Error::WorkerLost(_))));
        assert_eq!(tally.of("begun", "once").len(), 1);
        assert_eq!(People::at(&kept.url()).await.store().await.life, 3);
    });
}

#[test]
fn the_binary_keeps_records_and_refuses_a_directory_that_is_in_use() {
    bounded(async {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("made here");
        let path = path.to_str().unwrap();
        let start = || {
            let program = Program::new(NODE).arg("coordinator").arg("--port").arg("0").env("FARLOOP_DATA_DIR", path);
            let node = program.start();
            let address = node.line().rsplit(' ').next().unwrap().to_owned();
            (node, format!("http://{address}"))
        };
        let (mut first, url) = start();
        let event_loop = farloop::connect(&url).await.unwrap();
        let task = farloop::submit(number(7, 0).detached()).await.unwrap();
        let info = run_to_end(NODE, &["info"], &[("FARLOOP_ADDRESS", &url)]);
        let said = String::from_utf8_lossy(&info.stdout);
        assert!(said.contains(path) && said.contains("\"life\": \"1\""), "{said}");

        let refused = run_to_end(NODE, &["coordinator", "--port", "0", "--data-dir", path], &[]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(path) && said.contains("in use by another process"), "{said}");

        first.kill();
        drop(event_loop);
        let (_second, url) = start();
        let mut people = until("a second life", async || Some(People::at(&url).await)).await;
        until("it is known", async || people.task(task.id()).await.ok()).await;
        assert_eq!(people.state(task.id()).await, State::Pending);
        assert_eq!(people.store().await.life, 2);
    });
}

/// For development nothing is kept unless a directory is named; then a killed `farloop dev` goes on where it was.
#[test]
fn dev_keeps_records_where_it_is_told_and_none_otherwise() {
    bounded(async {
        let place = tempfile::TempDir::new().unwrap();
        let dir = place.path().join("data").display().to_string();
        for kept in [Some(&dir), None] {
            let start = || {
                let program = Program::new(NODE).arg("dev").arg("--port").arg("0").arg("--workers").arg("1");
                let program = kept.iter().fold(program, |program, dir| program.arg("--data-dir").arg(dir));
                // Its worker ends with it, though it is killed.
                let node = program.env(ORPHANS_END, "").start();
                let mut lines = String::new();
                while !lines.contains("Ctrl-C stops it") {
                    lines += &node.line();
                }
                assert_eq!(lines.contains(&dir), kept.is_some(), "{lines}");
                let url = lines.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
                (node, url)
            };
            let (mut dev, url) = start();
            let event_loop = farloop::connect(&url).await.unwrap();
            let returned = farloop::submit(noop().detached()).await.unwrap();
            returned.clone().await.unwrap();
            // No demo worker offers it.
            let waiting = farloop::submit(number(7, 0).detached()).await.unwrap();
            let mut people = People::at(&url).await;
            people.reaches(waiting.id(), State::Pending).await;
            if kept.is_some() {
                until("it is durable", async || (people.store().await.waiting_records == 0).then_some(())).await;
            }
            dev.kill();
            drop(event_loop);

            let (_dev, url) = start();
            let mut people = until("it is there again", async || Some(People::at(&url).await)).await;
            people.joined(&["dev-0"]).await;
            if kept.is_some() {
                assert_eq!(people.store().await.life, 2);
                assert_eq!(people.state(returned.id()).await, State::Succeeded);
                assert_eq!(people.state(waiting.id()).await, State::Pending);
            } else {
                for task in [returned.id(), waiting.id()] {
                    assert_eq!(people.task(task).await.unwrap_err().code(), tonic::Code::NotFound);
                }
            }
        }
    });
}

#[test]
fn l17_damage_is_named_and_a_copy_goes_on_where_it_was_taken() {
    bounded(async {
        let mut kept = Kept::start(KEPT).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        let tasks: Vec<_> = (0..200).map(|n| number(n, 0).detached()).collect();
        let tasks: Vec<Task<u64>> = tasks.into_iter().map(ensure_future).collect();
        let mut people = People::at(&kept.url()).await;
        until("all are known", async || (people.count("state=PENDING").await == 200).then_some(())).await;
        until("all are durable", async || (people.store().await.waiting_records == 0).then_some(())).await;

        let place = tempfile::TempDir::new().unwrap();
        let copy = place.path().join("copy");
        let (dir, copy) = (kept.dir().display().to_string(), copy.display().to_string());
        let admin = |words: &[&str]| {
            let ran = run_to_end(NODE, &[&["admin"], words].concat(), &[]);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
        };
        // Both while it is in use.
        let (code, said, _) = admin(&["verify", &dir]);
        assert!(code == Some(0) && said.contains("200 that are not over") && said.ends_with("whole\n"), "{said}");
        let (code, said, errors) = admin(&["snapshot", &dir, &copy]);
        assert!(code == Some(0) && said.contains(&copy), "{said} {errors}");
        let (code, _, errors) = admin(&["snapshot", &dir, &copy]);
        assert!(code == Some(1) && errors.contains(&copy), "a copy is not written over: {errors}");
        assert_eq!(admin(&["verify", place.path().to_str().unwrap()]).0, Some(1), "there are no records");
        kept.kill();

        // One bit in the middle of what was durable.
        let file = std::fs::read_dir(kept.dir()).unwrap().filter_map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).ok()?;
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            (used > 4_096).then_some((path, bytes, used))
        });
        let (path, mut bytes, used) = file.last().expect("a file with records");
        bytes[used / 2] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (code, _, errors) = admin(&["verify", &dir]);
        assert!(code == Some(1) && errors.contains(name) && errors.contains("byte "), "{errors}");
        let refused = run_to_end(NODE, &["coordinator", "--port", "0", "--data-dir", &dir], &[]);
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1));
        assert!(errors.contains(name) && errors.contains("corrupt at byte "), "{errors}");

        let second = Program::new(NODE).arg("coordinator").arg("--port").arg("0").arg("--data-dir").arg(&copy).start();
        let url = format!("http://{}", second.line().rsplit(' ').next().unwrap());
        let mut people = People::at(&url).await;
        for task in &tasks {
            until("it is known", async || people.task(task.id()).await.ok()).await;
        }
    });
}
