//! State that several methods change, each between two of its awaits.

use std::fmt;
use std::rc::Rc;

use tokio::sync::RwLock;

/// The state of an actor, for a method that runs while others of its kind do:
///
/// ```
/// # use farloop::prelude::*;
/// # use farloop::actor::Interleaved;
/// struct Cache {
///     hits: u64,
/// }
///
/// #[farloop::actor]
/// impl Cache {
///     pub fn new() -> Self {
///         Cache { hits: 0 }
///     }
///
///     #[farloop(interleave)]
///     pub async fn get(this: &Interleaved<Self>, key: String) -> farloop::Result<String> {
///         farloop::sleep(Duration::from_millis(5)).await?; // other calls run meanwhile
///         this.with(|cache| cache.hits += 1); // alone, as long as it does not await
///         Ok(key)
///     }
/// }
/// # fn main() {}
/// ```
///
/// What one call read before an await may have changed after it: whatever belongs together goes into one
/// [`with`](Self::with). Clones are the same state.
pub struct Interleaved<A>(Rc<RwLock<A>>);

impl<A> Interleaved<A> {
    pub(crate) fn of(state: Rc<RwLock<A>>) -> Self {
        Self(state)
    }

    /// For unit tests of such methods: `Cache::get(&Interleaved::new(cache), key).await`.
    #[must_use]
    pub fn new(state: A) -> Self {
        Self(Rc::new(RwLock::new(state)))
    }

    /// Does something with the state, and nothing else does meanwhile.
    ///
    /// # Panics
    /// Inside of another `with` of the same actor: there the state is taken.
    pub fn with<R>(&self, change: impl FnOnce(&mut A) -> R) -> R {
        let mut state = self
            .0
            .try_write()
            .expect("Interleaved::with is not called inside of another one: the state is taken there");
        change(&mut state)
    }
}

impl<A> Clone for Interleaved<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A> fmt::Debug for Interleaved<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interleaved").finish_non_exhaustive()
    }
}
