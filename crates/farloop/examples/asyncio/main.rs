//! Every example of a classic asyncio tutorial, on farloop: the same lines at the same times.
//!
//! ```sh
//! cargo run --example asyncio                  # which ones there are
//! cargo run --example asyncio -- S13           # that one, with the bodies in this process
//!
//! cargo run --bin farloop -- coordinator &     # or: the bodies on workers of a cluster
//! cargo run --example asyncio -- worker &
//! FARLOOP_ADDRESS=http://127.0.0.1:7171 cargo run --example asyncio -- S13
//! ```
//!
//! `EXAMPLE_SECOND_MS` makes a second shorter. The Python programs stand beside these in `docs/from_asyncio.md`.

mod basics;
mod forever;
mod tasks;
mod threads;
mod work;

use farloop::blocking::EventLoop;

type Program = fn() -> farloop::Result<()>;

const PROGRAMS: &[(&str, &str, Program)] = &[
    ("S02", "is it a coroutine function?", basics::s02),
    ("S06", "calling does not run", basics::s06),
    ("S09", "run_until_complete of a coroutine", basics::s09),
    ("S10", "run_until_complete of a future", basics::s10),
    ("S12", "a done callback", basics::s12),
    ("S13", "gather of two coroutines", basics::s13),
    ("S14", "gather of a list, with a callback", basics::s14),
    ("S17", "gather of futures", basics::s17),
    ("S19", "a coroutine that says it is done", basics::s19),
    ("S20", "run_forever never returns", forever::s20),
    ("S23", "the first one to end stops the loop", forever::s23),
    ("S24", "a callback of the gather stops the loop", forever::s24),
    ("S26", "a loop that is not closed runs again", forever::s26),
    ("S27", "a loop that is closed does not", forever::s27),
    ("S29", "wait for coroutines", forever::s29),
    ("S30", "a timer", forever::s30),
    ("S31", "a coroutine object", tasks::s31),
    ("S32", "a task before and after", tasks::s32),
    ("S34", "a callback reads the result", tasks::s34),
    ("S35", "result() after the run", tasks::s35),
    ("S36", "three tasks at once", tasks::s36),
    ("S39", "nested: wait", tasks::s39),
    ("S40", "nested: gather", tasks::s40),
    ("S41", "nested: return the gather", tasks::s41),
    ("S42", "nested: return the wait", tasks::s42),
    ("S43", "nested: as_completed", tasks::s43),
    ("S45", "Ctrl-C: cancel all tasks", tasks::s45),
    ("S46", "Ctrl-C: cancel what main awaits", tasks::s46),
    ("S47", "callbacks on another thread's loop", threads::s47),
    ("S48", "coroutines on another thread's loop", threads::s48),
];

fn main() -> farloop::Result<()> {
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "worker" {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(work::offered(farloop::Worker::from_env()).run());
    }
    // asyncio's warnings go to standard error.
    farloop::set_exception_handler(Some(Box::new(|report: &farloop::Report| eprintln!("{}", report.message))));
    if let Some((_, _, program)) = PROGRAMS.iter().find(|(name, _, _)| *name == word) {
        return program();
    }
    for (name, about, _) in PROGRAMS {
        println!("{name}  {about}");
    }
    Ok(())
}

/// asyncio's `get_event_loop()`: of the cluster at `FARLOOP_ADDRESS`, or of one in this process.
fn get_event_loop() -> farloop::Result<EventLoop> {
    EventLoop::from_env()
}

/// As Python prints it.
fn python(truth: bool) -> &'static str {
    if truth { "True" } else { "False" }
}
