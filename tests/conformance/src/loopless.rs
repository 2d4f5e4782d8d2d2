//! A process without a loop: what calls are told there, and that nothing is lost by it. Prints one JSON object.

use std::sync::atomic::{AtomicUsize, Ordering};

use farloop::prelude::*;
use farloop::{Error, try_ensure_future};
use serde_json::{Value, json};

use crate::bodies::jobs::echo;
use crate::run::reports;

/// Error and the file that it names.
fn place(error: &Error) -> String {
    match error {
        Error::NoRunningLoop(at) => format!("NoRunningLoop({})", at.location().file()),
        other => crate::python::ex(other),
    }
}

fn told<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| place(&error), |_| "it worked".to_owned())
}

/// Which handler hears of a coroutine that is dropped: a custom one, none, a broken one, the custom one again.
fn handlers() -> Vec<usize> {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let custom = || -> Option<farloop::BoxedHandler> {
        Some(Box::new(|_| {
            HEARD.fetch_add(1, Ordering::Relaxed);
        }))
    };
    let broken: Option<farloop::BoxedHandler> = Some(Box::new(|report| panic!("a broken handler of {report:?}")));
    let mut heard = Vec::new();
    for handler in [custom(), None, broken, custom()] {
        farloop::set_exception_handler(handler);
        drop(echo("dropped"));
        heard.push(HEARD.swap(0, Ordering::Relaxed));
    }
    heard
}

/// Runs the calls and prints what they were told.
pub(crate) fn run() {
    reports::collect();
    let task = create_task(echo("never"));
    let text = task.result().err().map(|error| error.to_string());
    let (_promise, future) = create_future::<String>();
    let limited = futures_util::FutureExt::now_or_never(timeout(Duration::from_secs(1), async { Ok(()) }));
    let (given_back, coro) = match try_ensure_future(echo("usable")) {
        Ok(_) => ("it worked".to_owned(), None),
        Err((_, coro)) => (coro.function().to_owned(), Some(coro)),
    };
    let before: Value = json!({
        "current_task": farloop::current_task().is_none(),
        "all_tasks": told(farloop::all_tasks()),
        "create_task": told(task.result()),
        "text": text,
        "create_future": told(future.result()),
        "timeout": limited.map(told),
        "given_back": given_back,
    });
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let after = runtime.block_on(async {
        let Ok(event_loop) = farloop::in_process().loops(1).task::<echo>().start() else { return json!({}) };
        let then_runs = match coro {
            Some(coro) => coro.await.unwrap_or_else(|error| place(&error)),
            None => String::new(),
        };
        event_loop.close().await;
        reports::take();
        let refused = ensure_future(echo("closed"));
        let closed = refused.result().err();
        json!({
            "then_runs": then_runs,
            "closed": closed.as_ref().map(place),
            "closed_text": closed.as_ref().map(ToString::to_string),
            "closed_reports": reports::take(),
        })
    });
    let mut all = before;
    if let (Some(all), Value::Object(after)) = (all.as_object_mut(), after) {
        all.extend(after);
    }
    // Last: it replaces the handler that collects.
    if let Some(all) = all.as_object_mut() {
        all.insert("handlers".to_owned(), json!(handlers()));
    }
    println!("{all}");
}
