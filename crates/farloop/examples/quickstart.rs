//! The README's first program: a cluster in this process, and asyncio's verbs on it.

use farloop::prelude::*;

#[farloop::task] // async def
async fn do_some_work(x: f64) -> farloop::Result<String> {
    println!("Waiting {x}");
    farloop::sleep(Duration::from_secs_f64(x)).await?;
    Ok(format!("Done after {x}s"))
}

#[farloop::task]
async fn fan_out(xs: Vec<f64>) -> farloop::Result<usize> {
    // A task calls tasks, and gives its slot back while it awaits them.
    let done = gather_all(xs.into_iter().map(do_some_work)).await?;
    Ok(done.len())
}

#[farloop::main] // FARLOOP_ADDRESS set: that cluster. Unset: one in this process
async fn main() -> farloop::Result<()> {
    let coro = do_some_work(0.02); // a coroutine object: nothing has run
    let task = ensure_future(coro); // scheduled; returns at once
    task.add_done_callback(|t| println!("callback: {:?}", t.result()));
    let (a, b) = gather((task, do_some_work(0.01))).await?;
    println!("gather: {a}, {b}");

    let tasks = [0.01, 0.2].map(|x| ensure_future(do_some_work(x)));
    let Done { done, pending } = wait(tasks).return_when(ReturnWhen::FirstCompleted).await?;
    println!("wait: {} done, {} pending", done.len(), pending.len());
    for task in pending {
        task.cancel("not needed");
    }

    let mut next = as_completed([0.06, 0.04, 0.02].map(do_some_work));
    while let Some(completed) = next.next().await {
        println!("as_completed: {}", completed?.result?);
    }

    let nested = gather((fan_out(vec![0.01, 0.01]), gather((do_some_work(0.01), do_some_work(0.02))))).await?;
    println!("nested: {nested:?}");

    match wait_for(fan_out(vec![60.0, 60.0]), Duration::from_millis(50)).await {
        Err(error) => println!("wait_for: {error}"), // the limit has cancelled the whole tree below
        Ok(n) => println!("wait_for: {n} in time"),
    }
    Ok(())
}
