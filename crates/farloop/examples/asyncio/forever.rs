//! Loops that run for ever, are stopped, run again, and are closed; wait; a timer.

use farloop::prelude::*;

use crate::get_event_loop;
use crate::work::{do_some_work_and_say, sleep};

pub(crate) fn s20() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    drop(ensure_future(do_some_work_and_say(3)));
    event_loop.run_forever()?;
    println!("NEVER");
    Ok(())
}

/// What stops a loop runs on it: the coroutine around the call is a local one.
pub(crate) fn s23() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    for x in [1, 3] {
        let stopping = event_loop.handle();
        drop(ensure_future(farloop::local(async move {
            do_some_work_and_say(x).await?;
            stopping.stop();
            Ok(())
        })));
    }
    event_loop.run_forever()?;
    println!("returned");
    Ok(())
}

pub(crate) fn s24() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let futus = gather((do_some_work_and_say(1), do_some_work_and_say(3)));
    let stopping = event_loop.handle();
    futus.add_done_callback(move |_futu| stopping.stop());
    event_loop.run_forever()?;
    println!("returned");
    Ok(())
}

pub(crate) fn s26() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(do_some_work_and_say(1))?;
    event_loop.run_until_complete(do_some_work_and_say(3))?;
    event_loop.close()
}

pub(crate) fn s27() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(do_some_work_and_say(1))?;
    event_loop.close()?;
    if let Err(error) = event_loop.run_until_complete(do_some_work_and_say(3)) {
        println!("RuntimeError {error}");
    }
    Ok(())
}

/// As up to Python 3.10: `wait` takes tasks, and does not compile with coroutines; the older habit has its own name.
pub(crate) fn s29() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let coros = [do_some_work_and_say(1), do_some_work_and_say(3)];
    let waited = event_loop.run_until_complete(wait_coros(coros))?;
    println!("{}", waited.done.len());
    Ok(())
}

pub(crate) fn s30() -> farloop::Result<()> {
    async fn timer(x: u32, cb: impl FnOnce(&Task<()>) + Send + 'static) -> farloop::Result<()> {
        let futu = ensure_future(farloop::local(sleep(x)));
        futu.add_done_callback(cb);
        futu.await
    }
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(timer(3, |_futu| println!("Done")))
}
