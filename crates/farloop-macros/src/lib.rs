//! `#[farloop::task]`, `#[farloop::stream]`, `#[farloop::actor]`, `#[farloop::main]` and `#[farloop::test]`. Use them through the `farloop` crate, whose
//! documentation says what they do; the generated code names nothing but `::farloop` and `::core`.

use proc_macro::TokenStream;
use quote::ToTokens;

mod actor;
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

/// Makes a type of actors of a struct: coroutines that stay, with state, a mailbox and methods.
///
/// On `impl Counter { .. }` it leaves the block as it is, so that the struct is tested as any other, and adds
///
/// * `CounterRef`, the reference: `Clone`, `Serialize`, `Deserialize`, cheap. It has a method for each method of the block,
///   which gives a coroutine ([`Coro`]) as calling a task does, and what all references can ([`Handle`]);
/// * `Counter::spawn(..)`, with the arguments of `new`, which describes a new actor ([`Spawn`]);
/// * `Counter::lookup(name)`, a coroutine that gives the reference to the actor of that name;
/// * with `on_demand`, `Counter::at(name)`: a reference by name to an actor that its first call makes;
/// * what a worker registers: `worker.actor::<Counter>()`.
///
/// ```text
/// #[farloop::actor]
/// impl Counter {
///     pub async fn new(start: i64) -> Self { .. }            // or `fn`, or `-> Result<Self, E>`
///     pub async fn add(&mut self, by: i64) -> i64 { .. }     // alone: no other method runs before it has returned
///     pub async fn get(&self) -> i64 { .. }                  // beside others that take `&self`
///     pub fn peek(&self) -> i64 { .. }                       // no async: runs on the event loop, so it does not block
///     #[farloop(interleave)]                                 // beside others of its kind, with the state between awaits
///     pub async fn load(this: &Interleaved<Self>) -> farloop::Result<i64> { .. }
///     pub fn ticks(&self) -> impl Stream<Item = i64> { .. }  // a stream, as #[farloop::stream] functions are; or
///     pub async fn tail(&self, out: Yielder<i64>) { .. }
///     async fn on_start(&mut self) { .. }                    // after `new`; may return a Result
///     async fn on_restart(&mut self) { .. }                  // instead of on_start, from the second incarnation on
///     async fn on_stop(&mut self) { .. }                     // before it stops in good order, and only then
///     fn helper(&mut self) { .. }                            // stays local: not `pub`
/// }
/// ```
///
/// **What can be called from elsewhere**: the methods that are `pub` (or `pub(crate)`, ..); in a block where none is, all of
/// them, with their own visibility. `#[farloop(skip)]` keeps one local; functions without `self`, and other `impl` blocks
/// of the type, are left alone. Arguments, results, errors and `#[state]` are as for [`task`](macro@task).
///
/// Options, all optional; what `spawn` says about one actor goes before them:
///
/// ```text
/// #[farloop::actor(name = "shop.Counter", mailbox = 100, per_caller = 10, snapshot,
///     restart = "on_failure", max_restarts = 5, restart_window = "1m", backoff = "200ms",
///     on_demand, idle = "5m", labels = "disk=ssd, zone=a", placement = "pack")]
/// ```
///
/// * `name`: on the wire (`package.Counter` unless given); methods are `package.Counter.add`.
/// * `mailbox`, `per_caller`: calls that may wait, of all callers and of one.
/// * `snapshot`: the state implements `Serialize` and `Deserialize`; it is saved when the actor moves to another worker, goes
///   to sleep or stops, and where a method says so, and a later incarnation begins with it instead of calling `new`.
/// * `restart`: `"never"`, `"on_failure"` (a panic, a failed start, a lost worker; the default) or `"always"`; at most
///   `max_restarts` within `restart_window`, with `backoff` in between.
/// * `on_demand`: an actor is its name, as in Orleans. `new` takes the name (one `String`); after `idle` without a call it
///   leaves its worker.
/// * `labels`, `placement` (`"spread"`, `"pack"`): where actors of the type may be.
///
/// A method's `#[farloop(..)]` takes what a task's options take (`timeout`, `priority`, ..) as defaults of its calls. A call
/// runs at most once (`max_crashes = 0`) unless it says otherwise.
///
/// [`Coro`]: https://docs.rs/farloop/latest/farloop/struct.Coro.html
/// [`Handle`]: https://docs.rs/farloop/latest/farloop/actor/struct.Handle.html
/// [`Spawn`]: https://docs.rs/farloop/latest/farloop/actor/struct.Spawn.html
#[proc_macro_attribute]
pub fn actor(options: TokenStream, item: TokenStream) -> TokenStream {
    run(actor::expand(options.into(), item.into()))
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
