//! Values on the wire: MessagePack, structs as maps with their field names, so that both sides may add fields.
//!
//! Two things that MessagePack cannot tell apart: `Some(None)` from `None`, and `()` from `None`.

use bytes::Bytes;
use farloop_core::outcome::{Failure, FailureKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Encodes a value.
///
/// # Errors
/// The value's `Serialize` refuses (a map with unserializable keys, say), or it is nested too deeply.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    let mut buffer = Vec::with_capacity(32);
    encode_into(&mut buffer, value)
        .map_err(|error| bad_payload(format!("a {} does not encode: {error}", std::any::type_name::<T>())))?;
    Ok(Bytes::from(buffer))
}

/// Decodes a value.
///
/// # Errors
/// The bytes hold something else than a `T`; the text says what.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes).map_err(|error| bad_payload(mismatch(std::any::type_name::<T>(), bytes, &error)))
}

pub(crate) fn encode_into<T: Serialize + ?Sized>(
    buffer: &mut Vec<u8>,
    value: &T,
) -> Result<(), rmp_serde::encode::Error> {
    value.serialize(&mut rmp_serde::Serializer::new(buffer).with_struct_map())
}

pub(crate) fn bad_payload(message: String) -> Error {
    Failure::new(FailureKind::BadPayload, "".into(), message).into()
}

/// What was expected and what stood there: `expected i64, found the text "three"`.
pub(crate) fn mismatch(expected: &str, bytes: &[u8], error: &rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error as Decode;
    let found = found(bytes);
    match error {
        // These say less than the first byte does; inside a list or map, they mean a byte further on.
        Decode::TypeMismatch(marker) if found == "a list" || found == "a map" => {
            format!(
                "expected {expected}, found {found} with {} where something else belongs",
                self::found(&[marker.to_u8()])
            )
        }
        Decode::TypeMismatch(_) | Decode::InvalidMarkerRead(_) => format!("expected {expected}, found {found}"),
        Decode::Syntax(text) if text.starts_with("invalid type") => {
            format!("expected {expected}, found {found} ({text})")
        }
        Decode::InvalidDataRead(_) => format!("expected {expected}, found {found} that breaks off in the middle"),
        other => format!("expected {expected}, found {found}: {other}"),
    }
}

/// The value at the head of `bytes`, for people. Texts are quoted up to a line's length.
fn found(bytes: &[u8]) -> String {
    let Some(&marker) = bytes.first() else { return "nothing".into() };
    let integer = |width: usize| bytes.get(1..=width);
    match marker {
        0x00..=0x7f => format!("the number {marker}"),
        0xe0..=0xff => format!("the number {}", i16::from(marker) - 256),
        0x80..=0x8f | 0xde | 0xdf => "a map".into(),
        0x90..=0x9f | 0xdc | 0xdd => "a list".into(),
        0xa0..=0xbf | 0xd9..=0xdb => match rmp_serde::from_slice::<String>(bytes) {
            Ok(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
            _ => "a text".into(),
        },
        0xc0 => "nil".into(),
        0xc2 => "false".into(),
        0xc3 => "true".into(),
        0xc4..=0xc6 => "bytes".into(),
        0xca | 0xcb => {
            rmp_serde::from_slice::<f64>(bytes).map_or_else(|_| "a float".into(), |x| format!("the number {x:?}"))
        }
        0xcc..=0xcf if integer(1 << (marker - 0xcc)).is_some() => {
            rmp_serde::from_slice::<u64>(bytes).map_or_else(|_| "a number".into(), |n| format!("the number {n}"))
        }
        0xd0..=0xd3 if integer(1 << (marker - 0xd0)).is_some() => {
            rmp_serde::from_slice::<i64>(bytes).map_or_else(|_| "a number".into(), |n| format!("the number {n}"))
        }
        0xcc..=0xd3 => "half a number".into(),
        0xc7..=0xc9 | 0xd4..=0xd8 => "an extension value".into(),
        0xc1 => "no MessagePack".into(),
    }
}

/// An encoded value as JSON, cut after a line's length: `result=` in a task's `Debug`.
pub(crate) fn debug(bytes: &[u8]) -> String {
    const LONGEST: usize = 120;
    let Ok(value) = rmp_serde::from_slice::<serde_json::Value>(bytes) else {
        // Bytes and other things that JSON has no word for.
        return format!("<{} bytes>", bytes.len());
    };
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// A value whose texts that are whole numbers past 2^53 are these numbers; none if it holds no such text, or cannot be
/// said in JSON (then nobody has typed it).
pub(crate) fn large_numbers(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut value = rmp_serde::from_slice(bytes).ok()?;
    if !read_numbers(&mut value) {
        return None;
    }
    let mut numbers = Vec::with_capacity(bytes.len());
    encode_into(&mut numbers, &value).ok()?;
    Some(numbers)
}

/// Replaces such texts; whether there were any.
fn read_numbers(value: &mut serde_json::Value) -> bool {
    use serde_json::Value;
    const SAFE: u64 = 1 << 53;
    match value {
        Value::String(text) => {
            let number = match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(n), _) if n > SAFE => Value::from(n),
                (_, Ok(n)) if n.unsigned_abs() > SAFE => Value::from(n),
                _ => return false,
            };
            *value = number;
            true
        }
        // All of them, whatever the first says.
        Value::Array(list) => list.iter_mut().fold(false, |any, v| read_numbers(v) | any),
        Value::Object(map) => map.values_mut().fold(false, |any, v| read_numbers(v) | any),
        _ => false,
    }
}

