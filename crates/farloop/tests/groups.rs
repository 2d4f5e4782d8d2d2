//! Task groups on virtual time: asyncio rows 193-220 where the group is in a body on a worker, and what a Rust body
//! adds (foreign awaits, drops, values).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use farloop::error::Misuse;
use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Error, current_task, sleep};

const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn see(what: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| seen.push(what.into()));
}

fn seen() -> Vec<String> {
    SEEN.take()
}

#[farloop::task]
async fn works(name: String, seconds: u32, fails: bool) -> farloop::Result<String> {
    see(format!("start {name}"));
    if let Err(error) = sleep(seconds * SECOND).await {
        see(format!("cancelled {name}"));
        return Err(error);
    }
    see(format!("end {name}"));
    if fails { Err(Error::msg(name)) } else { Ok(name) }
}

fn good(name: &str, seconds: u32) -> Coro<String> {
    works(name.to_owned(), seconds, false)
}

fn bad(name: &str, seconds: u32) -> Coro<String> {
    works(name.to_owned(), seconds, true)
}

/// The texts of the failures in a group, groups inside in brackets.
fn texts(error: &Error) -> Vec<String> {
    let Error::Group(group) = error else { return vec![format!("no group: {error:?}")] };
    let text = |error: &Error| match error {
        Error::Group(_) => format!("[{}]", texts(error).join(" ")),
        other => other.failure().map_or_else(|| other.to_string(), |failure| failure.message().to_owned()),
    };
    group.errors().iter().map(text).collect()
}

/// Two members and a body that awaits; what the task awaits next; says how the group ended.
#[farloop::task]
async fn group_in_an_attempt(fails: bool) -> farloop::Result<(Vec<String>, u32)> {
    let end = TaskGroup::scope(async |group| {
        let a = group.create_task(works("a".to_owned(), 1, fails));
        let b = group.create_task(good("b", 3));
        sleep(2 * SECOND).await?;
        Ok((a, b))
    })
    .await;
    sleep(SECOND).await?;
    let counted = current_task().map_or(99, |me| me.cancelling());
    match end {
        Ok((a, b)) => Ok((vec![a.result()?, b.result()?], counted)),
        Err(error) => Ok((texts(&error), counted)),
    }
}

#[test]
fn a_group_in_an_attempt_waits_for_its_members_or_stops_them_all() {
    Cluster::new().workers(2).slots(1).run(async || {
        let start = tokio::time::Instant::now();
        let values = group_in_an_attempt(false).await.unwrap();
        assert_eq!(values, (vec!["a".to_owned(), "b".to_owned()], 0));
        assert_eq!(start.elapsed().as_secs(), 4);
        seen();
        let task = create_task(group_in_an_attempt(true));
        let failed = task.clone().await.unwrap();
        // b was still waiting for one of the two slots or ran: it ended cancelled either way.
        assert_eq!((failed, task.cancelling()), ((vec!["a".to_owned()], 0), 0));
        assert!(!seen().contains(&"end b".to_owned()));
    });
}

#[farloop::task]
async fn raises_a_group() -> farloop::Result<()> {
    TaskGroup::scope(async |outer| {
        drop(outer.create_task(good("o", 9)));
        TaskGroup::scope(async |inner| {
            drop(inner.create_task(bad("i", 1)));
            drop(inner.create_task(bad("j", 1)));
            Ok(())
        })
        .await
    })
    .await
}

#[test]
fn a_group_of_failures_keeps_its_shape_on_the_way_to_the_awaiter() {
    Cluster::new().workers(2).run(async || {
        let error = raises_a_group().await.unwrap_err();
        let text = "farloop.raises_a_group failed: unhandled errors in a TaskGroup (1 sub-exception)";
        assert!(error.to_string().starts_with(text), "{error}");
        let mut leaves = texts(&error);
        if leaves == ["[j i]"] {
            leaves = vec!["[i j]".to_owned()];
        }
        assert_eq!(leaves, ["[i j]"]);
        let Error::Group(group) = &error else { panic!("{error:?}") };
        // Each tells where it happened.
        assert!(group.leaves().iter().all(|leaf| leaf.task().is_some() && leaf.function() == Some("farloop.works")));
    });
}

