//! What only proto2 has: groups and extensions; and maps of messages.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    MethodDescriptorProto, ServiceDescriptorProto, descriptor_proto::ExtensionRange,
};

use super::*;
use crate::descriptors::Descriptors;

/// The method `/p.S/Do`, which answers with `p.P`: the group `g` (1), the map `m` (2) of `p.P`, and
/// the extensions `note` (100) and `notes` (101).
fn proto2() -> Method {
    let field = |name: &str, number: i32, kind: Type, type_name: &str| {
        let mut field = FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
            ..FieldDescriptorProto::default()
        };
        field.set_label(Label::Optional);
        field.set_type(kind);
        field
    };
    let message = |name: &str, fields: Vec<FieldDescriptorProto>| DescriptorProto {
        name: Some(name.to_owned()),
        field: fields,
        ..DescriptorProto::default()
    };
    let mut map = field("m", 2, Type::Message, ".p.P.MEntry");
    map.set_label(Label::Repeated);
    let mut p = message("P", vec![field("g", 1, Type::Group, ".p.P.G"), map]);
    p.nested_type = vec![
        message("G", vec![field("a", 1, Type::Int32, "")]),
        message(
            "MEntry",
            vec![
                field("key", 1, Type::Int32, ""),
                field("value", 2, Type::Message, ".p.P"),
            ],
        ),
    ];
    p.nested_type[1].options = Some(MessageOptions {
        map_entry: Some(true),
        ..MessageOptions::default()
    });
    p.extension_range = vec![ExtensionRange {
        start: Some(100),
        end: Some(200),
        options: None,
    }];
    let mut note = field("note", 100, Type::String, "");
    let mut notes = field("notes", 101, Type::String, "");
    notes.set_label(Label::Repeated);
    for extension in [&mut note, &mut notes] {
        extension.extendee = Some(".p.P".to_owned());
    }
    let file = FileDescriptorProto {
        name: Some("p.proto".to_owned()),
        package: Some("p".to_owned()),
        message_type: vec![p],
        extension: vec![note, notes],
        service: vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("Do".to_owned()),
                input_type: Some(".p.P".to_owned()),
                output_type: Some(".p.P".to_owned()),
                ..MethodDescriptorProto::default()
            }],
            options: None,
        }],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let descriptors = Descriptors::decode(&set).unwrap();
    descriptors.method("/p.S/Do").unwrap().clone()
}

fn diff(rules: &CompareRules, one: &[u8], other: &[u8]) -> Vec<String> {
    let [one, other] = [one, other].map(|bytes| Observation {
        messages: vec![Message {
            compressed: false,
            bytes: bytes.to_vec().into(),
        }],
        ..Observation::default()
    });
    words(&compare(&proto2(), rules, &one, &other, &redaction()))
}

/// `m: { 1: P }`.
fn in_map(inside: &[u8]) -> Vec<u8> {
    let mut entry = vec![0x08, 1];
    prost::encoding::bytes::encode(2, &inside.to_vec(), &mut entry);
    let mut out = Vec::new();
    prost::encoding::bytes::encode(2, &entry, &mut out);
    out
}

const NOTE_A: &[u8] = b"\xa2\x06\x01a";
const NOTE_B: &[u8] = b"\xa2\x06\x01b";

#[test]
fn groups_and_extensions_are_fields_like_others() {
    let rules = CompareRules::default();
    let group = |a: u8| [0x0b, 0x08, a, 0x0c];
    assert_eq!(diff(&rules, &group(1), &group(2)), ["g.a value"]);
    assert_eq!(diff(&rules, &group(1), b""), ["g missing"]);
    assert_eq!(diff(&rules, NOTE_A, NOTE_B), ["note value"]);
    assert_eq!(diff(&rules, b"", NOTE_B), ["note extra"]);
    assert_eq!(
        diff(&rules, b"\xaa\x06\x01a", b"\xaa\x06\x01a\xaa\x06\x01b"),
        ["notes length", "notes[] extra"]
    );
    let rules = CompareRules {
        ignore: paths(["note", "g"]),
        ..CompareRules::default()
    };
    assert!(diff(&rules, NOTE_A, &group(1)).is_empty());
}

#[test]
fn the_messages_of_a_map_are_compared_by_key_with_their_extensions() {
    let rules = CompareRules::default();
    assert_eq!(
        diff(&rules, &in_map(NOTE_A), &in_map(NOTE_B)),
        ["m[].note value"]
    );
    assert_eq!(diff(&rules, &in_map(b""), b""), ["m[] missing"]);
    let deep = |note: &[u8]| in_map(&in_map(note));
    assert_eq!(
        diff(&rules, &deep(NOTE_A), &deep(NOTE_B)),
        ["m[].m[].note value"]
    );
    let rules = CompareRules {
        ignore: paths(["m.note"]),
        ..CompareRules::default()
    };
    assert!(diff(&rules, &in_map(NOTE_A), &in_map(NOTE_B)).is_empty());
}
