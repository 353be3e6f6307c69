//! The corpus that both arms are tested by (`tests/corpus/`), over the real data set.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "support/arm.rs"]
mod arm;
#[path = "support/codec.rs"]
mod codec;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use codec::BytesCodec;
use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
use futures_util::{StreamExt, stream};
use prost_reflect::prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage, Value,
};
use serde_json::Value as Json;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::pb::FILE_DESCRIPTOR_SET as DETAILS_DESCRIPTOR_SET;

/// How far two floats may be apart, relative to the larger.
const FLOAT_TOLERANCE: f64 = 1e-9;
/// In this order: writes come last.
const FILES: [(&str, &str); 7] = [
    ("get_place", "GetPlace"),
    ("search_places", "SearchPlaces"),
    ("find_nearest", "FindNearest"),
    ("list_places", "ListPlaces"),
    ("measure_route", "MeasureRoute"),
    ("suggest", "Suggest"),
    ("record_visit", "RecordVisit"),
];

#[tokio::test]
async fn answers_every_case_as_the_corpus_says() {
    let database = fresh_copy_of_the_database();
    let arm = arm::serve_database(&database.path().join("gazetteer.db"), &[]).await;
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    pool.decode_file_descriptor_set(DETAILS_DESCRIPTOR_SET)
        .unwrap();
    let service = pool
        .get_service_by_name("gazetteer.v1.GazetteerService")
        .unwrap();
    let channel = arm.endpoint.connect_lazy();
    let mut disagreements = Vec::new();
    let mut cases = 0;
    for (stem, name) in FILES {
        let method = service
            .methods()
            .find(|method| method.name() == name)
            .unwrap();
        for (number, line) in corpus(stem).lines().enumerate() {
            let case = serde_json::from_str(line).unwrap();
            let found = run_case(channel.clone(), &method, &case).await;
            let label = format!("{stem}.jsonl:{} {}", number + 1, case["name"]);
            disagreements.extend(found.iter().map(|text| format!("{label}: {text}")));
            cases += 1;
        }
    }
    drop(channel);
    arm.stop.send(()).unwrap();
    arm.served.await.unwrap().unwrap();
    assert!(cases >= FILES.len(), "the corpus has only {cases} cases");
    let count = disagreements.len();
    assert!(
        disagreements.is_empty(),
        "{count} disagreements:\n{}",
        disagreements.join("\n")
    );
}

