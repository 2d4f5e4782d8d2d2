//! `#[farloop::actor(name = "..", mailbox = 100, ..)]`, and `#[farloop(..)]` on a method.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, LitInt, LitStr, Meta, Token};

use crate::options::{Options, duration, wire_name};

/// What stands between the parentheses of the type's attribute.
#[derive(Default)]
pub(super) struct ActorOptions {
    pub(super) name: Option<LitStr>,
    /// Where `on_demand` stands, if it does.
    pub(super) on_demand: Option<Span>,
    pub(super) snapshot: Option<Span>,
    /// Fields of `Host`, of its `Restart` and of its `Placement`.
    host: Vec<TokenStream>,
    restart: Vec<TokenStream>,
    placement: Vec<TokenStream>,
}

const KNOWN: &str = "name, mailbox, per_caller, snapshot, restart, max_restarts, restart_window, backoff, on_demand, idle, labels and placement";

impl Parse for ActorOptions {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        let mut seen: Vec<(String, Span)> = Vec::new();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let text = key.to_string();
            if seen.iter().any(|(old, _)| *old == text) {
                return Err(syn::Error::new(key.span(), format!("`{text}` is given twice")));
            }
            if let "on_demand" | "snapshot" = text.as_str() {
                if input.peek(Token![=]) {
                    return Err(input.error(format!("`{text}` is said by its name alone")));
                }
            } else if !KNOWN.split([',', ' ']).any(|known| known == text) || text == "and" {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{text}` is no option of an actor; there are {KNOWN}"),
                ));
            } else {
                input.parse::<Token![=]>()?;
            }
            options.option(&key, &text, input)?;
            seen.push((text, key.span()));
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let given = |name: &str| seen.iter().find(|(key, _)| key == name).map(|(_, at)| *at);
        if let (Some(at), None) = (given("idle"), options.on_demand) {
            return Err(syn::Error::new(
                at,
                "`idle` puts actors to sleep that the next call wakes: it goes with `on_demand`",
            ));
        }
        Ok(options)
    }
}

impl ActorOptions {
    fn option(&mut self, key: &Ident, text: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match text {
            "on_demand" => {
                self.on_demand = Some(key.span());
                self.host.push(quote!(on_demand: true));
            }
            "snapshot" => self.snapshot = Some(key.span()),
            "name" => self.name = Some(wire_name(input.parse()?)?),
            "mailbox" | "per_caller" => {
                let calls = number(input)?;
                if calls.base10_parse::<u32>()? == 0 {
                    return Err(syn::Error::new(calls.span(), "no call could ever wait there; give a number from 1"));
                }
                self.host.push(quote!(#key: #calls));
            }
            "idle" => {
                let limit = duration(&input.parse()?)?;
                self.host.push(quote!(idle: ::core::option::Option::Some(#limit)));
            }
            "restart" => {
                let when: LitStr = input.parse()?;
                let name = match when.value().as_str() {
                    "never" => quote!(Never),
                    "on_failure" => quote!(OnFailure),
                    "always" => quote!(Always),
                    _ => {
                        let text = "an actor starts again \"never\", \"on_failure\" or \"always\"";
                        return Err(syn::Error::new(when.span(), text));
                    }
                };
                self.restart.push(quote!(when: ::farloop::__private::RestartWhen::#name));
            }
            "max_restarts" => {
                let at_most = number(input)?;
                self.restart.push(quote!(at_most: #at_most));
            }
            "restart_window" => {
                let within = duration(&input.parse()?)?;
                self.restart.push(quote!(within: #within));
            }
            "backoff" => {
                let initial = duration(&input.parse()?)?;
                self.restart.push(quote!(backoff: ::farloop::Backoff::new(#initial)));
            }
            "labels" => {
                let labels = labels(&input.parse()?)?;
                self.placement.push(quote!(labels: ::std::vec![#(#labels),*]));
            }
            _ => {
                let strategy: LitStr = input.parse()?;
                let name = match strategy.value().as_str() {
                    "spread" => quote!(Spread),
                    "pack" => quote!(Pack),
                    _ => return Err(syn::Error::new(strategy.span(), "a placement is \"spread\" or \"pack\"")),
                };
                self.placement.push(quote!(strategy: ::farloop::__private::Strategy::#name));
            }
        }
        Ok(())
    }

    /// The options of its actors, as a `Host`.
    pub(super) fn host(&self) -> TokenStream {
        let Self { host, restart, placement, .. } = self;
        quote! {
            ::farloop::__private::Host {
                #(#host,)*
                restart: ::farloop::__private::Restart { #(#restart,)* ..::core::default::Default::default() },
                placement: ::farloop::__private::Placement { #(#placement,)* ..::core::default::Default::default() },
                ..::core::default::Default::default()
            }
        }
    }
}

fn number(input: ParseStream<'_>) -> syn::Result<LitInt> {
    let number: LitInt = input.parse()?;
    number.base10_parse::<u32>()?;
    Ok(number)
}

/// `"disk=ssd, zone=a"`
fn labels(text: &LitStr) -> syn::Result<Vec<TokenStream>> {
    let value = text.value();
    let pairs = value.split(',').map(|pair| match pair.trim().split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(quote!((#key.into(), #value.into()))),
        _ => Err(syn::Error::new(text.span(), "labels are written as \"disk=ssd, zone=a\"")),
    });
    pairs.collect()
}

/// What `#[farloop(..)]` says about a function.
#[derive(Default)]
pub(super) struct MethodOptions {
    /// There is one.
    pub(super) given: Option<Span>,
    pub(super) skip: bool,
    pub(super) interleave: Option<Span>,
    pub(super) stream: bool,
    /// Calls on the coroutine.
    pub(super) calls: Vec<TokenStream>,
}

impl MethodOptions {
    pub(super) fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("farloop")) {
            let Meta::List(list) = &attribute.meta else {
                return Err(syn::Error::new_spanned(attribute, "say what: #[farloop(interleave)], #[farloop(skip)]"));
            };
            options.given = Some(syn::spanned::Spanned::span(attribute));
            list.parse_args_with(|input: ParseStream<'_>| options.list(input))?;
        }
        Ok(options)
    }

    fn list(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let mut others = TokenStream::new();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "skip" => self.skip = true,
                "interleave" => self.interleave = Some(key.span()),
                "stream" => self.stream = true,
                "name" | "concurrency" => {
                    let text = format!("`{key}` is no option of a method: it is called by its type's name and its own");
                    return Err(syn::Error::new(key.span(), text));
                }
                _ => {
                    if !input.peek(Token![=]) {
                        let text = format!(
                            "`{key}` is no option of a method; there are interleave, stream and skip, and the options of a task"
                        );
                        return Err(syn::Error::new(key.span(), text));
                    }
                    let equals: Token![=] = input.parse()?;
                    let minus: Option<Token![-]> = input.parse()?;
                    let value: syn::Lit = input.parse()?;
                    others.extend(quote!(#key #equals #minus #value,));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        self.calls.extend(syn::parse2::<Options>(others)?.calls);
        Ok(())
    }
}
