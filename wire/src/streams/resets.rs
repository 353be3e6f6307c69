//! Which of the latest streams we reset: one bit each. The peer may send on such a stream until our
//! RST_STREAM reaches it, and that is no fault of its own (RFC 9113 section 5.1).

/// How many streams back are remembered; a multiple of 64.
const REMEMBERED: u32 = 8_192;
const WORDS: usize = REMEMBERED as usize / 64;

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// We reset it: frames for it may be on their way.
    Reset,
    /// It ended in order, or was skipped.
    Ended,
    /// It is too long ago.
    Forgotten,
}

#[derive(Debug, Default)]
pub(crate) struct Resets {
    bits: Option<Box<[u64; WORDS]>>,
    /// The latest stream's place in the order of streams.
    latest: u32,
}

impl Resets {
    /// A stream was opened: it and those skipped before it are not reset.
    pub(crate) fn opened(&mut self, id: u32) {
        let order = id >> 1;
        if let Some(bits) = self.bits.as_deref_mut() {
            let skipped = order.saturating_sub(self.latest).min(REMEMBERED);
            for back in 0..skipped {
                let (word, mask) = place(order.saturating_sub(back));
                if let Some(word) = bits.get_mut(word) {
                    *word &= !mask;
                }
            }
        }
        self.latest = self.latest.max(order);
    }

    pub(crate) fn note(&mut self, id: u32) {
        // A refused stream is not opened first.
        self.opened((id >> 1).max(self.latest) << 1);
        let bits = self.bits.get_or_insert_with(|| Box::new([0; WORDS]));
        let (word, mask) = place(id >> 1);
        if let Some(word) = bits.get_mut(word) {
            *word |= mask;
        }
    }

    pub(crate) fn fate(&self, id: u32) -> Fate {
        let order = id >> 1;
        if self.latest.saturating_sub(order) >= REMEMBERED {
            return Fate::Forgotten;
        }
        let (word, mask) = place(order);
        match self.bits.as_deref().and_then(|bits| bits.get(word)) {
            Some(word) if word & mask != 0 => Fate::Reset,
            _ => Fate::Ended,
        }
    }
}

fn place(order: u32) -> (usize, u64) {
    let bit = order % REMEMBERED;
    ((bit / 64) as usize, 1u64 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_latest_and_forgets_the_oldest() {
        let mut resets = Resets::default();
        for id in (1..40_001).step_by(2) {
            resets.opened(id);
            if id % 3 == 0 {
                resets.note(id);
            }
        }
        for id in (1..40_001u32).step_by(2) {
            let expected = match id {
                _ if (39_999 - id) / 2 >= REMEMBERED => Fate::Forgotten,
                _ if id % 3 == 0 => Fate::Reset,
                _ => Fate::Ended,
            };
            assert_eq!(resets.fate(id), expected, "{id}");
        }
    }

    #[test]
    fn skipped_streams_were_not_reset() {
        let mut resets = Resets::default();
        resets.opened(1);
        resets.note(1);
        resets.opened(1 + 4 * REMEMBERED);
        assert_eq!(resets.fate(1 + 2 * REMEMBERED + 2), Fate::Ended);
        assert_eq!(resets.fate(1 + 2 * REMEMBERED), Fate::Forgotten);
    }
}