fn fresh_copy_of_the_database() -> tempfile::TempDir {
    let from = PathBuf::from(env::var_os("GAZETTEER_DATABASE").expect(
        "GAZETTEER_DATABASE must name a database: run gazetteer-load --database PATH and set it",
    ));
    let directory = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let from = PathBuf::from(format!("{}{suffix}", from.display()));
        if suffix.is_empty() || from.exists() {
            let to = directory.path().join(format!("gazetteer.db{suffix}"));
            fs::copy(&from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
    directory
}

fn corpus(stem: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let path = directory.join(format!("{stem}.jsonl"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn run_case(channel: Channel, method: &MethodDescriptor, case: &Json) -> Vec<String> {
    let (mut responses, status) = ask(channel, method, case).await;
    let expect = &case["expect"];
    let mut found = Vec::new();
    differ(
        &mut found,
        "code",
        text(&expect["code"]),
        &code_name(&status),
    );
    differ(
        &mut found,
        "message",
        text(&expect["message"]),
        status.message(),
    );
    let pool = method.parent_pool();
    let status_type = pool.get_message_by_name("google.rpc.Status").unwrap();
    let rich = DynamicMessage::decode(status_type.clone(), status.details()).unwrap();
    let json = serde_json::json!({ "details": expect["details"] });
    let expected = DynamicMessage::deserialize(status_type, json).unwrap();
    let details =
        |status: &DynamicMessage| status.get_field_by_name("details").unwrap().into_owned();
    compare(&mut found, "details", &details(&expected), &details(&rich));

    if let Some(count) = expect["responses_count"].as_u64() {
        differ(
            &mut found,
            "responses_count",
            &count,
            &(responses.len() as u64),
        );
        responses = match responses.as_slice() {
            [first, .., last] => vec![first.clone(), last.clone()],
            few => few.to_vec(),
        };
    }
    let expected = expect["responses"].as_array().unwrap();
    differ(
        &mut found,
        "number of responses",
        &expected.len(),
        &responses.len(),
    );
    for (index, (expected, response)) in expected.iter().zip(responses).enumerate() {
        let expected = DynamicMessage::deserialize(method.output(), expected.clone()).unwrap();
        let response = DynamicMessage::decode(method.output(), response).unwrap();
        let path = format!("responses[{index}]");
        compare_messages(&mut found, &path, &expected, &response);
    }
    found
}

/// Sends the requests of a case, and gives what comes back before the status, and the status.
async fn ask(channel: Channel, method: &MethodDescriptor, case: &Json) -> (Vec<Bytes>, Status) {
    let half_close = case["half_close"].as_bool().unwrap_or(true);
    let open_end = stream::pending().take(if half_close { 0 } else { usize::MAX });
    let requests = stream::iter(request_bytes(method, case)).chain(open_end);
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path).unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let answered = client
        .streaming(Request::new(requests), path, BytesCodec)
        .await;
    let mut responses = Vec::new();
    let mut stream = match answered {
        Ok(response) => response.into_inner(),
        Err(status) => return (responses, status),
    };
    loop {
        match stream.message().await {
            Ok(Some(response)) => responses.push(response),
            Ok(None) => return (responses, Status::ok("")),
            Err(status) => return (responses, status),
        }
    }
}

fn request_bytes(method: &MethodDescriptor, case: &Json) -> Vec<Bytes> {
    if let Some(raw) = case["raw_hex"].as_array() {
        return raw.iter().map(|hex| from_hex(text(hex))).collect();
    }
    let requests = case["requests"].as_array().unwrap().iter();
    let encode = |request: &Json| {
        let message = DynamicMessage::deserialize(method.input(), request.clone()).unwrap();
        Bytes::from(message.encode_to_vec())
    };
    requests.map(encode).collect()
}

fn from_hex(hex: &str) -> Bytes {
    let digits: Vec<_> = hex
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

/// `NOT_FOUND` for `NotFound`.
fn code_name(status: &Status) -> String {
    let name = format!("{:?}", status.code());
    let mut screaming = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() && name != "Ok" {
            screaming.push('_');
        }
        screaming.push(letter.to_ascii_uppercase());
    }
    screaming
}

fn differ<T: PartialEq + std::fmt::Debug + ?Sized>(
    found: &mut Vec<String>,
    path: &str,
    expected: &T,
    got: &T,
) {
    if expected != got {
        found.push(format!("{path}: expected {expected:?}, got {got:?}"));
    }
}

fn compare_messages(
    found: &mut Vec<String>,
    path: &str,
    expected: &DynamicMessage,
    got: &DynamicMessage,
) {
    differ(
        found,
        path,
        expected.descriptor().full_name(),
        got.descriptor().full_name(),
    );
    for field in expected.descriptor().fields() {
        let path = format!("{path}.{}", field.name());
        if field.supports_presence() {
            differ(
                found,
                &path,
                &expected.has_field(&field),
                &got.has_field(&field),
            );
        }
        if is_search_id(&field) {
            let id = got.get_field(&field);
            let id = id.as_str().unwrap();
            let is_digit = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
            if id.len() != 32 || !id.chars().all(is_digit) {
                found.push(format!(
                    "{path}: {id:?} is not 32 lower-case hexadecimal digits"
                ));
            }
        } else {
            compare(
                found,
                &path,
                &expected.get_field(&field),
                &got.get_field(&field),
            );
        }
    }
}

fn is_search_id(field: &FieldDescriptor) -> bool {
    field.full_name() == "gazetteer.v1.SearchPlacesResponse.search_id"
}

fn compare(found: &mut Vec<String>, path: &str, expected: &Value, got: &Value) {
    match (expected, got) {
        (Value::Message(expected), Value::Message(got)) => {
            compare_messages(found, path, expected, got);
        }
        (Value::List(expected), Value::List(got)) => {
            differ(
                found,
                &format!("length of {path}"),
                &expected.len(),
                &got.len(),
            );
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(found, &format!("{path}[{index}]"), expected, got);
            }
        }
        (Value::F64(expected), Value::F64(got)) => {
            let most = expected.abs().max(got.abs());
            if (expected - got).abs() > most * FLOAT_TOLERANCE {
                found.push(format!("{path}: expected {expected}, got {got}"));
            }
        }
        _ => differ(found, path, expected, got),
    }
}
