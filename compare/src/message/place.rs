//! Where a walk is, and which rules hold there.

use cutover_manifest::{CompareRules, FieldPath, Tolerance};

/// Where the walk is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The path with indices and keys folded out.
    pub(super) path: String,
    /// How deep it is nested.
    pub(super) depth: u32,
    /// Whether a field on the way is marked `debug_redact`.
    pub(super) redacted: bool,
}

impl Place {
    pub(super) fn root(path: &str) -> Place {
        Place {
            path: path.to_owned(),
            depth: 0,
            redacted: false,
        }
    }

    /// Goes down into a field.
    pub(super) fn field(&mut self, name: &str) -> &mut Place {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        self.depth += 1;
        self
    }

    /// An element of the list or map here.
    pub(super) fn clone_element(&self) -> Place {
        Place {
            path: format!("{}[]", self.path),
            ..*self
        }
    }
}

/// How a list is compared.
pub(super) enum Rule<'a> {
    /// As it stands.
    Ordered,
    /// As a multiset.
    Unordered,
    /// Matched by these fields.
    Keyed(&'a [String]),
}

/// Looks rules up by path.
#[derive(Clone, Copy)]
pub(super) struct RuleBook<'a>(pub(super) &'a CompareRules);

impl<'a> RuleBook<'a> {
    pub(super) fn ignores(self, path: &str) -> bool {
        self.0.ignore.iter().any(|rule| rule.covers(path))
    }

    pub(super) fn has_tolerances(self) -> bool {
        !self.0.tolerance.is_empty()
    }

    pub(super) fn tolerances(self, path: &str) -> impl Iterator<Item = Tolerance> {
        self.0
            .tolerance
            .iter()
            .filter(move |(rule, _)| rule.covers(path))
            .map(|(_, t)| *t)
    }

    /// The rule for just this list; what lies below it has its own.
    pub(super) fn list(self, path: &str) -> Rule<'a> {
        let is = |rule: &FieldPath| {
            rule.covers(path) && rule.as_str().split('.').count() == path.split('.').count()
        };
        if let Some((_, keys)) = self.0.keyed.iter().find(|(rule, _)| is(rule)) {
            return Rule::Keyed(keys);
        }
        if self.0.unordered.iter().any(is) {
            Rule::Unordered
        } else {
            Rule::Ordered
        }
    }
}
