//! What a task group starts: coroutines. What runs already has another owner.

use farloop_core::frame::Owner;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Under;
use crate::coro::Coro;
use crate::local::LocalCoro;
use crate::task::{Task, schedule_under};

/// What [`TaskGroup::create_task`](crate::TaskGroup::create_task) takes: a coroutine, remote or local.
#[diagnostic::on_unimplemented(
    message = "a task group starts coroutines, and `{Self}` is none",
    label = "expected a coroutine that has not started",
    note = "an actor goes in with `group.spawn(..)`",
    note = "a local async block goes through `farloop::local(async move {{ … }})`; a task that runs already has an owner"
)]
pub trait GroupMember: Sized {
    /// What it returns.
    type Out;
    #[doc(hidden)]
    fn start(self, under: Under) -> Task<Self::Out>;
    /// Gives up what was never started, quietly (asyncio row 212).
    #[doc(hidden)]
    fn give_up(self);
}

impl<T: DeserializeOwned> GroupMember for Coro<T> {
    type Out = T;
    #[track_caller]
    fn start(self, under: Under) -> Task<T> {
        // Owned by the await that the group is: if its attempt is lost, the coordinator cancels the members.
        schedule_under(self, Owner::Await, &under)
    }
    fn give_up(self) {
        self.close();
    }
}

impl<T: Serialize + DeserializeOwned + 'static> GroupMember for LocalCoro<T> {
    type Out = T;
    #[track_caller]
    fn start(self, under: Under) -> Task<T> {
        self.start_under(under)
    }
    fn give_up(self) {
        self.close();
    }
}
