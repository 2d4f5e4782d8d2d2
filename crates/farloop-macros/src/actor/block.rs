//! An `impl` block as it is written: the bodies of its functions stay the tokens that they are.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, ImplItem, Token, Type, Visibility, braced};

use crate::item::FunctionItem;

pub(super) struct Block {
    pub(super) attributes: Vec<Attribute>,
    /// `Counter`
    pub(super) of: Type,
    /// Its last segment.
    pub(super) name: Ident,
    pub(super) functions: Vec<FunctionItem>,
    /// Constants and whatever else is there.
    pub(super) others: Vec<TokenStream>,
}

impl Parse for Block {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        if !input.peek(Token![impl]) {
            return Err(input.error(
                "#[farloop::actor] goes on the `impl` block that has `new` and the methods, not on the struct",
            ));
        }
        input.parse::<Token![impl]>()?;
        if input.peek(Token![<]) {
            return Err(input.error(
                "a type of actors cannot be generic: it is found by its name on the wire, and a name stands for one type",
            ));
        }
        let of: Type = input.parse()?;
        if input.peek(Token![for]) {
            return Err(input.error(
                "#[farloop::actor] goes on the type's own `impl` block; a trait has no actors, so call the trait's methods from one",
            ));
        }
        let name = name_of(&of)?;
        let content;
        braced!(content in input);
        let (mut functions, mut others) = (Vec::new(), Vec::new());
        while !content.is_empty() {
            match function(&content)? {
                Some(function) => functions.push(function),
                None => others.push(content.parse::<ImplItem>()?.into_token_stream()),
            }
        }
        Ok(Self { attributes, of, name, functions, others })
    }
}

fn name_of(of: &Type) -> syn::Result<Ident> {
    let plain = match of {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    };
    match plain {
        Some(last) if last.arguments.is_none() => Ok(last.ident.clone()),
        _ => Err(syn::Error::new_spanned(of, "an actor is a struct or an enum of its own, without parameters")),
    }
}

fn function(input: ParseStream<'_>) -> syn::Result<Option<FunctionItem>> {
    let ahead = input.fork();
    ahead.call(Attribute::parse_outer)?;
    ahead.parse::<Visibility>()?;
    // `const X: u8` is no function, and `const fn` is one.
    ahead.parse::<Option<Token![const]>>()?;
    if !(ahead.peek(Token![fn])
        || ahead.peek(Token![async])
        || ahead.peek(Token![unsafe])
        || ahead.peek(Token![extern]))
    {
        return Ok(None);
    }
    let item = input.fork();
    let function = FunctionItem::next(&item)?;
    input.advance_to(&item);
    Ok(Some(function))
}

/// `Self` by its name: in what is written outside of the block it would be another type.
pub(super) fn concrete(tokens: TokenStream, of: &Type) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(word) if word == "Self" => {
            let at = word.span();
            let named = quote!(#of).into_iter().map(|mut token| {
                token.set_span(at);
                token
            });
            named.collect::<TokenStream>()
        }
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), concrete(group.stream(), of));
            inner.set_span(group.span());
            TokenTree::Group(inner).into()
        }
        other => other.into(),
    });
    replaced.collect()
}

impl Block {
    /// The block, as an ordinary one.
    pub(super) fn plain(&self) -> TokenStream {
        let Self { attributes, of, functions, others, .. } = self;
        let functions = functions.iter().filter(|function| function.body.is_some()).map(|function| {
            let FunctionItem { attributes, visibility, signature, body } = function;
            let attributes = attributes.iter().filter(|attribute| !attribute.path().is_ident("farloop"));
            let mut signature = signature.clone();
            for input in &mut signature.inputs {
                if let syn::FnArg::Typed(written) = input {
                    written.attrs.retain(|attribute| !attribute.path().is_ident("state"));
                }
            }
            let allow_unused_async = signature.asyncness.map(|_| quote!(#[allow(clippy::unused_async)]));
            // What a method prints travels, as what a task prints does.
            quote! {
                #(#attributes)*
                #allow_unused_async
                #visibility #signature {
                    #[allow(unused_imports)]
                    use ::farloop::{eprint, eprintln, print, println};
                    #body
                }
            }
        });
        quote! {
            #(#attributes)*
            #[allow(clippy::new_ret_no_self, clippy::unused_self)]
            impl #of {
                #(#others)*
                #(#functions)*
            }
        }
    }
}
