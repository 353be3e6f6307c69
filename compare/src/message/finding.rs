//! Collects differences within bounds, and decides how much of a value is shown.

use cutover_manifest::CompareRules;

use crate::difference::{Comparison, Difference, Kind, MAX_DIFFERENCES, Redaction, clip};

/// Most differences kept for one path and kind: a list of a thousand wrong elements must not hide
/// the next field.
const MAX_SAME: usize = 3;

/// The differences found so far.
pub(super) struct Findings<'a> {
    rules: &'a CompareRules,
    redaction: &'a Redaction,
    comparison: Comparison,
}

impl<'a> Findings<'a> {
    pub(super) fn new(rules: &'a CompareRules, redaction: &'a Redaction) -> Findings<'a> {
        Findings {
            rules,
            redaction,
            comparison: Comparison::default(),
        }
    }

    /// Whether values at this path may be stored.
    pub(super) fn shows(&self, path: &str) -> bool {
        self.rules.capture_values && !self.rules.redact.iter().any(|rule| rule.covers(path))
    }

    /// Two texts that come from neither payload: counts, codes, names of types.
    pub(super) fn plain(&mut self, path: &str, kind: Kind, values: [String; 2]) {
        self.add(path, kind, values, None);
    }

    /// Two texts from payloads, shown only where values may be; nothing for an empty one.
    pub(super) fn text(&mut self, path: &str, kind: Kind, values: [&str; 2]) {
        let shows = self.shows(path);
        let render = |text: &str| match text {
            "" => String::new(),
            _ if shows => clip(text),
            _ => self.redaction.hash(text.as_bytes()),
        };
        let values = values.map(render);
        self.add(path, kind, values, None);
    }

    /// Two byte strings, always as hashes; nothing for an empty one.
    pub(super) fn bytes(&mut self, path: &str, kind: Kind, values: [&[u8]; 2]) {
        let hash = |bytes: &[u8]| match bytes {
            [] => String::new(),
            _ => self.redaction.hash(bytes),
        };
        let values = values.map(hash);
        self.add(path, kind, values, None);
    }

    /// Adds one, or counts it where there are enough. The tolerance kept for a field is the one
    /// that would have sufficed for all of its values.
    pub(super) fn add(
        &mut self,
        path: &str,
        kind: Kind,
        [legacy, candidate]: [String; 2],
        sufficient_relative: Option<f64>,
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
        let path = path.to_owned();
        all.push(Difference {
            path,
            kind,
            legacy,
            candidate,
            sufficient_relative,
        });
    }

    pub(super) fn done(self) -> Comparison {
        self.comparison
    }
}
