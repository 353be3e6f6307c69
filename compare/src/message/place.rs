//! Where a walk is, and which rules hold there. A place is a link to the one above it: its path is
//! spelled out only once a difference is found there.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use cutover_manifest::{CompareRules, FieldPath, Normalization, Tolerance};

/// Where the walk is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    above: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// How many fields are on the way.
    names: usize,
    /// How deep it is nested.
    pub(super) depth: u32,
    /// Whether a field on the way is marked `debug_redact`.
    pub(super) redacted: bool,
}

/// The last step to a place.
#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Element,
}

impl<'a> Place<'a> {
    /// The message itself.
    pub(super) const ROOT: Place<'static> = Place {
        above: None,
        step: Step::Root,
        names: 0,
        depth: 0,
        redacted: false,
    };

    /// A field of the message here.
    pub(super) fn field(&'a self, name: &'a str) -> Place<'a> {
        Place {
            above: Some(self),
            step: Step::Field(name),
            names: self.names + 1,
            depth: self.depth + 1,
            redacted: self.redacted,
        }
    }

    /// An element of the list or map here.
    pub(super) fn element(&'a self) -> Place<'a> {
        Place {
            above: Some(self),
            step: Step::Element,
            ..*self
        }
    }

    /// What is packed in the `Any` here.
    pub(super) fn packed(&self) -> Place<'a> {
        Place {
            depth: self.depth + 1,
            ..*self
        }
    }

    /// The path with indices and keys folded out.
    pub(super) fn path(&self) -> String {
        let mut path = self.above.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Step::Element => path.push_str("[]"),
        }
        path
    }

    /// Whether the path names just this field, its elements included.
    fn is(&self, path: &FieldPath) -> bool {
        let mut theirs = path.names().rev();
        let same = self.reversed().all(|name| named(theirs.next(), name));
        same && theirs.next().is_none()
    }

    /// Whether the path names this field or one above it.
    fn is_under(&self, path: &FieldPath) -> bool {
        let Some(below) = self.names.checked_sub(path.names().count()) else {
            return false;
        };
        let mut theirs = path.names().rev();
        self.reversed()
            .skip(below)
            .all(|name| named(theirs.next(), name))
    }

    /// The fields on the way, innermost first.
    fn reversed(&self) -> impl Iterator<Item = &'a str> {
        iter::successors(Some(*self), |place| place.above.copied()).filter_map(|place| match place
            .step
        {
            Step::Field(name) => Some(name),
            Step::Root | Step::Element => None,
        })
    }
}

fn named(rule: Option<&str>, name: &str) -> bool {
    rule.is_some_and(|rule| rule == "*" || rule == name)
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

/// Looks rules up by place. Where several cover a field, the one that names it most closely holds.
#[derive(Clone, Copy)]
pub(super) struct RuleBook<'a>(pub(super) &'a CompareRules);

impl<'a> RuleBook<'a> {
    /// Whether this field is left out; what lies above it was asked on the way down.
    pub(super) fn ignores(self, place: &Place<'_>) -> bool {
        self.0.ignore.iter().any(|rule| place.is(rule))
    }

    pub(super) fn redacts(self, place: &Place<'_>) -> bool {
        self.0.redact.iter().any(|rule| place.is_under(rule))
    }

    pub(super) fn has_tolerances(self) -> bool {
        !self.0.tolerance.is_empty()
    }

    pub(super) fn tolerance(self, place: &Place<'_>) -> Option<Tolerance> {
        closest(&self.0.tolerance, place).copied()
    }

    pub(super) fn normalizations(self, place: &Place<'_>) -> Option<&'a BTreeSet<Normalization>> {
        closest(&self.0.normalize, place)
    }

    /// The rule for just this list; what lies below it has its own.
    pub(super) fn list(self, place: &Place<'_>) -> Rule<'a> {
        let keyed = self.0.keyed.iter().filter(|(path, _)| place.is(path));
        let keyed = keyed.max_by_key(|(path, _)| path.closeness());
        let unordered = self.0.unordered.iter().filter(|path| place.is(path));
        let unordered = unordered.map(FieldPath::closeness).max();
        match keyed {
            // Keys say more than that the order is free.
            Some((path, keys)) if Some(path.closeness()) >= unordered => Rule::Keyed(keys),
            _ if unordered.is_some() => Rule::Unordered,
            _ => Rule::Ordered,
        }
    }
}

fn closest<'a, V>(rules: &'a BTreeMap<FieldPath, V>, place: &Place<'_>) -> Option<&'a V> {
    let covering = rules.iter().filter(|(path, _)| place.is_under(path));
    let closest = covering.max_by_key(|(path, _)| path.closeness());
    closest.map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    #[test]
    fn a_place_knows_its_path_and_the_paths_that_name_it() {
        let (results, score) = (Place::ROOT.field("results"), "score");
        let element = results.element();
        let place = element.field(score);
        assert_eq!(place.path(), "results[].score");
        for same in ["results[].score", "results.score", "*.score", "*.*"] {
            assert!(place.is(&path(same)), "{same}");
        }
        for other in ["score", "results", "results[].scores", "a.results.score"] {
            assert!(!place.is(&path(other)), "{other}");
        }
        assert!(place.is_under(&path("results")) && place.is_under(&path("*.score")));
        assert!(!place.is_under(&path("score")));
        assert!(element.is(&path("results")) && !Place::ROOT.is(&path("results")));
    }

    #[test]
    fn the_closest_rule_holds() {
        let results = Place::ROOT.field("results");
        let element = results.element();
        let score = element.field("score");
        let within = |relative: f64| Tolerance {
            relative,
            absolute: 0.0,
        };
        let rules = CompareRules {
            tolerance: [("*.*", 1.0), ("results[].score", 3.0), ("results", 2.0)]
                .map(|(text, relative)| (path(text), within(relative)))
                .into(),
            unordered: [path("results")].into(),
            keyed: [(path("*"), vec!["id".to_owned()])].into(),
            ..CompareRules::default()
        };
        let book = RuleBook(&rules);
        assert_eq!(book.tolerance(&score), Some(within(3.0)));
        assert_eq!(book.tolerance(&element), Some(within(2.0)));
        assert!(matches!(book.list(&results), Rule::Unordered));
        assert!(matches!(book.list(&Place::ROOT.field("x")), Rule::Keyed(_)));
    }
}
