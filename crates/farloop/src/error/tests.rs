//! What people and programs read out of an error.

use super::*;

fn failed(kind: FailureKind) -> Recorded {
    let mut recorded = Recorded::new(kind, "demo.fail".into(), "it broke".into());
    recorded.type_name = "std::io::Error".into();
    recorded.causes = vec![(String::new(), "the disk".into()), (String::new(), "the dust".into())];
    recorded.task = Some(TaskId(1));
    recorded.worker = Some(WorkerId(2));
    recorded.attempt = 3;
    recorded
}

#[test]
fn display_is_for_people() {
    let error = Error::from(failed(FailureKind::Raised));
    assert_eq!(
        error.to_string(),
        "demo.fail failed: it broke (std::io::Error, task 00000000-0000-0000-0000-000000000001, \
         worker 00000000-0000-0000-0000-000000000002, attempt 3)"
    );
    assert!(format!("{error:#}").starts_with("demo.fail failed: it broke: the disk: the dust (std::io::Error"));
    assert_eq!(Error::msg("plain").to_string(), "plain");
    assert_eq!(Error::empty_set().to_string(), "Set of Tasks/Futures is empty.");
    assert_eq!(Error::self_await().to_string(), "Task cannot await on itself");
    assert_eq!(Error::from(InvalidState::ResultNotSet).to_string(), "Result is not set.");
    assert_eq!(Error::LoopClosed.to_string(), "Event loop is closed");
    assert_eq!(Error::Cancelled(Cancelled::news(Some("why".into()))).to_string(), "cancelled: why");
    assert!(Error::no_running_loop(Location::caller()).to_string().contains(file!()));
}

#[test]
fn accessors_tell_the_place() {
    let error = Error::from(failed(FailureKind::WorkerLost));
    assert!(matches!(error, Error::WorkerLost(_)));
    assert_eq!(error.function(), Some("demo.fail"));
    assert_eq!((error.task(), error.worker(), error.attempt()), (Some(TaskId(1)), Some(WorkerId(2)), Some(3)));
    let causes: Vec<String> = error.causes().map(ToString::to_string).collect();
    assert_eq!(causes, ["the disk", "the dust"]);
}

#[test]
fn a_failed_dependency_is_the_source() {
    let behind = Arc::new(failed(FailureKind::Raised));
    let mut recorded = failed(FailureKind::DependencyFailed(Box::new((TaskId(9), behind))));
    recorded.causes.clear();
    let error = Error::from(recorded);
    assert_eq!(error.failure().and_then(Failure::dependency), Some(TaskId(9)));
    assert!(error.source().unwrap().to_string().starts_with("demo.fail failed: it broke"));
    assert_eq!(error.causes().count(), 3);
}

#[test]
fn outcomes_become_errors_and_back() {
    assert!(Error::from_outcome(&Outcome::Returned(bytes::Bytes::new())).is_none());
    let cancelled = Outcome::Cancelled(Arc::new(Cancellation { message: Some("m".into()), abandoned: true }));
    let error = Error::from_outcome(&cancelled).unwrap();
    assert!(matches!(&error, Error::Cancelled(c) if !c.is_mine() && c.abandoned() && c.message() == Some("m")));
    assert_eq!(error.to_outcome(), cancelled);
    for kind in [
        FailureKind::Raised,
        FailureKind::TimedOut,
        FailureKind::WorkerLost,
        FailureKind::ResourceExhausted,
        FailureKind::Stale,
        FailureKind::NotFound,
    ] {
        let outcome = Outcome::Raised(Arc::new(failed(kind)));
        assert_eq!(Error::from_outcome(&outcome).unwrap().to_outcome(), outcome);
    }
}

#[test]
fn a_declared_error_comes_back_by_its_name() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Full(u32);
    impl fmt::Display for Full {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("full")
        }
    }
    impl StdError for Full {}
    let sent = Error::typed(Full(3)).to_outcome();
    let error = Error::from_outcome(&sent).unwrap();
    assert_eq!(error.downcast::<Full>(), Some(Full(3)));
    assert_eq!(error.downcast::<u32>(), None, "the names differ");
    assert_eq!(Error::new(Full(3)).downcast::<Full>(), None, "only typed errors cross");
    assert_eq!(Error::new(Full(3)).permanent().failure().unwrap().downcast_ref::<Full>(), Some(&Full(3)));
    let misuse = Error::from_outcome(&Error::empty_set().to_outcome()).unwrap();
    assert_eq!(misuse.downcast::<Misuse>(), Some(Misuse::EmptySet));
}

#[test]
fn recover_never_sees_ones_own_cancel() {
    let mine = Error::Cancelled(Cancelled::delivered(None, Arc::default()));
    let result = Err::<i64, _>(mine).recover(|_| Ok(1));
    assert!(matches!(result, Err(Error::Cancelled(c)) if c.is_mine()));
    let news = Error::Cancelled(Cancelled::news(None));
    assert_eq!(Err(news).recover(|_| Ok(1)).unwrap(), 1);
    assert_eq!(Err(Error::msg("x")).recover(|_| Ok(2)).unwrap(), 2);
}

#[test]
fn an_error_of_ours_in_a_box_stays_what_it_is() {
    let boxed: BoxError = Error::LoopClosed.into();
    assert!(matches!(Error::from(boxed), Error::LoopClosed));
}

#[test]
fn errors_are_small_and_go_everywhere() {
    fn everywhere<T: Send + Sync + Clone + 'static>() {}
    everywhere::<Error>();
    assert!(size_of::<Error>() <= 72, "{}", size_of::<Error>());
}
