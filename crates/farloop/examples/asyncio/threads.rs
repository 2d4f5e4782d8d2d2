//! A loop that another thread runs.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use farloop::blocking::LoopHandle;

use crate::get_event_loop;
use crate::work::{do_it_elsewhere, second};

/// A loop stays on its thread: it is made there, and a handle comes back.
fn start_loop() -> farloop::Result<(JoinHandle<farloop::Result<()>>, LoopHandle)> {
    let (give, take) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let event_loop = get_event_loop()?;
        drop(give.send(event_loop.handle()));
        event_loop.run_forever()
    });
    match take.recv() {
        Ok(handle) => Ok((thread, handle)),
        Err(_) => Err(thread.join().ok().and_then(Result::err).unwrap_or(farloop::Error::LoopClosed)),
    }
}

/// As Python, which waits at its end for the threads it has started.
fn wait_for(thread: JoinHandle<farloop::Result<()>>) -> farloop::Result<()> {
    thread.join().unwrap_or(Err(farloop::Error::LoopClosed))
}

fn more_work(x: u32) {
    println!("More work {x}");
    std::thread::sleep(second() * x);
    println!("Finished more work {x}");
}

/// Callbacks of one loop run one after the other.
pub(crate) fn s47() -> farloop::Result<()> {
    let start = Instant::now();
    let (thread, new_loop) = start_loop()?;
    println!("TIME: {}", start.elapsed().as_secs_f64());
    new_loop.call_soon_threadsafe(|| more_work(6))?;
    new_loop.call_soon_threadsafe(|| more_work(3))?;
    println!("main thread free");
    wait_for(thread)
}

/// Coroutines of one loop run at once.
pub(crate) fn s48() -> farloop::Result<()> {
    let start = Instant::now();
    let (thread, new_loop) = start_loop()?;
    println!("TIME: {}", start.elapsed().as_secs_f64());
    let _six = new_loop.run_coroutine_threadsafe(do_it_elsewhere(6))?;
    let _four = new_loop.run_coroutine_threadsafe(do_it_elsewhere(4))?;
    println!("main thread free");
    wait_for(thread)
}
