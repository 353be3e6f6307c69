//! A schema with everything that a message can have.

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};

use crate::descriptors::{Descriptors, Method};

/// The method `/t.S/Do`, which answers with `t.Answer`.
pub(in crate::message) fn method() -> Method {
    let field = |name: &str, number: i32, label: Label, kind: Type, type_name: &str| {
        let mut field = FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
            ..Default::default()
        };
        field.set_label(label);
        field.set_type(kind);
        field
    };
    let one = Label::Optional;
    let many = Label::Repeated;
    let mut fields = vec![
        field("id", 1, one, Type::Int64, ""),
        field("score", 2, one, Type::Double, ""),
        field("name", 3, one, Type::String, ""),
        field("maybe", 4, one, Type::Int32, ""),
        field("item", 5, many, Type::Message, ".t.Answer"),
        field("tag", 6, many, Type::String, ""),
        field("label", 7, many, Type::Message, ".t.Answer.LabelEntry"),
        field("number", 8, one, Type::Int32, ""),
        field("text", 9, one, Type::String, ""),
        field("any", 10, one, Type::Message, ".google.protobuf.Any"),
        field("secret", 11, one, Type::String, ""),
        field("mask", 12, one, Type::Message, ".google.protobuf.FieldMask"),
        field("sample", 13, many, Type::Double, ""),
    ];
    fields[3].proto3_optional = Some(true);
    fields[3].oneof_index = Some(1);
    fields[7].oneof_index = Some(0);
    fields[8].oneof_index = Some(0);
    let oneof = |name: &str| OneofDescriptorProto {
        name: Some(name.to_owned()),
        options: None,
    };
    let entry = DescriptorProto {
        name: Some("LabelEntry".to_owned()),
        field: vec![
            field("key", 1, one, Type::String, ""),
            field("value", 2, one, Type::Int32, ""),
        ],
        options: Some(prost_types::MessageOptions {
            map_entry: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("t.proto".to_owned()),
        package: Some("t".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: ["any", "field_mask"]
            .map(|f| format!("google/protobuf/{f}.proto"))
            .into(),
        message_type: vec![DescriptorProto {
            name: Some("Answer".to_owned()),
            field: fields,
            oneof_decl: vec![oneof("choice"), oneof("_maybe")],
            nested_type: vec![entry],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("Do".to_owned()),
                input_type: Some(".t.Answer".to_owned()),
                output_type: Some(".t.Answer".to_owned()),
                ..Default::default()
            }],
            options: None,
        }],
        ..Default::default()
    };
    // prost-types has no debug_redact: field 8 (options) of `secret` is appended by hand, which
    // protobuf merges with what is there.
    let mut secret = file.message_type[0].field[10].encode_to_vec();
    secret.extend([0x42, 3, 0x80, 0x01, 1]);
    let mut message = file.message_type[0].clone();
    let behind = message.field.split_off(10);
    let mut bytes = message.encode_to_vec();
    prost::encoding::bytes::encode(2, &secret, &mut bytes);
    for field in &behind[1..] {
        prost::encoding::message::encode(2, field, &mut bytes);
    }
    let mut rest = file.clone();
    rest.message_type.clear();
    let mut encoded = rest.encode_to_vec();
    prost::encoding::bytes::encode(4, &bytes, &mut encoded);
    let known = DescriptorPool::global();
    let mut files: Vec<Vec<u8>> = known
        .file_descriptor_protos()
        .map(prost::Message::encode_to_vec)
        .collect();
    files.push(encoded);
    // An encoded set is the encoded files, each as field 1.
    let mut set = Vec::new();
    prost::encoding::bytes::encode_repeated(1, &files, &mut set);
    Descriptors::decode(&set)
        .unwrap()
        .method("/t.S/Do")
        .unwrap()
        .clone()
}
