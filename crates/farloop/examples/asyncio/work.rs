//! What the tutorial's coroutines do: bodies, which run on workers.

use farloop::prelude::*;

/// A second of the tutorial.
pub(crate) fn second() -> Duration {
    let ms = std::env::var("EXAMPLE_SECOND_MS").ok().and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(1_000))
}

/// `asyncio.sleep(x)`
pub(crate) async fn sleep(x: u32) -> farloop::Result<()> {
    farloop::sleep(second() * x).await
}

#[farloop::task(name = "tutorial.do_some_work")]
pub(crate) async fn do_some_work(x: u32) -> farloop::Result<()> {
    println!("Waiting {x}");
    sleep(x).await
}

/// The one that says when it is done.
#[farloop::task(name = "tutorial.do_some_work_and_say")]
pub(crate) async fn do_some_work_and_say(x: u32) -> farloop::Result<()> {
    println!("Waiting {x}");
    sleep(x).await?;
    println!("Done");
    Ok(())
}

/// The one of the second part: it does not wait yet.
#[farloop::task(name = "tutorial.just_print.do_some_work")]
pub(crate) async fn just_print(x: u32) {
    println!("waiting: {x}");
}

/// It returns something.
#[farloop::task(name = "tutorial.print_and_return.do_some_work")]
pub(crate) async fn print_and_return(x: u32) -> String {
    println!("waiting: {x}");
    format!("Done after {x}s")
}

/// It hands control back, and returns something.
#[farloop::task(name = "tutorial.wait_and_return.do_some_work")]
pub(crate) async fn wait_and_return(x: u32) -> farloop::Result<String> {
    println!("waiting: {x}");
    sleep(x).await?;
    Ok(format!("Done after {x}s"))
}

/// The same with a capital.
#[farloop::task(name = "tutorial.several.do_some_work")]
pub(crate) async fn one_of_several(x: u32) -> farloop::Result<String> {
    println!("Waiting: {x}");
    sleep(x).await?;
    Ok(format!("Done after {x}s"))
}

/// The one for another thread's loop.
#[farloop::task(name = "tutorial.elsewhere.do_some_work")]
pub(crate) async fn do_it_elsewhere(x: u32) -> farloop::Result<()> {
    println!("Waiting {x}");
    sleep(x).await?;
    println!("Done after {x}s");
    Ok(())
}

/// A worker with all of them.
pub(crate) fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<do_some_work>()
        .task::<do_some_work_and_say>()
        .task::<just_print>()
        .task::<print_and_return>()
        .task::<wait_and_return>()
        .task::<one_of_several>()
        .task::<do_it_elsewhere>()
}
