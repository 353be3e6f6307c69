//! Holds the fields that compare rules name against the methods' answers.

use cutover_compare::{Descriptors, check_fields};
use cutover_manifest::Manifest;
use prost_reflect::DescriptorPool;

use super::list::List;

/// Each field that a rule names should be in the answer of a method that the rule is for, and of a
/// type that the rule fits.
pub(super) fn check_rules(file: &str, manifest: &Manifest, pool: &DescriptorPool, list: &mut List) {
    let descriptors = Descriptors::from_pool(pool);
    let wrong = check_fields(file, manifest, descriptors.methods());
    for error in &wrong {
        list.mistake("fields", error.to_string());
    }
    if wrong.is_empty() {
        let named: usize = manifest
            .rules
            .iter()
            .map(|rule| rule.named_fields.len())
            .sum();
        list.good(
            "fields",
            format!("all {named} that the rules name are in the answers"),
        );
    }
}
