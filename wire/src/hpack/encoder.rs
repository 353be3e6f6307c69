//! The encoder: fields become a header block (RFC 7541 section 3).
//!
//! A field enters the table when it is seen for the second time within a short memory: what repeats
//! on a connection becomes one byte, what is new in each call (trace ids, time-outs) never pushes
//! it out. No list of names is needed. Strings are written plain unless Huffman is asked for: the
//! bytes saved are few once the table is warm, and both ends save the work.

use super::finder::{Finder, Found};
use super::{huffman, integer, static_table, table::Table};
use crate::headers::{FieldRef, Sensitivity};

/// How many fields are remembered as seen once; a power of two.
const MEMORY: usize = 64;
/// Below this many entries the static table is meant.
const STATIC: usize = static_table::FIELDS.len();

/// How an encoder writes strings (RFC 7541 section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// As they are. The default.
    #[default]
    Plain,
    /// Huffman-coded where that is shorter.
    Huffman,
}

#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    finder: Finder,
    seen: Box<[u32; MEMORY]>,
    strings: Strings,
    /// Our own bound for the table, whatever the peer would allow.
    table_bytes: usize,
    /// The smallest bound since the last block, which the next one must announce (section 4.2).
    resized: Option<usize>,
}

impl Encoder {
    pub(crate) fn new(table_bytes: usize, strings: Strings) -> Self {
        // 4,096 is the size before any SETTINGS: a smaller bound of ours must be announced.
        let resized = (table_bytes < 4_096).then_some(table_bytes);
        Self {
            table: Table::new(table_bytes.min(4_096)),
            finder: Finder::default(),
            seen: Box::new([0; MEMORY]),
            strings,
            table_bytes,
            resized,
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub(crate) fn allow(&mut self, bytes: usize) {
        let limit = bytes.min(self.table_bytes);
        if limit != self.table.limit() {
            self.table.resize(limit);
            self.resized = Some(self.resized.map_or(limit, |smallest| smallest.min(limit)));
        }
    }

    /// Appends the block of `fields` to `out`.
    pub(crate) fn encode<'a>(
        &mut self,
        fields: impl IntoIterator<Item = FieldRef<'a>>,
        out: &mut Vec<u8>,
    ) {
        if let Some(smallest) = self.resized.take() {
            integer::encode(out, 0x20, 5, smallest);
            if smallest != self.table.limit() {
                integer::encode(out, 0x20, 5, self.table.limit());
            }
        }
        for field in fields {
            self.field(&field, out);
        }
    }

    fn field(&mut self, field: &FieldRef<'_>, out: &mut Vec<u8>) {
        let meta = field.meta;
        if meta.sensitivity == Sensitivity::Secret {
            let name = self.finder.find_name(&self.table, field);
            return self.literal(field, 0x10, 4, name, out);
        }
        if meta.sensitivity == Sensitivity::Passing {
            return self.literal(field, 0, 4, Found::Nothing, out);
        }
        if meta.static_field != 0 {
            return out.push(0x80 | meta.static_field);
        }
        match self.finder.find(&self.table, field) {
            Found::Field(index) => {
                // An index below 127 is one byte, and nearly all are.
                match index.saturating_add(STATIC) {
                    index @ ..127 => out.push(0x80 | index as u8),
                    index => integer::encode(out, 0x80, 7, index),
                }
            }
            name if self.seen_before(meta.hash) && self.is_worth_inserting(field) => {
                self.literal(field, 0x40, 6, name, out);
                self.table.insert(field.name, field.value, meta);
                self.finder.note_newest(&self.table);
            }
            name => self.literal(field, 0, 4, name, out),
        }
    }

    /// Whether a field of this hash was lately seen; the next time it was.
    fn seen_before(&mut self, hash: u32) -> bool {
        match self.seen.get_mut(hash as usize % MEMORY) {
            Some(slot) => std::mem::replace(slot, hash) == hash,
            None => false,
        }
    }

    /// One field must not push most others out.
    fn is_worth_inserting(&self, field: &FieldRef<'_>) -> bool {
        field.meta.len().saturating_mul(4) <= self.table.limit()
    }

    fn literal(
        &self,
        field: &FieldRef<'_>,
        pattern: u8,
        bits: u32,
        name: Found,
        out: &mut Vec<u8>,
    ) {
        match (field.meta.static_name, name) {
            (0, Found::Field(index) | Found::Name(index)) => {
                integer::encode(out, pattern, bits, index.saturating_add(STATIC));
            }
            (0, Found::Nothing) => {
                out.push(pattern);
                self.string(field.name, out);
            }
            (index, _) => integer::encode(out, pattern, bits, usize::from(index)),
        }
        self.string(field.value, out);
    }

    fn string(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.strings == Strings::Huffman {
            let length = huffman::encoded_len(text);
            if length < text.len() {
                integer::encode(out, 0x80, 7, length);
                return huffman::encode(text, out);
            }
        }
        integer::encode(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests;
