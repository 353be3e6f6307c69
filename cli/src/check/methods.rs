//! Holds methods against each other: both arms', and those that the rules name.

use std::collections::{BTreeMap, BTreeSet};

use cutover_manifest::{Manifest, MethodPath, Mirror, MirrorSideEffects, Percent, Rule, Target};
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

use super::list::List;

/// Services under this prefix (reflection, health) are the server's own.
const OWN_SERVICES: &str = "grpc.";

/// The methods of a pool by path, without the server's own.
pub(super) fn all(pool: &DescriptorPool) -> BTreeMap<MethodPath, MethodDescriptor> {
    let services = pool
        .services()
        .filter(|service| !service.full_name().starts_with(OWN_SERVICES));
    let mut methods = BTreeMap::new();
    for service in services {
        for method in service.methods() {
            if let Ok(path) = MethodPath::new(service.full_name(), method.name()) {
                methods.insert(path, method);
            }
        }
    }
    methods
}

/// Both arms should have the same methods, of the same kind, with the same messages.
pub(super) fn check_same(legacy: &DescriptorPool, candidate: &DescriptorPool, list: &mut List) {
    let (legacy, candidate) = (all(legacy), all(candidate));
    for path in legacy.keys().filter(|path| !candidate.contains_key(path)) {
        list.failed(
            "methods",
            format!("{path} is on the legacy only: keep its weight at 0"),
        );
    }
    for path in candidate.keys().filter(|path| !legacy.contains_key(path)) {
        list.failed(
            "methods",
            format!("{path} is on the candidate only: the legacy can't answer"),
        );
    }
    for (path, ours) in &legacy {
        let Some(theirs) = candidate.get(path) else {
            continue;
        };
        if let Some(difference) = differ(ours, theirs) {
            list.failed("methods", format!("{path}: {difference}"));
        }
    }
    if !list.is_wrong("methods") {
        list.good(
            "methods",
            format!("both arms have the same {}", legacy.len()),
        );
    }
}

fn differ(legacy: &MethodDescriptor, candidate: &MethodDescriptor) -> Option<String> {
    let kind = |m: &MethodDescriptor| (m.is_client_streaming(), m.is_server_streaming());
    if kind(legacy) != kind(candidate) {
        return Some("the arms disagree on what is streamed".to_owned());
    }
    let messages = [
        (legacy.input(), candidate.input()),
        (legacy.output(), candidate.output()),
    ];
    messages.iter().find_map(|(ours, theirs)| {
        (shape(ours) != shape(theirs)).then(|| {
            format!(
                "the arms' descriptors of {} differ: one is out of date",
                ours.full_name()
            )
        })
    })
}

/// The message's own fields: name, number, type.
fn shape(message: &MessageDescriptor) -> Vec<(u32, String, String)> {
    let field = |field: prost_reflect::FieldDescriptor| {
        (
            field.number(),
            field.name().to_owned(),
            format!("{:?}{:?}", field.kind(), field.cardinality()),
        )
    };
    message.fields().map(field).collect()
}

/// Every rule should name methods that exist, and mirror only what may be mirrored.
pub(super) fn check_rules(file: &str, manifest: &Manifest, pool: &DescriptorPool, list: &mut List) {
    let methods = all(pool);
    let known: BTreeSet<MethodPath> = methods.keys().cloned().collect();
    let errors = manifest.check_methods(file, &known);
    for error in &errors {
        list.mistake("rules", error.to_string());
    }
    for (path, method) in &methods {
        if mirrored(manifest, path).percent == Percent::ZERO || !may_write(method) {
            continue;
        }
        match mirrored(manifest, path).side_effects {
            MirrorSideEffects::Refuse => list.note(
                "mirror",
                format!("{path} is not marked NO_SIDE_EFFECTS: its calls are not mirrored"),
            ),
            MirrorSideEffects::Accept => list.note(
                "mirror",
                format!("{path} may write, and is mirrored all the same, as the manifest says"),
            ),
        }
    }
    if errors.is_empty() {
        list.good(
            "rules",
            format!("every method named is one of the {}", known.len()),
        );
    }
}

