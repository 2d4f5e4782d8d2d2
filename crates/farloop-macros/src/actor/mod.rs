//! `#[farloop::actor]`: what stands beside the `impl` block.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Type, Visibility};

use self::block::Block;
use self::options::ActorOptions;
use self::roles::{Method, Receiver, Roles};
use crate::expand::{Spelled, hidden_result, unraw};
use crate::item::Complaints;
use crate::signature::{METHOD, Param, Returns, Task};

mod block;
mod bodies;
mod options;
mod reference;
mod roles;

/// What all parts of the expansion know.
struct Parts<'a> {
    /// `Counter`
    of: &'a Type,
    name: &'a Ident,
    /// `CounterRef`
    reference: Ident,
    /// An expression: `concat!(env!("CARGO_PKG_NAME"), ".", "Counter")`.
    wire_name: TokenStream,
    options: &'a ActorOptions,
    /// There is code to run.
    has_bodies: bool,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let options: ActorOptions = syn::parse2(options)?;
    let block: Block = syn::parse2(item)?;
    let roles = Roles::of(&block)?;
    let new = roles.new.task();
    let tasks: Vec<syn::Result<Task<'_>>> = roles.methods.iter().map(Method::task).collect();
    let mut wrong = Complaints::default();
    let has_bodies = bodies(&block, &mut wrong);
    if let Ok(task) = &new {
        check_new(task, &roles.new, &options, &mut wrong);
    }
    let new = new.map_err(|error| wrong.add(error)).ok();
    let tasks: Vec<Task<'_>> = tasks.into_iter().filter_map(|task| task.map_err(|e| wrong.add(e)).ok()).collect();
    wrong.none()?;
    let Some(new) = new else { return Ok(TokenStream::new()) };

    let name = unraw(&block.name);
    let parts = Parts {
        of: &block.of,
        name: &block.name,
        reference: format_ident!("{name}Ref", span = block.name.span()),
        wire_name: match &options.name {
            Some(name) => quote!(#name),
            None => quote!(::core::concat!(::core::env!("CARGO_PKG_NAME"), ".", #name)),
        },
        options: &options,
        has_bodies,
    };
    let plain = if has_bodies { block.plain() } else { TokenStream::new() };
    let methods: Vec<(&Method<'_>, &Task<'_>)> = roles.methods.iter().zip(&tasks).collect();
    let makers = reference::makers(&parts, &roles.new, &new);
    let reference = reference::reference(&parts, &methods);
    let definitions = definitions(&parts, &roles, &new, &methods);
    Ok(quote!(#plain #makers #reference #definitions))
}

/// Whether there are bodies; all have one or none has.
fn bodies(block: &Block, wrong: &mut Complaints) -> bool {
    let has_bodies = block.functions.iter().any(|function| function.body.is_some());
    if has_bodies {
        for function in block.functions.iter().filter(|function| function.body.is_none()) {
            wrong.at(
                &function.signature,
                "a body is missing; a block of definitions for clients, which do not have the worker's code, has none at all",
            );
        }
    }
    has_bodies
}

fn check_new(task: &Task<'_>, new: &Method<'_>, options: &ActorOptions, wrong: &mut Complaints) {
    if let Returns::Unit = task.returns {
        wrong.at(new.name(), "`new` returns the state: `Self`, or a `Result` of it");
    }
    if task.source.is_some() {
        wrong.at(new.name(), "`new` makes the state, and is no stream");
    }
    if let Some(given) = new.options.interleave {
        wrong.add(syn::Error::new(given, "`new` runs before there is anything to interleave with"));
    }
    let args: Vec<_> = task.params.iter().filter_map(Param::arg).collect();
    let takes_name = matches!(args.as_slice(), [(_, of)] if is_string(of));
    if let (Some(at), false) = (options.on_demand, takes_name) {
        wrong.add(syn::Error::new(
            at,
            "an actor that is made on demand is its name, so `new` takes that and nothing else: `new(name: String)`; what it needs besides is #[state], or read by `new`",
        ));
    }
}

fn is_string(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "String"))
}

/// Name of a method's definition.
fn definition_of(method: &Method<'_>) -> Ident {
    format_ident!("__FARLOOP_METHOD_{}", unraw(method.name()))
}

/// The definitions of the type and its methods, and what runs for them.
fn definitions(
    parts: &Parts<'_>,
    roles: &Roles<'_>,
    new: &Task<'_>,
    methods: &[(&Method<'_>, &Task<'_>)],
) -> TokenStream {
    let Parts { of, reference, options, wire_name, .. } = parts;
    let host = options.host();
    let Spelled { args, shape, .. } = Spelled::of(new);
    let shape = format!("{}->actor", shape.split("->").next().unwrap_or_default());
    let (returns, span) = (unraw(parts.name), parts.name.span());
    let line = quote_spanned!(span=> ::core::line!());
    let body = if parts.has_bodies {
        let body = bodies::body(parts);
        quote!(::core::option::Option::Some(#body))
    } else {
        quote!(::core::option::Option::None)
    };
    let life = parts.has_bodies.then(|| bodies::life(parts, roles, new));
    let each = methods.iter().map(|(method, task)| method_definition(parts, method, task));
    let family = methods.iter().map(|(method, _)| {
        let (cfgs, name) = (reference::cfgs(method), definition_of(method));
        quote!(#(#cfgs)* #reference::#name)
    });
    quote! {
        #[doc(hidden)]
        #[allow(
            non_upper_case_globals,
            dead_code,
            clippy::let_and_return,
            clippy::unit_arg,
            clippy::let_unit_value,
            clippy::needless_pass_by_value,
            clippy::needless_update
        )]
        impl #reference {
            const __FARLOOP_TYPE: &'static ::farloop::__private::Definition = &::farloop::__private::Definition {
                name: #wire_name,
                fingerprint: ::farloop::__private::fingerprint(&[#wire_name, #shape]),
                args: #args,
                returns: #returns,
                concurrency: 0,
                location: (::core::file!(), #line),
                body: #body,
                actor: ::core::option::Option::Some(::farloop::__private::ActorInfo {
                    def: || ::farloop::__private::ActorDef::Type(#host),
                    family: || #reference::__FARLOOP_FAMILY,
                }),
            };
            const __FARLOOP_FAMILY: &'static [&'static ::farloop::__private::Definition] =
                &[#reference::__FARLOOP_TYPE, #(#family),*];
            #life
            #(#each)*
        }

        impl ::farloop::__private::ActorType for #of {
            const DEFINITION: &'static ::farloop::__private::Definition = #reference::__FARLOOP_TYPE;
            type Ref = #reference;
        }
    }
}

fn method_definition(parts: &Parts<'_>, method: &Method<'_>, task: &Task<'_>) -> TokenStream {
    let Parts { reference, wire_name, .. } = parts;
    let (name, cfgs) = (definition_of(method), reference::cfgs(method));
    let plain_name = unraw(method.name());
    let wire_name = quote!(::core::concat!(#wire_name, ".", #plain_name));
    let Spelled { args, returns, shape } = Spelled::of(task);
    let span = method.name().span();
    let line = quote_spanned!(span=> ::core::line!());
    let turns = match method.receiver {
        Receiver::Alone => quote!(::farloop::__private::Turns::Alone),
        Receiver::Shared => quote!(::farloop::__private::Turns::Shared),
        Receiver::Interleaved => quote!(::farloop::__private::Turns::Interleaved),
    };
    let body = if parts.has_bodies {
        let run = bodies::run_of(method);
        let how = if task.source.is_some() { quote!(Stream) } else { quote!(Value) };
        quote! {
            ::core::option::Option::Some(::farloop::__private::Body::Method(::farloop::__private::MethodBody {
                turns: #turns,
                run: ::farloop::__private::MethodRun::#how(#reference::#run),
            }))
        }
    } else {
        quote!(::core::option::Option::None)
    };
    let run = parts.has_bodies.then(|| bodies::run(parts, method, task));
    let hidden_result = hidden_result(method.name(), METHOD, task);
    // An item of an `impl` block: it is checked where it is used.
    let checked = (!hidden_result.is_empty()).then(|| quote!({ #hidden_result }));
    quote! {
        #(#cfgs)*
        const #name: &'static ::farloop::__private::Definition = {
            #checked
            &::farloop::__private::Definition {
                name: #wire_name,
                fingerprint: ::farloop::__private::fingerprint(&[#wire_name, #shape]),
                args: #args,
                returns: #returns,
                concurrency: 0,
                location: (::core::file!(), #line),
                body: #body,
                actor: ::core::option::Option::Some(::farloop::__private::ActorInfo {
                    def: || ::farloop::__private::ActorDef::Method(#turns),
                    family: || #reference::__FARLOOP_FAMILY,
                }),
            }
        };
        #(#cfgs)*
        #run
    }
}

/// Visibility of what stands for the method elsewhere.
fn visibility<'a>(method: &'a Method<'_>) -> &'a Visibility {
    &method.item.visibility
}
