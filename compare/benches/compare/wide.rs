//! A message of 20 fields and about 1 KiB: numbers, texts, a list, a map and a message inside.

use cutover_compare::{Descriptors, Message, Method, Observation};
use cutover_manifest::{CompareRules, FieldPath, Normalization, Tolerance};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    MethodDescriptorProto, ServiceDescriptorProto,
};

/// In which order the fields, and the entries of the map, are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
}

/// The method that answers with it.
pub(crate) struct Wide {
    pub(crate) method: Method,
}

impl Wide {
    pub(crate) fn new() -> Option<Wide> {
        let field = |number: i32, label: Label, kind: Type, name: Option<&str>| {
            let mut field = FieldDescriptorProto {
                name: Some(format!("field_{number}")),
                number: Some(number),
                type_name: name.map(str::to_owned),
                ..FieldDescriptorProto::default()
            };
            field.set_label(label);
            field.set_type(kind);
            field
        };
        let fields = (1..=20).map(|number| match number {
            1..=6 => field(number, Label::Optional, Type::Int64, None),
            7..=10 => field(number, Label::Optional, Type::Double, None),
            11..=17 => field(number, Label::Optional, Type::String, None),
            18 => field(number, Label::Repeated, Type::String, None),
            19 => field(
                number,
                Label::Repeated,
                Type::Message,
                Some(".w.Wide.Entry"),
            ),
            _ => field(number, Label::Optional, Type::Message, Some(".w.Wide")),
        });
        let mut entry = DescriptorProto {
            name: Some("Entry".to_owned()),
            field: vec![
                field(1, Label::Optional, Type::String, None),
                field(2, Label::Optional, Type::Int64, None),
            ],
            options: Some(MessageOptions {
                map_entry: Some(true),
                ..MessageOptions::default()
            }),
            ..DescriptorProto::default()
        };
        (entry.field[0].name, entry.field[1].name) = (Some("key".into()), Some("value".into()));
        let method = MethodDescriptorProto {
            name: Some("Get".to_owned()),
            input_type: Some(".w.Wide".to_owned()),
            output_type: Some(".w.Wide".to_owned()),
            ..MethodDescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some("w.proto".to_owned()),
            package: Some("w".to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: vec![DescriptorProto {
                name: Some("Wide".to_owned()),
                field: fields.collect(),
                nested_type: vec![entry],
                ..DescriptorProto::default()
            }],
            service: vec![ServiceDescriptorProto {
                name: Some("S".to_owned()),
                method: vec![method],
                options: None,
            }],
            ..FileDescriptorProto::default()
        };
        let set = FileDescriptorSet { file: vec![file] };
        let descriptors = Descriptors::decode(&set.encode_to_vec()).ok()?;
        let method = descriptors.method("/w.S/Get")?.clone();
        Some(Wide { method })
    }

    /// An answer of which the first `changed` texts and numbers are others.
    pub(crate) fn answer(&self, order: Order, changed: u32) -> Observation {
        let mut fields: Vec<Vec<u8>> = (1..=20u32)
            .map(|number| encode(number, order, changed, Inside::Yes))
            .collect();
        if order == Order::Falling {
            fields.reverse();
        }
        Observation {
            messages: vec![Message {
                compressed: false,
                bytes: fields.concat().into(),
            }],
            ..Observation::default()
        }
    }
}

/// Rules as a manifest has them; none of them is about what differs.
pub(crate) fn rules() -> CompareRules {
    let path = |text: &str| FieldPath::parse(text).ok();
    let tolerance = Tolerance {
        relative: 1e-9,
        absolute: 0.0,
    };
    CompareRules {
        ignore: ["request_id", "field_20.field_3"]
            .into_iter()
            .filter_map(path)
            .collect(),
        tolerance: ["*.score", "field_7"]
            .into_iter()
            .filter_map(path)
            .map(|p| (p, tolerance))
            .collect(),
        unordered: path("field_18").into_iter().collect(),
        normalize: path("field_20.field_11")
            .map(|path| (path, [Normalization::Trim].into()))
            .into_iter()
            .collect(),
        ..CompareRules::default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Yes,
    No,
}

fn encode(number: u32, order: Order, changed: u32, inside: Inside) -> Vec<u8> {
    use prost::encoding::{bytes, double, int64, string};
    let mut out = Vec::new();
    // The changed fields: two numbers, then texts.
    let other = matches!(number, 1..=2 if number <= changed)
        || matches!(number, 11..=17 if number - 8 <= changed);
    match number {
        1..=6 => int64::encode(
            number,
            &(i64::from(number) * 1_000_003 + i64::from(other)),
            &mut out,
        ),
        7..=10 => double::encode(number, &(f64::from(number) / 3.0), &mut out),
        11..=17 => {
            let mut text = format!("text {number} ").repeat(13);
            if other {
                text.push('!');
            }
            string::encode(number, &text, &mut out);
        }
        18 => (0..5).for_each(|tag| string::encode(18, &format!("tag {tag}"), &mut out)),
        19 => {
            let mut entries: Vec<Vec<u8>> = (0..5)
                .map(|key| {
                    let mut entry = Vec::new();
                    string::encode(1, &format!("key {key}"), &mut entry);
                    int64::encode(2, &key, &mut entry);
                    entry
                })
                .collect();
            if order == Order::Falling {
                entries.reverse();
            }
            entries
                .iter()
                .for_each(|entry| bytes::encode(19, entry, &mut out));
        }
        _ if inside == Inside::Yes => {
            let fields = [1, 7, 11].map(|number| encode(number, order, 0, Inside::No));
            bytes::encode(20, &fields.concat(), &mut out);
        }
        _ => {}
    }
    out
}