/// Begins an array of `len` elements, which the caller appends.
pub(crate) fn array_header(buffer: &mut Vec<u8>, len: usize) {
    match len {
        0..=15 => buffer.push(0x90 | len as u8),
        16..=0xffff => {
            buffer.push(0xdc);
            buffer.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            // An array of more than 2^32 elements does not fit into a payload (MAX_PAYLOAD).
            buffer.push(0xdd);
            buffer.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[test]
    fn structs_are_maps_so_that_both_sides_may_add_fields() {
        #[derive(Serialize)]
        struct Old {
            a: i64,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        struct New {
            a: i64,
            #[serde(default)]
            b: Option<String>,
        }
        let sent = encode(&Old { a: 1 }).unwrap();
        assert_eq!(decode::<BTreeMap<String, i64>>(&sent).unwrap(), BTreeMap::from([("a".to_owned(), 1)]));
        assert_eq!(decode::<New>(&sent).unwrap(), New { a: 1, b: None });
    }

    #[test]
    fn a_mismatch_says_what_was_found() {
        let text = |bytes: &[u8]| decode::<i64>(bytes).unwrap_err().to_string();
        assert_eq!(text(&encode("three").unwrap()), "expected i64, found the text \"three\"");
        assert!(text(&encode(&true).unwrap()).starts_with("expected i64, found true"));
        assert!(text(&[0xd3, 0]).starts_with("expected i64, found half a number"));
        assert!(text(&[]).starts_with("expected i64, found nothing"));
        let list = decode::<Vec<i64>>(&encode(&["x"]).unwrap()).unwrap_err().to_string();
        assert!(list.ends_with("found a list with a text where something else belongs"), "{list}");
    }

    #[test]
    fn array_headers_are_those_of_the_encoder() {
        for len in [0, 15, 16, 0xffff, 0x1_0000] {
            let mut ours = Vec::new();
            array_header(&mut ours, len);
            assert!(encode(&vec![(); len]).unwrap().starts_with(&ours), "{len}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_carry_are_read_from_text() {
        let read = |value: &serde_json::Value| {
            large_numbers(&encode(value).unwrap()).map(|bytes| decode::<serde_json::Value>(&bytes).unwrap())
        };
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(
            read(&json(r#"["18446744073709551615", 1, {"n": "-9007199254740993"}]"#)).unwrap(),
            json(r#"[18446744073709551615, 1, {"n": -9007199254740993}]"#)
        );
        for small in [r#""7""#, r#""9007199254740992""#, r#""99999999999999999999""#, r#""words""#, "5"] {
            assert_eq!(read(&json(small)), None, "{small}");
        }
    }

    #[test]
    fn debug_text_has_a_length() {
        assert_eq!(debug(&encode(&(1, "x")).unwrap()), "[1,\"x\"]");
        assert_eq!(debug(&encode(&"x".repeat(500)).unwrap()).chars().count(), 121);
    }
}
