//! Holds the fields that compare rules name against the descriptors: is there such a field, and
//! can it be compared in that way?

use std::collections::BTreeSet;

use cutover_manifest::{CompareKey, Manifest, ManifestError, NamedField, Rule, Target};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptors::Method;

/// Deepest field that is offered for one that doesn't exist.
const MAX_HINT_DEPTH: usize = 6;
/// Most fields that are looked at for one that doesn't exist.
const MAX_HINTS: usize = 2_000;
/// Names less alike than this are no help.
const LEAST_SIMILARITY: f64 = 0.5;
/// What a rule can name beside the fields of the answers: the status message and its details.
const OF_THE_CALL: [&str; 2] = ["grpc_message", "grpc_details"];

/// The fields that rules name wrongly, with their places in the manifest. `file` is only a name
/// for errors. A rule for several methods is right where one of them has the field.
#[must_use]
pub fn check_fields<'m>(
    file: &str,
    manifest: &Manifest,
    methods: impl IntoIterator<Item = &'m Method>,
) -> Vec<ManifestError> {
    let methods: Vec<&Method> = methods.into_iter().collect();
    let check = |rule: &Rule| {
        let covered = methods
            .iter()
            .copied()
            .filter(|method| covers(rule, method));
        let covered: Vec<&Method> = covered.collect();
        let named = match covered.is_empty() {
            // That there is no such method is a mistake of its own.
            true => &[][..],
            false => &rule.named_fields[..],
        };
        let wrong = |field: &NamedField| {
            Some(ManifestError {
                file: file.to_owned(),
                position: field.position,
                message: complaint(rule, field, &covered)?,
            })
        };
        named.iter().filter_map(wrong).collect::<Vec<_>>()
    };
    manifest.rules.iter().flat_map(check).collect()
}

fn covers(rule: &Rule, method: &Method) -> bool {
    rule.targets.iter().any(|(target, _)| match target {
        Target::Method(path) => *path == method.path,
        Target::Service(service) => service == method.path.service(),
        Target::Default => true,
    })
}

/// What is wrong with a field that a rule names, if anything.
fn complaint(rule: &Rule, named: &NamedField, methods: &[&Method]) -> Option<String> {
    let (key, path) = (named.key.as_str(), &named.path);
    let first = path.names().next().unwrap_or_default();
    if OF_THE_CALL.contains(&first) {
        return None;
    }
    if first == "grpc_status" {
        return Some("no rule can change how the status code is compared".to_owned());
    }
    let mut messages: Vec<MessageDescriptor> = methods.iter().map(|m| m.output.clone()).collect();
    if named.key == CompareKey::Redact {
        // Requests are recorded too.
        messages.extend(methods.iter().map(|method| method.input.clone()));
    }
    let mut why = None;
    for message in &messages {
        let names: Vec<&str> = path.names().collect();
        match find(message, &names) {
            Err(reason) => drop(why.get_or_insert(format!("{key} names {path}, but {reason}"))),
            Ok(ends) => match ends.iter().find_map(|end| unfit(rule, named, end)) {
                Some(reason) if ends.iter().all(|end| unfit(rule, named, end).is_some()) => {
                    why = Some(format!("{key} does not fit {path}: {reason}"));
                }
                _ => return None,
            },
        }
    }
    why
}

/// Where a path ends.
enum End {
    Field(FieldDescriptor),
    /// A oneof, a field that the descriptors don't have, something in an `Any`.
    Other,
}

/// Walks the path through the message; where it ends too early, why.
fn find(message: &MessageDescriptor, names: &[&str]) -> Result<Vec<End>, String> {
    let Some((&name, rest)) = names.split_first() else {
        return Ok(Vec::new());
    };
    if name == "*" {
        let found = message.fields().filter_map(|field| enter(field, rest).ok());
        let found: Vec<End> = found.flatten().collect();
        let none = || {
            let full = message.full_name();
            format!("no field of {full} has {}", rest.join("."))
        };
        return match found.is_empty() {
            true => Err(none()),
            false => Ok(found),
        };
    }
    if let Some(field) = message.get_field_by_name(name) {
        return enter(field, rest);
    }
    let extension = message.extensions().any(|e| e.name() == name);
    let oneof = message.oneofs().any(|oneof| oneof.name() == name);
    let number = name
        .parse()
        .is_ok_and(|number| message.get_field(number).is_none());
    if message.full_name() == "google.protobuf.Any" || extension || oneof || number {
        return Ok(vec![End::Other]);
    }
    Err(format!(
        "{} has no field {name}{}",
        message.full_name(),
        hint(message, names)
    ))
}