/// Handles the failures of a group that was also cancelled from outside.
#[farloop::task]
async fn handles_and_goes_on(awaits_again: bool) -> farloop::Result<String> {
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(fails_when_cancelled()));
        Ok(())
    })
    .await;
    let failures = end.err().map(|error| texts(&error)).unwrap_or_default();
    see(format!("{failures:?} {}", current_task().map_or(99, |me| me.cancelling())));
    if awaits_again {
        let again = sleep(SECOND).await;
        see(format!("{:?}", again.as_ref().err().map(Error::is_cancelled)));
        again?;
    }
    Ok("went on".to_owned())
}

#[farloop::task]
async fn fails_when_cancelled() -> farloop::Result<()> {
    sleep(9 * SECOND).await.map_err(|_| Error::msg("on cancel"))
}

#[test]
fn failures_go_first_and_the_next_await_raises_the_cancel_from_outside() {
    Cluster::new().workers(2).run(async || {
        for (again, expected) in [(true, vec!["[\"on cancel\"] 1", "Some(true)"]), (false, vec!["[\"on cancel\"] 1"])] {
            let task = create_task(handles_and_goes_on(again));
            sleep(SECOND).await.unwrap();
            task.cancel("why");
            // Also if the body returns before any await: an accepted cancel is not lost.
            assert!(task.clone().await.unwrap_err().is_cancelled());
            assert_eq!(
                (task.cancelled(), task.cancelling(), seen()),
                (true, 1, expected.iter().map(|s| (*s).to_owned()).collect())
            );
        }
    });
}

#[farloop::task]
async fn holds_a_group() -> farloop::Result<()> {
    TaskGroup::scope(async |group| {
        drop(group.create_task(good("a", 50)));
        drop(group.create_task(good("b", 50)));
        Ok(())
    })
    .await
}

#[test]
fn a_cancelled_task_takes_the_members_of_its_group_along() {
    Cluster::new().workers(2).run(async || {
        let task = create_task(holds_a_group());
        sleep(SECOND).await.unwrap();
        task.cancel("stop");
        let Err(Error::Cancelled(cancelled)) = task.clone().await else { panic!("{task:?}") };
        assert_eq!((cancelled.message(), task.cancelling()), (Some("stop"), 1));
        let mut seen = seen();
        seen.sort();
        assert_eq!(seen, ["cancelled a", "cancelled b", "start a", "start b"]);
    });
}

#[farloop::task]
async fn never_ends_its_grace() -> farloop::Result<()> {
    TaskGroup::scope(async |group| {
        drop(group.create_task(good("orphan", 50)));
        while sleep(100 * SECOND).await.is_err() {}
        Ok(())
    })
    .await
}

#[test]
fn the_members_of_a_group_go_with_an_attempt_that_is_given_up() {
    Cluster::new().workers(2).run(async || {
        let task = create_task(never_ends_its_grace().cancel_grace(2 * SECOND));
        sleep(SECOND).await.unwrap();
        task.cancel(());
        let Err(Error::Cancelled(cancelled)) = task.await else { panic!("the grace is over") };
        assert!(cancelled.abandoned());
        sleep(SECOND).await.unwrap();
        assert_eq!(seen(), ["start orphan", "cancelled orphan"]);
    });
}

#[test]
fn a_group_that_is_dropped_cancels_its_members() {
    Cluster::new().run(async || {
        let handle = Rc::new(RefCell::new(None));
        let end = tokio::time::timeout(
            SECOND,
            TaskGroup::scope(async |group| {
                handle.replace(Some(group.create_task(good("a", 50))));
                sleep(100 * SECOND).await
            }),
        );
        assert!(end.await.is_err());
        let task = handle.take().unwrap();
        assert!(task.clone().await.unwrap_err().is_cancelled());
        assert_eq!(seen(), ["start a", "cancelled a"]);
    });
}

