//! Names in arenas: one text and one array of offsets, instead of a `String` for each name.

/// Many short texts in one.
#[derive(Debug, Default)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Adds a text and returns its index; `None` when the arena is full (4 GiB).
    pub fn push(&mut self, text: &str) -> Option<u32> {
        let index = u32::try_from(self.ends.len()).ok()?;
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        self.text.push_str(text);
        self.ends.push(end);
        Some(index)
    }

    /// The text at `index`.
    pub fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[index] as usize]
    }

    /// How many texts there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("push keeps the count within u32")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives back what growth reserved too much.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// The searched names of all places, in order of place, then of position.
#[derive(Debug, Default)]
pub struct Names {
    /// As spelled in the data set.
    pub spelled: Strings,
    /// In normal form.
    pub normal: Strings,
    /// The place of each name.
    pub place: Vec<u32>,
    /// The first name of each place, and one more entry: the number of names.
    pub first: Vec<u32>,
}

impl Names {
    /// The names of a place.
    pub fn of_place(&self, place: u32) -> std::ops::Range<u32> {
        self.first[place as usize]..self.first[place as usize + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_pushed() {
        let texts = ["", "Andorra la Vella", "", "أندورا"];
        let mut strings = Strings::default();
        assert!(strings.is_empty());
        for (index, text) in (0..).zip(texts) {
            assert_eq!(strings.push(text), Some(index));
        }
        let read: Vec<_> = (0..strings.len()).map(|index| strings.get(index)).collect();
        assert_eq!(read, texts);
    }
}
