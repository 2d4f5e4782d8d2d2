//! The generated code needs nothing from where it stands, and adds no warnings.
#![deny(warnings, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used)]
#![no_implicit_prelude]

/// Names that generated code could stumble over.
#[allow(dead_code, missing_docs, unreachable_pub)]
mod shadows {
    pub struct Option;
    pub struct Result;
    pub struct String;
    pub struct Box;
    pub trait Future {}
    pub mod serde {}
}
#[allow(unused_imports)]
use shadows::*;

mod tasks {
    /// Adds.
    #[::farloop::task]
    pub(crate) async fn add(args: i64, values: i64, invocation: i64, definition: i64) -> i64 {
        args + values + invocation + definition
    }

    /// Divides.
    ///
    /// # Errors
    /// By zero.
    #[::farloop::task(name = "ui.divide", attempts = 2, cancel_grace = "none")]
    pub(crate) fn divide(a: i64, #[state] state: &super::State, r#type: i64) -> ::farloop::Result<i64> {
        match (a + state.0).checked_div(r#type) {
            ::core::option::Option::Some(value) => ::core::result::Result::Ok(value),
            ::core::option::Option::None => ::core::result::Result::Err(::farloop::Error::msg("by zero")),
        }
    }

    /// Counts.
    #[::farloop::stream(priority = 1)]
    pub(crate) fn count(#[state] state: &super::State, outlet: i64) -> impl ::farloop::Stream<Item = i64> {
        Empty(state.0 + outlet)
    }

    struct Empty(i64);

    impl ::farloop::Stream for Empty {
        type Item = i64;
        fn poll_next(
            self: ::core::pin::Pin<&mut Self>,
            _: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<::core::option::Option<i64>> {
            let _ = self.0;
            ::core::task::Poll::Ready(::core::option::Option::None)
        }
    }

    /// Counts, or does not.
    ///
    /// # Errors
    /// As it likes.
    #[::farloop::stream]
    pub(crate) async fn may_count(
        stream: bool,
    ) -> ::farloop::Result<impl ::farloop::Stream<Item = ::farloop::Result<i64>>> {
        if stream {
            ::core::result::Result::Ok(::futures_util::stream::iter([::core::result::Result::Ok(1)]))
        } else {
            ::core::result::Result::Err(::farloop::Error::msg("no"))
        }
    }

    #[::farloop::stream]
    pub(crate) async fn sends(n: i64, out: ::farloop::Yielder<i64>) -> ::farloop::Result<()> {
        out.send(n).await
    }

    #[::farloop::task]
    async fn unused_here(mut n: u8) -> u8 {
        n += 1;
        n
    }
}

struct State(i64);

#[::farloop::stream]
fn streams_elsewhere(xs: ::std::vec::Vec<i64>) -> impl ::farloop::Stream<Item = i64>;

#[::farloop::task]
async fn elsewhere(xs: ::std::vec::Vec<i64>) -> ::farloop::Result<()>;

macro_rules! written_by_a_macro {
    ($name:ident, $of:ty) => {
        #[::farloop::task]
        async fn $name(value: $of, #[state] state: &State) -> ::farloop::Result<$of> {
            let _ = state.0;
            ::core::result::Result::Ok(value)
        }
    };
}
written_by_a_macro!(same, u32);

fn main() {
    same(1).close();
    tasks::add(1, 2, 3, 4).close();
    tasks::divide(1, 2).close();
    elsewhere(::std::vec![1, 2]).close();
    streams_elsewhere(::std::vec![1, 2]).close();
    tasks::count(1).close();
    tasks::may_count(true).close();
    tasks::sends(1).close();
    ::std::assert_eq!(tasks::divide::local(1, &State(3), 2).unwrap(), 2);
    #[::farloop::task]
    async fn inner() {}
    inner().close();
}
