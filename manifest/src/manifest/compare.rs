//! Reads `compare` of a rule.

use serde_saphyr::Spanned;

use super::reader::{Reader, position};
use super::{CompareKey, NamedField};
use crate::error::ManifestError;
use crate::raw::{RawCompare, RawNormalization, RawPath};
use crate::rules::{CompareRules, FieldPath, Normalization, Tolerance};

impl Reader<'_> {
    /// The rules, and the fields that they name with their places.
    pub(super) fn compare(
        &self,
        raw: RawCompare,
    ) -> Result<(CompareRules, Vec<NamedField>), ManifestError> {
        let (mut rules, mut named) = (CompareRules::default(), Named(Vec::new()));
        rules.capture_values = raw.capture_values;
        for path in raw.ignore {
            rules.ignore.insert(named.add(CompareKey::Ignore, path));
        }
        for path in raw.unordered {
            rules
                .unordered
                .insert(named.add(CompareKey::Unordered, path));
        }
        for path in raw.redact {
            rules.redact.insert(named.add(CompareKey::Redact, path));
        }
        for (path, bound) in raw.tolerance.0 {
            let bound = Tolerance {
                relative: bound.relative.unwrap_or(0.0),
                absolute: bound.absolute.unwrap_or(0.0),
            };
            let valid = |x: f64| x.is_finite() && x >= 0.0;
            if !valid(bound.relative) || !valid(bound.absolute) {
                let name = &path.value.0;
                let message = format!("tolerance of {name} must be finite and not negative");
                return Err(self.error(&path.referenced, message));
            }
            rules
                .tolerance
                .insert(named.add(CompareKey::Tolerance, path), bound);
        }
        for (path, keys) in raw.keyed.0 {
            if keys.is_empty() {
                let message = format!("keyed {} needs at least one key field", path.value.0);
                return Err(self.error(&path.referenced, message));
            }
            rules.keyed.insert(named.add(CompareKey::Keyed, path), keys);
        }
        for (path, forms) in raw.normalize.0 {
            if forms.is_empty() {
                let message = format!("normalize {} needs trim, case or both", path.value.0);
                return Err(self.error(&path.referenced, message));
            }
            let forms = forms.into_iter().map(|form| match form {
                RawNormalization::Trim => Normalization::Trim,
                RawNormalization::Case => Normalization::Case,
            });
            let path = named.add(CompareKey::Normalize, path);
            rules.normalize.insert(path, forms.collect());
        }
        for name in raw.trailers {
            let secret = [
                "authorization",
                "cookie",
                "set-cookie",
                "proxy-authorization",
            ];
            if secret.contains(&name.value.as_str()) || name.value.ends_with("-bin") {
                let name_text = &name.value;
                let message =
                    format!("trailer {name_text:?} is never compared: it may hold secrets");
                return Err(self.error(&name.referenced, message));
            }
            rules.trailers.insert(name.value);
        }
        Ok((rules, named.0))
    }
}

/// The fields named so far.
struct Named(Vec<NamedField>);

impl Named {
    fn add(&mut self, key: CompareKey, path: Spanned<RawPath>) -> FieldPath {
        self.0.push(NamedField {
            key,
            path: path.value.0.clone(),
            position: position(&path.referenced),
        });
        path.value.0
    }
}
