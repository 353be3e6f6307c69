//! How the messages of a method are compared: which fields are ignored, and how exact the rest is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A path of fields with indices folded out, such as `places[].score`; `*` stands for any one
/// field. Cheap to compare, checked for its shape only: whether the field exists is for
/// descriptors to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(String);

impl FieldPath {
    /// Reads a path: fields joined by dots, `[]` behind repeated ones.
    pub fn parse(text: &str) -> Result<FieldPath, String> {
        let field = |part: &str| {
            let name = part.strip_suffix("[]").unwrap_or(part);
            name == "*"
                || (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        };
        if text.split('.').all(field) {
            Ok(FieldPath(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not a field path: write it as search_id or places[].score"
            ))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost first, without `[]`.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.').map(|part| part.trim_end_matches("[]"))
    }

    /// Whether `path` (indices folded out) is this field or lies below it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        let mut theirs = path.split('.').map(|part| part.trim_end_matches("[]"));
        self.names().all(|mine| {
            theirs
                .next()
                .is_some_and(|name| mine == "*" || mine == name)
        })
    }

    /// How closely it names a field: where several paths cover one field, the greatest wins. A
    /// longer path beats a shorter one, then one with fewer `*`.
    #[must_use]
    pub fn closeness(&self) -> (usize, usize) {
        let literal = self.names().filter(|name| *name != "*").count();
        (self.names().count(), literal)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far two floats may lie apart. Equal when either bound holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// At most this share of the larger absolute value.
    pub relative: f64,
    /// At most this much.
    pub absolute: f64,
}

/// What is taken off a text before it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Normalization {
    /// White space (Unicode's `White_Space`) at both ends.
    Trim,
    /// Case, by Unicode's full case folding: `ß` equals `ss`, `ς` equals `σ`. Accents stay.
    Case,
}

/// The rules for comparing one method's answers. The default compares everything exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompareRules {
    /// Fields that are not compared.
    pub ignore: BTreeSet<FieldPath>,
    /// Floats that may differ a little.
    pub tolerance: BTreeMap<FieldPath, Tolerance>,
    /// Lists compared as multisets.
    pub unordered: BTreeSet<FieldPath>,
    /// Lists matched by key fields.
    pub keyed: BTreeMap<FieldPath, Vec<String>>,
    /// Texts that are compared without some of their form.
    pub normalize: BTreeMap<FieldPath, BTreeSet<Normalization>>,
    /// Trailing metadata that is compared (never `authorization`, cookies or `-bin`).
    pub trailers: BTreeSet<String>,
    /// Fields whose values are stored only as keyed hashes, even where values are captured.
    pub redact: BTreeSet<FieldPath>,
    /// Whether the values of differences are stored at all; default no.
    pub capture_values: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_covers_itself_and_what_lies_below() {
        let path = FieldPath::parse("places[].location").unwrap();
        assert!(path.covers("places[].location"));
        assert!(path.covers("places[].location.latitude"));
        assert!(!path.covers("places[].locations"));
        assert!(!path.covers("places[]"));
        assert!(
            FieldPath::parse("*.score")
                .unwrap()
                .covers("places[].score")
        );
        assert!(FieldPath::parse("a..b").is_err());
    }

    #[test]
    fn a_longer_path_names_a_field_more_closely_then_one_with_fewer_wildcards() {
        let closeness = |text: &str| FieldPath::parse(text).unwrap().closeness();
        assert!(closeness("places[].score") > closeness("places"));
        assert!(closeness("*.*") > closeness("places"));
        assert!(closeness("places[].score") > closeness("*.score"));
        assert_eq!(closeness("places[].*"), closeness("*.score"));
    }
}
