//! `#[farloop::task(name = "..", attempts = 3, ..)]`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Lit, LitInt, LitStr, Token};

/// What stands between the attribute's parentheses.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    /// Calls on the coroutine, in the order in which they are written.
    pub(crate) calls: Vec<TokenStream>,
    /// Belongs to the definition: how many may be at workers at once. 0: without limit.
    pub(crate) concurrency: u32,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        let mut seen: Vec<String> = Vec::new();
        let mut backoff: (Option<TokenStream>, Vec<(Ident, TokenStream)>) = (None, Vec::new());
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let text = key.to_string();
            if seen.contains(&text) {
                return Err(syn::Error::new(key.span(), format!("`{text}` is given twice")));
            }
            input.parse::<Token![=]>()?;
            match text.as_str() {
                "name" => options.name = Some(wire_name(input.parse()?)?),
                "attempts" => {
                    let number: LitInt = input.parse()?;
                    if number.base10_parse::<u32>()? == 0 {
                        return Err(syn::Error::new(number.span(), "a task has one attempt at least"));
                    }
                    options.calls.push(quote!(.attempts(#number)));
                }
                "max_crashes" => {
                    let number: LitInt = input.parse()?;
                    number.base10_parse::<u32>()?;
                    options.calls.push(quote!(.max_crashes(#number)));
                }
                "priority" => {
                    let minus = input.parse::<Option<Token![-]>>()?;
                    let number: LitInt = input.parse()?;
                    number.base10_parse::<i32>()?;
                    options.calls.push(quote!(.priority(#minus #number)));
                }
                "timeout" | "schedule_to_start" | "start_to_close" | "heartbeat_timeout" => {
                    let limit = duration(&input.parse()?)?;
                    options.calls.push(quote!(.#key(#limit)));
                }
                "backoff" => {
                    let initial = duration(&input.parse()?)?;
                    backoff.0 = Some(quote!(::farloop::Backoff::new(#initial)));
                }
                "backoff_maximum" => {
                    let maximum = duration(&input.parse()?)?;
                    backoff.1.push((key.clone(), quote!(.maximum(#maximum))));
                }
                "backoff_coefficient" => {
                    let number: Lit = input.parse()?;
                    let coefficient = match &number {
                        Lit::Float(number) => number.base10_parse::<f64>()?,
                        Lit::Int(number) => number.base10_parse::<f64>()?,
                        _ => 0.0,
                    };
                    if !(coefficient >= 1.0 && coefficient.is_finite()) {
                        return Err(syn::Error::new(number.span(), "a pause grows: give a number from 1"));
                    }
                    backoff.1.push((key.clone(), quote!(.coefficient(#coefficient))));
                }
                "concurrency" => {
                    let number: LitInt = input.parse()?;
                    options.concurrency = number.base10_parse::<u32>()?;
                    if options.concurrency == 0 {
                        return Err(syn::Error::new(number.span(), "none could ever start; leave it out for no limit"));
                    }
                }
                "cancel_grace" => {
                    let text: LitStr = input.parse()?;
                    let grace = if text.value() == "none" {
                        quote!(::core::option::Option::None)
                    } else {
                        let grace = duration(&text)?;
                        quote!(::core::option::Option::Some(#grace))
                    };
                    options.calls.push(quote!(.cancel_grace(#grace)));
                }
                other => {
                    return Err(syn::Error::new(
                        key.span(),
                        format!(
                            "`{other}` is no option of a task; there are name, attempts, backoff, backoff_coefficient, backoff_maximum, timeout, schedule_to_start, start_to_close, heartbeat_timeout, max_crashes, priority, concurrency and cancel_grace"
                        ),
                    ));
                }
            }
            seen.push(text);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match backoff {
            (Some(initial), parts) => {
                let parts = parts.iter().map(|(_, part)| part);
                options.calls.push(quote!(.backoff(#initial #(#parts)*)));
            }
            (None, parts) => {
                if let Some((key, _)) = parts.first() {
                    let text = format!("`{key}` is part of a backoff; give `backoff = \"100ms\"` as well");
                    return Err(syn::Error::new(key.span(), text));
                }
            }
        }
        Ok(options)
    }
}

/// Longest name on the wire, in bytes (`MAX_NAME` of the protocol).
const MAX_NAME: usize = 256;

pub(crate) fn wire_name(name: LitStr) -> syn::Result<LitStr> {
    let text = name.value();
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(fine) {
        return Err(syn::Error::new(
            name.span(),
            format!(
                "a wire name has 1 to {MAX_NAME} ASCII letters, digits, `.`, `_`, `-` or `/`, as in \"package.function\""
            ),
        ));
    }
    Ok(name)
}

pub(crate) fn duration(text: &LitStr) -> syn::Result<TokenStream> {
    let parsed = parse_duration(&text.value()).ok_or_else(|| {
        syn::Error::new(text.span(), "a duration is written as \"250ms\", \"30s\", \"1.5s\", \"1m30s\" or \"2h\"")
    })?;
    let (secs, nanos) = (parsed.as_secs(), parsed.subsec_nanos());
    Ok(quote!(::core::time::Duration::new(#secs, #nanos)))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let secs = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * secs).ok()?;
        total = total.checked_add(part)?;
        rest = tail.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h 5m"), Some(Duration::from_secs(7500)));
        for wrong in ["", "30", "s", "1x", "1..2s", "-1s", "1s2"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
