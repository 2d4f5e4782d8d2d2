//! A function as it is written: its body stays as the tokens it is, since nothing here looks inside.

use proc_macro2::Group;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Token, Visibility};

pub(crate) struct FunctionItem {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// None: it ends in a semicolon.
    pub(crate) body: Option<Group>,
}

impl FunctionItem {
    /// The next one; others may follow.
    pub(crate) fn next(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        if input.peek(Token![impl])
            || input.peek(Token![struct])
            || input.peek(Token![mod])
            || input.peek(Token![trait])
        {
            return Err(input.error("this attribute goes on a function"));
        }
        let signature = input.parse()?;
        let body = if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            None
        } else {
            Some(input.parse()?)
        };
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl Parse for FunctionItem {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let item = Self::next(input)?;
        if input.is_empty() { Ok(item) } else { Err(input.error("unexpected tokens after the function")) }
    }
}

/// Collects errors, so that a person sees all of them at once.
#[derive(Default)]
pub(crate) struct Complaints(Option<syn::Error>);

impl Complaints {
    pub(crate) fn at(&mut self, place: &impl quote::ToTokens, text: impl std::fmt::Display) {
        self.add(syn::Error::new_spanned(place, text));
    }

    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    pub(crate) fn none(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
