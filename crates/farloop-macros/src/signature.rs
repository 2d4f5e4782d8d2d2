//! Reads a task's signature, and says what cannot be in one.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, Ident, Lifetime, Pat, PatIdent, PatType, PathArguments, ReturnType, Signature, Type,
    TypeImplTrait, TypeReference,
};

use crate::generator::{Source, yielder_of};
use crate::item::Complaints;

/// What a task takes and returns.
pub(crate) struct Task<'a> {
    pub(crate) params: Vec<Param<'a>>,
    /// What the body returns; of a stream, what it yields.
    pub(crate) returns: Returns<'a>,
    /// Of a stream: where its items come from.
    pub(crate) source: Option<Source<'a>>,
}

/// One parameter, in the order of the source.
pub(crate) struct Param<'a> {
    pub(crate) written: &'a PatType,
    pub(crate) name: &'a Ident,
    pub(crate) kind: ParamKind<'a>,
}

pub(crate) enum ParamKind<'a> {
    /// Sent by the caller.
    Arg(&'a Type),
    /// `#[state] db: &Db`, with `Db`.
    State(&'a Type),
    /// `out: Yielder<T>`, with `T`.
    Out(&'a Type),
}

pub(crate) enum Returns<'a> {
    /// No `->`.
    Unit,
    /// A plain value.
    Value(&'a Type),
    /// Called `Result`; with the type of its value, where it is written.
    Result { whole: &'a Type, value: Option<&'a Type> },
}

impl<'a> Task<'a> {
    pub(crate) fn read(signature: &'a Signature, has_body: bool, noun: Noun) -> syn::Result<Self> {
        let mut wrong = Complaints::default();
        let params = params(signature, has_body, noun, &mut wrong);
        for out in params.iter().filter(|p| p.out().is_some()) {
            wrong.at(
                out.written,
                format!("a {noun} returns one value; a function that sends many is a #[farloop::stream]"),
            );
        }
        let returns = returns(&signature.output, &mut wrong);
        wrong.none()?;
        Ok(Self { params, returns, source: None })
    }
}

/// What a person calls the function: `task`, or `method`.
pub(crate) type Noun = &'static str;
pub(crate) const TASK: Noun = "task";
pub(crate) const METHOD: Noun = "method";

/// All parameters, in the order of the source.
pub(crate) fn params<'a>(
    signature: &'a Signature,
    has_body: bool,
    noun: Noun,
    wrong: &mut Complaints,
) -> Vec<Param<'a>> {
    check_kind(signature, noun, wrong);
    let mut params = Vec::new();
    for input in &signature.inputs {
        match input {
                FnArg::Receiver(receiver) => wrong.at(
                    receiver,
                    "a task is a free function: it runs in another process, where there is no `self`; put what it needs into arguments or #[state]",
                ),
                FnArg::Typed(written) => params.extend(param(written, has_body, noun, wrong)),
            }
    }
    params
}

fn check_kind(signature: &Signature, noun: Noun, wrong: &mut Complaints) {
    if !signature.generics.params.is_empty() {
        wrong.at(
            &signature.generics,
            format!(
                "a {noun} cannot be generic: it is found by its name on the wire, and a name stands for one function; write one {noun} per type"
            ),
        );
    } else if let Some(clause) = &signature.generics.where_clause {
        wrong.at(clause, format!("a {noun} cannot have a `where` clause"));
    }
    if let Some(constness) = &signature.constness {
        wrong.at(constness, format!("a {noun} cannot be `const`"));
    }
    if let Some(unsafety) = &signature.unsafety {
        wrong.at(unsafety, format!("a {noun} cannot be `unsafe`: nobody could vouch for a call from another machine"));
    }
    if let Some(abi) = &signature.abi {
        wrong.at(abi, format!("a {noun} cannot be `extern`"));
    }
    if let Some(variadic) = &signature.variadic {
        wrong.at(variadic, format!("a {noun} takes a fixed number of arguments"));
    }
}

fn param<'a>(written: &'a PatType, has_body: bool, noun: Noun, wrong: &mut Complaints) -> Option<Param<'a>> {
    let state = written.attrs.iter().find(|attribute| attribute.path().is_ident("state"));
    let name = match &*written.pat {
        Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. }) => ident,
        Pat::Wild(wild) => {
            wrong.at(wild, "an argument needs a name: callers and error messages use it (`_unused` will do)");
            return None;
        }
        pattern => {
            wrong.at(
                pattern,
                format!("a pattern cannot be an argument of a {noun}: name it, and take it apart in the body"),
            );
            return None;
        }
    };
    let kind = match state {
        Some(attribute) if !has_body => {
            wrong.at(attribute, "a definition without a body has no state: callers do not see it");
            return None;
        }
        Some(_) => ParamKind::State(state_type(&written.ty, wrong)?),
        None if yielder_of(&written.ty).is_some() => ParamKind::Out(yielder_of(&written.ty)?),
        None => {
            check_type(&written.ty, &format!("argument `{name}`"), wrong);
            ParamKind::Arg(&written.ty)
        }
    };
    Some(Param { written, name, kind })
}

fn state_type<'a>(written: &'a Type, wrong: &mut Complaints) -> Option<&'a Type> {
    match written {
        Type::Reference(TypeReference { mutability: None, lifetime: None, elem, .. }) => Some(elem),
        Type::Reference(TypeReference { mutability: Some(mutability), .. }) => {
            wrong.at(
                mutability,
                "state is shared by all bodies of the worker: take `&T`, and put a lock inside if it changes",
            );
            None
        }
        other => {
            wrong.at(other, "state is taken by reference: `#[state] name: &T`");
            None
        }
    }
}

/// Refuses what cannot be sent. The rest (`Serialize`) is for the compiler.
pub(crate) fn check_type(written: &Type, what: &str, wrong: &mut Complaints) {
    struct Borrows(Vec<(TokenStream, &'static str)>);
    impl<'ast> Visit<'ast> for Borrows {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0.push((reference.to_token_stream(), "borrows, and a borrow cannot travel to another process: own the value (`String` for `&str`, `Vec<T>` for `&[T]`), or mark shared state with #[state]"));
        }
        fn visit_type_impl_trait(&mut self, of: &'ast TypeImplTrait) {
            self.0.push((
                of.to_token_stream(),
                "is `impl Trait`, which makes the function generic: a task stands for one type, name it",
            ));
        }
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            if lifetime.ident != "static" {
                self.0.push((
                    lifetime.to_token_stream(),
                    "borrows, and a borrow cannot travel to another process: own the value",
                ));
            }
            visit::visit_lifetime(self, lifetime);
        }
    }
    let mut borrows = Borrows(Vec::new());
    borrows.visit_type(written);
    for (tokens, why) in borrows.0 {
        wrong.at(&tokens, format!("{what} {why}"));
    }
}

pub(crate) fn returns<'a>(output: &'a ReturnType, wrong: &mut Complaints) -> Returns<'a> {
    match output {
        ReturnType::Default => Returns::Unit,
        ReturnType::Type(_, whole) => returned(whole, "the result", wrong),
    }
}

/// A value or an item, by its written type.
pub(crate) fn returned<'a>(whole: &'a Type, what: &str, wrong: &mut Complaints) -> Returns<'a> {
    check_type(whole, what, wrong);
    let Type::Path(path) = whole else { return Returns::Value(whole) };
    match path.path.segments.last() {
        Some(last) if last.ident == "Result" => {
            let value = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::Type(of) => Some(of),
                    _ => None,
                }),
                _ => None,
            };
            Returns::Result { whole, value }
        }
        _ => Returns::Value(whole),
    }
}
