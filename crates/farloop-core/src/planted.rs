//! Bugs that the simulator and the tests must find.

/// Bugs that can be planted: each breaks one law in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Planted {
    /// L4: a report of an older attempt counts.
    StaleReportAccepted,
    /// L6: a cancel request for a running task is counted and not delivered.
    CancelLostWhileLeased,
    /// L10: the outcome of a retried task is told twice.
    ResolveTwice,
    /// L14: the credit of a start that never left is not given back.
    CreditLeak,
    /// L16: a task whose worker crashed is not queued again.
    LostRequeue,
    /// L7: children of an attempt that is over are left alone.
    NoOwnerCascade,
    /// L10: one item is taken for received when a session resumes.
    ResumeSkipsOne,
    /// L22: a task starts when the first of its arguments is there.
    DependencyIgnored,
    /// L6: a request that the body never saw does not change its outcome.
    UnseenCancelIgnored,
    /// L19: children do not inherit their caller's deadline.
    DeadlineNotInherited,
    /// L19: a task starts although the scope that it was called in is over.
    ScopeForgotten,
    /// L2: another body under a known id is taken for the same.
    SecondBodyAccepted,
    /// L6: a cancel request that came before its task is forgotten.
    TombstoneForgotten,
    /// L4: what an older attempt prints is shown.
    StalePrintShown,
    /// L18: what is printed piles up before a client that does not take it.
    PrintsPileUp,
    /// L9: a task that is over is told twice to who asked for each once.
    CompletedTwice,
    /// L15: who begins to watch is not told of the tasks that are there.
    WatchSkipsSnapshot,
    /// L23: a stream whose worker is lost starts again though items of it were told.
    StreamRestarted,
    /// L16: that items were taken is not passed on to the producer.
    CreditForgotten,
    /// L24: what an attempt held stays held when it is over.
    PermitOfTheDeadKept,
    /// L24: a token is given twice.
    TokenReused,
    /// L25: an item on its way to one that is over is lost.
    ItemOfTheDeadLost,
    /// A task under a limit starts although the limit is reached.
    LimitIgnored,
    /// A failed attempt is followed by the next at once, whatever its backoff.
    BackoffIgnored,
    /// The next attempt is not given the details of the last heartbeat.
    DetailsForgotten,
    /// L6: grace does not run before the host has answered.
    GraceAfterAnswer,
    /// L2: a task that was forgotten before its time runs again when it is submitted again.
    ForgottenRunsAgain,
    /// L2: a request is not known again by its name.
    RequestForgotten,
    /// L1: what a peer sent is acknowledged before its record is durable.
    AckedBeforeDurable,
    /// L1: an outcome is told before its record is durable.
    ToldBeforeDurable,
    /// L1: a task is started before the records that it rests on are durable.
    StartedBeforeDurable,
    /// L5: tasks from before a restart are handed out before their workers had time to come back.
    HeldLeasedInWindow,
    /// L5: leases of a new life begin where those of the first one began.
    EpochNotRaised,
    /// L4: an attempt that is on record as failed or lost is adopted when its worker comes back.
    StaleEpochAdopted,
    /// L5: what a worker that comes back says that it holds is not listened to.
    ReturnedAttemptIgnored,
    /// L14: a worker that comes back is taken for one that has started nothing.
    StartsForgotten,
    /// L6: a cancel request that comes once more after a restart counts again.
    CancelCountedTwice,
    /// L6: what is carried forward of a task does not say that it was asked to stop.
    CarryForgetsCancel,
    /// L1: outcomes leave with their part of the journal, whatever their retention.
    CarryForgetsOutcome,
    /// L22: an argument leaves with the record of the task that returned it.
    CarryForgetsArgument,
    /// L5: after a restart a task that may run once at most, and may have run, runs again.
    StartForgotten,
    /// L5: a new life does not know which workers may come back.
    RosterForgotten,
    /// L19: after a restart a task has no deadline.
    DeadlineForgotten,
    /// L17: after a restart a task that was over is not.
    EndForgotten,
    /// L24: tokens begin again in a new life.
    TokensBeginAgain,
    /// L12: a call is sent ahead of an older one that comes back.
    CallOvertakes,
    /// A call that may have run, and may run once at most, runs again.
    CallRunsTwice,
    /// L11: two actors have one name.
    NameGivenTwice,
    /// L11: a named actor is somewhere else before its lost worker must have stopped it.
    LeaseNotWaitedFor,
    /// An actor starts again more often than its policy allows.
    RestartsUncounted,
    /// L1: after a restart an actor has not its snapshot.
    SnapshotForgotten,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 51] = [
        Self::StaleReportAccepted,
        Self::CancelLostWhileLeased,
        Self::ResolveTwice,
        Self::CreditLeak,
        Self::LostRequeue,
        Self::NoOwnerCascade,
        Self::ResumeSkipsOne,
        Self::DependencyIgnored,
        Self::UnseenCancelIgnored,
        Self::DeadlineNotInherited,
        Self::ScopeForgotten,
        Self::SecondBodyAccepted,
        Self::TombstoneForgotten,
        Self::StalePrintShown,
        Self::PrintsPileUp,
        Self::CompletedTwice,
        Self::WatchSkipsSnapshot,
        Self::StreamRestarted,
        Self::CreditForgotten,
        Self::PermitOfTheDeadKept,
        Self::TokenReused,
        Self::ItemOfTheDeadLost,
        Self::LimitIgnored,
        Self::BackoffIgnored,
        Self::DetailsForgotten,
        Self::GraceAfterAnswer,
        Self::ForgottenRunsAgain,
        Self::RequestForgotten,
        Self::AckedBeforeDurable,
        Self::ToldBeforeDurable,
        Self::StartedBeforeDurable,
        Self::HeldLeasedInWindow,
        Self::EpochNotRaised,
        Self::StaleEpochAdopted,
        Self::ReturnedAttemptIgnored,
        Self::StartsForgotten,
        Self::CancelCountedTwice,
        Self::CarryForgetsCancel,
        Self::CarryForgetsOutcome,
        Self::CarryForgetsArgument,
        Self::StartForgotten,
        Self::RosterForgotten,
        Self::DeadlineForgotten,
        Self::EndForgotten,
        Self::TokensBeginAgain,
        Self::CallOvertakes,
        Self::CallRunsTwice,
        Self::NameGivenTwice,
        Self::LeaseNotWaitedFor,
        Self::RestartsUncounted,
        Self::SnapshotForgotten,
    ];
}
