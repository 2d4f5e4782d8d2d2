//! Payloads as people read and type them: MessagePack <-> JSON, both ways.
//!
//! JSON cannot say everything, so: whole numbers past 2^53 become strings, as do bytes (base64), NaN and the
//! infinities; a map's keys become text. The way back takes what was typed: `2` and `2.0` are the integer 2, since
//! JSON and protobuf do not tell them apart, and every float type reads integers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of nesting that are shown. Protobuf readers stop at a hundred messages, two of which are one level.
pub const MAX_DEPTH: usize = 40;
/// Largest whole number that a JSON reader can be trusted with.
const SAFE: u64 = 1 << 53;

/// A payload that cannot be shown or built.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not MessagePack, or nested too deeply.
    #[error("the payload is not readable: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    /// Something follows the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The arguments are no MessagePack array.
    #[error("the arguments are not one MessagePack array")]
    NoArray,
    /// Cannot be written.
    #[error("the value cannot be encoded: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

/// Shows one MessagePack value.
///
/// # Errors
/// The bytes are not exactly one value, or it is nested deeper than [`MAX_DEPTH`].
pub fn from_msgpack(mut bytes: &[u8]) -> Result<Value, JsonError> {
    let mut decoder = rmp_serde::Deserializer::new(&mut bytes);
    decoder.set_max_depth(MAX_DEPTH);
    let Shown(value) = Shown::deserialize(&mut decoder)?;
    if bytes.is_empty() { Ok(value) } else { Err(JsonError::Trailing(bytes.len())) }
}

/// Whether the bytes are exactly one MessagePack value, of whatever depth.
///
/// # Errors
/// They are not.
pub fn check(mut bytes: &[u8]) -> Result<(), JsonError> {
    let _: IgnoredAny = rmp_serde::from_read(&mut bytes)?;
    if bytes.is_empty() { Ok(()) } else { Err(JsonError::Trailing(bytes.len())) }
}

/// Encodes JSON as MessagePack.
///
/// # Errors
/// The encoder refuses the value.
pub fn to_msgpack(value: &impl Serialize) -> Result<Bytes, JsonError> {
    Ok(rmp_serde::to_vec_named(value)?.into())
}

/// Puts encoded values together as one array: what a spec's `args` are.
#[must_use]
pub fn join(values: &[Bytes]) -> Bytes {
    let mut all = Vec::with_capacity(5 + values.iter().map(Bytes::len).sum::<usize>());
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    if rmp::encode::write_array_len(&mut all, count).is_err() {
        unreachable!("a Vec takes every write");
    }
    for value in &values[..count as usize] {
        all.extend_from_slice(value);
    }
    all.into()
}

/// Takes a MessagePack array apart without decoding its values.
///
/// # Errors
/// The bytes are not exactly one array.
pub fn split(args: &Bytes) -> Result<Vec<Bytes>, JsonError> {
    let mut rest: &[u8] = args;
    let count = rmp::decode::read_array_len(&mut rest).map_err(|_| JsonError::NoArray)?;
    let mut values = Vec::new();
    for _ in 0..count {
        let before = args.len() - rest.len();
        let _: IgnoredAny = rmp_serde::from_read(&mut rest)?;
        values.push(args.slice(before..args.len() - rest.len()));
    }
    if rest.is_empty() { Ok(values) } else { Err(JsonError::Trailing(rest.len())) }
}

/// JSON as protobuf carries it.
#[must_use]
pub fn to_wire(value: Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(b),
        Value::Number(n) => match n.as_u64().or_else(|| n.as_i64().map(i64::unsigned_abs)) {
            Some(size) if size > SAFE => Kind::StringValue(n.to_string()),
            _ => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        },
        Value::String(s) => Kind::StringValue(s),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(to_wire).collect() }),
        Value::Object(map) => {
            Kind::StructValue(Struct { fields: map.into_iter().map(|(k, v)| (k, to_wire(v))).collect() })
        }
    };
    Wire { kind: Some(kind) }
}

/// A protobuf value that came in, ready for [`to_msgpack`] (and for any other serde format).
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a>(pub &'a Wire);

impl Serialize for Typed<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => to.serialize_unit(),
            Some(Kind::BoolValue(b)) => to.serialize_bool(*b),
            Some(Kind::NumberValue(n)) => match whole(*n) {
                Some(n) => to.serialize_i64(n),
                None => to.serialize_f64(*n),
            },
            Some(Kind::StringValue(s)) => to.serialize_str(s),
            Some(Kind::ListValue(list)) => to.collect_seq(list.values.iter().map(Typed)),
            Some(Kind::StructValue(map)) => to.collect_map(map.fields.iter().map(|(k, v)| (k, Typed(v)))),
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // exact within 2^53
fn whole(n: f64) -> Option<i64> {
    let negative_zero = n == 0.0 && n.is_sign_negative();
    (n.fract() == 0.0 && n.abs() <= SAFE as f64 && !negative_zero).then_some(n as i64)
}

/// What a MessagePack value looks like in JSON.
struct Shown(Value);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Show).map(Self)
    }
}

