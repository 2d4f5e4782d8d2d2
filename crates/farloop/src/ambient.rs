//! Which loop a call belongs to, as in asyncio: the body being polled; the tokio runtime it was bound to; the
//! process default. With none, a handle has failed already, naming the caller's line.

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

/// The loop that a call made here belongs to.
pub(crate) fn find() -> Option<Arc<LoopShared>> {
    if let Some(body) = Body::current() {
        return Some(body.home.clone());
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current()
        && let Some(home) = BY_RUNTIME.read().unwrap_or_else(PoisonError::into_inner).get(&runtime.id())
    {
        return Some(home.clone());
    }
    DEFAULT.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Binds a loop to the current tokio runtime, if there is one.
pub(crate) fn bind(home: &Arc<LoopShared>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
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