fn enter(field: FieldDescriptor, rest: &[&str]) -> Result<Vec<End>, String> {
    if rest.is_empty() {
        return Ok(vec![End::Field(field)]);
    }
    match value_kind(&field) {
        Kind::Message(message) => find(&message, rest),
        _ => Err(format!(
            "{} is no message: nothing is below it",
            field.full_name()
        )),
    }
}

/// The kind of a field's single values: a path goes through lists and maps into what they hold.
fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// Why a field can't be compared in this way, if it can't.
fn unfit(rule: &Rule, named: &NamedField, end: &End) -> Option<String> {
    let End::Field(field) = end else {
        return None;
    };
    let is = || format!("it is {}", describe(field));
    match named.key {
        CompareKey::Ignore | CompareKey::Redact => None,
        CompareKey::Tolerance => {
            let float = |kind: &Kind| matches!(kind, Kind::Float | Kind::Double);
            (!holds(field, float)).then(|| format!("{}, and holds no float or double", is()))
        }
        CompareKey::Normalize => {
            let text = |kind: &Kind| matches!(kind, Kind::String);
            (!holds(field, text)).then(|| format!("{}, and holds no string", is()))
        }
        CompareKey::Unordered if field.is_map() => {
            Some(format!("{}, and maps have no order anyway", is()))
        }
        CompareKey::Unordered => (!field.is_list()).then(|| format!("{}, not a list", is())),
        CompareKey::Keyed => match field.kind() {
            Kind::Message(element) if field.is_list() => {
                let keys = rule.compare.keyed.get(&named.path)?;
                keys.iter().find_map(|key| unfit_key(&element, key))
            }
            _ => Some(format!("{}, not a list of messages", is())),
        },
    }
}

/// Why elements can't be told apart by a key, if they can't.
fn unfit_key(element: &MessageDescriptor, key: &str) -> Option<String> {
    let mut message = element.clone();
    let mut names = key.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(field) = message.get_field_by_name(name) else {
            let (full, hint) = (message.full_name(), hint(&message, &[name]));
            return Some(format!(
                "its elements have no key {key}: {full} has no field {name}{hint}"
            ));
        };
        if field.is_list() || field.is_map() {
            let what = describe(&field);
            return Some(format!(
                "the key {key} goes through {name}, which is {what}"
            ));
        }
        match field.kind() {
            Kind::Message(inner) => message = inner,
            _ if names.peek().is_none() => {}
            _ => {
                return Some(format!(
                    "the key {key} goes through {name}, which is no message"
                ));
            }
        }
    }
    None
}

/// Whether the field, or anything below it, has values of some kind.
fn holds(field: &FieldDescriptor, wanted: impl Fn(&Kind) -> bool) -> bool {
    let mut seen = BTreeSet::new();
    let mut rest = vec![value_kind(field)];
    while let Some(kind) = rest.pop() {
        match &kind {
            kind if wanted(kind) => return true,
            Kind::Message(message) if message.full_name() == "google.protobuf.Any" => return true,
            Kind::Message(message) if seen.insert(message.full_name().to_owned()) => {
                rest.extend(message.fields().map(|field| value_kind(&field)));
            }
            _ => {}
        }
    }
    false
}

/// `a string`, `a list of gazetteer.v1.Place`.
fn describe(field: &FieldDescriptor) -> String {
    let name = match value_kind(field) {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    };
    match (field.is_map(), field.is_list()) {
        (true, _) => format!("a map to {name}"),
        (_, true) => format!("a list of {name}"),
        _ => format!("a {name}"),
    }
}

