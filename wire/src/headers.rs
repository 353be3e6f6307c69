//! Header lists: every name and value in one buffer, every field a small fixed-size entry into it.
//! No map, no allocation per field; order and repetition stay as they came.

pub(crate) mod class;
pub(crate) mod message;

use std::fmt;

pub use class::Sensitivity;
pub(crate) use class::{Class, Meta};

/// What RFC 9113 section 6.5.2 adds for each field when it counts a list's size.
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// A list of fields. It grows to what it once held and keeps that: one list serves a connection.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    size: usize,
}

/// One field of a list or of an HPACK table: where it starts, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) start: u32,
    pub(crate) meta: Meta,
}

impl Field {
    /// Name and value within the bytes that hold them.
    #[inline]
    pub(crate) fn parts(self, bytes: &[u8]) -> (&[u8], &[u8]) {
        let start = self.start as usize;
        let both = bytes
            .get(start..start.saturating_add(self.meta.len()))
            .unwrap_or_default();
        both.split_at_checked(self.meta.name_len as usize)
            .unwrap_or_default()
    }
}

/// A borrowed field, with what is known of it already: hashes, kind, place in HPACK's static table.
/// Commands take these, so a relay filters and adds fields without copying.
#[derive(Clone, Copy)]
pub struct FieldRef<'a> {
    /// The name, in lower case.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    pub(crate) meta: Meta,
}

impl<'a> FieldRef<'a> {
    /// A field to send. Names of secrets (see [`Sensitivity`]) are recognised.
    pub const fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            meta: Meta::of(name, value),
        }
    }

    /// The same, never to be put into any HPACK table on its way (RFC 7541 section 7.1.3).
    pub const fn sensitive(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            meta: Meta::of(name, value).secret(),
        }
    }

    /// A field whose value is new each time (a trace id, a time-out): it is written out in full and
    /// takes no place in any table, as it would never be found there again.
    pub const fn passing(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            meta: Meta::passing(name, value),
        }
    }

    /// A hash of name and value: the same for the same field, within this version of the crate.
    /// It is there already, and not secret.
    pub fn hash(&self) -> u32 {
        self.meta.hash
    }

    /// Whether the field may enter HPACK tables.
    pub fn sensitivity(&self) -> Sensitivity {
        self.meta.sensitivity
    }

    /// Whether the name begins with a colon.
    pub fn is_pseudo(&self) -> bool {
        self.name.first() == Some(&b':')
    }
}

impl fmt::Debug for FieldRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.meta.sensitivity {
            Sensitivity::Plain | Sensitivity::Passing => self.value,
            Sensitivity::Secret => b"(secret)",
        };
        write!(f, "{}: {}", self.name.escape_ascii(), value.escape_ascii())
    }
}

impl HeaderList {
    pub(crate) const NONE: Self = Self {
        bytes: Vec::new(),
        fields: Vec::new(),
        size: 0,
    };

    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The list's size by the count of RFC 9113 section 6.5.2: 32 more per field than its bytes.
    /// Of a list that was too large, the size of what came, not of what was kept.
    pub fn size_bytes(&self) -> usize {
        self.size
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FieldRef<'_>> + Clone {
        self.fields.iter().map(|field| {
            let (name, value) = field.parts(&self.bytes);
            FieldRef {
                name,
                value,
                meta: field.meta,
            }
        })
    }

    /// The value of the first field of this name, which must be in lower case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }

    /// The value of `:path`.
    pub fn path(&self) -> Option<&[u8]> {
        self.of_class(Class::Path)
    }

    /// The value of `:method`.
    pub fn method(&self) -> Option<&[u8]> {
        self.of_class(Class::Method)
    }

    /// The value of `:status`.
    pub fn status(&self) -> Option<&[u8]> {
        self.of_class(Class::Status)
    }

    fn of_class(&self, class: Class) -> Option<&[u8]> {
        let field = self.fields.iter().find(|field| field.meta.class == class)?;
        Some(field.parts(&self.bytes).1)
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_ref(FieldRef::new(name, value));
    }

    /// Adds a field of another list at the end; nothing is computed anew.
    pub fn push_ref(&mut self, field: FieldRef<'_>) {
        self.count(field.meta);
        self.add(&[field.name, field.value], field.meta);
    }

    /// Makes the list empty and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.size = 0;
    }

    pub(crate) fn metas(&self) -> impl Iterator<Item = Meta> + '_ {
        self.fields.iter().map(|field| field.meta)
    }

    /// The value of the field at `position`.
    pub(crate) fn value_at(&self, position: usize) -> &[u8] {
        self.fields
            .get(position)
            .map_or(&[], |field| field.parts(&self.bytes).1)
    }

    /// Counts a field's size, whether the field is then added or not.
    pub(crate) fn count(&mut self, meta: Meta) {
        self.size = self
            .size
            .saturating_add(meta.len())
            .saturating_add(FIELD_OVERHEAD);
    }

    /// Adds a field that was counted.
    pub(crate) fn add(&mut self, parts: &[&[u8]], meta: Meta) {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.fields.push(Field { start, meta });
    }

    /// The buffer, for a decoder that writes a field's name and value in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was written into the buffer from `start` on.
    pub(crate) fn written(&self, start: usize) -> &[u8] {
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Makes a field of what was written into the buffer from `start` on.
    pub(crate) fn adopt(&mut self, start: usize, meta: Meta) {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        self.fields.push(Field { start, meta });
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<FieldRef<'a>> for HeaderList {
    fn from_iter<I: IntoIterator<Item = FieldRef<'a>>>(fields: I) -> Self {
        let mut list = Self::new();
        fields.into_iter().for_each(|field| list.push_ref(field));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_repetition() {
        let mut list = HeaderList::new();
        list.push(b"x-a", b"1");
        list.push(b":path", b"/p");
        list.push(b"x-a", b"2");
        let fields: Vec<_> = list.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(
            fields,
            [(&b"x-a"[..], &b"1"[..]), (b":path", b"/p"), (b"x-a", b"2")]
        );
        assert_eq!(list.get(b"x-a"), Some(&b"1"[..]));
        assert_eq!(list.path(), Some(&b"/p"[..]));
        assert_eq!(list.size_bytes(), 4 + 7 + 4 + 3 * 32);
        assert_eq!(list.iter().collect::<HeaderList>(), list);
    }

    #[test]
    fn a_secret_does_not_show_when_printed() {
        let mut list = HeaderList::new();
        list.push(b"authorization", b"Bearer abc");
        list.push(b"x-a", b"1");
        assert_eq!(format!("{list:?}"), "[authorization: (secret), x-a: 1]");
    }
}
