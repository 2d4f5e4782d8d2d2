//! IN: current_task, all_tasks, context (rows 320-328).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Poll};

use farloop::context::Context;
use farloop::prelude::*;
use farloop::{all_tasks, current_task};

use crate::backend;
use crate::bodies::inside::{V, empty_and_own, hands_down, sees_and_sets, stays_itself, v, who};
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::truth;
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_320_the_current_task_is_the_one_that_runs;
    covered row_321_it_stays_correct_when_tasks_interleave;
    deviates row_322_callbacks_have_no_current_task "without a loop there is no task either, and current_task() says so instead of failing; all_tasks() does fail";
    covered row_323_all_tasks_are_those_that_are_not_done;
    covered row_324_all_tasks_is_a_snapshot;
    deviates row_325_other_peoples_tasks "there is nothing to register with: what is to be listed is given to ensure_future(local(..)), whatever future it is";
    deviates row_326_a_task_is_left_however_it_ends "nobody but farloop enters and leaves tasks, so it can't be done wrongly: the outer task is current again after an inner poll, a panic included";
    covered row_327_a_task_has_a_copy_of_its_creators_context;
    deviates row_328_awaited_coroutines_and_explicit_contexts "a remote coroutine that is awaited directly cannot change its caller's context, which is elsewhere; a local one does";
};

fn me() -> String {
    current_task().map(|task| task.id().to_string()).unwrap_or_default()
}

