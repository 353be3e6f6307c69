//! Encodes a message as no encoder would, but any may: fields in any order, lists in pieces,
//! messages in halves that are merged, defaults written out.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// Any encoding of the message.
pub(crate) fn any(rng: &mut StdRng, message: &DynamicMessage) -> Vec<u8> {
    let mut pieces: Vec<Vec<Vec<u8>>> = Vec::new();
    for field in message.descriptor().fields() {
        let mut of_field = Vec::new();
        if message.has_field(&field) {
            of_field = entries(rng, message, &field);
        } else if !field.supports_presence() && !field.is_list() && !field.is_map() {
            of_field.push(default(&field));
        }
        pieces.push(of_field);
    }
    // The pieces of one field stay in order, but those of others may come between them.
    let mut turns: Vec<usize> = (0..pieces.len())
        .flat_map(|field| vec![field; pieces[field].len()])
        .collect();
    turns.shuffle(rng);
    let mut next = vec![0; pieces.len()];
    let mut out = Vec::new();
    for field in turns {
        out.extend_from_slice(&pieces[field][next[field]]);
        next[field] += 1;
    }
    out
}

fn entries(rng: &mut StdRng, message: &DynamicMessage, field: &FieldDescriptor) -> Vec<Vec<u8>> {
    let alone = |value: Value| {
        let mut alone = DynamicMessage::new(message.descriptor());
        alone.set_field(field, value);
        alone.encode_to_vec()
    };
    match message.get_field(field).as_ref() {
        Value::Message(inner) => {
            // Its own entries in two halves, which a decoder merges.
            let whole = any(rng, inner);
            let half = cut(rng, inner, &whole);
            vec![nested(field, &whole[..half]), nested(field, &whole[half..])]
        }
        Value::List(values) => values
            .iter()
            .map(|value| match value {
                Value::Message(inner) => nested(field, &any(rng, inner)),
                single => alone(Value::List(vec![single.clone()])),
            })
            .collect(),
        Value::Map(entries) => {
            let entry = |(key, value): (&prost_reflect::MapKey, &Value)| {
                alone(Value::Map([(key.clone(), value.clone())].into()))
            };
            let mut entries: Vec<Vec<u8>> = entries.iter().map(entry).collect();
            entries.shuffle(rng);
            entries
        }
        // What comes first is overwritten.
        single => vec![alone(single.clone()), alone(single.clone())],
    }
}

/// A place between two top-level entries of an encoded message: its end, or its beginning.
fn cut(rng: &mut StdRng, inner: &DynamicMessage, whole: &[u8]) -> usize {
    let lists = inner.fields().any(|(field, _)| field.is_list());
    match lists || rng.random_bool(0.5) {
        true => 0,
        false => whole.len(),
    }
}

fn nested(field: &FieldDescriptor, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(field.number(), WireType::LengthDelimited, &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A default, written out.
fn default(field: &FieldDescriptor) -> Vec<u8> {
    let (wire_type, zeros) = match field.kind() {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => (WireType::SixtyFourBit, 8),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => (WireType::ThirtyTwoBit, 4),
        Kind::String | Kind::Bytes => (WireType::LengthDelimited, 1),
        _ => (WireType::Varint, 1),
    };
    let mut out = Vec::new();
    encode_key(field.number(), wire_type, &mut out);
    out.resize(out.len() + zeros, 0);
    out
}
