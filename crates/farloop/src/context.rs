//! Context variables (asyncio's `contextvars`): values that a task has from whoever created it, on whatever machine it
//! runs. They are copied when a task is created and never flow back (rows 327, 328).
//!
//! ```
//! use farloop::context::ContextVar;
//! use farloop::prelude::*;
//!
//! static TENANT: ContextVar<String> = ContextVar::new("tenant");
//!
//! #[farloop::task]
//! async fn whose() -> farloop::Result<String> {
//!     Ok(TENANT.get()?.unwrap_or_default())
//! }
//!
//! #[farloop::main]
//! async fn main() -> farloop::Result<()> {
//!     TENANT.set("acme".into())?;
//!     let task = ensure_future(whose()); // sees the values of this moment
//!     TENANT.set("other".into())?;
//!     assert_eq!(task.await?, "acme");
//!     Ok(())
//! }
//! ```
//!
//! Every task, remote or local, has a context of its own; outside of tasks each thread has one. What a body creates
//! inherits from the body, so a value set at the client reaches the whole tree below a call. The values travel with
//! every submission: a context holds at most [`CONTEXT`](farloop_core::limits::CONTEXT) bytes.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use farloop_core::limits;
use farloop_core::spec::ContextValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::error::{Error, Result};

/// Whether this process has seen a value: most never do, and then nothing is looked up.
static IN_USE: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Of code outside of tasks.
    static OF_THREAD: RefCell<Context> = const { RefCell::new(Context(None)) };
}

/// A variable: a name by which a value of type `T` is found in a context.
///
/// Usually a `static`. Two with one name are the same variable; they must agree about the type.
pub struct ContextVar<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

/// What a variable was before [`ContextVar::set`], for [`ContextVar::reset`]. Dropped, it does nothing.
#[derive(Debug)]
pub struct Token {
    name: &'static str,
    before: Option<Bytes>,
}

impl<T> ContextVar<T> {
    /// A variable of that name; by convention `package.name` where programs of several parties meet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Puts back what was before the [`set`](Self::set) that gave the token.
    ///
    /// # Errors
    /// The token is another variable's.
    pub fn reset(&self, token: Token) -> Result<()> {
        if token.name != self.name {
            let text = format!("this token is of context variable '{}', not of '{}'", token.name, self.name);
            return Err(Error::msg(text));
        }
        let mut context = Context::current();
        context.put(self.name, token.before);
        make_current(context);
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned> ContextVar<T> {
    /// Its value in the current context; none if it was not set.
    ///
    /// # Errors
    /// The value that is there is of another type.
    pub fn get(&self) -> Result<Option<T>> {
        Context::current().get(self)
    }

    /// Sets it in the current context: for this task (or, outside of tasks, this thread) and for what it creates from
    /// here on.
    ///
    /// # Errors
    /// The value does not encode; or the context would be larger than the limit `CONTEXT`. Then nothing has changed.
    pub fn set(&self, value: T) -> Result<Token> {
        let value = crate::codec::encode(&value)?;
        let mut context = Context::current();
        let before = context.put(self.name, Some(value));
        let size = context.size();
        if size > limits::CONTEXT {
            let text = format!(
                "with '{}' the context has {size} bytes; it travels with every call, and the limit CONTEXT is {}",
                self.name,
                limits::CONTEXT
            );
            return Err(Error::resource_exhausted("context", text));
        }
        make_current(context);
        Ok(Token { name: self.name, before })
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ContextVar name='{}'>", self.name)
    }
}

/// The values of all variables at one moment (asyncio's `Context`). Cheap to clone; a clone is a copy.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Context(Option<Arc<Vec<ContextValue>>>);

impl Context {
    /// No values at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the current one (asyncio's `copy_context()`).
    #[must_use]
    pub fn current() -> Self {
        if !IN_USE.load(Ordering::Relaxed) {
            return Self(None);
        }
        match Body::current() {
            Some(body) => body.context(),
            None => OF_THREAD.with_borrow(Clone::clone),
        }
    }

    /// The value of a variable here.
    ///
    /// # Errors
    /// The value that is there is of another type.
    pub fn get<T: DeserializeOwned>(&self, var: &ContextVar<T>) -> Result<Option<T>> {
        let values = self.0.as_deref().map_or(&[][..], Vec::as_slice);
        values.iter().find(|v| *v.name == *var.name).map(|v| crate::codec::decode(&v.value)).transpose()
    }

    /// Runs `f` in this context: what `f` sets stays here, and the current context is untouched.
    pub fn run<R>(&mut self, f: impl FnOnce() -> R) -> R {
        /// Puts the outer context back, also when a panic passes.
        struct Back<'a> {
            inner: &'a mut Context,
            outer: Context,
        }
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                *self.inner = Context::current();
                make_current(std::mem::take(&mut self.outer));
            }
        }
        let outer = Self::current();
        make_current(self.clone());
        let _back = Back { inner: self, outer };
        f()
    }

    fn put(&mut self, name: &str, value: Option<Bytes>) -> Option<Bytes> {
        let values = Arc::make_mut(self.0.get_or_insert_default());
        let place = values.binary_search_by(|v| (*v.name).cmp(name));
        match (place, value) {
            (Ok(at), Some(value)) => Some(std::mem::replace(&mut values[at].value, value)),
            (Ok(at), None) => Some(values.remove(at).value),
            (Err(at), Some(value)) => {
                values.insert(at, ContextValue { name: name.into(), value });
                None
            }
            (Err(_), None) => None,
        }
    }

    fn size(&self) -> usize {
        self.0.iter().flat_map(|values| values.iter()).map(ContextValue::size).sum()
    }

    /// As it travels; nothing if it is empty.
    pub(crate) fn into_spec(self) -> Option<Arc<Vec<ContextValue>>> {
        self.0.filter(|values| !values.is_empty())
    }

    pub(crate) fn from_spec(values: Option<Arc<Vec<ContextValue>>>) -> Self {
        if values.is_some() {
            IN_USE.store(true, Ordering::Relaxed);
        }
        Self(values)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.0.iter().flat_map(|values| values.iter());
        f.debug_map().entries(values.map(|v| (&v.name, crate::codec::debug(&v.value)))).finish()
    }
}