/// What the rules say about the mirroring of a method.
fn mirrored(manifest: &Manifest, path: &MethodPath) -> Mirror {
    rule_for(manifest, path).map_or(Mirror::OFF, |rule| rule.mirror)
}

/// The rule for a method: the most specific one.
pub(super) fn rule_for<'a>(manifest: &'a Manifest, path: &MethodPath) -> Option<&'a Rule> {
    let rule_for = |wanted: &Target| {
        let named = |rule: &&Rule| rule.targets.iter().any(|(t, _)| t == wanted);
        manifest.rules.iter().find(named)
    };
    rule_for(&Target::Method(path.clone()))
        .or_else(|| rule_for(&Target::Service(path.service().to_owned())))
        .or_else(|| rule_for(&Target::Default))
}

/// Whether a method is not marked as one without side effects.
pub(super) fn may_write(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_none_or(|o| o.idempotency_level() != IdempotencyLevel::NoSideEffects)
}

#[cfg(test)]
mod tests {
    use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
    use prost::Message;
    use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::failure::Outcome;

    /// The gazetteer's descriptors after a change to its own file.
    fn pool(change: impl Fn(&mut FileDescriptorProto)) -> DescriptorPool {
        let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let own = set
            .file
            .iter_mut()
            .find(|file| file.package() == "gazetteer.v1");
        change(own.unwrap());
        DescriptorPool::from_file_descriptor_set(set).unwrap()
    }

    fn check(candidate: &DescriptorPool, expected: Outcome, says: &str) {
        let mut list = List::default();
        check_same(&pool(|_| ()), candidate, &mut list);
        assert_eq!(list.outcome(), expected, "{}", list.text());
        assert!(list.text().contains(says), "{}", list.text());
    }

    #[test]
    fn equal_arms_are_good() {
        check(&pool(|_| ()), Outcome::Good, "both arms have the same 7");
    }

    #[test]
    fn names_the_method_that_an_arm_lacks() {
        let candidate = pool(|file| file.service[0].method.retain(|m| m.name() != "GetPlace"));
        let says = "/gazetteer.v1.GazetteerService/GetPlace is on the legacy only";
        check(&candidate, Outcome::Bad, says);
    }

    #[test]
    fn names_the_message_that_is_out_of_date() {
        let candidate = pool(|file| {
            let mut messages = file.message_type.iter_mut();
            let message = messages.find(|m| m.name() == "GetPlaceResponse").unwrap();
            message.field.last_mut().unwrap().number = Some(1000);
        });
        let says = "the arms' descriptors of gazetteer.v1.GetPlaceResponse differ";
        check(&candidate, Outcome::Bad, says);
    }

    #[test]
    fn names_a_disagreement_on_streams() {
        let candidate = pool(|file| {
            let mut methods = file.service[0].method.iter_mut();
            methods
                .find(|m| m.name() == "ListPlaces")
                .unwrap()
                .server_streaming = Some(false);
        });
        check(
            &candidate,
            Outcome::Bad,
            "the arms disagree on what is streamed",
        );
    }

    #[test]
    fn notes_a_write_that_a_rule_would_mirror() {
        let text = r#"
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: m }
spec:
  legacy: { url: "http://127.0.0.1:1" }
  candidate: { url: "http://127.0.0.1:2" }
  rules: [{ mirror: { percent: 100 } }]
"#;
        let manifest = Manifest::parse("m.yaml", text).unwrap();
        let mut list = List::default();
        check_rules("m.yaml", &manifest, &pool(|_| ()), &mut list);
        assert_eq!(list.outcome(), Outcome::Good);
        assert!(
            list.text()
                .contains("RecordVisit is not marked NO_SIDE_EFFECTS")
        );
        assert!(!list.text().contains("GetPlace"), "{}", list.text());
    }
}