#[test]
fn members_add_members_and_a_closed_group_takes_none() {
    Cluster::new().run(async || {
        let kept = Rc::new(RefCell::new(None));
        let theirs = kept.clone();
        TaskGroup::scope(async |group| {
            let member = group.clone();
            drop(group.create_task(farloop::local(async move {
                sleep(SECOND).await?;
                drop(member.create_task(good("late", 2)));
                theirs.replace(Some(member));
                Ok(())
            })));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(seen(), ["start late", "end late"]);
        let group = kept.take().unwrap();
        let refused = group.create_task(good("never", 1)).result().unwrap_err();
        assert!(matches!(refused, Error::Misuse(Misuse::GroupFinished { .. })), "{refused:?}");
        assert_eq!(refused.to_string(), "TaskGroup <TaskGroup entered> is finished");
        assert!(seen().is_empty());
    });
}

#[test]
fn names_are_given_per_member() {
    Cluster::new().run(async || {
        let (a, b) = TaskGroup::scope(async |group| {
            Ok((
                group.create_task(good("a", 0).name("first")),
                group.create_task(farloop::local(async { Ok(1) }).name("second")),
            ))
        })
        .await
        .unwrap();
        assert_eq!((a.name(), b.name()), ("first".to_owned(), "second".to_owned()));
    });
}

#[test]
fn cancel_stops_all_and_is_no_error() {
    Cluster::new().run(async || {
        // From the body, which has its value.
        let value = TaskGroup::scope(async |group| {
            drop(group.create_task(good("a", 50)));
            sleep(SECOND).await?;
            group.cancel();
            group.cancel();
            Ok(7)
        });
        assert_eq!(value.await.unwrap(), 7);
        // From a member, while the body awaits: a body without a value has one all the same.
        let stops = async |group: TaskGroup| {
            let member = group.clone();
            drop(group.create_task(farloop::local(async move {
                sleep(SECOND).await?;
                member.cancel();
                // It was asked to stop itself, too.
                sleep(SECOND).await
            })));
            sleep(100 * SECOND).await
        };
        TaskGroup::scope(stops).await.unwrap();
        assert_eq!(TaskGroup::scope_until_cancelled(stops).await.unwrap(), None);
        let none = TaskGroup::scope(async |group| stops(group).await.map(|()| 7)).await.unwrap_err();
        assert!(matches!(none, Error::Misuse(Misuse::GroupCancelled)), "{none:?}");
        // The task itself is not cancelled by it.
        assert_eq!(current_task().unwrap().cancelling(), 0);
        sleep(SECOND).await.unwrap();
    });
}

#[test]
fn a_body_that_waits_for_something_foreign_is_dropped_when_a_member_fails() {
    Cluster::new().run(async || {
        let start = tokio::time::Instant::now();
        let end = TaskGroup::scope(async |group| {
            drop(group.create_task(bad("a", 1)));
            tokio::time::sleep(100 * SECOND).await;
            Ok(())
        });
        assert_eq!(texts(&end.await.unwrap_err()), ["a"]);
        assert_eq!(start.elapsed().as_secs(), 1);
    });
}

#[test]
fn a_panicking_member_and_a_refused_one_are_failures_like_any_other() {
    #[farloop::task]
    async fn panics() {
        panic!("ouch");
    }
    Cluster::new().run(async || {
        let end = TaskGroup::scope(async |group| {
            drop(group.create_task(panics()));
            Ok(())
        });
        assert_eq!(texts(&end.await.unwrap_err()), ["ouch"]);
    });
}

#[test]
fn a_timeout_in_a_member_is_that_members_failure_and_one_around_the_group_stops_it() {
    Cluster::new().workers(2).run(async || {
        let inside = TaskGroup::scope(async |group| {
            drop(group.create_task(farloop::local(timeout(SECOND, async { good("a", 50).await.map(drop) }))));
            sleep(100 * SECOND).await
        });
        let Err(Error::Group(group)) = inside.await else { panic!("a group fails as one") };
        assert!(matches!(group.errors(), [Error::TimedOut(_)]));
        let members = Cell::new(0);
        let around = timeout(SECOND, async {
            TaskGroup::scope(async |group| {
                for n in 0..10 {
                    drop(group.create_task(good(&format!("m{n}"), 50)));
                }
                members.set(10);
                Ok(())
            })
            .await
        });
        assert!(matches!(around.await, Err(Error::TimedOut(_))));
        assert_eq!(seen().iter().filter(|line| line.starts_with("cancelled m")).count(), 10);
    });
}

#[test]
fn outside_of_a_task_there_is_nobody_to_cancel() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let nowhere = TaskGroup::scope(async |_| Ok(())).await.unwrap_err();
        let event_loop = farloop::in_process().start().unwrap();
        let no_task = TaskGroup::scope(async |_| Ok(())).await.unwrap_err();
        event_loop.close().await;
        assert!(matches!(nowhere, Error::NoRunningLoop(at) if at.location().file().ends_with("groups.rs")));
        assert!(matches!(&no_task, Error::Misuse(Misuse::NoCurrentTask { what }) if what == "TaskGroup"));
    });
}
