//! Clears what must not be stored from a message: fields marked `debug_redact` and those that
//! rules list, before the message is written anywhere.

use bytes::Bytes;
use cutover_manifest::CompareRules;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};

use super::inflate::plain_bytes;
use super::unpack::{self, Packed};
use super::walk::{is_redact_option, is_redacted};
use crate::observation::Message;

/// An `Any` nested deeper than this is cleared whole.
const MAX_PACKED: u32 = 16;
/// Field of `google.protobuf.Any` that holds the bytes.
const ANY_VALUE: u32 = 2;

/// A message without what must not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// The message without compression: as it came where nothing had to be cleared.
    pub bytes: Bytes,
    /// How many fields were cleared.
    pub fields: usize,
}

/// Takes compression off a message and clears what is marked `debug_redact` or listed under
/// `redact`, at any depth. What is packed in an `Any` of a type that `descriptor`'s files don't
/// have can't be looked into, and is cleared whole.
///
/// # Errors
/// Why the bytes are no such message: then nothing of them may be stored.
pub fn clear_redacted(
    descriptor: &MessageDescriptor,
    rules: &CompareRules,
    message: &Message,
    encoding: Option<&str>,
) -> Result<Cleared, String> {
    let bytes = plain_bytes(message, encoding)?;
    let mut decoded = DynamicMessage::decode(descriptor.clone(), bytes.clone())
        .map_err(|error| error.to_string())?;
    let mut clear = Clear {
        rules,
        cleared: 0,
        packed: 0,
    };
    clear.message(&mut decoded, "");
    Ok(match clear.cleared {
        0 => Cleared { bytes, fields: 0 },
        fields => Cleared {
            bytes: decoded.encode_to_vec().into(),
            fields,
        },
    })
}

struct Clear<'a> {
    rules: &'a CompareRules,
    cleared: usize,
    /// How many `Any`s this is inside.
    packed: u32,
}

impl Clear<'_> {
    fn message(&mut self, message: &mut DynamicMessage, path: &str) {
        let pool = message.descriptor().parent_pool().clone();
        match unpack::any(message, &pool) {
            Some(Packed::Known(inner, _)) if self.packed < MAX_PACKED => {
                return self.known(message, inner, path);
            }
            Some(Packed::Opaque(_, bytes)) if bytes.is_empty() => return,
            Some(_) => {
                message.clear_field_by_number(ANY_VALUE);
                self.cleared += 1;
                return;
            }
            None => {}
        }
        let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
        for field in fields {
            let below = match path {
                "" => field.name().to_owned(),
                path => format!("{path}.{}", field.name()),
            };
            if is_redacted(&field) || self.rules.redact.iter().any(|rule| rule.covers(&below)) {
                message.clear_field(&field);
                self.cleared += 1;
            } else {
                self.value(message.get_field_mut(&field), &below);
            }
        }
        let extensions: Vec<_> = message.extensions().map(|(field, _)| field).collect();
        for extension in extensions {
            if is_redact_option(&extension.options()) {
                message.clear_extension(&extension);
                self.cleared += 1;
            } else {
                let below = format!("{path}.{}", extension.name());
                self.value(message.get_extension_mut(&extension), &below);
            }
        }
    }

    fn known(&mut self, any: &mut DynamicMessage, mut inner: DynamicMessage, path: &str) {
        let before = self.cleared;
        self.packed += 1;
        self.message(&mut inner, path);
        self.packed -= 1;
        if self.cleared > before {
            let bytes = Bytes::from(inner.encode_to_vec());
            any.set_field_by_number(ANY_VALUE, Value::Bytes(bytes));
        }
    }

    fn value(&mut self, value: &mut Value, path: &str) {
        match value {
            Value::Message(message) => self.message(message, path),
            Value::List(list) => list
                .iter_mut()
                .for_each(|element| self.value(element, path)),
            Value::Map(map) => map
                .values_mut()
                .for_each(|element| self.value(element, path)),
            _ => {}
        }
    }
}
