//! What each function of the block is: what makes the state, a method that can be called from elsewhere, a hook, or
//! nothing of ours.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{FnArg, PathArguments, ReturnType, Signature, Type, Visibility};

use super::block::{Block, concrete};
use super::options::MethodOptions;
use crate::generator;
use crate::item::{Complaints, FunctionItem};
use crate::signature::{METHOD, Task};

/// The functions of a block, by what they are.
pub(super) struct Roles<'a> {
    pub(super) new: Method<'a>,
    pub(super) methods: Vec<Method<'a>>,
    pub(super) on_start: Option<Hook<'a>>,
    pub(super) on_restart: Option<Hook<'a>>,
    pub(super) on_stop: Option<Hook<'a>>,
}

/// What a method gets of the state.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Receiver {
    /// `&mut self`
    Alone,
    /// `&self`
    Shared,
    /// `this: &Interleaved<Self>`
    Interleaved,
}

/// A function that callers see.
pub(super) struct Method<'a> {
    pub(super) item: &'a FunctionItem,
    pub(super) receiver: Receiver,
    /// Without the receiver, and with the type's name for `Self`.
    pub(super) signature: Signature,
    pub(super) options: MethodOptions,
}

/// A function that the worker calls.
pub(super) struct Hook<'a> {
    pub(super) item: &'a FunctionItem,
    pub(super) signature: Signature,
}

impl Method<'_> {
    pub(super) fn name(&self) -> &Ident {
        &self.signature.ident
    }

    /// What it takes and gives.
    pub(super) fn task(&self) -> syn::Result<Task<'_>> {
        let has_body = self.item.body.is_some();
        let sends = self.signature.inputs.iter().any(|input| match input {
            FnArg::Typed(written) => generator::yielder_of(&written.ty).is_some(),
            FnArg::Receiver(_) => false,
        });
        if self.options.stream || sends || generator::is_stream(&self.signature.output) {
            return Task::read_stream(&self.signature, has_body, METHOD);
        }
        Task::read(&self.signature, has_body, METHOD)
    }
}

/// Names that the type, or the plumbing of its references, has for itself.
const TAKEN: [&str; 3] = ["spawn", "lookup", "at"];

