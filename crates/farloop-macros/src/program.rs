//! `#[farloop::main]` and `#[farloop::test]`: an async function around which somebody builds a runtime.

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitInt;
use syn::parse::Parser;

use crate::item::{Complaints, FunctionItem};

pub(crate) fn main(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new_spanned(options, "#[farloop::main] has no options"));
    }
    let item: FunctionItem = syn::parse2(item)?;
    around(&item, "main", &[], |body| quote!(::farloop::runtime::main(#body)))
}

pub(crate) fn test(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut workers: usize = 1;
    syn::meta::parser(|meta| {
        if !meta.path.is_ident("workers") {
            return Err(meta.error("#[farloop::test] has one option: workers = 3"));
        }
        let number: LitInt = meta.value()?.parse()?;
        workers = number.base10_parse()?;
        if workers == 0 { Err(syn::Error::new(number.span(), "a cluster has one worker at least")) } else { Ok(()) }
    })
    .parse2(options)?;
    let item: FunctionItem = syn::parse2(item)?;
    let test = quote!(#[::core::prelude::v1::test]);
    around(&item, "test", &[test], |body| quote!(::farloop::testing::run_test(#workers, #body)))
}

fn around(
    item: &FunctionItem,
    attribute: &str,
    extra: &[TokenStream],
    call: impl FnOnce(TokenStream) -> TokenStream,
) -> syn::Result<TokenStream> {
    let FunctionItem { attributes, visibility, signature, body } = item;
    let mut wrong = Complaints::default();
    if signature.asyncness.is_none() {
        wrong.at(&signature.fn_token, format!("#[farloop::{attribute}] goes on an `async fn`"));
    }
    if !signature.inputs.is_empty() {
        wrong.at(&signature.inputs, format!("the function of #[farloop::{attribute}] takes no arguments"));
    }
    if !signature.generics.params.is_empty() {
        wrong.at(&signature.generics, format!("the function of #[farloop::{attribute}] cannot be generic"));
    }
    if body.is_none() {
        wrong.at(&signature.ident, "a body is missing");
    }
    wrong.none()?;
    let mut plain = signature.clone();
    plain.asyncness = None;
    if attribute == "test" {
        // The error of a test is looked at by the one who runs it.
        plain.output = syn::ReturnType::Default;
    }
    let output = &signature.output;
    // A function of its own, so that `?` and the last expression see the return type as in any `async fn`.
    let inner = quote!(__farloop_body);
    let call = call(quote!(#inner()));
    Ok(quote! {
        #(#attributes)*
        #(#extra)*
        #visibility #plain {
            async fn #inner() #output #body
            #call
        }
    })
}
