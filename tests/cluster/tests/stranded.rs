//! What cannot run says why within a second (L15), and starts when it can.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farloop::prelude::*;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::{bounded, until, within};

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");

#[test]
fn a_function_that_nobody_offers_says_so_and_starts_when_somebody_does() {
    bounded(async {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = reports.clone();
        farloop::set_exception_handler(Some(Box::new(move |report| {
            told.lock().unwrap().push((report.task, report.message.clone()));
        })));
        let (_coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let _event_loop = farloop::connect(&url).await.unwrap();
        let mut people = People::at(&url).await;

        let task = ensure_future(farloop_worker::demo::add(2, 3));
        let a_second = Duration::from_secs(1);
        let why = within(a_second, async || Some(people.explain(task.id()).await).filter(|why| !why.is_empty())).await;
        assert!(why.as_deref().is_some_and(|why| why.contains("no worker offers 'demo.add'")), "{why:?}");
        // The client is told without asking.
        let report = until("a report", async || {
            reports.lock().unwrap().iter().find(|(of, _)| *of == Some(task.id())).map(|(_, message)| message.clone())
        })
        .await;
        assert!(report.contains("no worker offers 'demo.add'"), "{report}");

        let _other = Program::new(COUNTING).at(&url).named("counting").start();
        people.joined(&["counting"]).await;
        let why = people.explain(task.id()).await;
        assert!(why.contains("no worker offers 'demo.add'; offered: count.add"), "{why}");
        assert_eq!(people.state(task.id()).await, State::Pending);

        let _able = Program::new(NODE).arg("worker").at(&url).named("able").start();
        assert_eq!(task.await.unwrap(), 5);
    });
}
