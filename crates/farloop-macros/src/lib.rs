//! `#[farloop::task]`, `#[farloop::stream]`, `#[farloop::main]` and `#[farloop::test]`. Use them through the `farloop` crate, whose
//! documentation says what they do; the generated code names nothing but `::farloop` and `::core`.

use proc_macro::TokenStream;
use quote::ToTokens;

mod expand;
mod generator;
mod item;
mod options;
mod program;
mod signature;
mod spelling;

/// Makes a function that can run elsewhere.
///
/// On `async fn f(a: A, b: B) -> R` it leaves, in the same module and with the same visibility:
///
/// * `f(a, b)`, which builds a coroutine ([`Coro`]) and runs nothing. Each argument is anything that may stand for it
///   ([`IntoArg`]): a value, or a task that returns one;
/// * `f::local(a, b)`, the original body, for unit tests;
/// * the type `f`, for a worker to register: `worker.task::<f>()`.
///
/// The body returns `T` or a `Result` whose error is any `std::error::Error`, `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>` or text. The last segment of the written type decides which: it is a `Result` if it
/// is called so. Arguments and results implement `serde::Serialize` and `Deserialize`. Bodies need not be `Send`.
///
/// * A parameter `#[state] db: &Db` is handed in by the worker (`Worker::with`) and is no argument of the call.
/// * A plain `fn` runs on the worker's blocking pool, and a cancel cannot interrupt it.
/// * `async fn f(a: i64) -> i64;`, without a body, is a definition for clients that do not have the worker's code.
///
/// Options, all optional, become defaults of the coroutine:
///
/// ```text
/// #[farloop::task(name = "demo.add", attempts = 3, backoff = "100ms", timeout = "30s", max_crashes = 0, priority = 1,
///     cancel_grace = "5s")]
/// ```
///
/// `name` is the name on the wire (`package.function` unless given). Durations are `250ms`, `30s`, `1m30s`, `2h`;
/// `cancel_grace` may be `"none"`. There are also `schedule_to_start`, `start_to_close` and `heartbeat_timeout`
/// (durations), and with `backoff` its `backoff_maximum` (a duration) and `backoff_coefficient` (a number).
///
/// `concurrency = 4` is no default but a property of the function: at most four of its tasks are at workers at once, over
/// the whole cluster and whoever calls them. A task that awaits others counts: a function that awaits itself deeper than
/// its concurrency waits for ever, and `ExplainTask` says what for.
///
/// [`Coro`]: https://docs.rs/farloop/latest/farloop/struct.Coro.html
/// [`IntoArg`]: https://docs.rs/farloop/latest/farloop/trait.IntoArg.html
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    run(expand::task(options.into(), item.into()))
}

/// Makes a function that yields items elsewhere: a remote generator.
///
/// As [`task`](macro@task), but the call gives [`Items`], which the caller takes one by one, at its own pace. Two shapes,
/// whichever is easier to write:
///
/// * `fn f(..) -> impl Stream<Item = T>`, any `futures` stream; also `async fn`, and `async fn .. -> Result<impl Stream<..>>`
///   for one that may fail before it begins;
/// * `async fn f(.., out: Yielder<T>) -> Result<()>`, which sends items with `out.send(item).await?`.
///
/// Where `T` is called `Result`, its error ends the stream and fails the task. Called without a consumer (by its name, or
/// with `grpcurl`), the function returns all its items as one list. Workers register it as they do a task:
/// `worker.task::<f>()`; the options are those of a task, and `attempts` counts as long as no item has come.
///
/// [`Items`]: https://docs.rs/farloop/latest/farloop/struct.Items.html
#[proc_macro_attribute]
pub fn stream(options: TokenStream, item: TokenStream) -> TokenStream {
    run(expand::stream(options.into(), item.into()))
}

/// Runs an async `main` on a current-thread runtime with an event loop: that of the cluster at `FARLOOP_ADDRESS`,
/// or, where the variable is not set, of one in this process. The loop is closed at the end.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    run(program::main(options.into(), item.into()))
}

/// Runs an async test on a cluster in this process, in virtual time: sleeps take no time at all.
///
/// `#[farloop::test(workers = 3)]` sets the number of workers; 1 unless given.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    run(program::test(options.into(), item.into()))
}

fn run(expanded: syn::Result<impl ToTokens>) -> TokenStream {
    match expanded {
        Ok(tokens) => tokens.into_token_stream().into(),
        Err(error) => error.into_compile_error().into(),
    }
}
