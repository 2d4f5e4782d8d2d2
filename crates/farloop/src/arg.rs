//! What may stand for an argument: a value, or the task or gather that will have it.

use bytes::Bytes;
use farloop_core::id::TaskId;
use farloop_core::spec::Dependency;
use serde::Serialize;

use crate::codec;
use crate::error::Error;

/// May stand for an argument of type `T` in a call: a `T`; a task that returns one (`add(&task, 10)`), by
/// reference or by value; for a list, a gather handle. A `&str` may stand for a `String`.
///
/// A task that stands for an argument is a dependency: the call starts once it has returned, and the value goes to
/// the worker without passing through the caller. If it fails, the call fails with
/// [`Error::DependencyFailed`]; if it is cancelled, so is the call.
///
/// Literals and most expressions infer as usual; `parse()`, `collect()` and `into()` need their type named here,
/// because several types may stand for one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for an argument of type `{T}`",
    label = "expected `{T}`, or a task that returns `{T}`",
    note = "an argument is given as a value of its own type, as a `&Task` that returns it, or, for a list, as a gather handle",
    note = "where the type is not known yet (`parse()`, `into()`, `collect()`), name it: `x.parse::<i64>()`"
)]
pub trait IntoArg<T> {
    /// What it stands for.
    fn into_arg(self) -> Arg<T>;
}

/// An argument of a call, before it is encoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Arg<T> {
    /// The value itself.
    Value(T),
    /// The result of a task.
    Task(DependencyRef),
    /// The results of several, as a list, in order.
    List(Vec<DependencyRef>),
    /// A handle that stands for nothing: its task could not be scheduled. The call fails in the same way.
    Failed(Error),
}

/// A task that an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyRef {
    /// The task.
    pub task: TaskId,
    /// The session whose loops know it: a call can only go where its arguments are known.
    pub(crate) session: u128,
}

impl DependencyRef {
    pub(crate) fn new(task: TaskId, session: u128) -> Self {
        Self { task, session }
    }
}

/// A handle that may stand for an argument of any type: the type is checked by [`IntoArg`] for typed calls, and on
/// the worker for untyped ones.
pub(crate) trait ArgHandle {
    fn as_arg<T>(&self) -> Arg<T>;
}

impl<T> IntoArg<T> for T {
    fn into_arg(self) -> Arg<T> {
        Arg::Value(self)
    }
}

impl IntoArg<String> for &str {
    fn into_arg(self) -> Arg<String> {
        Arg::Value(self.to_owned())
    }
}

impl IntoArg<String> for &String {
    fn into_arg(self) -> Arg<String> {
        Arg::Value(self.clone())
    }
}

/// Builds the array of arguments, and notes which of them are tasks.
#[derive(Debug, Default)]
pub(crate) struct ArgEncoder {
    /// The elements, without the array's header: the number is known at the end only.
    elements: Vec<u8>,
    count: usize,
    dependencies: Vec<Dependency>,
    session: Option<u128>,
    /// The first thing that went wrong; the call fails with it when it is scheduled.
    failed: Option<Error>,
}

/// The encoded arguments of a call.
pub(crate) struct EncodedArgs {
    pub(crate) args: Result<Bytes, Error>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Session that the tasks among the arguments belong to.
    pub(crate) session: Option<u128>,
}

impl ArgEncoder {
    pub(crate) fn push<T: Serialize>(&mut self, function: &str, arg: Arg<T>) {
        let position = self.count as u32;
        self.count += 1;
        match arg {
            Arg::Value(value) => {
                let start = self.elements.len();
                if let Err(error) = codec::encode_into(&mut self.elements, &value) {
                    self.elements.truncate(start);
                    self.fail(codec::bad_payload(format!(
                        "argument {} of {function}, a {}, does not encode: {error}",
                        position + 1,
                        std::any::type_name::<T>()
                    )));
                }
            }
            Arg::Task(task) => self.depend(position, vec![task], false),
            Arg::List(tasks) => self.depend(position, tasks, true),
            Arg::Failed(error) => self.fail(error),
        }
    }

    fn depend(&mut self, position: u32, tasks: Vec<DependencyRef>, list: bool) {
        const NIL: u8 = 0xc0;
        self.elements.push(NIL);
        for task in &tasks {
            if *self.session.get_or_insert(task.session) != task.session {
                self.fail(Error::LoopMismatch);
            }
        }
        let tasks = tasks.into_iter().map(|dependency| dependency.task).collect();
        self.dependencies.push(Dependency { position, tasks, list });
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    pub(crate) fn finish(self) -> EncodedArgs {
        let args = match self.failed {
            Some(error) => Err(error),
            None => {
                let mut array = Vec::with_capacity(self.elements.len() + 5);
                codec::array_header(&mut array, self.count);
                array.extend_from_slice(&self.elements);
                Ok(array.into())
            }
        };
        EncodedArgs { args, dependencies: self.dependencies, session: self.session }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn task(id: u128, session: u128) -> DependencyRef {
        DependencyRef::new(TaskId(id), session)
    }

    #[test]
    fn a_task_leaves_nil_in_its_place() {
        let mut args = ArgEncoder::default();
        args.push("f", Arg::Value(7));
        args.push::<i64>("f", Arg::Task(task(1, 9)));
        args.push("f", "x".into_arg() as Arg<String>);
        args.push::<Vec<i64>>("f", Arg::List(vec![task(2, 9), task(3, 9)]));
        let encoded = args.finish();
        let values: (i64, (), String, ()) = codec::decode(&encoded.args.unwrap()).unwrap();
        assert_eq!(values, (7, (), "x".to_owned(), ()));
        assert_eq!(
            encoded.dependencies,
            [
                Dependency { position: 1, tasks: vec![TaskId(1)], list: false },
                Dependency { position: 3, tasks: vec![TaskId(2), TaskId(3)], list: true },
            ]
        );
        assert_eq!(encoded.session, Some(9));
    }

    #[test]
    fn arguments_of_two_sessions_do_not_mix() {
        let mut args = ArgEncoder::default();
        args.push::<i64>("f", Arg::Task(task(1, 9)));
        args.push::<i64>("f", Arg::Task(task(2, 8)));
        assert!(matches!(args.finish().args, Err(Error::LoopMismatch)));
    }

    #[test]
    fn an_argument_that_does_not_encode_is_told_when_the_call_is_scheduled() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("not today"))
            }
        }
        let mut args = ArgEncoder::default();
        args.push("demo.f", Arg::Value(1));
        args.push("demo.f", Arg::Value(Refuses));
        let text = args.finish().args.unwrap_err().to_string();
        assert!(text.starts_with("argument 2 of demo.f, a ") && text.ends_with("does not encode: not today"), "{text}");
    }

    #[test]
    fn a_handle_that_failed_fails_the_call_in_the_same_way() {
        let mut args = ArgEncoder::default();
        args.push::<i64>("f", Arg::Failed(Error::LoopClosed));
        assert!(matches!(args.finish().args, Err(Error::LoopClosed)));
    }
}
