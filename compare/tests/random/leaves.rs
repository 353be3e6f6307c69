//! The single values of a message, and how to change one.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value};

use crate::schema;

/// A step towards a value inside another.
#[derive(Clone, Debug)]
enum Step {
    Field(FieldDescriptor),
    Index(usize),
    Key(MapKey),
}

/// A single value of a message.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// Its path with indices and keys folded out.
    pub(crate) path: String,
    steps: Vec<Step>,
    kind: Kind,
}

/// All single values that are set.
pub(crate) fn all(message: &DynamicMessage) -> Vec<Leaf> {
    let mut found = Vec::new();
    inside(message, "", &[], &mut found);
    found
}

fn inside(message: &DynamicMessage, path: &str, steps: &[Step], found: &mut Vec<Leaf>) {
    for (field, value) in message.fields() {
        let path = match path {
            "" => field.name().to_owned(),
            path => format!("{path}.{}", field.name()),
        };
        let kind = match field.kind() {
            Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        let steps = [steps, &[Step::Field(field)]].concat();
        below(value, &kind, &path, &steps, found);
    }
}

fn below(value: &Value, kind: &Kind, path: &str, steps: &[Step], found: &mut Vec<Leaf>) {
    let element = format!("{path}[]");
    match value {
        Value::Message(message) => inside(message, path, steps, found),
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                let steps = [steps, &[Step::Index(index)]].concat();
                below(value, kind, &element, &steps, found);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let steps = [steps, &[Step::Key(key.clone())]].concat();
                below(value, kind, &element, &steps, found);
            }
        }
        _ => found.push(Leaf {
            path: path.to_owned(),
            steps: steps.to_vec(),
            kind: kind.clone(),
        }),
    }
}

/// Gives a leaf another value: one that is nowhere else, where its type has as many.
pub(crate) fn change(message: &mut DynamicMessage, leaf: &Leaf, fresh: u32) {
    let Some((Step::Field(first), rest)) = leaf.steps.split_first() else {
        panic!("a leaf is in a field");
    };
    let mut value = message.get_field_mut(first);
    for step in rest {
        value = match (step, value) {
            (Step::Field(field), Value::Message(message)) => message.get_field_mut(field),
            (Step::Index(index), Value::List(values)) => &mut values[*index],
            (Step::Key(key), Value::Map(entries)) => entries.get_mut(key).unwrap(),
            (step, value) => panic!("no {step:?} in {value:?}"),
        };
    }
    *value = match value {
        Value::Bool(now) => Value::Bool(!*now),
        _ => schema::of(&leaf.kind, fresh),
    };
}
