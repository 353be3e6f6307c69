//! Random schemas and random messages of them.

use cutover_compare::{Descriptors, Method};
use prost::Message as _;
use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, Value};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};
use rand::Rng;
use rand::rngs::StdRng;

/// Deepest nesting of a random message.
const MAX_DEPTH: u32 = 4;
/// Types of single fields; the last is a message.
const TYPES: [Type; 15] = [
    Type::Int32,
    Type::Int64,
    Type::Uint32,
    Type::Uint64,
    Type::Sint32,
    Type::Sint64,
    Type::Fixed64,
    Type::Sfixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Float,
    Type::Double,
    Type::Enum,
    Type::Message,
];

/// A method whose answers are of a random type: up to four types that refer to each other, with
/// single fields, optional ones, oneofs, lists and maps.
pub(crate) fn method(rng: &mut StdRng) -> Method {
    let types = rng.random_range(1..=4);
    let messages = (0..types).map(|index| message_type(rng, index, types));
    let file = FileDescriptorProto {
        name: Some("r.proto".to_owned()),
        package: Some("r".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: messages.collect(),
        enum_type: vec![EnumDescriptorProto {
            name: Some("E".to_owned()),
            value: (0..3)
                .map(|number| EnumValueDescriptorProto {
                    name: Some(format!("E{number}")),
                    number: Some(number),
                    options: None,
                })
                .collect(),
            ..EnumDescriptorProto::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("Do".to_owned()),
                input_type: Some(".r.M0".to_owned()),
                output_type: Some(".r.M0".to_owned()),
                ..MethodDescriptorProto::default()
            }],
            options: None,
        }],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let descriptors = Descriptors::decode(&set).unwrap();
    descriptors.method("/r.S/Do").unwrap().clone()
}

fn message_type(rng: &mut StdRng, index: usize, types: usize) -> DescriptorProto {
    let mut message = DescriptorProto {
        name: Some(format!("M{index}")),
        ..DescriptorProto::default()
    };
    let cases = rng.random_range(0..=2);
    if cases > 0 {
        message.oneof_decl.push(oneof("choice"));
    }
    for number in 1..=rng.random_range(1..=9) {
        let kind = TYPES[rng.random_range(0..TYPES.len())];
        let other = rng.random_range(0..types);
        let mut field = typed(&format!("f{number}"), number, kind, other);
        match rng.random_range(0..5) {
            _ if number <= cases => field.oneof_index = Some(0),
            0 => field.set_label(Label::Repeated),
            1 => {
                let name = format!("F{number}Entry");
                let key = typed("key", 1, Type::String, 0);
                let options = MessageOptions {
                    map_entry: Some(true),
                    ..MessageOptions::default()
                };
                message.nested_type.push(DescriptorProto {
                    field: vec![key, typed("value", 2, kind, other)],
                    options: Some(options),
                    name: Some(name.clone()),
                    ..DescriptorProto::default()
                });
                field = typed(&format!("f{number}"), number, Type::Message, 0);
                field.type_name = Some(format!(".r.M{index}.{name}"));
                field.set_label(Label::Repeated);
            }
            2 => {
                field.proto3_optional = Some(true);
                field.oneof_index = Some(-1);
            }
            _ => {}
        }
        message.field.push(field);
    }
    // Oneofs that stand for `optional` come behind all others.
    for field in &mut message.field {
        if field.proto3_optional() {
            field.oneof_index = i32::try_from(message.oneof_decl.len()).ok();
            message
                .oneof_decl
                .push(oneof(&format!("_{}", field.name())));
        }
    }
    message
}

fn oneof(name: &str) -> OneofDescriptorProto {
    OneofDescriptorProto {
        name: Some(name.to_owned()),
        options: None,
    }
}

fn typed(name: &str, number: i32, kind: Type, message: usize) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        type_name: match kind {
            Type::Message => Some(format!(".r.M{message}")),
            Type::Enum => Some(".r.E".to_owned()),
            _ => None,
        },
        ..FieldDescriptorProto::default()
    };
    field.set_label(Label::Optional);
    field.set_type(kind);
    field
}

/// A random message of the method's answers.
pub(crate) fn answer(rng: &mut StdRng, method: &Method) -> DynamicMessage {
    message(rng, DynamicMessage::new(method.output.clone()), 0)
}

fn message(rng: &mut StdRng, mut message: DynamicMessage, depth: u32) -> DynamicMessage {
    use prost_reflect::ReflectMessage as _;
    for field in message.descriptor().fields() {
        if rng.random_range(0..4) == 0 {
            continue;
        }
        if let Some(value) = field_value(rng, &field, depth) {
            message.set_field(&field, value);
        }
    }
    message
}

fn field_value(rng: &mut StdRng, field: &FieldDescriptor, depth: u32) -> Option<Value> {
    let kind = field.kind();
    if field.is_map() {
        let value = kind.as_message()?.map_entry_value_field().kind();
        let mut entries = std::collections::HashMap::new();
        for key in 0..rng.random_range(0..4) {
            entries.insert(
                MapKey::String(format!("k{key}")),
                single(rng, &value, depth)?,
            );
        }
        return Some(Value::Map(entries));
    }
    if field.cardinality() == Cardinality::Repeated {
        let length = rng.random_range(0..4);
        let list = (0..length).map(|_| single(rng, &kind, depth));
        return Some(Value::List(list.collect::<Option<_>>()?));
    }
    single(rng, &kind, depth)
}

/// A value of few possible ones, so that elements of lists are often alike; `None` where it would
/// be nested too deep.
fn single(rng: &mut StdRng, kind: &Kind, depth: u32) -> Option<Value> {
    let small = rng.random_range(0..3u8);
    Some(match kind {
        Kind::Message(_) if depth == MAX_DEPTH => return None,
        Kind::Message(inner) => {
            Value::Message(message(rng, DynamicMessage::new(inner.clone()), depth + 1))
        }
        kind => of(kind, u32::from(small)),
    })
}

/// The value of a single field that stands for a number; other values for other numbers, but for
/// `bool`.
pub(crate) fn of(kind: &Kind, number: u32) -> Value {
    let signed = i32::try_from(number).unwrap();
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(-signed),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(-i64::from(signed) << 33),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::from(number) << 33),
        Kind::Bool => Value::Bool(number % 2 == 1),
        Kind::String => {
            Value::String("ß".repeat(signed.min(2).unsigned_abs() as usize) + &text(number))
        }
        Kind::Bytes => Value::Bytes(number.to_be_bytes().to_vec().into()),
        Kind::Float => Value::F32(if number == 1 { f32::NAN } else { number as f32 }),
        Kind::Double => Value::F64(if number == 1 {
            f64::NAN
        } else {
            f64::from(number)
        }),
        Kind::Enum(_) => Value::EnumNumber(signed),
        Kind::Message(_) => panic!("a message is no single value"),
    }
}

fn text(number: u32) -> String {
    match number {
        0 => String::new(),
        number => number.to_string(),
    }
}
