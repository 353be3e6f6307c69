//! Exports of mirrored calls, as the proxy and both arms of the gazetteer send them.

use std::ops::Range;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use otlp::span::SpanKind;
use prost::Message;

/// When all of it happens, ns since the Unix epoch.
pub(crate) const NOW: u64 = 1_790_000_000_000_000_000;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn span(
    call: u64,
    (id, parent): (u64, u64),
    kind: SpanKind,
    name: &str,
    attributes: Vec<KeyValue>,
) -> otlp::Span {
    let id_of = |id: u64| match id {
        0 => Vec::new(),
        id => (call << 8 | id).to_be_bytes().to_vec(),
    };
    otlp::Span {
        trace_id: u128::from(call)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes()
            .to_vec(),
        span_id: id_of(id),
        parent_span_id: id_of(parent),
        name: name.into(),
        kind: kind.into(),
        start_time_unix_nano: NOW + id * 1_000,
        end_time_unix_nano: NOW + 1_000_000 - id * 1_000,
        attributes,
        ..otlp::Span::default()
    }
}

fn encode(arm: Option<&str>, spans: Vec<otlp::Span>) -> Vec<u8> {
    let mut attributes = vec![
        text("service.name", "gazetteer"),
        text("telemetry.sdk.name", "x"),
    ];
    attributes.extend(arm.map(|arm| text("cutover.arm", arm)));
    let scope_spans = vec![otlp::ScopeSpans {
        spans,
        ..Default::default()
    }];
    let resource_spans = vec![otlp::ResourceSpans {
        resource: Some(Resource {
            attributes,
            ..Default::default()
        }),
        scope_spans,
        ..Default::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

const METHOD: &str = "gazetteer.v1.GazetteerService/GetPlace";
const STATEMENTS: [&str; 2] = [
    "SELECT id, name, country, latitude, longitude, population FROM places WHERE id = ?",
    "SELECT COUNT(*) FROM visits WHERE place_id = ?",
];

/// The exports of the proxy, the legacy and the candidate for these calls.
pub(crate) fn exports(calls: Range<u64>) -> [Vec<u8>; 3] {
    let (mut proxy, mut legacy, mut candidate) = (Vec::new(), Vec::new(), Vec::new());
    for call in calls.map(|call| call + 1) {
        let root = |id, arm, role| {
            let attributes = vec![
                text("rpc.system.name", "grpc"),
                text("rpc.method", METHOD),
                text("cutover.arm", arm),
                text("cutover.role", role),
                text("rpc.response.status_code", "OK"),
            ];
            span(call, (id, 1), SpanKind::Client, METHOD, attributes)
        };
        proxy.push(span(
            call,
            (1, 0),
            SpanKind::Server,
            METHOD,
            vec![text("rpc.method", METHOD)],
        ));
        proxy.extend([root(2, "legacy", "primary"), root(3, "candidate", "shadow")]);
        let (service, method) = METHOD.split_once('/').expect("a method has a service");
        let old = vec![
            text("rpc.system", "grpc"),
            text("rpc.service", service),
            text("rpc.method", method),
            text("net.peer.ip", "127.0.0.1"),
            pair("rpc.grpc.status_code", Value::IntValue(0)),
        ];
        let name = format!("/{METHOD}");
        legacy.push(span(call, (4, 2), SpanKind::Server, &name, old));
        let new = vec![text("rpc.system.name", "grpc"), text("rpc.method", METHOD)];
        candidate.push(span(call, (7, 3), SpanKind::Server, METHOD, new));
        for (index, statement) in (0..).zip(STATEMENTS) {
            let old = vec![
                text("db.system", "sqlite"),
                text("db.name", "gazetteer"),
                text("db.statement", statement),
            ];
            legacy.push(span(call, (5 + index, 4), SpanKind::Client, "SELECT", old));
            let new = vec![
                text("db.system.name", "sqlite"),
                text("db.query.text", statement),
                text("db.operation.name", "SELECT"),
            ];
            candidate.push(span(
                call,
                (8 + index, 7),
                SpanKind::Client,
                "SELECT places",
                new,
            ));
        }
    }
    [
        encode(Some("legacy"), legacy),
        encode(None, proxy),
        encode(Some("candidate"), candidate),
    ]
}
