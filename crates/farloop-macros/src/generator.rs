//! What is different about `#[farloop::stream]`: where its items come from, and how they leave.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::visit::{self, Visit};
use syn::{AngleBracketedGenericArguments, GenericArgument, PathArguments, ReturnType, Signature, Type};

use crate::expand;
use crate::item::{Complaints, FunctionItem};
use crate::signature::{self, Noun, Returns, Task};

/// Where the items of a stream come from.
pub(crate) enum Source<'a> {
    /// The function returns a `Stream`; or a `Result` of one, of this type.
    Returned { fallible: Option<&'a Type> },
    /// The body sends them to a parameter; this is how it ends.
    Sent { end: Returns<'a> },
}

impl<'a> Task<'a> {
    /// As [`Task::read`], for a function that yields items.
    pub(crate) fn read_stream(signature: &'a Signature, has_body: bool, noun: Noun) -> syn::Result<Self> {
        let mut wrong = Complaints::default();
        let params = signature::params(signature, has_body, noun, &mut wrong);
        let outs: Vec<_> = params.iter().filter_map(|p| p.out().map(|of| (p.written, of))).collect();
        for (second, _) in outs.iter().skip(1) {
            wrong.at(second, "a stream has one `Yielder`: clone it in the body where several are wanted");
        }
        let stream = match &signature.output {
            ReturnType::Type(_, of) => item_of(of).map(|item| (&**of, item)),
            ReturnType::Default => None,
        };
        let (returns, source) = match (outs.first(), stream) {
            (Some((_, of)), None) => {
                if signature.asyncness.is_none() {
                    wrong.at(
                        &signature.fn_token,
                        "a stream with a `Yielder` is an `async fn`: sending waits for the consumer",
                    );
                }
                let end = signature::returns(&signature.output, &mut wrong);
                if let Returns::Value(value) = &end {
                    wrong.at(
                        value,
                        "a stream ends without a value: return nothing, or `Result<()>`, and send what there is to say",
                    );
                }
                let item = signature::returned(of, "the item", &mut wrong);
                if let Returns::Result { whole, .. } = &item {
                    wrong.at(whole, "send values; to fail, return the error from the function");
                }
                (item, Source::Sent { end })
            }
            (None, Some((whole, item))) => {
                let fallible = match whole {
                    Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == "Result") => Some(whole),
                    _ => None,
                };
                (signature::returned(item, "the item", &mut wrong), Source::Returned { fallible })
            }
            (Some(_), Some((whole, _))) => {
                wrong.at(whole, "a stream is returned or sent to a `Yielder`, not both");
                (Returns::Unit, Source::Returned { fallible: None })
            }
            (None, None) => {
                wrong.at(
                    &signature.ident,
                    "a stream returns `impl Stream<Item = T>`, or has a parameter `out: Yielder<T>` to send its items to; for a function that returns one value there is #[farloop::task]",
                );
                (Returns::Unit, Source::Returned { fallible: None })
            }
        };
        wrong.none()?;
        Ok(Self { params, returns, source: Some(source) })
    }
}

/// `T` of a type that is called `Yielder<T>`.
pub(crate) fn yielder_of(written: &Type) -> Option<&Type> {
    let Type::Path(path) = written else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Yielder")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    })
}

/// `T` of a type in which something is called `Stream<Item = T>`.
fn item_of(written: &Type) -> Option<&Type> {
    struct Find<'ast>(Option<&'ast Type>);
    impl<'ast> Visit<'ast> for Find<'ast> {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            if segment.ident == "Stream"
                && let PathArguments::AngleBracketed(AngleBracketedGenericArguments { args, .. }) = &segment.arguments
            {
                let item = args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
                    _ => None,
                });
                self.0 = self.0.or(item);
            }
            visit::visit_path_segment(self, segment);
        }
    }
    let mut find = Find(None);
    find.visit_type(written);
    find.0
}

/// Whether a function that returns that returns a stream.
pub(crate) fn is_stream(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, of) if item_of(of).is_some())
}

/// Sends what the `body` yields, each item encoded, and ends as it does.
pub(crate) fn work(source: &Source<'_>, body: &TokenStream, encode: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    match source {
        Source::Returned { fallible: None } => {
            quote_spanned!(here=> ::farloop::__private::drive(#body, outlet, #encode).await)
        }
        Source::Returned { fallible: Some(whole) } => {
            let raise = expand::raise(whole);
            quote_spanned! {here=>
                match #body {
                    ::core::result::Result::Ok(stream) => ::farloop::__private::drive(stream, outlet, #encode).await,
                    ::core::result::Result::Err(error) => #raise
                }
            }
        }
        Source::Sent { end } => {
            let end = expand::end(end);
            quote_spanned!(here=> (#end)(#body))
        }
    }
}

/// Decodes the arguments, and sends what the body yields.
pub(crate) fn run(
    item: &FunctionItem,
    source: &Source<'_>,
    read: &TokenStream,
    given: &[TokenStream],
    encode: &TokenStream,
) -> TokenStream {
    let name = &item.signature.ident;
    let here = Span::mixed_site();
    let wait = item.signature.asyncness.map(|_| quote_spanned!(here=> .await));
    let work = work(source, &quote_spanned!(here=> #name::local(#(#given),*) #wait), encode);
    quote_spanned! {here=>
        impl #name {
            #[doc(hidden)]
            fn __farloop_run(
                invocation: ::farloop::__private::Invocation,
                outlet: ::farloop::__private::Outlet,
            ) -> ::farloop::__private::LocalBoxFuture<'static, ::farloop::__private::BodyEnd> {
                #read
                #[allow(unused_variables)]
                match read() {
                    ::core::result::Result::Ok((values, state)) => ::std::boxed::Box::pin(async move { #work }),
                    ::core::result::Result::Err(error) => {
                        ::std::boxed::Box::pin(::farloop::__private::ready(::core::result::Result::Err(error)))
                    }
                }
            }
        }
    }
}
