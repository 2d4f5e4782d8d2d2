//! Which loop a call belongs to, as in asyncio: the body being polled; the tokio runtime it was bound to; the
//! thread's `EventLoop`; the process default. With none, a handle has failed already, naming the caller's line.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use farloop_core::frame::Role;

use crate::body::Body;
use crate::cell::Cell;
use crate::error::Error;
use crate::event_loop::LoopShared;
use crate::session::SessionShared;

static BY_RUNTIME: LazyLock<RwLock<HashMap<tokio::runtime::Id, Arc<LoopShared>>>> = LazyLock::new(RwLock::default);
/// Stands where a loop was bound and closed: calls there say so (row 270).
static CLOSED: LazyLock<Arc<LoopShared>> = LazyLock::new(|| {
    let closed = LoopShared::nowhere(SessionShared::new(Role::Client, "closed".into()));
    closed.close();
    closed
});
static DEFAULT: RwLock<Option<Arc<LoopShared>>> = RwLock::new(None);

thread_local! {
    /// The loop that a call names itself.
    static NAMED: RefCell<Option<Arc<LoopShared>>> = const { RefCell::new(None) };
    /// Loops that this thread runs by hand: the last one made stands.
    static THREAD: RefCell<Vec<Arc<LoopShared>>> = const { RefCell::new(Vec::new()) };
}

/// The loop that a call made here belongs to.
pub(crate) fn find() -> Option<Arc<LoopShared>> {
    if let Some(named) = NAMED.with_borrow(Clone::clone) {
        return Some(named);
    }
    if let Some(running) = running() {
        return Some(running);
    }
    if let Some(home) = THREAD.with_borrow(|loops| loops.last().cloned()) {
        return Some(home);
    }
    DEFAULT.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The loop that runs here: the body's, or the runtime's.
pub(crate) fn running() -> Option<Arc<LoopShared>> {
    if let Some(body) = Body::current() {
        return Some(body.home.clone());
    }
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    BY_RUNTIME.read().unwrap_or_else(PoisonError::into_inner).get(&runtime.id()).cloned()
}

/// Runs `f` with this loop as the ambient one, whatever runs here.
pub(crate) fn on<R>(home: &Arc<LoopShared>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<LoopShared>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            NAMED.set(self.0.take());
        }
    }
    let _restore = Restore(NAMED.replace(Some(home.clone())));
    f()
}

/// This thread runs the loop by hand: it is the ambient one between its runs too.
pub(crate) fn enter_thread(home: &Arc<LoopShared>) {
    THREAD.with_borrow_mut(|loops| {
        loops.retain(|old| !Arc::ptr_eq(old, &CLOSED));
        loops.push(home.clone());
    });
}

/// The loop is closed. Where it was the only one, calls say so (row 270).
pub(crate) fn leave_thread(home: &Arc<LoopShared>) {
    THREAD.with_borrow_mut(|loops| {
        loops.retain(|old| !Arc::ptr_eq(old, home));
        if loops.is_empty() {
            loops.push(CLOSED.clone());
        }
    });
}

/// The runtime ends: whoever built it says so.
pub(crate) fn forget(runtime: &tokio::runtime::Handle) {
    BY_RUNTIME.write().unwrap_or_else(PoisonError::into_inner).remove(&runtime.id());
}

/// Binds a loop to the current tokio runtime, if there is one.
pub(crate) fn bind(home: &Arc<LoopShared>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        home.set_runtime(&runtime);
        BY_RUNTIME.write().unwrap_or_else(PoisonError::into_inner).insert(runtime.id(), home.clone());
    }
}

/// Makes a loop the process default, if there is none yet.
pub(crate) fn offer_default(home: &Arc<LoopShared>) {
    let mut default = DEFAULT.write().unwrap_or_else(PoisonError::into_inner);
    if default.as_ref().is_none_or(|old| old.is_closed()) {
        *default = Some(home.clone());
    }
}

/// The loop is closed: nothing finds it any more.
pub(crate) fn unbind(home: &Arc<LoopShared>) {
    for bound in BY_RUNTIME.write().unwrap_or_else(PoisonError::into_inner).values_mut() {
        if Arc::ptr_eq(bound, home) {
            *bound = CLOSED.clone();
        }
    }
    let mut default = DEFAULT.write().unwrap_or_else(PoisonError::into_inner);
    if default.as_ref().is_some_and(|d| Arc::ptr_eq(d, home)) {
        *default = None;
    }
}

/// A cell that has failed for want of a loop.
pub(crate) fn nowhere(function: Arc<str>, location: &'static Location<'static>) -> Arc<Cell> {
    // Its queue is never worked off: a cell that is done at birth needs none.
    static LIMBO: LazyLock<Arc<LoopShared>> =
        LazyLock::new(|| LoopShared::nowhere(SessionShared::new(Role::Client, "nowhere".into())));
    LIMBO.failed(function, location, Error::no_running_loop(location))
}
