//! The labels of spans, each made once: of a million spans a few dozen differ in more than ids and
//! times. What is held is bounded; where it is full, all of it is forgotten and made again.

use std::collections::HashMap;
use std::sync::Arc;

use cutover_compare::trace::{ATTRIBUTES, Label, SpanKind};
use cutover_manifest::{Arm, MethodPath, Role};

use super::wire::text_of;
use crate::pairing::{ARM, ROLE, Root};

/// Most labels held.
const MAX_LABELS: usize = 4_096;
/// Most bytes of what they were made from.
const MAX_BYTES: usize = 2 << 20;
/// Longest name of a span that is kept, bytes.
const MAX_NAME_BYTES: usize = 256;
/// Longest value of an attribute that is looked at, bytes.
const MAX_VALUE_BYTES: usize = 8 << 10;

/// What the name, kind and attributes of a span come to.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) label: Arc<Label>,
    /// Where it is a CLIENT span of the proxy.
    pub(super) root: Option<Arc<Root>>,
}

/// Makes labels, and holds those made lately.
#[derive(Debug, Default)]
pub(super) struct Labels {
    made: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
    /// The span at hand: kind, name, and the attributes that are looked at, one after another.
    key: Vec<u8>,
    /// Bits of the attributes that are in `key`.
    seen: u64,
}

impl Labels {
    /// Begins a span.
    pub(super) fn begin(&mut self) {
        self.key.clear();
        self.seen = 0;
    }

    /// Adds an attribute: its key, and its value as it stands on the wire. Of a name that comes
    /// twice, the first counts.
    pub(super) fn attribute(&mut self, name: &[u8], value: &[u8]) {
        let Some(index) = index_of(name) else {
            return;
        };
        if self.seen & (1 << index) == 0 {
            self.seen |= 1 << index;
            self.key.push(index);
            self.part(value);
        }
    }

    /// The label of the span at hand.
    pub(super) fn end(&mut self, kind: SpanKind, name: &str) -> Entry {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        let attributes = self.key.len();
        self.key.push(kind as u8);
        self.part(name.as_bytes());
        if let Some(entry) = self.made.get(self.key.as_slice()) {
            return entry.clone();
        }
        let entry = make(kind, name, &self.key[..attributes]);
        if self.made.len() >= MAX_LABELS || self.bytes + self.key.len() > MAX_BYTES {
            self.made = HashMap::new();
            self.bytes = 0;
        }
        if self.key.len() <= MAX_BYTES / 64 {
            self.bytes += self.key.len();
            self.made.insert(self.key.as_slice().into(), entry.clone());
        }
        entry
    }

    fn part(&mut self, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(MAX_VALUE_BYTES)];
        self.key
            .extend_from_slice(&(kept.len() as u32).to_ne_bytes());
        self.key.extend_from_slice(kept);
    }
}

/// The place of a name among those that are looked at.
fn index_of(name: &[u8]) -> Option<u8> {
    // Most names are none of them, which the first letter often shows.
    if !matches!(
        name.first()?,
        b'c' | b'd' | b'e' | b'h' | b'm' | b'r' | b'u'
    ) {
        return None;
    }
    if let Ok(index) = ATTRIBUTES.binary_search_by(|known| known.as_bytes().cmp(name)) {
        return Some(index as u8);
    }
    let own = [ARM, ROLE]
        .iter()
        .position(|known| known.as_bytes() == name)?;
    Some((ATTRIBUTES.len() + own) as u8)
}

/// Makes a label from what [`Labels::attribute`] wrote.
fn make(kind: SpanKind, name: &str, mut key: &[u8]) -> Entry {
    let mut texts = Vec::new();
    let (mut arm, mut role) = (None, None);
    while let Some((index, rest)) = key.split_first() {
        let (length, rest) = rest.split_at(4);
        let length = u32::from_ne_bytes(length.try_into().unwrap_or_default());
        let (value, rest) = rest.split_at(length as usize);
        key = rest;
        let Some(text) = text_or_beginning(value) else {
            continue;
        };
        match ATTRIBUTES.get(usize::from(*index)) {
            Some(name) => texts.push((*name, text)),
            None if usize::from(*index) == ATTRIBUTES.len() => arm = Arm::parse(&text),
            None => role = Role::parse(&text),
        }
    }
    let attributes: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, &**text)).collect();
    let root = match (kind, arm, role) {
        (SpanKind::Client, Some(arm), Some(role)) => {
            method(&attributes).map(|method| Arc::new(Root { arm, role, method }))
        }
        _ => None,
    };
    Entry {
        label: Arc::new(Label::new(kind, name, &attributes)),
        root,
    }
}