impl<'a> Roles<'a> {
    pub(super) fn of(block: &'a Block) -> syn::Result<Self> {
        let mut wrong = Complaints::default();
        let mut new = None;
        let mut hooks: [Option<Hook<'a>>; 3] = [None, None, None];
        let mut methods = Vec::new();
        for item in &block.functions {
            let name = item.signature.ident.to_string();
            let options = match MethodOptions::read(&item.attributes) {
                Ok(options) => options,
                Err(error) => {
                    wrong.add(error);
                    continue;
                }
            };
            if options.skip {
                continue;
            }
            let hook = ["on_start", "on_restart", "on_stop"].iter().position(|hook| *hook == name);
            if TAKEN.contains(&name.as_str()) {
                let text = format!("`{name}` is what every type of actors has already; call this one something else");
                wrong.at(&item.signature.ident, text);
            } else if name == "new" {
                if let Some(FnArg::Receiver(receiver)) = item.signature.inputs.first() {
                    wrong.at(receiver, "`new` makes the state, so there is no `self` yet");
                }
                let signature = plain(&item.signature, block, 0, &mut wrong);
                new = signature.map(|signature| Method { item, receiver: Receiver::Alone, signature, options });
            } else if let Some(at) = hook {
                check_hook(&item.signature, &mut wrong);
                hooks[at] = plain(&item.signature, block, 1, &mut wrong).map(|signature| Hook { item, signature });
            } else if let Some(receiver) = receiver(&item.signature, &options, &mut wrong) {
                let signature = plain(&item.signature, block, 1, &mut wrong);
                methods.extend(signature.map(|signature| Method { item, receiver, signature, options }));
            }
        }
        if new.is_none() {
            wrong.at(
                &block.of,
                format!(
                    "an actor needs `new`, which makes its state: `pub async fn new(..) -> Self`, or `-> Result<Self, E>`; write one for `{}`",
                    block.name
                ),
            );
        }
        // A block that says `pub` somewhere has said what it does not.
        if methods.iter().any(|method| is_open(method.item)) {
            methods.retain(|method| is_open(method.item) || method.options.given.is_some());
        }
        wrong.none()?;
        let new = new.ok_or_else(|| syn::Error::new_spanned(&block.of, "an actor needs `new`"))?;
        let [on_start, on_restart, on_stop] = hooks;
        Ok(Self { new, methods, on_start, on_restart, on_stop })
    }
}

fn is_open(item: &FunctionItem) -> bool {
    !matches!(item.visibility, Visibility::Inherited)
}

/// The signature without its first `skip` parameters.
fn plain(signature: &Signature, block: &Block, skip: usize, wrong: &mut Complaints) -> Option<Signature> {
    let mut plain = signature.clone();
    plain.inputs = plain.inputs.into_iter().skip(skip).collect();
    let read = syn::parse2(concrete(plain.into_token_stream(), &block.of));
    read.map_err(|error| wrong.add(error)).ok()
}

/// What the method gets of the state; none for a function that is no method.
fn receiver(signature: &Signature, options: &MethodOptions, wrong: &mut Complaints) -> Option<Receiver> {
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) => {
            if options.interleave.is_some() {
                wrong.at(
                    receiver,
                    "an interleaved method has the state between two awaits only, so it takes `this: &Interleaved<Self>` and says `this.with(|state| ..)`",
                );
            }
            let is_reference = receiver.reference.is_some() && receiver.colon_token.is_none();
            match (is_reference, receiver.mutability) {
                (true, Some(_)) => Some(Receiver::Alone),
                (true, None) => Some(Receiver::Shared),
                (false, _) => {
                    wrong.at(
                        receiver,
                        "a method takes `&mut self` (alone) or `&self` (beside others that do): the state stays with its actor",
                    );
                    None
                }
            }
        }
        Some(FnArg::Typed(first)) if is_interleaved(&first.ty) => {
            if options.interleave.is_none() {
                wrong.at(
                    &first.ty,
                    "a method that takes `&Interleaved<Self>` is marked #[farloop(interleave)]: others run while it awaits",
                );
            }
            Some(Receiver::Interleaved)
        }
        _ => {
            if options.interleave.is_some() {
                wrong.at(&signature.ident, "an interleaved method takes the state first: `this: &Interleaved<Self>`");
            } else if options.given.is_some() {
                wrong.at(
                    &signature.ident,
                    "this is no method: it takes no `self`, so it stays local whatever is said about it",
                );
            }
            None
        }
    }
}

fn is_interleaved(of: &Type) -> bool {
    let Type::Reference(reference) = of else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Interleaved" && matches!(last.arguments, PathArguments::AngleBracketed(_)))
}

fn check_hook(signature: &Signature, wrong: &mut Complaints) {
    let alone = matches!(signature.inputs.first(), Some(FnArg::Receiver(receiver))
        if receiver.reference.is_some() && receiver.mutability.is_some() && receiver.colon_token.is_none());
    if !alone || signature.inputs.len() != 1 {
        wrong.at(
            &signature.inputs.to_token_stream().or(&signature.ident),
            format!("`{}` is called by the worker, and takes `&mut self` and nothing else", signature.ident),
        );
    }
    let fine = match &signature.output {
        ReturnType::Default => true,
        ReturnType::Type(_, of) => match &**of {
            Type::Tuple(unit) => unit.elems.is_empty(),
            Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Result"),
            _ => false,
        },
    };
    if !fine {
        wrong.at(&signature.output, format!("`{}` returns nothing, or `Result<()>`", signature.ident));
    }
}

/// Something to point at.
trait Or {
    fn or(self, other: &Ident) -> TokenStream;
}

impl Or for TokenStream {
    fn or(self, other: &Ident) -> TokenStream {
        if self.is_empty() { other.to_token_stream() } else { self }
    }
}
