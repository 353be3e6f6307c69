//! From stream numbers to slots. Numbers count up by two, so half the number is as good as a hash:
//! an open table without collisions as long as streams end roughly in order.

const SMALLEST: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Number and slot; the number 0 marks a free place.
    places: Vec<(u32, u32)>,
    len: usize,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: u32) -> Option<u32> {
        let mut place = self.home(id);
        loop {
            match *self.places.get(place)? {
                (0, _) => return None,
                (other, slot) if other == id => return Some(slot),
                _ => place = self.after(place),
            }
        }
    }

    pub(crate) fn insert(&mut self, id: u32, slot: u32) {
        // At most half full: probes stay short and end.
        if self.len.saturating_mul(2) >= self.places.len() {
            let wanted = self.places.len().saturating_mul(2).max(SMALLEST);
            let old = std::mem::replace(&mut self.places, vec![(0, 0); wanted]);
            old.into_iter()
                .filter(|(id, _)| *id != 0)
                .for_each(|(id, slot)| self.put(id, slot));
        }
        self.put(id, slot);
        self.len = self.len.saturating_add(1);
    }

    /// Entries stand in the order of their homes: one that stands nearer to its own makes room.
    fn put(&mut self, id: u32, slot: u32) {
        let mut entry = (id, slot);
        let mut place = self.home(id);
        let mut away = 0;
        while let Some(&other) = self.places.get(place) {
            if other.0 == 0 {
                return self.set(place, entry);
            }
            let other_away = self.distance(self.home(other.0), place);
            if other_away < away {
                self.set(place, entry);
                (entry, away) = (other, other_away);
            }
            place = self.after(place);
            away = away.saturating_add(1);
        }
    }

    /// Removes a number, and moves up those that stand behind their home because of it: up to the
    /// first one that is at home, so that a run of neighbours costs no more than one.
    pub(crate) fn remove(&mut self, id: u32) {
        let mut hole = self.home(id);
        loop {
            match self.places.get(hole) {
                None | Some((0, _)) => return,
                Some((other, _)) if *other == id => break,
                Some(_) => hole = self.after(hole),
            }
        }
        self.len = self.len.saturating_sub(1);
        loop {
            let next = self.after(hole);
            match self.places.get(next) {
                Some(&entry) if entry.0 != 0 && self.home(entry.0) != next => {
                    self.set(hole, entry);
                    hole = next;
                }
                _ => return self.set(hole, (0, 0)),
            }
        }
    }

    fn set(&mut self, place: usize, entry: (u32, u32)) {
        if let Some(slot) = self.places.get_mut(place) {
            *slot = entry;
        }
    }

    fn mask(&self) -> usize {
        self.places.len().saturating_sub(1)
    }

    fn home(&self, id: u32) -> usize {
        (id >> 1) as usize & self.mask()
    }

    fn after(&self, place: usize) -> usize {
        place.wrapping_add(1) & self.mask()
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_hash_map(
            steps in prop::collection::vec((0u32..64, any::<bool>()), 0..400),
        ) {
            let mut index = Index::default();
            let mut model = HashMap::new();
            for (step, (number, insert)) in steps.into_iter().enumerate() {
                // Numbers that share a place, and numbers that follow each other.
                let id = (number % 8) * 2 + (number / 8) * 64 + 1;
                if insert && !model.contains_key(&id) {
                    index.insert(id, step as u32);
                    model.insert(id, step as u32);
                } else {
                    index.remove(id);
                    model.remove(&id);
                }
                prop_assert_eq!(index.len(), model.len());
                for id in (0..64).map(|number| (number % 8) * 2 + (number / 8) * 64 + 1) {
                    prop_assert_eq!(index.get(id), model.get(&id).copied());
                }
            }
        }
    }
}
