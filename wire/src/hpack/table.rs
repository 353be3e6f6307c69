//! The dynamic table (RFC 7541 section 2.3.2): a queue of fields, newest first by index, bounded
//! by bytes. Fields lie one behind the other in one buffer; the evicted ones in front of the live
//! ones are cut off when they outnumber them.

use crate::headers::{FIELD_OVERHEAD, Field, Meta};

#[derive(Debug)]
pub(crate) struct Table {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// How many of `fields` are evicted.
    dead: usize,
    /// How many were cut off before.
    cut: usize,
    size: usize,
    limit: usize,
    /// Counts changes.
    generation: u64,
}

impl Table {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            dead: 0,
            cut: 0,
            size: 0,
            limit,
            generation: 0,
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The field at `index`, 1 being the newest: its bytes (name, then value) and what is known.
    pub(crate) fn get(&self, index: usize) -> Option<(&[u8], Meta)> {
        let place = self.fields.len().checked_sub(index)?;
        if index == 0 || place < self.dead {
            return None;
        }
        let field = self.fields.get(place)?;
        Some((self.bytes_of(*field), field.meta))
    }

    /// The live field with this serial number: its index, its bytes and what is known of it.
    pub(crate) fn at(&self, serial: usize) -> Option<(usize, &[u8], &Meta)> {
        let place = serial.checked_sub(self.cut)?.checked_sub(1)?;
        let field = self.fields.get(place).filter(|_| place >= self.dead)?;
        let index = self.fields.len().saturating_sub(place);
        Some((index, self.bytes_of(*field), &field.meta))
    }

    /// The serial number of the field that was inserted last; the first ever has 1.
    pub(crate) fn newest(&self) -> usize {
        self.cut.saturating_add(self.fields.len())
    }

    /// The live fields with their serial numbers, oldest first.
    pub(crate) fn live(&self) -> impl Iterator<Item = (usize, Meta)> + '_ {
        let first = self.cut.saturating_add(self.dead).saturating_add(1);
        self.fields
            .iter()
            .skip(self.dead)
            .zip(first..)
            .map(|(field, serial)| (serial, field.meta))
    }

    /// Inserts a field, evicting as many as need be: all of them if it does not fit at all.
    pub(crate) fn insert(&mut self, name: &[u8], value: &[u8], meta: Meta) {
        self.generation = self.generation.wrapping_add(1);
        let size = meta.len().saturating_add(FIELD_OVERHEAD);
        self.evict_down_to(self.limit.saturating_sub(size));
        if size > self.limit {
            return;
        }
        self.cut_off();
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.fields.push(Field { start, meta });
        self.size = self.size.saturating_add(size);
    }

    /// Sets the bound, and evicts what is above it.
    pub(crate) fn resize(&mut self, limit: usize) {
        self.generation = self.generation.wrapping_add(1);
        self.limit = limit;
        self.evict_down_to(limit);
    }

    fn evict_down_to(&mut self, size: usize) {
        while self.size > size {
            let Some(field) = self.fields.get(self.dead) else {
                return;
            };
            let freed = field.meta.len().saturating_add(FIELD_OVERHEAD);
            self.size = self.size.saturating_sub(freed);
            self.dead = self.dead.saturating_add(1);
        }
    }

    fn cut_off(&mut self) {
        if self.dead <= self.fields.len() / 2 {
            return;
        }
        let end = self
            .fields
            .get(self.dead)
            .map_or(self.bytes.len(), |field| field.start as usize);
        self.bytes.drain(..end.min(self.bytes.len()));
        self.fields.drain(..self.dead);
        for field in &mut self.fields {
            field.start = field.start.saturating_sub(end as u32);
        }
        self.cut = self.cut.saturating_add(self.dead);
        self.dead = 0;
    }

    fn bytes_of(&self, field: Field) -> &[u8] {
        let start = field.start as usize;
        self.bytes
            .get(start..start.saturating_add(field.meta.len()))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(table: &mut Table, name: &str, value: &str) {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        table.insert(name, value, Meta::of(name, value));
    }

    #[test]
    fn evicts_the_oldest_first_and_keeps_its_bound() {
        let mut table = Table::new(3 * 34);
        for round in 0..100u32 {
            insert(&mut table, "n", &(round % 10).to_string());
            assert!(table.size() <= table.limit());
            assert_eq!(table.newest(), round as usize + 1);
            let newest = format!("n{}", round % 10);
            assert_eq!(table.get(1).unwrap().0, newest.as_bytes());
            assert_eq!(table.at(table.newest()).map(|(index, ..)| index), Some(1));
            if round >= 3 {
                assert_eq!(
                    table.get(3).unwrap().0,
                    format!("n{}", (round - 2) % 10).as_bytes()
                );
                assert!(table.get(4).is_none());
                assert_eq!(table.at(table.newest() - 3), None);
                assert_eq!(table.live().count(), 3);
            }
        }
        assert!(table.bytes.len() <= 2 * 6, "evicted bytes are cut off");
    }

    #[test]
    fn a_field_larger_than_the_table_empties_it() {
        let mut table = Table::new(40);
        insert(&mut table, "n", "1");
        insert(&mut table, "name", "value");
        assert_eq!((table.size(), table.get(1)), (0, None));
    }

    #[test]
    fn a_smaller_bound_evicts() {
        let mut table = Table::new(100);
        insert(&mut table, "a", "1");
        insert(&mut table, "b", "2");
        table.resize(34);
        assert_eq!(table.get(1).unwrap().0, b"b2");
        assert!(table.get(2).is_none());
        table.resize(0);
        assert!(table.get(1).is_none());
    }
}
