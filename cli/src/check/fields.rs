//! Holds the fields that compare rules name against the methods' answers.

use std::collections::BTreeSet;

use cutover_manifest::{CompareRules, FieldPath, Manifest, MethodPath, Target};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use super::list::List;
use super::methods;

/// Names less alike than this are no help.
const LEAST_SIMILARITY: f64 = 0.5;

/// Each field that a rule names should be in the answer of a method that the rule is for.
pub(super) fn check_rules(file: &str, manifest: &Manifest, pool: &DescriptorPool, list: &mut List) {
    let methods = methods::all(pool);
    let mut named = 0;
    for rule in &manifest.rules {
        let Some((_, position)) = rule.targets.first() else {
            continue;
        };
        let covered = |path: &MethodPath| rule.targets.iter().any(|(t, _)| covers(t, path));
        let answers: Vec<MessageDescriptor> = methods
            .iter()
            .filter(|(path, _)| covered(path))
            .map(|(_, m)| m.output())
            .collect();
        if answers.is_empty() {
            continue;
        }
        for (key, path) in paths(&rule.compare) {
            named += 1;
            let tried: Vec<_> = answers.iter().map(|answer| find(answer, &path)).collect();
            if tried.iter().any(Result::is_ok) {
                continue;
            }
            let why = tried.into_iter().find_map(Result::err).unwrap_or_default();
            let (line, column) = locate(&manifest.text, position.line, path.as_str());
            list.mistake(
                "fields",
                format!("{file}:{line}:{column}: {key} names {path}, but {why}"),
            );
        }
    }
    if !list.is_wrong("fields") {
        list.good(
            "fields",
            format!("all {named} that the rules name are in the answers"),
        );
    }
}

fn covers(target: &Target, path: &MethodPath) -> bool {
    match target {
        Target::Method(method) => method == path,
        Target::Service(service) => service == path.service(),
        Target::Default => true,
    }
}

/// The paths of a rule with their keys; what `keyed` matches by is a path below its list.
fn paths(rules: &CompareRules) -> Vec<(&'static str, FieldPath)> {
    let mut all = Vec::new();
    all.extend(rules.ignore.iter().map(|path| ("ignore", path.clone())));
    all.extend(
        rules
            .tolerance
            .keys()
            .map(|path| ("tolerance", path.clone())),
    );
    all.extend(
        rules
            .unordered
            .iter()
            .map(|path| ("unordered", path.clone())),
    );
    all.extend(rules.redact.iter().map(|path| ("redact", path.clone())));
    for (list, keys) in &rules.keyed {
        all.push(("keyed", list.clone()));
        let below = keys
            .iter()
            .filter_map(|key| FieldPath::parse(&format!("{list}.{key}")).ok());
        all.extend(below.map(|path| ("keyed", path)));
    }
    all
}

/// Walks the path through the message; where it ends too early, why.
fn find(message: &MessageDescriptor, path: &FieldPath) -> Result<(), String> {
    let parts: Vec<&str> = path
        .as_str()
        .split('.')
        .map(|p| p.trim_end_matches("[]"))
        .collect();
    walk(message, &parts)
}

fn walk(message: &MessageDescriptor, parts: &[&str]) -> Result<(), String> {
    let Some((&name, rest)) = parts.split_first() else {
        return Ok(());
    };
    if name == "*" {
        let tries = message.fields().map(|field| enter(&field, rest));
        let any = tries.into_iter().any(|tried| tried.is_ok());
        return any
            .then_some(())
            .ok_or_else(|| format!("no field of {} has {}", message.full_name(), rest.join(".")));
    }
    match message.get_field_by_name(name) {
        Some(field) => enter(&field, rest),
        None => Err(format!(
            "{} has no field {name}{}",
            message.full_name(),
            hint(message, name)
        )),
    }
}

fn enter(field: &FieldDescriptor, rest: &[&str]) -> Result<(), String> {
    if rest.is_empty() {
        return Ok(());
    }
    // The path goes through a map into its values; their keys are folded out.
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    match kind {
        Kind::Message(message) => walk(&message, rest),
        _ => Err(format!(
            "{} is no message: nothing is below it",
            field.full_name()
        )),
    }
}

fn hint(message: &MessageDescriptor, name: &str) -> String {
    let nearest = message
        .fields()
        .map(|field| {
            (
                strsim::normalized_levenshtein(name, field.name()),
                field.name().to_owned(),
            )
        })
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, field)) => format!("; did you mean {field}?"),
        None => {
            let names: BTreeSet<String> = message.fields().map(|f| f.name().to_owned()).collect();
            let names: Vec<String> = names.into_iter().collect();
            format!("; it has {}", names.join(", "))
        }
    }
}

/// Line and column, from 1, of the first `needle` at or below `from_line`; the start of that line
/// if the text spells it otherwise.
fn locate(text: &str, from_line: u64, needle: &str) -> (u64, u64) {
    let numbered = (1u64..)
        .zip(text.lines())
        .filter(|(number, _)| *number >= from_line);
    for (number, line) in numbered {
        if let Some(byte) = line.find(needle) {
            let column = line[..byte].chars().count() as u64 + 1;
            return (number, column);
        }
    }
    (from_line, 1)
}

#[cfg(test)]
mod tests {
    use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;

    use super::*;

    fn answer(message: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        pool.get_message_by_name(message).unwrap()
    }

    fn check(path: &str) -> Result<(), String> {
        find(
            &answer("gazetteer.v1.SearchPlacesResponse"),
            &FieldPath::parse(path).unwrap(),
        )
    }

    #[test]
    fn finds_fields_through_lists_and_wildcards() {
        for good in ["search_id", "*", "*.*"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn says_what_the_field_could_have_been() {
        let error = check("search_idd").unwrap_err();
        assert!(error.contains("did you mean search_id?"), "{error}");
        let error = check("search_id.x").unwrap_err();
        assert!(error.contains("nothing is below it"), "{error}");
    }

    #[test]
    fn locates_a_path_behind_its_rule() {
        let text = "ignore: [a]\nrules:\n  - ignore: [a]\n";
        assert_eq!(locate(text, 2, "a]"), (3, 14));
        assert_eq!(locate(text, 3, "zzz"), (3, 1));
    }
}
