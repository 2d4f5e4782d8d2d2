//! Scopes around a piece of a body: [`timeout`](timeout::timeout) limits its time, [`TaskGroup`](group::TaskGroup)
//! keeps what it starts together.
//!
//! Both ask the code inside them to stop, and only that code (`body::scopes` has how); both undo their own request at
//! their edge and let one from outside pass.

pub mod group;
mod member;
pub mod timeout;

use std::panic::Location;
use std::sync::Arc;

pub use self::group::TaskGroup;
pub use self::member::GroupMember;
pub use self::timeout::{Timeout, timeout, timeout_at, timeout_with};
use crate::ambient;
use crate::body::Body;
use crate::error::{Error, Misuse, Result};

/// The task whose body enters a scope (asyncio rows 177, 178, 214).
fn current_body(what: &str, location: &'static Location<'static>) -> Result<Arc<Body>> {
    match Body::current() {
        Some(body) => Ok(body),
        None if ambient::find().is_none() => Err(Error::no_running_loop(location)),
        None => Err(Misuse::NoCurrentTask { what: what.to_owned() }.into()),
    }
}