struct Show;

impl<'de> Visitor<'de> for Show {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a MessagePack value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(if n > SAFE { Value::String(n.to_string()) } else { n.into() })
    }
    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(if n.unsigned_abs() > SAFE { Value::String(n.to_string()) } else { n.into() })
    }
    fn visit_f32<E: serde::de::Error>(self, n: f32) -> Result<Value, E> {
        // By way of its text: 0.1f32 is 0.1 to people, not 0.10000000149011612.
        self.visit_f64(n.to_string().parse().map_err(E::custom)?)
    }
    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(match Number::from_f64(n) {
            Some(number) => Value::Number(number),
            None if n.is_nan() => "NaN".into(),
            None if n > 0.0 => "Infinity".into(),
            None => "-Infinity".into(),
        })
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(s.into())
    }
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(BASE64.encode(bytes).into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        // Not with_capacity: the length is a claim of whoever sent it.
        let mut values = Vec::new();
        while let Some(Shown(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((Shown(key), Shown(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(text) => text,
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
    /// An extension type: its number and its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let (kind, Shown(data)) = <(i8, Shown)>::deserialize(from)?;
        if !data.is_string() {
            return Err(D::Error::custom("an extension without bytes"));
        }
        Ok(Value::Object(Map::from_iter([("ext".into(), kind.into()), ("data".into(), data)])))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn shown(value: &impl Serialize) -> Value {
        from_msgpack(&rmp_serde::to_vec_named(value).unwrap()).unwrap()
    }

    #[test]
    fn shows_what_json_cannot_say_as_text() {
        assert_eq!(shown(&(SAFE + 1)), json!("9007199254740993"));
        assert_eq!(shown(&i64::MIN), json!("-9223372036854775808"));
        assert_eq!(shown(&SAFE), json!(SAFE));
        assert_eq!(shown(&f64::NAN), json!("NaN"));
        assert_eq!(shown(&f64::NEG_INFINITY), json!("-Infinity"));
        assert_eq!(shown(&0.1f32), json!(0.1));
        assert_eq!(shown(&()), json!(null));
        assert_eq!(shown(&std::collections::BTreeMap::from([(1, 'a')])), json!({"1": "a"}));
        // bin8 of two bytes; fixext1 of type 5.
        assert_eq!(from_msgpack(&[0xc4, 2, 0xff, 0]).unwrap(), json!("/wA="));
        assert_eq!(from_msgpack(&[0xd4, 5, 7]).unwrap(), json!({"ext": 5, "data": "Bw=="}));
    }

    #[test]
    fn refuses_what_is_not_one_value() {
        assert!(from_msgpack(&[]).is_err());
        assert!(matches!(from_msgpack(&[1, 2]), Err(JsonError::Trailing(1))));
        // An array that claims four thousand million elements, and a nest of arrays.
        assert!(from_msgpack(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(from_msgpack(&[0x91; 100]).is_err());
    }

    #[test]
    fn arguments_come_apart_and_together() {
        let args = to_msgpack(&json!([1, "two", [3, null], {"four": 4.5}])).unwrap();
        let parts = split(&args).unwrap();
        assert_eq!(parts.len(), 4);
        assert_eq!(from_msgpack(&parts[2]).unwrap(), json!([3, null]));
        assert_eq!(join(&parts), args);
        assert_eq!(split(&join(&[])).unwrap(), Vec::<Bytes>::new());
        assert!(matches!(split(&Bytes::from_static(&[0xc0])), Err(JsonError::NoArray)));
    }

    #[test]
    fn typed_numbers_are_integers_where_they_can_be() {
        let typed = |n: f64| rmp_serde::to_vec(&Typed(&Wire { kind: Some(Kind::NumberValue(n)) })).unwrap();
        assert_eq!(typed(2.0), [2]);
        assert_eq!(typed(-1.0), [0xff]);
        assert_eq!(typed(2.5)[0], 0xcb);
        assert_eq!(typed(1e300)[0], 0xcb);
        assert_eq!(typed(f64::NAN)[0], 0xcb);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            (-(SAFE.cast_signed())..=SAFE.cast_signed()).prop_map(Value::from),
            any::<f64>().prop_filter_map("finite and not whole", |n| {
                (n.is_finite() && whole(n).is_none() && n.abs() < 1e15).then(|| Value::from(n))
            }),
        ];
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), number, ".*".prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::btree_map(".{0,5}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// As typed, over protobuf and MessagePack, and back to what people read.
        #[test]
        fn what_was_typed_is_shown(value in any_json()) {
            let wire = to_wire(value.clone());
            let packed = to_msgpack(&Typed(&wire)).unwrap();
            prop_assert_eq!(from_msgpack(&packed).unwrap(), value);
        }

        #[test]
        fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = from_msgpack(&bytes);
            let _ = split(&bytes.into());
        }
    }
}
