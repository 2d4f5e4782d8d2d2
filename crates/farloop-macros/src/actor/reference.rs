//! What callers see: the reference, and what makes one.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Attribute;
use syn::spanned::Spanned;

use super::roles::Method;
use super::{Parts, definition_of, visibility};
use crate::expand::{keeps_on_call, unraw};
use crate::signature::{Param, Task};

/// `#[cfg(..)]` of a method: what stands for it elsewhere is there when it is.
pub(super) fn cfgs<'a>(method: &'a Method<'_>) -> Vec<&'a Attribute> {
    method.item.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

/// `impl Counter { fn spawn(..), fn lookup(name), fn at(name) }`
pub(super) fn makers(parts: &Parts<'_>, new: &Method<'_>, task: &Task<'_>) -> TokenStream {
    let Parts { of, reference, .. } = parts;
    let visibility = visibility(new);
    let name = unraw(parts.name);
    let Params { declare, encode } = Params::of(task);
    let calls = &new.options.calls;
    let defaults = (!calls.is_empty()).then(|| quote!(.options(|task| task #(#calls)*)));
    let about_spawn = format!(
        "Describes a new actor, with the arguments of `new`: `{name}::spawn(..).await` makes it, somewhere, and gives the reference. See [`Spawn`](farloop::actor::Spawn)."
    );
    let about_lookup = format!(
        "A coroutine that gives the reference to the `{name}` of that name. It fails with `ActorDied` where nobody has it."
    );
    let about_at = format!(
        "The `{name}` of that name, which its first call makes, and the next one after it fell asleep. Asks nobody."
    );
    let at = parts.options.on_demand.map(|_| {
        quote! {
            #[doc = #about_at]
            #[must_use]
            #[allow(dead_code)]
            #visibility fn at(name: impl ::core::convert::Into<::std::string::String>) -> #reference {
                #reference(::farloop::__private::named(#reference::__FARLOOP_TYPE, name.into()))
            }
        }
    });
    quote! {
        #[allow(private_interfaces)]
        impl #of {
            #[doc = #about_spawn]
            #[track_caller]
            #[allow(dead_code)]
            #visibility fn spawn(#(#declare),*) -> ::farloop::actor::Spawn<#reference> {
                static WIRE_NAME: ::farloop::__private::WireName = ::farloop::__private::WireName::new();
                ::farloop::__private::TypedCall::new(#reference::__FARLOOP_TYPE, &WIRE_NAME)
                    #(#encode)*
                    .spawn::<#reference>()
                    #defaults
            }

            #[doc = #about_lookup]
            #[track_caller]
            #[allow(dead_code)]
            #visibility fn lookup(
                name: impl ::core::convert::Into<::std::string::String>,
            ) -> ::farloop::Coro<#reference> {
                ::farloop::__private::lookup(name.into())
            }

            #at
        }
    }
}

/// `struct CounterRef`, with a method for each method.
pub(super) fn reference(parts: &Parts<'_>, methods: &[(&Method<'_>, &Task<'_>)]) -> TokenStream {
    let Parts { reference, .. } = parts;
    let name = unraw(parts.name);
    let doc = format!(
        "A reference to an actor `{name}`: cheap, `Clone`, at home in arguments and results. It has the methods of `{name}`, each of which gives a coroutine, and what every [`Handle`](farloop::actor::Handle) has."
    );
    let calls = methods.iter().map(|(method, task)| call(parts, method, task));
    quote! {
        #[doc = #doc]
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[allow(unreachable_pub)]
        pub struct #reference(farloop::actor::Handle);

        #[allow(private_interfaces, unreachable_pub, clippy::should_implement_trait)]
        impl #reference {
            #(#calls)*
        }

        impl ::core::fmt::Debug for #reference {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl ::core::ops::Deref for #reference {
            type Target = ::farloop::actor::Handle;
            fn deref(&self) -> &::farloop::actor::Handle {
                &self.0
            }
        }

        impl ::core::convert::From<::farloop::actor::Handle> for #reference {
            fn from(handle: ::farloop::actor::Handle) -> Self {
                Self(handle)
            }
        }

        impl ::farloop::actor::ActorRef for #reference {
            const DEFINITION: &'static ::farloop::__private::Definition = #reference::__FARLOOP_TYPE;
        }

        impl ::farloop::IntoArg<#reference> for &#reference {
            fn into_arg(self) -> ::farloop::Arg<#reference> {
                ::farloop::Arg::Value(::core::clone::Clone::clone(self))
            }
        }

        impl ::farloop::__private::serde::Serialize for #reference {
            fn serialize<S: ::farloop::__private::serde::Serializer>(
                &self,
                to: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                ::farloop::__private::serde::Serialize::serialize(&self.0, to)
            }
        }

        impl<'de> ::farloop::__private::serde::Deserialize<'de> for #reference {
            fn deserialize<D: ::farloop::__private::serde::Deserializer<'de>>(
                from: D,
            ) -> ::core::result::Result<Self, D::Error> {
                ::farloop::actor::Handle::read(#reference::__FARLOOP_TYPE, from).map(Self)
            }
        }
    }
}

/// `fn add(&self, by: impl IntoArg<i64>) -> Coro<i64>`
fn call(parts: &Parts<'_>, method: &Method<'_>, task: &Task<'_>) -> TokenStream {
    let (name, visibility, definition) = (method.name(), visibility(method), definition_of(method));
    let reference = &parts.reference;
    let kept = method.item.attributes.iter().filter(|attribute| keeps_on_call(attribute));
    // The reference can be seen where the type cannot, and a lint for its documentation with it.
    let documented = method.item.attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
    let about = format!("A call of `{}::{}`.", unraw(parts.name), unraw(name));
    let about = (!documented).then(|| quote!(#[doc = #about]));
    let Params { declare, encode } = Params::of(task);
    let output = task.output();
    let calls = &method.options.calls;
    let coro = quote! {
        ::farloop::__private::TypedCall::new(#reference::#definition, &WIRE_NAME)
            .of(&self.0)
            #(#encode)*
            .coro::<#output>()
            #(#calls)*
    };
    let (gives, coro) = match task.source {
        None => (quote!(::farloop::Coro<#output>), coro),
        Some(_) => (quote!(::farloop::Items<#output>), quote!(::farloop::__private::items(#coro))),
    };
    quote! {
        #about
        #(#kept)*
        #[track_caller]
        #[allow(dead_code)]
        #visibility fn #name(&self, #(#declare),*) -> #gives {
            static WIRE_NAME: ::farloop::__private::WireName = ::farloop::__private::WireName::new();
            #coro
        }
    }
}

/// The parameters of a call.
struct Params {
    declare: Vec<TokenStream>,
    encode: Vec<TokenStream>,
}

impl Params {
    fn of(task: &Task<'_>) -> Self {
        let args: Vec<_> = task.params.iter().filter_map(Param::arg).collect();
        let declare = args.iter().map(|(name, of)| quote_spanned!(of.span()=> #name: impl ::farloop::IntoArg<#of>));
        let encode = args.iter().map(|(name, of)| quote_spanned!(of.span()=> .arg::<#of>(#name)));
        Self { declare: declare.collect(), encode: encode.collect() }
    }
}
