//! What runs at the worker: it makes the state, gives it to a method, saves it, and ends it.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;

use super::roles::{Hook, Method, Receiver, Roles};
use super::{Parts, definition_of};
use crate::expand::{self, Reading, unraw};
use crate::generator;
use crate::signature::{Returns, Task};

/// Name of what runs for a method.
pub(super) fn run_of(method: &Method<'_>) -> syn::Ident {
    format_ident!("__farloop_run_{}", unraw(method.name()))
}

/// Decodes the arguments, runs the method in its turn, encodes its end.
pub(super) fn run(parts: &Parts<'_>, method: &Method<'_>, task: &Task<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let (of, name, run) = (parts.of, method.name(), run_of(method));
    let reference = &parts.reference;
    let definition = definition_of(method);
    let Reading { read, given } = Reading::of(task, &quote!(#reference::#definition));
    let end = expand::end(&task.returns);
    let wait = method.signature.asyncness.map(|_| quote_spanned!(here=> .await));
    let (take, this) = match method.receiver {
        Receiver::Alone => (quote_spanned!(here=> let mut this = held.alone();), quote_spanned!(here=> &mut *this)),
        Receiver::Shared => (quote_spanned!(here=> let this = held.shared();), quote_spanned!(here=> &*this)),
        Receiver::Interleaved => (quote_spanned!(here=> let this = held.interleaved();), quote_spanned!(here=> &this)),
    };
    let body = quote_spanned!(here=> <#of>::#name(#this, #(#given),*) #wait);
    let (outlet, work) = match &task.source {
        Some(source) => {
            (Some(quote_spanned!(here=> outlet: ::farloop::__private::Outlet,)), generator::work(source, &body, &end))
        }
        None => (None, quote_spanned!(here=> (#end)(#body))),
    };
    quote_spanned! {here=>
        #[doc(hidden)]
        fn #run(
            instance: ::farloop::__private::Instance,
            invocation: ::farloop::__private::Invocation,
            #outlet
        ) -> ::farloop::__private::LocalBoxFuture<'static, ::farloop::__private::BodyEnd> {
            #read
            #[allow(unused_variables)]
            match read() {
                ::core::result::Result::Ok((values, state)) => ::std::boxed::Box::pin(async move {
                    let held = ::farloop::__private::Held::<#of>::of(instance);
                    #take
                    // A value of its own: it is over before the state is given back.
                    let end = #work;
                    end
                }),
                ::core::result::Result::Err(error) => {
                    ::std::boxed::Box::pin(::farloop::__private::ready(::core::result::Result::Err(error)))
                }
            }
        }
    }
}

/// Makes the state, ends it, and saves it: `make`, `stop`, and `save` for a type with snapshots.
pub(super) fn life(parts: &Parts<'_>, roles: &Roles<'_>, new: &Task<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let (of, reference) = (parts.of, &parts.reference);
    let make = make(parts, roles, new);
    let stop = match &roles.on_stop {
        None => quote_spanned!(here=> ::farloop::__private::returned(#reference::__FARLOOP_TYPE, &())),
        Some(hook) => {
            let call = called(of, hook, &quote_spanned!(here=> &mut *this));
            quote_spanned! {here=>
                let definition = #reference::__FARLOOP_TYPE;
                let held = ::farloop::__private::Held::<#of>::of(instance);
                let mut this = held.alone();
                #call
                ::farloop::__private::returned(definition, &())
            }
        }
    };
    quote_spanned! {here=>
        #make
        #[doc(hidden)]
        fn __farloop_stop(
            instance: ::farloop::__private::Instance,
        ) -> ::farloop::__private::LocalBoxFuture<'static, ::farloop::__private::BodyEnd> {
            #[allow(unused_variables)]
            async fn stop(instance: ::farloop::__private::Instance) -> ::farloop::__private::BodyEnd {
                #stop
            }
            ::std::boxed::Box::pin(stop(instance))
        }
    }
}

fn make(parts: &Parts<'_>, roles: &Roles<'_>, task: &Task<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let (of, reference) = (parts.of, &parts.reference);
    let Reading { read, given } = Reading::of(task, &quote!(#reference::__FARLOOP_TYPE));
    let wait = roles.new.signature.asyncness.map(|_| quote_spanned!(here=> .await));
    let new = roles.new.name();
    let made = quote_spanned!(here=> <#of>::#new(#(#given),*) #wait);
    let made = match task.returns {
        Returns::Result { whole, .. } => {
            let raise = expand::raise(whole);
            quote_spanned! {here=>
                match #made {
                    ::core::result::Result::Ok(actor) => actor,
                    ::core::result::Result::Err(error) => return #raise,
                }
            }
        }
        Returns::Unit | Returns::Value(_) => made,
    };
    let fresh = quote_spanned! {here=> {
        #[allow(unused_variables)]
        let (values, state) = read()?;
        #made
    }};
    let actor = match parts.options.snapshot {
        None => fresh,
        Some(_) => quote_spanned! {here=>
            match &origin.snapshot {
                ::core::option::Option::Some(saved) => {
                    <#of as ::farloop::__private::Saved>::restore(definition.name, saved)?
                }
                ::core::option::Option::None => #fresh,
            }
        },
    };
    let this = quote_spanned!(here=> &mut actor);
    let first = roles.on_start.as_ref().map(|hook| called(of, hook, &this));
    let again = roles.on_restart.as_ref().map(|hook| called(of, hook, &this));
    let hooks = match (first, again) {
        (None, None) => TokenStream::new(),
        // Every incarnation starts.
        (Some(first), None) => first,
        (first, Some(again)) => quote_spanned!(here=> if origin.again { #again } else { #first }),
    };
    quote_spanned! {here=>
        #[doc(hidden)]
        fn __farloop_make(
            invocation: ::farloop::__private::Invocation,
            origin: ::farloop::__private::Origin,
        ) -> ::farloop::__private::LocalBoxFuture<
            'static,
            ::core::result::Result<::farloop::__private::Instance, ::farloop::__private::BodyError>,
        > {
            #[allow(unused_variables, unused_mut)]
            async fn make(
                invocation: ::farloop::__private::Invocation,
                origin: ::farloop::__private::Origin,
            ) -> ::core::result::Result<::farloop::__private::Instance, ::farloop::__private::BodyError> {
                #read
                let mut actor: #of = #actor;
                #hooks
                ::core::result::Result::Ok(::farloop::__private::Held::made(actor))
            }
            ::std::boxed::Box::pin(make(invocation, origin))
        }
    }
}

/// A hook's call, which returns from where it stands if the hook fails.
fn called(of: &Type, hook: &Hook<'_>, this: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let name = &hook.signature.ident;
    let wait = hook.item.signature.asyncness.map(|_| quote_spanned!(here=> .await));
    let call = quote_spanned!(here=> <#of>::#name(#this) #wait);
    match &hook.signature.output {
        syn::ReturnType::Type(_, whole) if !matches!(&**whole, Type::Tuple(_)) => {
            let raise = expand::raise(whole);
            quote_spanned! {here=>
                if let ::core::result::Result::Err(error) = #call {
                    return #raise;
                }
            }
        }
        _ => quote_spanned!(here=> #call;),
    }
}

/// `ActorBody` of the type.
pub(super) fn body(parts: &Parts<'_>) -> TokenStream {
    let (of, reference) = (parts.of, &parts.reference);
    let save = match parts.options.snapshot {
        Some(at) => {
            let save = quote_spanned!(at.resolved_at(Span::mixed_site())=> <#of as ::farloop::__private::Saved>::save);
            quote!(::core::option::Option::Some(#save))
        }
        None => quote!(::core::option::Option::None),
    };
    quote! {
        ::farloop::__private::Body::Actor(::farloop::__private::ActorBody {
            make: #reference::__farloop_make,
            stop: #reference::__farloop_stop,
            save: #save,
        })
    }
}
