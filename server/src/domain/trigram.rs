//! Trigrams of normal forms, and an index from trigrams to names in flat arrays.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Three code points of 21 bits each.
pub type Trigram = u64;

const CODE_POINT_BITS: u32 = 21;
const TRIGRAM_MASK: u64 = (1 << (3 * CODE_POINT_BITS)) - 1;

/// Replaces `trigrams` with the set of trigrams of a normal form, sorted: substrings of three code
/// points after two spaces are put before it and one behind.
pub fn trigrams_of(normal: &str, trigrams: &mut Vec<Trigram>) {
    let space = u64::from(' ');
    let mut window = space << CODE_POINT_BITS | space;
    trigrams.clear();
    trigrams.extend(
        normal
            .chars()
            .map(u64::from)
            .chain([space])
            .map(|code_point| {
                window = (window << CODE_POINT_BITS | code_point) & TRIGRAM_MASK;
                window
            }),
    );
    trigrams.sort_unstable();
    trigrams.dedup();
}

/// The names that have a trigram: one array of names, cut by one array of starts.
#[derive(Debug, Default)]
pub struct TrigramIndex {
    keys: Vec<Trigram>,
    starts: Vec<u32>,
    names: Vec<u32>,
    /// How many trigrams each name has.
    sizes: Vec<u16>,
}

impl TrigramIndex {
    /// The names that have `trigram`, rising.
    pub fn names_with(&self, trigram: Trigram) -> &[u32] {
        match self.keys.binary_search(&trigram) {
            Ok(at) => &self.names[self.starts[at] as usize..self.starts[at + 1] as usize],
            Err(_) => &[],
        }
    }

    /// How many trigrams a name has.
    pub fn size_of(&self, name: u32) -> u32 {
        u32::from(self.sizes[name as usize])
    }

    /// How many names there are.
    pub fn name_count(&self) -> usize {
        self.sizes.len()
    }
}

/// Collects names one by one, then sorts them into a [`TrigramIndex`].
#[derive(Debug, Default)]
pub struct TrigramIndexBuilder {
    ids: HashMap<Trigram, u32, BuildHasherDefault<TrigramHasher>>,
    counts: Vec<u32>,
    /// The trigrams of all names, by id, name after name.
    entries: Vec<u32>,
    sizes: Vec<u16>,
    scratch: Vec<Trigram>,
}

impl TrigramIndexBuilder {
    /// Adds the next name; `None` when it has more than 65,535 trigrams or all names together
    /// have more than 2³² of them.
    pub fn push(&mut self, normal: &str) -> Option<()> {
        trigrams_of(normal, &mut self.scratch);
        self.sizes.push(u16::try_from(self.scratch.len()).ok()?);
        u32::try_from(self.entries.len() + self.scratch.len()).ok()?;
        for &trigram in &self.scratch {
            let next = u32::try_from(self.counts.len()).ok()?;
            let id = *self.ids.entry(trigram).or_insert(next);
            if id == next {
                self.counts.push(0);
            }
            self.counts[id as usize] += 1;
            self.entries.push(id);
        }
        Some(())
    }

    /// The index of all names added.
    pub fn finish(self) -> TrigramIndex {
        let mut sorted: Vec<_> = self.ids.into_iter().collect();
        sorted.sort_unstable();
        let mut starts = Vec::with_capacity(sorted.len() + 1);
        let mut next_of_id = vec![0; sorted.len()];
        let mut start = 0;
        for &(_, id) in &sorted {
            starts.push(start);
            next_of_id[id as usize] = start;
            start += self.counts[id as usize];
        }
        starts.push(start);
        let mut names = vec![0; self.entries.len()];
        let mut entries = self.entries.iter();
        for (name, &size) in (0..).zip(&self.sizes) {
            for &id in entries.by_ref().take(usize::from(size)) {
                let next = &mut next_of_id[id as usize];
                names[*next as usize] = name;
                *next += 1;
            }
        }
        let mut sizes = self.sizes;
        sizes.shrink_to_fit();
        let keys = sorted.into_iter().map(|(trigram, _)| trigram).collect();
        TrigramIndex {
            keys,
            starts,
            names,
            sizes,
        }
    }
}

/// Mixes one `u64`; names come from our own data set, so no seed is needed.
#[derive(Default)]
pub struct TrigramHasher(u64);

impl Hasher for TrigramHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte) ^ self.0);
        }
    }

    fn write_u64(&mut self, key: u64) {
        let product = u128::from(key ^ 0x9E37_79B9_7F4A_7C15) * 0xA24B_AED4_963E_E407_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(normal: &str) -> Vec<String> {
        let mut trigrams = Vec::new();
        trigrams_of(normal, &mut trigrams);
        let part = |trigram: u64, at: u32| {
            let code_point = trigram >> (at * CODE_POINT_BITS) & ((1 << CODE_POINT_BITS) - 1);
            char::from_u32(code_point as u32).unwrap()
        };
        trigrams
            .iter()
            .map(|&t| [2, 1, 0].map(|at| part(t, at)).iter().collect())
            .collect()
    }

    #[test]
    fn pads_with_two_spaces_before_and_one_behind() {
        assert_eq!(readable("ab"), ["  a", " ab", "ab "]);
        assert_eq!(readable("\u{10FFFF}"), ["  \u{10FFFF}", " \u{10FFFF} "]);
    }

    #[test]
    fn is_a_set() {
        assert_eq!(readable("aaaa"), ["  a", " aa", "aa ", "aaa"]);
    }

    #[test]
    fn finds_each_name_by_each_of_its_trigrams_and_no_other() {
        let names = ["roma", "romania", "oslo", "ром"];
        let mut builder = TrigramIndexBuilder::default();
        for name in names {
            builder.push(name).unwrap();
        }
        let index = builder.finish();
        let mut all = Vec::new();
        let mut of_name = Vec::new();
        for name in names {
            trigrams_of(name, &mut of_name);
            all.extend_from_slice(&of_name);
        }
        for &trigram in &all {
            let expected: Vec<u32> = (0..)
                .zip(names)
                .filter(|(_, name)| {
                    trigrams_of(name, &mut of_name);
                    of_name.contains(&trigram)
                })
                .map(|(index, _)| index)
                .collect();
            assert_eq!(index.names_with(trigram), expected);
        }
        assert_eq!(index.names_with(0), [0; 0]);
        assert_eq!(index.size_of(0), 5);
        assert_eq!(index.name_count(), 4);
    }
}
