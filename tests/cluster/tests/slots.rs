//! Slots, depth and back-pressure: waiting costs no slot, chains are long, and a full buffer says so.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::task::{Context, Waker};

use farloop::Error;
use farloop::prelude::*;
use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::proxy::{How, Proxy};
use farloop_worker::demo;
use tonic::Code;

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

async fn one_slot() -> (Node, Node, std::net::SocketAddr, People) {
    let (coordinator, address) = Node::coordinator(NODE);
    let url = format!("http://{address}");
    let worker = Program::new(NODE).arg("worker").arg("--slots").arg("1").at(&url).named("narrow").start();
    let mut people = People::at(&url).await;
    people.joined(&["narrow"]).await;
    (worker, coordinator, address, people)
}

#[test]
fn a_tree_and_a_chain_need_one_slot() {
    bounded(async {
        let (_worker, _coordinator, address, _) = one_slot().await;
        let _event_loop = farloop::connect(format!("http://{address}")).await.unwrap();
        assert_eq!(demo::tree_sum(12).await.unwrap(), 4_096);
        assert_eq!(demo::chain(1_000).await.unwrap(), 1_000);
    });
}

#[test]
fn a_full_buffer_refuses_and_submit_waits() {
    bounded(async {
        let (_worker, _coordinator, address, mut people) = one_slot().await;
        let proxy = Proxy::to(address);
        let event_loop = farloop::connect(proxy.url()).await.unwrap();
        // So that the coordinator has something to forget, and nothing to run.
        let nobody_offers = || farloop::call("nobody.offers").returns::<()>();
        proxy.refuse();
        let mut held = Vec::new();
        let refused = loop {
            let task = ensure_future(nobody_offers());
            if task.done() {
                break task;
            }
            held.push(task);
            // What leaves before the session notices the cut is in the buffer no more: at most a window of the link.
            assert!(held.len() <= 2 * farloop::BUFFER_TASKS, "the buffer has no end");
        };
        let error = refused.result().unwrap_err();
        assert!(matches!(error, Error::ResourceExhausted(_)), "{error}");
        assert!(error.to_string().contains("BUFFER_TASKS = 65536"), "{error}");
        assert!(held.len() + 1_000 > farloop::BUFFER_TASKS, "{} were taken", held.len());

        let mut waits = Box::pin(submit(demo::add(2, 3)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        proxy.accept();
        assert_eq!(waits.await.unwrap().await.unwrap(), 5);
        assert_eq!(people.task(refused.id()).await.unwrap_err().code(), Code::NotFound, "a refused task never runs");
        event_loop.close().await;
    });
}

#[test]
fn bytes_that_wait_are_bounded_too() {
    bounded(async {
        let (_worker, _coordinator, address, _) = one_slot().await;
        let proxy = Proxy::to(address);
        let _event_loop = farloop::connect(proxy.url()).await.unwrap();
        // A connection that takes nothing any more, while the session is open.
        proxy.cut(How::Stall);
        let text = "x".repeat(4 * 1024 * 1024);
        let mut tasks = Vec::new();
        for _ in 0..64 {
            tasks.push(ensure_future(demo::echo(serde_json::Value::from(text.clone()))));
            // The connection takes what it can.
            tokio::task::yield_now().await;
        }
        let refused = tasks.iter().find_map(|task| task.exception().ok().flatten()).expect("256 MiB do not fit");
        assert!(refused.to_string().contains("BUFFER_BYTES"), "{refused}");
    });
}
