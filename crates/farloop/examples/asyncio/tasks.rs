//! Tasks: how they look, their results, several at once, nested, and Ctrl-C.

use std::time::Instant;

use farloop::prelude::*;
use farloop::{Error, all_tasks};

use crate::work::{just_print, one_of_several, print_and_return, second, wait_and_return};
use crate::{get_event_loop, python};

/// `print("Time:", now() - start)`, in seconds of the tutorial.
fn print_time(start: Instant) {
    println!("Time: {}", start.elapsed().as_secs_f64() / second().as_secs_f64());
}

pub(crate) fn s31() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let coroutine = just_print(2);
    println!("{coroutine:?}");
    event_loop.run_until_complete(coroutine)?;
    print_time(start);
    Ok(())
}

pub(crate) fn s32() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let coroutine = just_print(2);
    let task = event_loop.create_task(coroutine);
    println!("{task:?}");
    event_loop.run_until_complete(task.clone())?;
    println!("{task:?}");
    print_time(start);
    Ok(())
}

pub(crate) fn s34() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let task = ensure_future(print_and_return(2));
    println!("{task:?}");
    let id = task.id();
    task.add_done_callback(move |future| {
        let result = future.result().unwrap_or_default();
        println!("callback: {result} {}", python(future.id() == id));
    });
    println!("{task:?}");
    event_loop.run_until_complete(task)?;
    print_time(start);
    Ok(())
}

pub(crate) fn s35() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let task = ensure_future(wait_and_return(2));
    event_loop.run_until_complete(task.clone())?;
    println!("Task ret: {}", task.result()?);
    print_time(start);
    Ok(())
}

pub(crate) fn s36() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let tasks = [1, 2, 4].map(|i| ensure_future(one_of_several(i)));
    event_loop.run_until_complete(wait(tasks.clone()))?;
    for task in &tasks {
        println!("Task ret: {}", task.result()?);
    }
    print_time(start);
    Ok(())
}

fn three_tasks() -> [Task<String>; 3] {
    [1, 2, 4].map(|i| ensure_future(wait_and_return(i)))
}

pub(crate) fn s39() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    event_loop.run_until_complete(async {
        let waited = wait(three_tasks()).await?;
        for task in &waited.done {
            println!("Task ret: {}", task.result()?);
        }
        println!("pending {}", waited.pending.len());
        Ok(())
    })?;
    print_time(start);
    Ok(())
}

pub(crate) fn s40() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    event_loop.run_until_complete(async {
        for result in gather_all(three_tasks()).await? {
            println!("Task ret: {result}");
        }
        Ok(())
    })?;
    print_time(start);
    Ok(())
}

pub(crate) fn s41() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let results = event_loop.run_until_complete(async { gather_all(three_tasks()).await })?;
    for result in results {
        println!("Task ret: {result}");
    }
    print_time(start);
    Ok(())
}

pub(crate) fn s42() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let waited = event_loop.run_until_complete(async { wait(three_tasks()).await })?;
    for task in &waited.done {
        println!("Task ret: {}", task.result()?);
    }
    print_time(start);
    Ok(())
}

pub(crate) fn s43() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    event_loop.run_until_complete(async {
        let mut done = as_completed(three_tasks());
        while let Some(completed) = done.next().await {
            println!("Task ret: {}", completed?.result?);
        }
        Ok(())
    })?;
    print_time(start);
    Ok(())
}

pub(crate) fn s45() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let tasks = [1, 2, 2].map(|i| ensure_future(one_of_several(i)));
    let start = Instant::now();
    match event_loop.run_until_complete(wait(tasks)) {
        Err(Error::Interrupted) => {
            println!("{:?}", all_tasks()?);
            for task in all_tasks()? {
                println!("{}", python(task.cancel(())));
            }
            event_loop.stop();
            event_loop.run_forever()?;
        }
        other => drop(other?),
    }
    event_loop.close()?;
    print_time(start);
    Ok(())
}

pub(crate) fn s46() -> farloop::Result<()> {
    let event_loop = get_event_loop()?;
    let start = Instant::now();
    let task = ensure_future(farloop::local(async {
        let waited = wait([1, 2, 2].map(|i| ensure_future(one_of_several(i)))).await?;
        for task in &waited.done {
            println!("Task ret: {}", task.result()?);
        }
        Ok(())
    }));
    match event_loop.run_until_complete(task.clone()) {
        Err(Error::Interrupted) => {
            let all = all_tasks()?;
            println!("{}", all.len());
            // asyncio.gather(*all_tasks()).cancel(): a request for each of them.
            let requested = all.iter().filter(|task| task.cancel(())).count();
            println!("{}", python(requested == all.len()));
            event_loop.stop();
            event_loop.run_forever()?;
        }
        other => other?,
    }
    event_loop.close()?;
    print!("main cancelled: {} ", python(task.cancelled()));
    print_time(start);
    Ok(())
}