fn make_current(context: Context) {
    if context.0.is_none() && !IN_USE.load(Ordering::Relaxed) {
        return;
    }
    IN_USE.store(true, Ordering::Relaxed);
    match Body::current() {
        Some(body) => body.set_context(context),
        None => OF_THREAD.set(context),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    static WHO: ContextVar<String> = ContextVar::new("test.who");
    static LEVEL: ContextVar<u8> = ContextVar::new("test.level");

    #[test]
    fn a_token_puts_back_what_was_before() {
        assert_eq!(WHO.get().unwrap(), None);
        let first = WHO.set("a".into()).unwrap();
        let second = WHO.set("b".into()).unwrap();
        WHO.reset(second).unwrap();
        assert_eq!(WHO.get().unwrap().as_deref(), Some("a"));
        let wrong = LEVEL.set(1).unwrap();
        assert!(WHO.reset(wrong).unwrap_err().to_string().contains("test.level"));
        WHO.reset(first).unwrap();
        assert_eq!(WHO.get().unwrap(), None);
    }

    #[test]
    fn what_runs_in_a_context_changes_that_one_alone() {
        let _outer = WHO.set("outer".into()).unwrap();
        let mut context = Context::current();
        let seen = context.run(|| {
            let seen = WHO.get().unwrap();
            WHO.set("inner".into()).unwrap();
            seen
        });
        assert_eq!(seen.as_deref(), Some("outer"));
        assert_eq!(WHO.get().unwrap().as_deref(), Some("outer"));
        assert_eq!(context.get(&WHO).unwrap().as_deref(), Some("inner"));
        assert_eq!(Context::new().run(|| WHO.get().unwrap()), None);
    }

    #[test]
    fn a_context_has_a_bound_and_a_type() {
        let refused = WHO.set("x".repeat(limits::CONTEXT)).unwrap_err();
        assert!(refused.to_string().contains("CONTEXT"), "{refused}");
        assert_eq!(WHO.get().unwrap(), None);
        WHO.set("text".into()).unwrap();
        let number: ContextVar<u64> = ContextVar::new("test.who");
        assert!(number.get().is_err());
    }
}
