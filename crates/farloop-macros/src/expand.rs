//! `#[farloop::task]` and `#[farloop::stream]`: what stands in the place of the function.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Ident};

use crate::item::FunctionItem;
use crate::options::Options;
use crate::signature::{Noun, Param, ParamKind, Returns, TASK, Task};
use crate::spelling;

pub(crate) fn task(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let item: FunctionItem = syn::parse2(item)?;
    let task = Task::read(&item.signature, item.body.is_some(), TASK)?;
    all(options, &item, &task)
}

pub(crate) fn stream(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let item: FunctionItem = syn::parse2(item)?;
    let task = Task::read_stream(&item.signature, item.body.is_some(), TASK)?;
    all(options, &item, &task)
}

fn all(options: TokenStream, item: &FunctionItem, task: &Task<'_>) -> syn::Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let call = call(item, task, &options);
    let marker = marker(item);
    let local = local(item, task);
    let definition = definition(item, task, &options);
    Ok(quote!(#call #marker #local #definition))
}

/// `fn f(a: impl IntoArg<A>, ..) -> Coro<Out>`
fn call(item: &FunctionItem, task: &Task<'_>, options: &Options) -> TokenStream {
    let FunctionItem { attributes, visibility, signature, .. } = item;
    let name = &signature.ident;
    let kept = attributes.iter().filter(|attribute| keeps_on_call(attribute));
    let args: Vec<_> = task.params.iter().filter_map(Param::arg).collect();
    let params = args.iter().map(|(name, of)| quote_spanned!(of.span()=> #name: impl ::farloop::IntoArg<#of>));
    let encode = args.iter().map(|(name, of)| quote_spanned!(of.span()=> .arg::<#of>(#name)));
    let output = task.output();
    let calls = &options.calls;
    let coro = quote! {
        ::farloop::__private::TypedCall::new(<#name as ::farloop::__private::TaskFn>::DEFINITION, &WIRE_NAME)
            #(#encode)*
            .coro::<#output>()
            #(#calls)*
    };
    let (gives, coro) = match task.source {
        None => (quote!(::farloop::Coro<#output>), coro),
        Some(_) => (quote!(::farloop::Items<#output>), quote!(::farloop::__private::items(#coro))),
    };
    quote! {
        #(#kept)*
        #[track_caller]
        #[allow(dead_code)]
        #visibility fn #name(#(#params),*) -> #gives {
            static WIRE_NAME: ::farloop::__private::WireName = ::farloop::__private::WireName::new();
            #coro
        }
    }
}

/// `struct f {}`: a type of the same name, which leaves the function's own name free.
fn marker(item: &FunctionItem) -> TokenStream {
    let FunctionItem { attributes, visibility, signature, .. } = item;
    let name = &signature.ident;
    let kept = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let doc = format!("The task function `{name}` as a type, for a worker to register: `worker.task::<{name}>()`.");
    quote! {
        #(#kept)*
        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code, missing_debug_implementations, missing_copy_implementations)]
        #visibility struct #name {}
    }
}

/// `impl f { async fn local(..) -> R { the body } }`
fn local(item: &FunctionItem, task: &Task<'_>) -> TokenStream {
    let FunctionItem { attributes, visibility, signature, body: Some(body) } = item else { return TokenStream::new() };
    let name = &signature.ident;
    let kept = attributes.iter().filter(|attribute| keeps_on_body(attribute));
    let asyncness = &signature.asyncness;
    let output = &signature.output;
    let params = task.params.iter().map(|param| {
        let mut written = param.written.clone();
        written.attrs.retain(|attribute| !attribute.path().is_ident("state"));
        written
    });
    let doc = format!("The body of `{name}`: runs here and now, as an ordinary function. For unit tests.");
    let allow_unused_async = asyncness.map(|_| quote!(#[allow(clippy::unused_async)]));
    // What a body prints travels, however it is spelled: names that stand in the function itself go before std's. (Those
    // of a glob import would be ambiguous with std's prelude.)
    quote! {
        impl #name {
            #[doc = #doc]
            #(#kept)*
            #[allow(dead_code)]
            #allow_unused_async
            #visibility #asyncness fn local(#(#params),*) #output {
                #[allow(unused_imports)]
                use ::farloop::{eprint, eprintln, print, println};
                #body
            }
        }
    }
}

/// `impl TaskFn for f`
fn definition(item: &FunctionItem, task: &Task<'_>, options: &Options) -> TokenStream {
    let signature = &item.signature;
    let name = &signature.ident;
    let plain_name = unraw(name);
    let wire_name = match &options.name {
        Some(name) => quote!(#name),
        None => quote!(::core::concat!(::core::env!("CARGO_PKG_NAME"), ".", #plain_name)),
    };
    let Spelled { args, returns, shape } = Spelled::of(task);
    let output = task.output();
    let body = match (&item.body, signature.asyncness) {
        (None, _) => quote!(::core::option::Option::None),
        (Some(_), _) if task.source.is_some() => {
            quote!(::core::option::Option::Some(::farloop::__private::Body::Stream(#name::__farloop_run)))
        }
        (Some(_), Some(_)) => {
            quote!(::core::option::Option::Some(::farloop::__private::Body::Async(#name::__farloop_run)))
        }
        (Some(_), None) => {
            quote!(::core::option::Option::Some(::farloop::__private::Body::Blocking(#name::__farloop_run)))
        }
    };
    let run = item.body.as_ref().map(|_| run(item, task));
    let hidden_result = hidden_result(name, TASK, task);
    let concurrency = options.concurrency;
    let span = name.span();
    let line = quote_spanned!(span=> ::core::line!());
    quote! {
        #run
        #hidden_result
        impl ::farloop::__private::TaskFn for #name {
            const DEFINITION: &'static ::farloop::__private::Definition = &::farloop::__private::Definition {
                name: #wire_name,
                fingerprint: ::farloop::__private::fingerprint(&[#wire_name, #shape]),
                args: #args,
                returns: #returns,
                concurrency: #concurrency,
                location: (::core::file!(), #line),
                body: #body,
                actor: ::core::option::Option::None,
            };
            type Output = #output;
        }
    }
}

/// What a definition says of a signature.
pub(crate) struct Spelled {
    /// `&[("a", "i64")]`
    pub(crate) args: TokenStream,
    pub(crate) returns: String,
    /// What the fingerprint is made of, besides the name.
    pub(crate) shape: String,
}

impl Spelled {
    pub(crate) fn of(task: &Task<'_>) -> Self {
        let args = task.params.iter().filter_map(Param::arg).map(|(name, of)| (unraw(name), spelling::of(of)));
        let (names, types): (Vec<_>, Vec<_>) = args.unzip();
        let returns = task.spelled_output();
        let (gives, returns) = match task.source {
            Some(_) => (format!("stream {returns}"), format!("impl Stream<Item = {returns}>")),
            None => (returns.clone(), returns),
        };
        let shape = format!("({})->{gives}", types.join(","));
        Self { args: quote!(&[#((#names, #types)),*]), returns, shape }
    }
}

/// Decodes the arguments, runs the body, encodes its end.
fn run(item: &FunctionItem, task: &Task<'_>) -> TokenStream {
    let name = &item.signature.ident;
    let definition = quote!(<#name as ::farloop::__private::TaskFn>::DEFINITION);
    let Reading { read, given } = Reading::of(task, &definition);
    let end = end(&task.returns);
    let here = Span::mixed_site();
    let states = task.params.iter().any(|param| param.state().is_some());
    if let Some(source) = &task.source {
        return crate::generator::run(item, source, &read, &given, &end);
    }
    if item.signature.asyncness.is_none() {
        return quote_spanned! {here=>
            impl #name {
                #[doc(hidden)]
                fn __farloop_run(invocation: ::farloop::__private::Invocation) -> ::farloop::__private::BodyEnd {
                    #read
                    #[allow(unused_variables)]
                    let (values, state) = read()?;
                    ::core::mem::drop(invocation);
                    (#end)(#name::local(#(#given),*))
                }
            }
        };
    }
    let future = if !states {
        // Mapped rather than awaited in a block: the block would keep room for the body's future twice.
        quote_spanned! {here=>
            ::std::boxed::Box::pin(::farloop::__private::FutureExt::map(#name::local(#(#given),*), #end))
        }
    } else {
        quote_spanned!(here=> ::std::boxed::Box::pin(async move { (#end)(#name::local(#(#given),*).await) }))
    };
    quote_spanned! {here=>
        impl #name {
            #[doc(hidden)]
            fn __farloop_run(
                invocation: ::farloop::__private::Invocation,
            ) -> ::farloop::__private::LocalBoxFuture<'static, ::farloop::__private::BodyEnd> {
                #read
                #[allow(unused_variables)]
                match read() {
                    ::core::result::Result::Ok((values, state)) => #future,
                    ::core::result::Result::Err(error) => {
                        ::std::boxed::Box::pin(::farloop::__private::ready(::core::result::Result::Err(error)))
                    }
                }
            }
        }
    }
}

/// Code that makes of an `invocation` what a body takes.
pub(crate) struct Reading {
    /// `let definition`, and `let read`, a closure that gives `(values, state)`.
    pub(crate) read: TokenStream,
    /// Where each parameter comes from: `values.0`, `&state.1`.
    pub(crate) given: Vec<TokenStream>,
}

impl Reading {
    pub(crate) fn of(task: &Task<'_>, definition: &TokenStream) -> Self {
        let here = Span::mixed_site();
        let args = task.params.iter().filter_map(Param::arg);
        let decode = args.map(|(_, of)| quote_spanned!(ours(of)=> args.next_arg::<#of>()?));
        let states = task.params.iter().filter_map(Param::state);
        let find = states.map(|of| quote_spanned!(ours(of)=> invocation.state::<#of>(definition)?));
        let read = quote_spanned! {here=>
            let definition = #definition;
            let read = || -> ::core::result::Result<_, ::farloop::__private::BodyError> {
                #[allow(unused_mut)]
                let mut args = invocation.decoder(definition)?;
                ::core::result::Result::Ok(((#(#decode,)*), (#(#find,)*)))
            };
        };
        let (mut value, mut shared) = (0usize.., 0usize..);
        let given = task.params.iter().map(|param| match param.kind {
            ParamKind::Arg(of) => {
                let at = syn::Index::from(value.next().unwrap_or_default());
                quote_spanned!(ours(of)=> values.#at)
            }
            ParamKind::State(of) => {
                let at = syn::Index::from(shared.next().unwrap_or_default());
                quote_spanned!(ours(of)=> &state.#at)
            }
            ParamKind::Out(of) => quote_spanned!(ours(of)=> ::farloop::Yielder::to(outlet)),
        });
        Self { read, given: given.collect() }
    }
}

/// A closure from what the body returns (or yields) to how it ends (or to the item).
pub(crate) fn end(returns: &Returns<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let returned = |span: Span| {
        let value = quote_spanned!(span=> &value);
        quote_spanned!(here=> ::farloop::__private::returned(definition, #value))
    };
    match returns {
        Returns::Unit => {
            let encode = returned(here);
            quote_spanned!(here=> move |value: ()| #encode)
        }
        Returns::Value(of) => {
            let encode = returned(ours(of));
            quote_spanned!(here=> move |value: #of| #encode)
        }
        Returns::Result { whole, value } => {
            let encode = returned(ours(value.unwrap_or(whole)));
            let raise = raise(whole);
            quote_spanned! {here=>
                move |end: #whole| match end {
                    ::core::result::Result::Ok(value) => #encode,
                    ::core::result::Result::Err(error) => #raise
                }
            }
        }
    }
}

/// `Err` of the `error` that stands where this is put.
pub(crate) fn raise(of: &syn::Type) -> TokenStream {
    let raise = quote_spanned!(ours(of)=> (&&&&::farloop::__private::Raise::of(&error)).way().raise(error));
    quote_spanned! {Span::mixed_site()=> {
        #[allow(unused_imports)]
        use ::farloop::__private::{ViaError as _, ViaLocal as _, ViaNothing as _, ViaTyped as _};
        ::core::result::Result::Err(#raise)
    }}
}

/// Points the compiler at the user's type when something is wrong with it, while the names that stand there are
/// ours: also in a function that another macro wrote.
pub(crate) fn ours(of: &syn::Type) -> Span {
    of.span().resolved_at(Span::mixed_site())
}

/// Refuses a `Result` that is not called one: its errors would be sent as values.
pub(crate) fn hidden_result(name: &Ident, noun: Noun, task: &Task<'_>) -> TokenStream {
    let Returns::Value(of) = task.returns else { return TokenStream::new() };
    let text = format!(
        "{noun} `{name}` returns `{}`, which is a `Result` under another name: write it as `Result<..>`, so that an error fails the {noun}",
        spelling::of(of)
    );
    let check = quote_spanned!(of.span()=> ::core::assert!(!::farloop::__private::Hidden::<#of>::RESULT, #text));
    quote! {
        const _: () = {
            #[allow(unused_imports)]
            use ::farloop::__private::NotHidden as _;
            #check
        };
    }
}

/// Attributes that go to the calling function.
pub(crate) fn keeps_on_call(attribute: &Attribute) -> bool {
    ["doc", "cfg", "deprecated", "allow", "warn", "deny", "forbid", "must_use"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

/// Attributes that go to the body: all but those that speak to callers.
fn keeps_on_body(attribute: &Attribute) -> bool {
    !["doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// `type` for `r#type`.
pub(crate) fn unraw(name: &Ident) -> String {
    let text = name.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

impl<'a> Param<'a> {
    pub(crate) fn arg(&self) -> Option<(&'a Ident, &'a syn::Type)> {
        match self.kind {
            ParamKind::Arg(of) => Some((self.name, of)),
            ParamKind::State(_) | ParamKind::Out(_) => None,
        }
    }

    /// `T` of an `out: Yielder<T>`.
    pub(crate) fn out(&self) -> Option<&'a syn::Type> {
        match self.kind {
            ParamKind::Out(of) => Some(of),
            ParamKind::Arg(_) | ParamKind::State(_) => None,
        }
    }

    pub(crate) fn state(&self) -> Option<&'a syn::Type> {
        match self.kind {
            ParamKind::Arg(_) | ParamKind::Out(_) => None,
            ParamKind::State(of) => Some(of),
        }
    }
}

impl Task<'_> {
    /// Type of the value.
    pub(crate) fn output(&self) -> TokenStream {
        match &self.returns {
            Returns::Unit => quote!(()),
            Returns::Value(of) => of.to_token_stream(),
            Returns::Result { value: Some(of), .. } => of.to_token_stream(),
            Returns::Result { whole, value: None } => quote!(<#whole as ::farloop::__private::AnyResult>::Ok),
        }
    }

    pub(crate) fn spelled_output(&self) -> String {
        match &self.returns {
            Returns::Unit => "()".to_owned(),
            Returns::Value(of) | Returns::Result { value: Some(of), .. } => spelling::of(of),
            // `fmt::Result` and the like name no type, and theirs is the unit in practice.
            Returns::Result { value: None, .. } => "()".to_owned(),
        }
    }
}