/// AT1, line by line.
async fn at1(run: &Run) -> Check {
    let only_main = all_tasks()?.len();
    // The probe has its main task alone.
    let count = || -> farloop::Result<usize> { Ok(all_tasks()?.len() + 1 - only_main) };
    let listed = |task: &Task<()>| -> farloop::Result<bool> { Ok(all_tasks()?.iter().any(|t| t.id == task.id())) };
    let child = create_task(who(run.journal.clone()).name("C"));
    let mut names: Vec<bool> = all_tasks()?.iter().map(|task| task.name == "C").collect();
    names.sort_unstable();
    let names: Vec<&str> = names.into_iter().skip(only_main - 1).map(truth).collect();
    run.log(format!("all [{}]", names.join(", ")));
    let during = count()?;
    let (id, ids) = (child.id().to_string(), child.clone().await?);
    run.log(format!("child current {}", truth(ids[0] == id)));
    run.log(format!("nested same {}", truth(ids[1] == id)));
    run.log(during.to_string());
    let still = all_tasks()?.iter().any(|task| task.id == child.id());
    run.log(format!("{} {}", count()?, truth(still)));
    let cancelled = create_task(crate::bodies::jobs::nothing(run.journal.clone(), 9.0));
    cancelled.cancel(());
    run.log(format!("cancel-requested still listed {}", truth(listed(&cancelled)?)));
    holds(cancelled.clone().await.is_err_and(|error| error.is_cancelled()), "it ends cancelled")?;
    run.log(format!("after {}", truth(listed(&cancelled)?)));
    let both = gather((run.nap(1.0, "a"), run.nap(1.0, "b")));
    run.log(format!("gather children listed, gather itself not {}", count()?));
    both.await?;
    let (_promise, _future) = create_future::<i64>();
    run.log(format!("future not listed {}", count()?));
    same(run.texts(), oracle("AT1").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
}

async fn row_320_the_current_task_is_the_one_that_runs(run: Run) -> Check {
    at1(&run).await?;
    let ids = ensure_future(farloop::local(async { Ok((me(), farloop::local(async { Ok(me()) }).await?)) }));
    let id = ids.id().to_string();
    same(ids.await?, (id.clone(), id))
}

async fn row_321_it_stays_correct_when_tasks_interleave(_run: Run) -> Check {
    let here = || {
        ensure_future(farloop::local(async {
            let id = me();
            let mut same = !id.is_empty();
            for _ in 0..5 {
                farloop::yield_now().await?;
                same &= me() == id;
            }
            Ok(same)
        }))
    };
    same(gather_all([here(), here(), here()]).await?, [true; 3])?;
    same(gather_all((0..6).map(|_| stays_itself(5))).await?, [true; 6])
}

async fn row_322_callbacks_have_no_current_task(run: Run) -> Check {
    let task = create_task(run.nap(0.1, "v"));
    let inside = run.clone();
    task.add_done_callback(move |_| {
        inside.log(format!("in cb current_task {}", if current_task().is_none() { "None" } else { "a task" }));
    });
    task.await?;
    run.sleep(0.1).await?;
    same(run.texts(), oracle("CB7").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())?;
    let told = backend::without_loop()?;
    same(told["current_task"].as_bool(), Some(true))?;
    same(told["all_tasks"].as_str(), Some("NoRunningLoop(tests/conformance/src/loopless.rs)"))
}

async fn row_323_all_tasks_are_those_that_are_not_done(run: Run) -> Check {
    at1(&run).await
}

async fn row_324_all_tasks_is_a_snapshot(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    let mut all = all_tasks()?;
    let listed = all.len();
    all.clear();
    same(all_tasks()?.len(), listed)?;
    same(task.await?, "v")
}

/// A future of somebody else's.
struct Theirs(u32);

impl Future for Theirs {
    type Output = farloop::Result<String>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Waking<'_>) -> Poll<Self::Output> {
        self.0 -= 1;
        if self.0 == 0 {
            return Poll::Ready(Ok(me()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn row_325_other_peoples_tasks(_run: Run) -> Check {
    let task = ensure_future(farloop::local(Theirs(3)));
    holds(all_tasks()?.iter().any(|t| t.id == task.id()), "a future of somebody else's is a task, and listed")?;
    same(task.clone().await?, task.id().to_string())?;
    holds(all_tasks()?.iter().all(|t| t.id != task.id()), "until it is done")
}

async fn row_326_a_task_is_left_however_it_ends(_run: Run) -> Check {
    let before = me();
    // Polled by hand inside of this task: it is part of it.
    same(futures_util::FutureExt::now_or_never(async { me() }), Some(before.clone()))?;
    let panics = ensure_future(farloop::local(async {
        if current_task().is_some() {
            panic!("on purpose");
        }
        Ok(())
    }));
    holds(panics.await.is_err(), "a panic is that task's failure")?;
    holds(!before.is_empty(), "the scenario is a task")?;
    same(me(), before)
}

async fn row_327_a_task_has_a_copy_of_its_creators_context(run: Run) -> Check {
    V.set("main".to_owned())?;
    let task = create_task(sees_and_sets(run.journal.clone()));
    V.set("main2".to_owned())?;
    same(task.await?, "child")?;
    run.log(format!("main still {}", v()?));
    let probe = oracle("AT2").edited(|line| (!line.starts_with("after")).then(|| line.to_owned()));
    same(run.texts(), probe.log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())?;
    // On to the grandchild, and not back.
    same(hands_down(run.journal.clone(), "handed down").await?, ("main2", "handed down"))?;
    same(run.texts().last().map(String::as_str), Some("child sees handed down"))?;
    // A callback has the context of its registration (row 77).
    let seen = Arc::new(Mutex::new(String::new()));
    let (task, inside) = (create_task(run.nap(0.1, "v")), seen.clone());
    task.add_done_callback(move |_| {
        if let (Ok(mut seen), Ok(value)) = (inside.lock(), v()) {
            *seen = value;
        }
    });
    V.set("main3".to_owned())?;
    task.await?;
    run.sleep(0.1).await?;
    same(seen.lock().map(|seen| seen.clone()).unwrap_or_default(), "main2")
}

async fn row_328_awaited_coroutines_and_explicit_contexts(run: Run) -> Check {
    V.set("main2".to_owned())?;
    same(sees_and_sets(run.journal.clone()).await?, "child")?;
    same(v()?, "main2")?;
    farloop::local(async {
        V.set("direct".to_owned())?;
        Ok(())
    })
    .await?;
    let line = format!("after direct await {}", v()?);
    same(Some(line), oracle("AT2").log.last().map(|line| line.text.clone()))?;
    let mut explicit = Context::new();
    explicit.run(|| V.set("explicit".to_owned()))?;
    same(empty_and_own().context(explicit.clone()).await?, ("d", "explicit"))?;
    let local = farloop::local(async { v() }).context(explicit.clone());
    same(ensure_future(local).await?, "explicit")?;
    same((v()?, explicit.get(&V)?), ("direct", Some("explicit".to_owned())))
}
