//! Collects differences within bounds.

use crate::difference::{Comparison, Difference, Kind, MAX_DIFFERENCES, Misfit};

/// Most differences kept for one path and kind: a list of a thousand wrong elements must not hide
/// the next field.
const MAX_SAME: usize = 3;

/// The differences found so far.
#[derive(Default)]
pub(super) struct Findings {
    comparison: Comparison,
}

impl Findings {
    /// Adds one, or counts it where there are enough; the values are made only for one that is
    /// kept. The tolerance kept for a field is the one that would have sufficed for all of its
    /// values.
    pub(super) fn add(
        &mut self,
        path: String,
        kind: Kind,
        sufficient_relative: Option<f64>,
        values: impl FnOnce() -> [String; 2],
    ) {
        let all = &mut self.comparison.differences;
        let same = |known: &&mut Difference| known.path == path && known.kind == kind;
        let mut count = 0;
        for (index, known) in all.iter_mut().filter(same).enumerate() {
            count = index + 1;
            if let (0, Some(new)) = (index, sufficient_relative) {
                known.sufficient_relative =
                    Some(known.sufficient_relative.map_or(new, |old| old.max(new)));
            }
        }
        if count >= MAX_SAME || all.len() >= MAX_DIFFERENCES {
            self.comparison.dropped = self.comparison.dropped.saturating_add(1);
            return;
        }
        let [legacy, candidate] = values();
        all.push(Difference {
            path,
            kind,
            legacy,
            candidate,
            sufficient_relative,
        });
    }

    /// Notes that the descriptors don't fit; what was noted first stays.
    pub(super) fn misfit(&mut self, misfit: Misfit) {
        self.comparison.misfit.get_or_insert(misfit);
    }

    pub(super) fn done(self) -> Comparison {
        self.comparison
    }
}
