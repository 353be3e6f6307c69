//! Signatures: hashes that are equal for what the rules call equal. They match the elements of
//! lists in linear time and stand for values that are not shown.

use std::hash::Hasher;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage, Value};
use siphasher::sip::SipHasher24;

use super::place::{Place, Rule};
use super::unpack::{self, Packed};
use super::walk::{MAX_DEPTH, Walk};

impl Walk<'_> {
    /// Signature of a value at a place: ignored fields are left out, and so are floats with a
    /// tolerance, which are compared after matching.
    pub(super) fn signature(&self, value: &Value, place: &Place) -> u64 {
        let mut hasher = self.redaction.hasher();
        self.write(&mut hasher, value, place);
        hasher.finish()
    }

    /// Signature of an element's key fields.
    pub(super) fn key_signature(&self, element: &Value, keys: &[String], place: &Place) -> u64 {
        let Some(message) = element.as_message() else {
            return self.signature(element, place);
        };
        let mut hasher = self.redaction.hasher();
        for key in keys {
            let mut at = place.clone();
            match path_value(message, key) {
                Some((field, value)) => self.write(&mut hasher, &value, at.field(field.name())),
                None => hasher.write_u8(0),
            }
        }
        hasher.finish()
    }

    fn write(&self, hasher: &mut SipHasher24, value: &Value, place: &Place) {
        match value {
            Value::Bool(value) => hasher.write(&[1, u8::from(*value)]),
            Value::I32(value) => hasher.write(&value.to_le_bytes()),
            Value::I64(value) => hasher.write(&value.to_le_bytes()),
            Value::U32(value) => hasher.write(&value.to_le_bytes()),
            Value::U64(value) => hasher.write(&value.to_le_bytes()),
            Value::F32(value) => self.write_float(hasher, f64::from(*value), place),
            Value::F64(value) => self.write_float(hasher, *value, place),
            Value::String(value) => write_sized(hasher, value.as_bytes()),
            Value::Bytes(value) => write_sized(hasher, value),
            Value::EnumNumber(value) => hasher.write(&value.to_le_bytes()),
            Value::Message(value) => self.write_message(hasher, value, place),
            Value::List(values) => {
                let element = place.clone_element();
                let mut all: Vec<u64> = values
                    .iter()
                    .map(|value| self.signature(value, &element))
                    .collect();
                if !matches!(self.rule.list(&place.path), Rule::Ordered) {
                    all.sort_unstable();
                }
                write_all(hasher, &all);
            }
            Value::Map(entries) => {
                let element = place.clone_element();
                let entry = |(key, value): (&MapKey, &Value)| {
                    let mut hasher = self.redaction.hasher();
                    write_sized(&mut hasher, format!("{key:?}").as_bytes());
                    self.write(&mut hasher, value, &element);
                    hasher.finish()
                };
                let mut all: Vec<u64> = entries.iter().map(entry).collect();
                all.sort_unstable();
                write_all(hasher, &all);
            }
        }
    }

    fn write_float(&self, hasher: &mut SipHasher24, value: f64, place: &Place) {
        if self.rule.tolerances(&place.path).next().is_some() {
            return;
        }
        let canonical = if value.is_nan() {
            f64::NAN
        } else {
            value + 0.0
        };
        hasher.write_u64(canonical.to_bits());
    }

    fn write_message(&self, hasher: &mut SipHasher24, message: &DynamicMessage, place: &Place) {
        if place.depth > MAX_DEPTH {
            // The walk does not go down here either: only equal bytes are taken for equal.
            return write_sized(hasher, &message.encode_to_vec());
        }
        if let Some(paths) = unpack::field_mask(message) {
            paths
                .iter()
                .for_each(|path| write_sized(hasher, path.as_bytes()));
            return;
        }
        match unpack::any(message, &self.pool) {
            Some(Packed::Known(inner)) => {
                write_sized(hasher, inner.descriptor().full_name().as_bytes());
                let mut at = place.clone();
                at.depth += 1;
                self.write_message(hasher, &inner, &at);
                return;
            }
            Some(Packed::Opaque(name, bytes)) => {
                write_sized(hasher, name.as_bytes());
                write_sized(hasher, &bytes);
                return;
            }
            None => {}
        }
        for (field, value) in message.fields() {
            let mut at = place.clone();
            let at = at.field(field.name());
            if self.rule.ignores(&at.path)
                || (!field.supports_presence() && value.is_default_for_field(&field))
            {
                continue;
            }
            hasher.write_u32(field.number());
            self.write(hasher, value, at);
        }
        // No field has this number: it ends the message, so that what follows is not taken for
        // one of its fields.
        hasher.write_u32(0);
        let mut unknown = Vec::new();
        message
            .unknown_fields()
            .for_each(|field| field.encode(&mut unknown));
        write_sized(hasher, &unknown);
    }
}

/// The value at a dotted path of singular fields.
fn path_value(message: &DynamicMessage, path: &str) -> Option<(FieldDescriptor, Value)> {
    let descriptor = message.descriptor();
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = descriptor.get_field_by_name(name)?;
    let value = message.get_field(&field).into_owned();
    match rest {
        None => Some((field, value)),
        Some(rest) => path_value(value.as_message()?, rest),
    }
}

fn write_sized(hasher: &mut SipHasher24, bytes: &[u8]) {
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
}

fn write_all(hasher: &mut SipHasher24, signatures: &[u64]) {
    hasher.write_u64(signatures.len() as u64);
    signatures
        .iter()
        .for_each(|signature| hasher.write_u64(*signature));
}