/// The field that was perhaps meant: the most alike at any depth, or else what there is.
fn hint(message: &MessageDescriptor, names: &[&str]) -> String {
    let wanted = names.join(".");
    let mut all = Vec::new();
    collect(message, "", MAX_HINT_DEPTH, &mut all);
    let alike = all.iter().map(|path| {
        let plain = path.replace("[]", "");
        let same_end = plain.rsplit('.').next() == names.last().copied();
        // The right name in the wrong place is more likely than a like name in the right one.
        let bonus = if same_end { 0.5 } else { 0.0 };
        (
            strsim::normalized_levenshtein(&wanted, &plain) + bonus,
            path,
        )
    });
    let nearest = alike
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    if let Some((_, path)) = nearest {
        return format!("; did you mean {path}?");
    }
    let names: BTreeSet<String> = message.fields().map(|f| f.name().to_owned()).collect();
    let names: Vec<String> = names.into_iter().collect();
    format!("; it has {}", names.join(", "))
}

/// The paths of all fields, down to a depth and up to a number.
fn collect(message: &MessageDescriptor, above: &str, depth: usize, all: &mut Vec<String>) {
    for field in message.fields() {
        if all.len() >= MAX_HINTS {
            return;
        }
        let dot = if above.is_empty() { "" } else { "." };
        let element = if field.is_list() || field.is_map() {
            "[]"
        } else {
            ""
        };
        let path = format!("{above}{dot}{}", field.name());
        let inside = format!("{path}{element}");
        all.push(path);
        if let (Kind::Message(inner), 2..) = (value_kind(&field), depth) {
            collect(&inner, &inside, depth - 1, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::Descriptors;

    /// What is wrong with `compare: { … }` of a rule for SearchPlaces.
    fn check(compare: &str, expected: &[&str]) {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
             legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://b:1\" }}\n  rules:\n  \
             - matches: [{{ method: {{ service: gazetteer.v1.GazetteerService, method: SearchPlaces }} }}]\n    \
             compare:\n      {compare}\n"
        );
        let manifest = Manifest::parse("t.yaml", &text).unwrap();
        let set = cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
        let descriptors = Descriptors::decode(set).unwrap();
        let found = check_fields("t.yaml", &manifest, descriptors.methods());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} lacks {expected}");
        }
    }

    #[test]
    fn takes_what_is_right() {
        for right in [
            "ignore: [search_id, results, \"results[].place.name\", \"*.place\", \"*\", 100]",
            "ignore: [grpc_message, \"grpc_details[].locale\"]",
            "tolerance: { results: { relative: 1e-9 }, \"results[].score\": { absolute: 1 } }",
            "unordered: [results]",
            "keyed: { results: [place.id, matched_name] }",
            "normalize: { search_id: [trim], results: [case] }",
            "redact: [query, search_id]",
        ] {
            check(right, &[]);
        }
    }

    #[test]
    fn names_the_place_and_the_field_that_was_perhaps_meant() {
        check(
            "ignore: [search_id, search_idd]",
            &[
                "t.yaml:10:27: ignore names search_idd, but gazetteer.v1.SearchPlacesResponse has no \
               field search_idd; did you mean search_id?",
            ],
        );
        check("ignore: [score]", &["did you mean results[].score?"]);
        check(
            "tolerance: { \"results[].scor\": { absolute: 1 } }",
            &["t.yaml:10:20: tolerance"],
        );
        check(
            "ignore: [search_id.x]",
            &["search_id is no message: nothing is below it"],
        );
        check("ignore: [zzz]", &["; it has results, search_id"]);
        check(
            "ignore: [\"*.nope\"]",
            &["no field of gazetteer.v1.SearchPlacesResponse has nope"],
        );
    }

    #[test]
    fn refuses_what_does_not_fit_the_fields_type() {
        check(
            "tolerance: { search_id: { relative: 1 } }",
            &["tolerance does not fit search_id: it is a string, and holds no float or double"],
        );
        check(
            "normalize: { \"results[].score\": [case] }",
            &["holds no string"],
        );
        check("unordered: [search_id]", &["it is a string, not a list"]);
        check("keyed: { search_id: [id] }", &["not a list of messages"]);
        check(
            "keyed: { results: [id] }",
            &[
                "its elements have no key id: gazetteer.v1.SearchResult has no field id; did you \
               mean place.id?",
            ],
        );
        check(
            "ignore: [grpc_status]",
            &["no rule can change how the status code is compared"],
        );
    }
}