/// A value's text; of one that was cut off, what is left of it.
fn text_or_beginning(value: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    if value.len() < MAX_VALUE_BYTES {
        return text_of(value);
    }
    // A string: its tag, its length in at most five bytes, its text.
    let (tag, rest) = value.split_first()?;
    let begin = rest.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    (*tag == 0x0a).then(|| String::from_utf8_lossy(&rest[begin..]))
}

fn method(attributes: &[(&str, &str)]) -> Option<MethodPath> {
    let value = |name| {
        attributes
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    let name = value("rpc.method")?;
    let whole = MethodPath::parse(name);
    whole
        .or_else(|_| MethodPath::new(value("rpc.service").unwrap_or(""), name))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Vec<u8> {
        let mut wire = vec![0x0a];
        prost::encode_length_delimiter(value.len(), &mut wire).unwrap();
        wire.extend_from_slice(value.as_bytes());
        wire
    }

    fn entry(labels: &mut Labels, attributes: &[(&str, &str)]) -> Entry {
        labels.begin();
        for (name, value) in attributes {
            labels.attribute(name.as_bytes(), &text(value));
        }
        labels.end(SpanKind::Client, "span")
    }

    #[test]
    fn the_names_looked_at_are_in_order_and_few_enough_for_the_bits() {
        assert!(ATTRIBUTES.is_sorted());
        assert!(ATTRIBUTES.len() + 2 <= 64);
        for (index, name) in ATTRIBUTES.iter().chain(&[ARM, ROLE]).enumerate() {
            assert_eq!(index_of(name.as_bytes()), Some(index as u8), "{name}");
        }
        assert_eq!(index_of(b"db.user"), None);
        assert_eq!(index_of(b""), None);
    }

    #[test]
    fn spans_of_one_sort_share_a_label_and_others_do_not() {
        let mut labels = Labels::default();
        let select = [
            ("db.system", "sqlite"),
            ("db.statement", "SELECT 1 FROM a"),
            ("x", "1"),
        ];
        let one = entry(&mut labels, &select);
        let same = entry(
            &mut labels,
            &[select[0], select[1], ("x", "2"), ("db.system", "b")],
        );
        assert!(Arc::ptr_eq(&one.label, &same.label));
        let operation = one.label.operation.as_ref().unwrap();
        assert_eq!(operation.key, "db sqlite SELECT a");
        let other = entry(
            &mut labels,
            &[select[0], ("db.statement", "SELECT 1 FROM b")],
        );
        assert_ne!(one.label, other.label);
        let root = [
            ("cutover.arm", "legacy"),
            ("cutover.role", "shadow"),
            ("rpc.method", "a.B/C"),
        ];
        let root = entry(&mut labels, &root).root.unwrap();
        assert_eq!((root.arm, root.role), (Arm::Legacy, Role::Shadow));
        assert_eq!(root.method.as_str(), "/a.B/C");
        assert!(one.root.is_none());
    }

    #[test]
    fn labels_without_end_are_forgotten_and_a_giant_value_is_cut() {
        let mut labels = Labels::default();
        for n in 0..MAX_LABELS + 500 {
            let statement = format!("SELECT 1 FROM t{n} WHERE {}", "x".repeat(n % 3_000));
            entry(
                &mut labels,
                &[("db.system", "sqlite"), ("db.statement", &statement)],
            );
            assert!(labels.made.len() <= MAX_LABELS && labels.bytes <= MAX_BYTES);
        }
        let giant = format!("SELECT 'é{}' FROM a", "é".repeat(1 << 20));
        for _ in 0..2 {
            let cut = entry(&mut labels, &[("db.system", "x"), ("db.statement", &giant)]);
            assert_eq!(cut.label.operation.as_ref().unwrap().key, "db x SELECT");
        }
        assert!(labels.key.len() < 2 * MAX_VALUE_BYTES);
    }
}
