//! Coroutines, futures, callbacks, gather.

use farloop::prelude::*;

use crate::work::{do_some_work, do_some_work_and_say};
use crate::{get_event_loop, python};

/// In Rust the type says it: `#[farloop::task]` makes a coroutine function of it.
pub(crate) fn s02() -> farloop::Result<()> {
    fn is_coroutine_function<F: farloop::TaskFn>() -> bool {
        !F::DEFINITION.name.is_empty()
    }
    println!("{}", python(is_coroutine_function::<do_some_work>()));
    Ok(())
}

/// The coroutine is dropped at the end of its scope: "never awaited".
pub(crate) fn s06() -> farloop::Result<()> {
    fn is_coroutine<T>(_: &Coro<T>) -> bool {
        true
    }
    println!("{}", python(is_coroutine(&do_some_work(3))));
    Ok(())
}

pub(crate) fn s09() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(do_some_work(3))
}

pub(crate) fn s10() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(ensure_future(do_some_work(3)))
}

pub(crate) fn s12() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let futu = ensure_future(do_some_work(3));
    futu.add_done_callback(|_futu| println!("Done"));
    event_loop.run_until_complete(futu)
}

pub(crate) fn s13() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    event_loop.run_until_complete(gather((do_some_work(1), do_some_work(3))))?;
    Ok(())
}

pub(crate) fn s14() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let coros = [do_some_work(1), do_some_work(3)];
    let futu = gather_all(coros);
    futu.add_done_callback(|_futu| println!("Done"));
    event_loop.run_until_complete(futu)?;
    Ok(())
}

pub(crate) fn s17() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let futus = [ensure_future(do_some_work(1)), ensure_future(do_some_work(3))];
    event_loop.run_until_complete(gather_all(futus))?;
    Ok(())
}

pub(crate) fn s19() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let coro = do_some_work_and_say(3);
    event_loop.run_until_complete(coro)
}
