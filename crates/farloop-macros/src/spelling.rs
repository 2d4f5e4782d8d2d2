//! Types as people write them: `HashMap<String, Vec<i64>>`, whatever the spacing of the source.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The type's text. The same on every compiler, since the fingerprint is made of it.
pub(crate) fn of(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    let mut after_word = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
                after_word = false;
            }
            TokenTree::Punct(punct) => {
                match punct.as_char() {
                    ',' => text.push_str(", "),
                    ';' => text.push_str("; "),
                    '+' => text.push_str(" + "),
                    other => text.push(other),
                }
                after_word = false;
            }
            word => {
                if after_word {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
                after_word = true;
            }
        }
    }
    // A trailing comma (`(i64,)`) keeps no space.
    if text.ends_with(", ") {
        text.truncate(text.len() - 1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spacing_does_not_matter() {
        let spaced: syn::Type = syn::parse_str("HashMap < String , Vec< ( i64 , [ u8 ; 4 ] ) > >").unwrap();
        let tight: syn::Type = syn::parse_str("HashMap<String,Vec<(i64,[u8;4])>>").unwrap();
        assert_eq!(of(&spaced), "HashMap<String, Vec<(i64, [u8; 4])>>");
        assert_eq!(of(&spaced), of(&tight));
        let long: syn::Type = syn::parse_str("Box<dyn Fn(i64) -> i64 + Send>").unwrap();
        assert_eq!(of(&long), "Box<dyn Fn(i64)->i64 + Send>");
    }
}
