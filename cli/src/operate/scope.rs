//! Finds the method that a person means: `SearchPlaces` will do where it is unambiguous.

use std::collections::BTreeSet;

use cutover_manifest::MethodPath;
use cutover_proto::cutover::v1::Status;

use crate::failure::Failure;

/// The scope of everything.
pub(super) const ALL: &str = "*";
/// Names less alike than this are no help.
const LEAST_SIMILARITY: f64 = 0.5;

/// The full path (`/package.Service/Method`) that `given` means, or [`ALL`] for nothing or `*`.
pub(super) fn resolve(given: Option<&str>, status: &Status) -> Result<String, Failure> {
    let Some(given) = given.filter(|given| *given != ALL) else {
        return Ok(ALL.to_owned());
    };
    let known = known(status);
    let full = given.starts_with('/') && MethodPath::parse(given).is_ok();
    match one_of(given, &known) {
        // A method that nobody has called yet is not known; its full name is taken as it is.
        Err(_) if full => Ok(given.to_owned()),
        found => found.map(str::to_owned),
    }
}

/// The one of these paths that `given` means.
pub(crate) fn one_of<'a>(given: &str, known: &BTreeSet<&'a str>) -> Result<&'a str, Failure> {
    let matching: Vec<&str> = known
        .iter()
        .copied()
        .filter(|path| means(given, path))
        .collect();
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown(given, known)),
        several => Err(
            Failure::usage(format!("{given:?} could be any of several methods"))
                .help(format!("write one of: {}", several.join(", "))),
        ),
    }
}

fn known(status: &Status) -> BTreeSet<&str> {
    let methods = status.methods.iter().map(|method| method.method.as_str());
    let ramps = status.ramps.iter().map(|ramp| ramp.scope.as_str());
    methods
        .chain(ramps)
        .filter(|path| path.starts_with('/'))
        .collect()
}

/// Whether `given` is the path or an end of it that begins at a slash or dot.
fn means(given: &str, path: &str) -> bool {
    let given = given.trim_start_matches('/');
    path.strip_suffix(given)
        .is_some_and(|before| before.ends_with(['/', '.']))
}

fn unknown(given: &str, known: &BTreeSet<&str>) -> Failure {
    let failure = Failure::usage(format!("there is no method {given:?}"));
    let short = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let nearest = known
        .iter()
        .map(|&path| {
            let alike = |name: &str| {
                strsim::normalized_levenshtein(&given.to_lowercase(), &name.to_lowercase())
            };
            (alike(&short(path)).max(alike(path)), path)
        })
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, path)) => failure.help(format!("did you mean {}?", short(path))),
        None if known.is_empty() => {
            failure.help("no call has come yet: write /package.Service/Method in full")
        }
        None => {
            let names: Vec<String> = known.iter().map(|path| short(path)).collect();
            let names = names.join(", ");
            failure.help(format!(
                "it is one of: {names}; or write /package.Service/Method in full"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use cutover_proto::cutover::v1::MethodStatus;

    use super::*;

    fn status() -> Status {
        let method = |method: &str| MethodStatus {
            method: method.to_owned(),
            ..Default::default()
        };
        let methods = vec![
            method("/a.v1.A/Get"),
            method("/b.v1.B/Get"),
            method("/a.v1.A/Search"),
        ];
        Status {
            methods,
            ..Default::default()
        }
    }

    #[test]
    fn short_forms_will_do() {
        let check = |given: &str, expected: &str| {
            assert_eq!(
                resolve(Some(given), &status()).unwrap(),
                expected,
                "{given}"
            );
        };
        for given in ["Search", "A/Search", "a.v1.A/Search", "/a.v1.A/Search"] {
            check(given, "/a.v1.A/Search");
        }
        check("*", ALL);
        check("/c.v1.C/NotCalledYet", "/c.v1.C/NotCalledYet");
        assert_eq!(resolve(None, &status()).unwrap(), ALL);
    }

    #[test]
    fn says_what_would_be_right() {
        let error = |given: &str| resolve(Some(given), &status()).unwrap_err().to_string();
        assert!(error("Get").contains("/a.v1.A/Get, /b.v1.B/Get"));
        assert!(error("serch").contains("did you mean Search?"));
        assert!(error("zzzzzzzzzz").contains("it is one of"));
        assert!(error("arch").contains("did you mean Search?"));
    }
}
