//! Remote generators: a function on a worker yields items, and the caller takes them one by one.
//!
//! [`Items`] is the consumer's end; `inbox` is where its items wait. [`Yielder`] and [`drive`] are the producer's end;
//! both give items to an [`Outlet`], which makes the body wait while too much is under way (L23).

mod inbox;
mod items;
mod outlet;
mod yielder;

pub(crate) use self::inbox::{Inbox, Pushed};
pub use self::items::{Items, Next};
pub use self::outlet::Outlet;
pub(crate) use self::outlet::run;
pub use self::yielder::{Yielder, drive};
