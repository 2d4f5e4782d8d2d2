//! The event loop that a program without async runs by hand.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use farloop::blocking::EventLoop;
use farloop::prelude::*;
use farloop::{Error, get_running_loop};

#[farloop::task]
async fn work(ms: u64) -> farloop::Result<u64> {
    farloop::sleep(Duration::from_millis(ms)).await?;
    Ok(ms)
}

fn text<T: std::fmt::Debug>(result: farloop::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn it_runs_coroutines_tasks_blocks_and_waits() {
    let event_loop = EventLoop::new().unwrap();
    assert_eq!(event_loop.run_until_complete(work(1)).unwrap(), 1);
    let task = ensure_future(work(2));
    assert_eq!(event_loop.run_until_complete(task.clone()).unwrap(), 2);
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 2);
    assert_eq!(event_loop.run_until_complete(gather((work(1), work(3)))).unwrap(), (1, 3));
    assert_eq!(event_loop.run_until_complete(shield(work(4))).unwrap(), 4);
    let text = event_loop.run_until_complete(async { Ok(work(5).await?.to_string()) }).unwrap();
    assert_eq!(text, "5");
    let done = event_loop.run_until_complete(wait([create_task(work(1))])).unwrap();
    assert_eq!((done.done.len(), done.pending.len()), (1, 0));
    assert!(!event_loop.is_running());
    event_loop.close().unwrap();
    assert!(event_loop.is_closed());
}

#[test]
fn a_loop_is_stopped_and_run_again() {
    let event_loop = EventLoop::new().unwrap();
    let task = event_loop.create_task(work(50));
    let handle = event_loop.handle();
    event_loop.call_soon(move || handle.stop()).unwrap();
    let stopped = event_loop.run_until_complete(task.clone());
    assert_eq!(text(stopped), "Event loop stopped before Future completed.");
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 50);
    let handle = event_loop.handle();
    let both = gather((work(1), work(2)));
    both.add_done_callback(move |_| handle.stop());
    event_loop.run_forever().unwrap();
    assert!(both.done());
}

#[test]
fn after_close_every_entry_says_so() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    let closed = "Event loop is closed";
    assert_eq!(text(event_loop.run_until_complete(work(1))), closed);
    assert_eq!(text(event_loop.run_forever()), closed);
    assert_eq!(text(event_loop.call_soon(|| {})), closed);
    assert_eq!(text(event_loop.call_later(Duration::ZERO, || {})), closed);
    assert_eq!(text(handle.call_soon_threadsafe(|| {})), closed);
    assert_eq!(text(handle.run_coroutine_threadsafe(work(1))), closed);
    assert_eq!(text(event_loop.create_task(work(1)).result()), closed);
    assert_eq!(text(ensure_future(work(1)).result()), closed);
    event_loop.stop();
    drop(event_loop.create_future::<i64>());
}

#[test]
fn other_threads_come_in_through_a_handle() {
    let (give, take) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let event_loop = EventLoop::new().unwrap();
        give.send(event_loop.handle()).unwrap();
        event_loop.run_forever().unwrap();
    });
    let handle = take.recv().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..50 {
        let seen = seen.clone();
        handle.call_soon_threadsafe(move || seen.lock().unwrap().push(n)).unwrap();
    }
    let value = handle.run_coroutine_threadsafe(work(5)).unwrap();
    assert_eq!(value.result(Duration::from_secs(20)).unwrap(), 5);
    assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<_>>());
    let slow = handle.run_coroutine_threadsafe(work(60_000)).unwrap();
    assert!(matches!(slow.result(Duration::from_millis(10)), Err(Error::TimedOut(_))));
    assert!(!slow.done());
    assert!(slow.cancel_and_wait((), Duration::from_secs(20)).unwrap_err().is_cancelled());
    handle.stop();
    thread.join().unwrap();
}

#[test]
fn outcomes_come_as_an_iterator() {
    let event_loop = EventLoop::new().unwrap();
    let order: Vec<u64> =
        event_loop.as_completed([60, 1, 30].map(work)).map(|next| next.unwrap().result.unwrap()).collect();
    assert_eq!(order, [1, 30, 60]);
}

#[test]
fn inside_of_a_runtime_it_is_refused() {
    let event_loop = EventLoop::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(async { event_loop.run_until_complete(async { Ok(1) }) });
    assert_eq!(text(refused), "Cannot run the event loop while another loop is running");
    let event_loop = std::rc::Rc::new(event_loop);
    let inner = event_loop.clone();
    let refused = event_loop.run_until_complete(async move {
        let here = get_running_loop()?;
        Ok([text(inner.run_forever()), text(inner.close()), here.is_running().to_string()])
    });
    let expected = ["This event loop is already running", "Cannot close a running event loop", "true"];
    assert_eq!(refused.unwrap(), expected);
    assert!(matches!(get_running_loop(), Err(Error::NoRunningLoop(_))));
}

#[test]
fn run_leaves_nothing_behind() {
    let cleaned = Arc::new(Mutex::new(Vec::new()));
    let seen = cleaned.clone();
    let value = farloop::run(async move {
        drop(ensure_future(farloop::local(async move {
            let cancelled = farloop::sleep(Duration::from_secs(60)).await;
            seen.lock().unwrap().push("cancelled");
            farloop::sleep(Duration::from_millis(5)).await?;
            seen.lock().unwrap().push("cleaned");
            cancelled
        })));
        farloop::yield_now().await?;
        work(1).await
    });
    assert_eq!(value.unwrap(), 1);
    assert_eq!(*cleaned.lock().unwrap(), ["cancelled", "cleaned"]);
}
