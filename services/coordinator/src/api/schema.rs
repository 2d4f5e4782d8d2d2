//! A Rust type, as it is written in a signature, as JSON Schema: for the types whose JSON form everybody knows. What a
//! type of the user's own looks like only its worker could say, and it is not asked.

use serde_json::{Value, json};

/// The schema; none where the name says nothing.
pub(crate) fn of(written: &str) -> Option<Value> {
    let written = written.trim();
    if let Some(inner) = written.strip_prefix('&') {
        // A lifetime, if there is one, is a word of its own.
        let inner = inner.trim_start();
        let inner = match inner.split_once(char::is_whitespace) {
            Some((lifetime, rest)) if lifetime.starts_with('\'') => rest,
            _ => inner,
        };
        return of(inner);
    }
    if let Some(inner) = written.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
        return tuple(&split(inner));
    }
    if let Some(inner) = written.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
        let element = inner.rsplit_once(';').map_or(inner, |(element, _)| element);
        return Some(list(element));
    }
    if let Some(item) = written.strip_prefix("impl Stream<Item =").and_then(|w| w.strip_suffix('>')) {
        // What people get of a stream is the list of its items.
        return Some(list(item));
    }
    let (path, generics) = match written.split_once('<').and_then(|(p, g)| Some((p, g.strip_suffix('>')?))) {
        Some((path, generics)) => (path, split(generics)),
        None => (written, Vec::new()),
    };
    let name = path.rsplit("::").next().unwrap_or(path).trim();
    match (name, generics.as_slice()) {
        ("bool", []) => Some(json!({"type": "boolean"})),
        ("i8" | "i16" | "i32" | "isize", []) => Some(json!({"type": "integer", "format": name})),
        ("u8" | "u16" | "u32" | "usize", []) => Some(json!({"type": "integer", "format": name, "minimum": 0})),
        // Past 2^53 they are strings, for no JSON reader keeps such numbers.
        ("i64" | "i128", []) => Some(json!({"type": ["integer", "string"], "format": name})),
        ("u64" | "u128", []) => Some(json!({"type": ["integer", "string"], "format": name, "minimum": 0})),
        ("f32" | "f64", []) => Some(json!({"type": "number", "format": name})),
        ("String" | "str" | "PathBuf", []) => Some(json!({"type": "string"})),
        ("char", []) => Some(json!({"type": "string", "minLength": 1, "maxLength": 1})),
        // serde_json's own: whatever is JSON.
        ("Value", []) if path.contains("json") || path == "Value" => Some(json!({})),
        ("Vec" | "VecDeque" | "HashSet" | "BTreeSet", [element, ..]) => Some(list(element)),
        ("HashMap" | "BTreeMap", [_, value, ..]) => Some(match of(value) {
            Some(value) => json!({"type": "object", "additionalProperties": value}),
            None => json!({"type": "object"}),
        }),
        ("Option", [inner]) => Some(json!({"anyOf": [of(inner)?, {"type": "null"}]})),
        ("Result" | "Box" | "Arc" | "Rc" | "Cow", [.., _]) => {
            let inner = generics.iter().find(|g| !g.trim_start().starts_with('\''))?;
            of(inner)
        }
        _ => None,
    }
}

fn list(element: &str) -> Value {
    match of(element) {
        Some(items) => json!({"type": "array", "items": items}),
        None => json!({"type": "array"}),
    }
}

fn tuple(parts: &[&str]) -> Option<Value> {
    match parts {
        [] => Some(json!({"type": "null"})),
        parts => {
            let items = parts.iter().map(|part| of(part).unwrap_or_else(|| json!({}))).collect::<Vec<_>>();
            let n = items.len();
            Some(json!({"type": "array", "prefixItems": items, "minItems": n, "maxItems": n}))
        }
    }
}

/// Splits at the commas that stand outside all brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_have_a_schema() {
        assert_eq!(of("f64"), Some(json!({"type": "number", "format": "f64"})));
        assert_eq!(of("& 'static str"), Some(json!({"type": "string"})));
        assert_eq!(of("std::vec::Vec<u32>"), Some(json!({"type": "array", "items": of("u32")})));
        assert_eq!(of("farloop::Result<()>"), Some(json!({"type": "null"})));
        assert_eq!(of("Result<Vec<bool>, MyError>"), of("Vec<bool>"));
        assert_eq!(of("Option<(String, i32)>").map(|s| s["anyOf"][0]["prefixItems"][0].clone()), of("String"));
        assert_eq!(
            of("HashMap<String, Vec<bool>>"),
            Some(json!({"type": "object", "additionalProperties": of("Vec<bool>")}))
        );
        assert_eq!(of("serde_json::Value"), Some(json!({})));
        assert_eq!(of("[u8; 4]"), of("Vec<u8>"));
        assert_eq!(of("impl Stream<Item = Vec<u8>>"), of("Vec<Vec<u8>>"));
    }

    #[test]
    fn other_types_have_none_and_nothing_breaks() {
        for odd in ["MyType", "Vec<", "(", "<>", "", "&", "Option<MyType>", "fn(u8) -> u8", "HashMap<>", ",,"] {
            let _ = of(odd);
        }
        assert_eq!(of("MyType"), None);
        assert_eq!(of("Vec<MyType>"), Some(json!({"type": "array"})));
    }
}
