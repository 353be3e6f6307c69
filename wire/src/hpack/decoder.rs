//! The decoder: a header block becomes a header list (RFC 7541 section 3).

use super::{huffman, integer, static_table, table::Table};
use crate::error::Rule;
use crate::headers::{HeaderList, Meta};

/// How many entries the static table has; indices above it are the dynamic table's.
const STATIC: usize = static_table::FIELDS.len();

#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// What we announced in SETTINGS_HEADER_TABLE_SIZE.
    table_bytes: usize,
}

/// What becomes of a literal (RFC 7541 section 6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Insert,
    Plain,
    Secret,
}

impl Decoder {
    pub(crate) fn new(table_bytes: usize) -> Self {
        Self {
            table: Table::new(table_bytes),
            table_bytes,
        }
    }

    /// Changes whenever the table does: a block means the same as long as this is the same.
    pub(crate) fn generation(&self) -> u64 {
        self.table.generation()
    }

    /// Appends the fields of a whole block to `list`.
    ///
    /// Above `limit` bytes (as SETTINGS_MAX_HEADER_LIST_SIZE counts) fields are counted and
    /// dropped, but the table goes on: the connection stays usable. An index can stand for
    /// thousands of bytes, so the bound is checked before anything is copied.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        list: &mut HeaderList,
        limit: usize,
    ) -> Result<(), Rule> {
        let mut fields = false;
        while let Some((&first, rest)) = block.split_first() {
            block = rest;
            if first & 0x80 != 0 {
                let index = integer::decode(first, 7, &mut block)?;
                self.indexed(index, list, limit)?;
            } else if first & 0x40 != 0 {
                self.literal(first, 6, Literal::Insert, &mut block, list, limit)?;
            } else if first & 0x20 != 0 {
                let size = integer::decode(first, 5, &mut block)?;
                if fields {
                    return Err(Rule::HpackResizePlace);
                }
                if size > self.table_bytes {
                    return Err(Rule::HpackResize);
                }
                self.table.resize(size);
                continue;
            } else {
                let kind = if first & 0x10 != 0 {
                    Literal::Secret
                } else {
                    Literal::Plain
                };
                self.literal(first, 4, kind, &mut block, list, limit)?;
            }
            fields = true;
        }
        Ok(())
    }

    fn indexed(&self, index: usize, list: &mut HeaderList, limit: usize) -> Result<(), Rule> {
        if let Some(dynamic) = index.checked_sub(STATIC).filter(|dynamic| *dynamic > 0) {
            let (bytes, meta) = self.table.get(dynamic).ok_or(Rule::HpackIndex)?;
            list.count(meta);
            if list.size_bytes() <= limit {
                list.add(&[bytes], meta);
            }
        } else {
            let (name, value, meta) = static_table::get(index).ok_or(Rule::HpackIndex)?;
            list.count(meta);
            if list.size_bytes() <= limit {
                list.add(&[name, value], meta);
            }
        }
        Ok(())
    }

    /// A literal is written into the list's buffer at once, name and value side by side, and taken
    /// back if it is over the limit.
    fn literal(
        &mut self,
        first: u8,
        prefix: u32,
        kind: Literal,
        block: &mut &[u8],
        list: &mut HeaderList,
        limit: usize,
    ) -> Result<(), Rule> {
        let start = list.bytes_mut().len();
        let index = integer::decode(first, prefix, block)?;
        let name_meta = self.name(index, block, list.bytes_mut())?;
        let middle = list.bytes_mut().len();
        string(block, list.bytes_mut())?;
        let name_len = middle.saturating_sub(start);
        let (name, value) = list
            .written(start)
            .split_at_checked(name_len)
            .ok_or(Rule::HpackTruncated)?;
        let mut meta = match name_meta {
            Some(meta) => meta.with_value(value),
            None => Meta::of(name, value),
        };
        if kind == Literal::Secret {
            meta = meta.secret();
        }
        if kind == Literal::Insert {
            self.table.insert(name, value, meta);
        }
        list.count(meta);
        if list.size_bytes() <= limit {
            list.adopt(start, meta);
        } else {
            list.bytes_mut().truncate(start);
        }
        Ok(())
    }

    /// Writes a literal's name; gives what a table knows of it.
    fn name(
        &self,
        index: usize,
        block: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Meta>, Rule> {
        if index == 0 {
            return string(block, out).map(|()| None);
        }
        if let Some(dynamic) = index.checked_sub(STATIC).filter(|dynamic| *dynamic > 0) {
            let (bytes, meta) = self.table.get(dynamic).ok_or(Rule::HpackIndex)?;
            out.extend_from_slice(bytes.get(..meta.name_len as usize).unwrap_or_default());
            return Ok(Some(meta));
        }
        let (name, _, meta) = static_table::get(index).ok_or(Rule::HpackIndex)?;
        out.extend_from_slice(name);
        Ok(Some(meta))
    }
}

/// Reads a string literal (RFC 7541 section 5.2).
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    let (&first, rest) = block.split_first().ok_or(Rule::HpackTruncated)?;
    *block = rest;
    let length = integer::decode(first, 7, block)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Rule::HpackTruncated)?;
    *block = rest;
    if first & 0x80 != 0 {
        huffman::decode(text, out)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
