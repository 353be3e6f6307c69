//! What evidence depends on: where the arms are, what is mirrored, and how answers are compared.
//! When one of these changes, counters from before can't be added to those after.

use std::fmt::Write;

use cutover_manifest::{Arm, Manifest};
use sha2::{Digest, Sha256};

use crate::words::hex;

/// A short text that is the same for the same settings.
pub(crate) fn fingerprint(manifest: &Manifest) -> String {
    let mut text = String::new();
    for arm in Arm::BOTH {
        text += &manifest.arm(arm).url;
        text.push('\n');
    }
    let mut rules: Vec<String> = Vec::new();
    for rule in &manifest.rules {
        for (target, _) in &rule.targets {
            rules.push(format!("{target:?} {:?} {:?}", rule.mirror, rule.compare));
        }
    }
    // The order of rules means nothing.
    rules.sort_unstable();
    // Writing to a string can't fail.
    let _ = write!(text, "{:?} {rules:#?}", manifest.descriptors);
    hex(&Sha256::digest(text.as_bytes())[..16])
}

/// The hash of a whole file, for noticing that it has changed.
pub(crate) fn content_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: (&str, &str), expected_same: bool) {
        let text = "\
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: a }
spec:
  legacy: { url: \"http://127.0.0.1:1\" }
  candidate: { url: \"http://127.0.0.1:2\" }
  rules:
    - matches: [{ method: { service: a.B, method: C } }]
      mirror: { percent: 100 }
      compare: { ignore: [x] }
  ramp: { steps: [{ weight: 1 }] }
";
        let changed = text.replace(change.0, change.1);
        assert_ne!(text, changed);
        let parse = |text: &str| Manifest::parse("test", text).unwrap();
        let same = fingerprint(&parse(text)) == fingerprint(&parse(&changed));
        assert_eq!(same, expected_same, "{change:?}");
    }

    #[test]
    fn changes_with_arms_mirroring_and_comparing_and_with_nothing_else() {
        check(("127.0.0.1:2", "127.0.0.1:3"), false);
        check(("percent: 100", "percent: 50"), false);
        check(("ignore: [x]", "ignore: [y]"), false);
        check(("weight: 1 ", "weight: 2 "), true);
        check(("spec:", "# a comment\nspec:"), true);
        check(
            ("  rules:", "  stickyKey: { metadata: x-user }\n  rules:"),
            true,
        );
    }
}
