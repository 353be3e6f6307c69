//! Signatures: hashes that are equal for what the rules call equal. They match the elements of
//! lists in linear time and stand for values that are not shown.

use std::hash::Hasher;

use prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};
use siphasher::sip::SipHasher24;

use super::place::{Place, Rule};
use super::scalar;
use super::unpack::{self, Packed};
use super::walk::{MAX_DEPTH, Walk};

/// What stands for a value when it is matched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Signature {
    pub(super) hash: u64,
    /// Floats with a tolerance, which no hash can match, in order of appearance; as numbers that
    /// rise with them.
    pub(super) ranks: Vec<i64>,
}

/// A signature in the making.
struct Writer {
    hasher: SipHasher24,
    ranks: Vec<i64>,
}

impl Walk<'_> {
    /// Hash of a value at a place. Ignored fields are left out, and so are floats with a
    /// tolerance, which are compared after matching.
    pub(super) fn signature(&self, value: &Value, place: &Place<'_>) -> u64 {
        self.match_signature(value, place).hash
    }

    /// Signature of an element, with the floats that its hash leaves out.
    pub(super) fn match_signature(&self, value: &Value, place: &Place<'_>) -> Signature {
        let mut writer = self.writer();
        self.write(&mut writer, value, place);
        writer.finish()
    }

    /// Signature of an element's key fields.
    pub(super) fn key_signature(
        &self,
        element: &Value,
        keys: &[String],
        place: &Place<'_>,
    ) -> Signature {
        let Some(message) = element.as_message() else {
            return self.match_signature(element, place);
        };
        let mut writer = self.writer();
        for key in keys {
            self.write_key(&mut writer, message, key, place);
        }
        writer.finish()
    }

    /// Hash of a whole list; `place` is the list itself.
    pub(super) fn list_signature(&self, values: &[Value], place: &Place<'_>) -> u64 {
        let mut writer = self.writer();
        self.write_list(&mut writer, values, place);
        writer.hasher.finish()
    }

    fn writer(&self) -> Writer {
        Writer {
            hasher: self.redaction.hasher(),
            ranks: Vec::new(),
        }
    }

    fn write(&self, to: &mut Writer, value: &Value, place: &Place<'_>) {
        if !self.spend(1) {
            return;
        }
        let hasher = &mut to.hasher;
        match value {
            Value::Bool(value) => hasher.write(&[1, u8::from(*value)]),
            Value::I32(value) => hasher.write(&value.to_le_bytes()),
            Value::I64(value) => hasher.write(&value.to_le_bytes()),
            Value::U32(value) => hasher.write(&value.to_le_bytes()),
            Value::U64(value) => hasher.write(&value.to_le_bytes()),
            Value::F32(value) => self.write_float(to, f64::from(*value), place),
            Value::F64(value) => self.write_float(to, *value, place),
            Value::String(value) => match self.rule.normalizations(place) {
                None => to.sized(value.as_bytes()),
                Some(form) => to.sized(scalar::normalized(value, form).as_bytes()),
            },
            Value::Bytes(value) => to.sized(value),
            Value::EnumNumber(value) => hasher.write(&value.to_le_bytes()),
            Value::Message(value) => self.write_message(to, value, place),
            Value::List(values) => self.write_list(to, values, place),
            Value::Map(entries) => {
                let element = place.element();
                let entry = |(key, value): (&MapKey, &Value)| {
                    let mut writer = self.writer();
                    writer.sized(format!("{key:?}").as_bytes());
                    self.write(&mut writer, value, &element);
                    writer.hasher.finish()
                };
                let mut all: Vec<u64> = entries.iter().map(entry).collect();
                all.sort_unstable();
                to.all(&all);
            }
        }
    }

    fn write_list(&self, to: &mut Writer, values: &[Value], place: &Place<'_>) {
        let element = place.element();
        let each = values.iter().map(|value| self.signature(value, &element));
        let mut all: Vec<u64> = each.collect();
        if !matches!(self.rule.list(place), Rule::Ordered) {
            all.sort_unstable();
        }
        to.all(&all);
    }

    fn write_float(&self, to: &mut Writer, value: f64, place: &Place<'_>) {
        let canonical = match value.is_nan() {
            true => f64::NAN,
            false => value + 0.0,
        };
        match self.rule.tolerance(place) {
            None => to.hasher.write_u64(canonical.to_bits()),
            Some(_) => to.ranks.push(rank(canonical)),
        }
    }

    fn write_message(&self, to: &mut Writer, message: &DynamicMessage, place: &Place<'_>) {
        if place.depth > MAX_DEPTH {
            // The walk does not go down here either: only equal bytes are taken for equal.
            return to.sized(&message.encode_to_vec());
        }
        if let Some(paths) = unpack::field_mask(message) {
            to.hasher.write_u64(paths.len() as u64);
            return paths.iter().for_each(|path| to.sized(path.as_bytes()));
        }
        match self.unpack(message) {
            Some(Packed::Known(inner, _)) => {
                to.sized(inner.descriptor().full_name().as_bytes());
                return self.write_message(to, &inner, &place.packed());
            }
            Some(Packed::Opaque(name, bytes)) => {
                to.sized(name.as_bytes());
                return to.sized(&bytes);
            }
            None => {}
        }
        for (field, value) in message.fields() {
            self.write_field(to, field.number(), value, &place.field(field.name()));
        }
        for (extension, value) in message.extensions() {
            let at = place.field(extension.name());
            self.write_field(to, extension.number(), value, &at);
        }
        for unknown in message.unknown_fields() {
            let number = unknown.number().to_string();
            if !self.rule.ignores(&place.field(&number)) {
                let mut bytes = Vec::new();
                unknown.encode(&mut bytes);
                to.hasher.write_u32(unknown.number());
                to.sized(&bytes);
            }
        }
        // No field has this number: it ends the message, so that what follows is not taken for
        // one of its fields.
        to.hasher.write_u32(0);
    }

    fn write_field(&self, to: &mut Writer, number: u32, value: &Value, at: &Place<'_>) {
        if !self.rule.ignores(at) {
            to.hasher.write_u32(number);
            self.write(to, value, at);
        }
    }

    /// The value at a dotted path of singular fields.
    fn write_key(&self, to: &mut Writer, message: &DynamicMessage, key: &str, place: &Place<'_>) {
        let (name, rest) = match key.split_once('.') {
            None => (key, None),
            Some((name, rest)) => (name, Some(rest)),
        };
        let Some(field) = message.descriptor().get_field_by_name(name) else {
            return to.hasher.write_u8(0);
        };
        let (value, at) = (message.get_field(&field), place.field(name));
        match rest {
            None => self.write(to, &value, &at),
            Some(rest) => match value.as_message() {
                None => to.hasher.write_u8(0),
                Some(message) => self.write_key(to, message, rest, &at),
            },
        }
    }
}

/// Rises with the float, as in `f64::total_cmp`.
fn rank(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    match bits < 0 {
        true => bits ^ i64::MAX,
        false => bits,
    }
}

impl Writer {
    fn sized(&mut self, bytes: &[u8]) {
        self.hasher.write_u64(bytes.len() as u64);
        self.hasher.write(bytes);
    }

    fn all(&mut self, hashes: &[u64]) {
        self.hasher.write_u64(hashes.len() as u64);
        hashes.iter().for_each(|hash| self.hasher.write_u64(*hash));
    }

    fn finish(self) -> Signature {
        Signature {
            hash: self.hasher.finish(),
            ranks: self.ranks,
        }
    }
}
