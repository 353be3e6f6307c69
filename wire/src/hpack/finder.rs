//! Finds a field, or a field of a name, in an encoder's table: an open hash table from hashes to
//! serial numbers. Evicted entries stay until the next rebuild, and are passed over.

use super::table::Table;
use crate::headers::FieldRef;

const SMALLEST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// Hash and serial number; the serial number 0 marks a free slot.
    slots: Vec<(u32, u32)>,
    used: usize,
}

/// What a table knows of a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The field itself is at this index.
    Field(usize),
    /// A field of the same name is.
    Name(usize),
    Nothing,
}

impl Finder {
    pub(crate) fn find(&self, table: &Table, field: &FieldRef<'_>) -> Found {
        let whole = self.probe(table, field.meta.hash, |bytes, name_len| {
            name_len == field.name.len()
                && bytes.len() == field.meta.len()
                && bytes.starts_with(field.name)
                && bytes.ends_with(field.value)
        });
        match whole {
            Some(index) => Found::Field(index),
            None => self.find_name(table, field),
        }
    }

    pub(crate) fn find_name(&self, table: &Table, field: &FieldRef<'_>) -> Found {
        let by_name = self.probe(table, field.meta.name_hash, |bytes, name_len| {
            name_len == field.name.len() && bytes.starts_with(field.name)
        });
        by_name.map_or(Found::Nothing, Found::Name)
    }

    /// Takes note of the field that was inserted last.
    pub(crate) fn note_newest(&mut self, table: &Table) {
        // At most half full, so probes stay short and always end.
        if self.used.saturating_add(2).saturating_mul(2) > self.slots.len() {
            self.rebuild(table);
            return;
        }
        if let Some((_, meta)) = table.get(1) {
            self.put(meta.hash, table.newest());
            self.put(meta.name_hash, table.newest());
        }
    }

    fn rebuild(&mut self, table: &Table) {
        let wanted = table
            .live()
            .count()
            .saturating_mul(8)
            .next_power_of_two()
            .max(SMALLEST);
        self.slots.clear();
        self.slots.resize(wanted, (0, 0));
        self.used = 0;
        for (serial, meta) in table.live() {
            self.put(meta.hash, serial);
            self.put(meta.name_hash, serial);
        }
    }

    fn put(&mut self, hash: u32, serial: usize) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while let Some(entry) = self.slots.get_mut(slot) {
            if entry.1 == 0 {
                *entry = (hash, serial as u32);
                self.used = self.used.saturating_add(1);
                return;
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }

    /// Serial numbers are kept in 32 bits: after four thousand million insertions an entry may
    /// be missed, never mistaken, for `same` looks at the bytes.
    fn probe(
        &self,
        table: &Table,
        hash: u32,
        same: impl Fn(&[u8], usize) -> bool,
    ) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            let &(key, serial) = self.slots.get(slot)?;
            if serial == 0 {
                return None;
            }
            if key == hash
                && let Some((index, bytes, meta)) = table.at(serial as usize)
                && same(bytes, meta.name_len as usize)
            {
                return Some(index);
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_and_names_until_they_are_evicted() {
        let mut table = Table::new(10 * 36);
        let mut finder = Finder::default();
        for round in 0..1_000u32 {
            let value = format!("{:02}", round % 100);
            let field = FieldRef::new(b"ab", value.as_bytes());
            let other = FieldRef::new(b"a", b"b");
            assert_ne!(finder.find(&table, &field), Found::Field(1));
            table.insert(field.name, field.value, field.meta);
            finder.note_newest(&table);
            assert_eq!(finder.find(&table, &field), Found::Field(1));
            assert_eq!(finder.find(&table, &other), Found::Nothing);
            if round >= 10 {
                let evicted = format!("{:02}", (round - 10) % 100);
                let evicted = FieldRef::new(b"ab", evicted.as_bytes());
                assert!(matches!(finder.find(&table, &evicted), Found::Name(_)));
            }
        }
        assert!(finder.slots.len() <= 128);
    }
}
