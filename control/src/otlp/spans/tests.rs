//! Exports as libraries write them, and as nobody should.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, span::SpanKind as WireKind};
use proptest::prelude::*;
use prost::Message;

use super::*;

const NOW: u64 = 1_790_000_000_000_000_000;

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.into()))
}

fn good() -> otlp::Span {
    otlp::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "SELECT".into(),
        kind: WireKind::Client.into(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 5,
        attributes: vec![
            text("db.system", "sqlite"),
            text("db.statement", "SELECT * FROM places"),
        ],
        ..otlp::Span::default()
    }
}

fn export(spans: Vec<otlp::Span>) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            text("service.name", "shop"),
            text("service.version", "1.2"),
            text(crate::pairing::ARM, "candidate"),
        ],
        ..Resource::default()
    };
    let scope_spans = vec![otlp::ScopeSpans {
        spans,
        ..Default::default()
    }];
    let resource_spans = vec![otlp::ResourceSpans {
        resource: Some(resource),
        scope_spans,
        ..Default::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn read(spans: Vec<otlp::Span>) -> Spans {
    super::read(&export(spans), &mut Labels::default(), NOW).unwrap()
}

#[test]
fn a_span_is_read_with_its_sender() {
    let parent_span_id = vec![3; 8];
    let status = Some(otlp::Status {
        code: 2,
        ..Default::default()
    });
    let read = read(vec![otlp::Span {
        parent_span_id,
        status,
        ..good()
    }]);
    let [received] = &read.spans[..] else {
        panic!("{read:?}")
    };
    let span = &received.span;
    assert_eq!((span.trace_id, span.span_id), ([1; 16], [2; 8]));
    assert_eq!(span.parent_id, Some([3; 8]));
    assert_eq!(
        (span.start_ns, span.end_ns, span.error),
        (NOW, NOW + 5, true)
    );
    assert_eq!(span.operation_key(), Some("db sqlite SELECT places"));
    assert_eq!(received.sender, Some(Arm::Candidate));
    let running = read.running.first().unwrap();
    assert_eq!(
        (running.service.as_str(), running.version.as_str()),
        ("shop", "1.2")
    );
    assert_eq!(read.rejected.count(), 0);
}

#[test]
fn hostile_spans_are_rejected_with_their_reasons_and_the_good_ones_are_kept() {
    let year = 365 * 24 * 3_600 * 1_000_000_000;
    type Spoil = fn(&mut otlp::Span);
    let hostile: [(&str, Spoil); 9] = [
        ("trace_id is not 16 bytes", |span| span.trace_id.push(1)),
        ("trace_id is not 16 bytes", |span| span.trace_id.clear()),
        ("all zeros", |span| span.trace_id = vec![0; 16]),
        ("span_id is not 8 bytes", |span| _ = span.span_id.pop()),
        ("all zeros", |span| span.span_id = vec![0; 8]),
        ("parent_span_id is not 8 bytes", |span| {
            span.parent_span_id = vec![1; 7]
        }),
        ("more than 1024 attributes", |span| {
            span.attributes = vec![KeyValue::default(); 1_000_000];
        }),
        ("more than 30 days away", |span| {
            span.start_time_unix_nano = 0
        }),
        ("more than 30 days away", |span| {
            span.end_time_unix_nano = u64::MAX
        }),
    ];
    for (reason, spoil) in hostile {
        let mut bad = good();
        spoil(&mut bad);
        let read = read(vec![good(), bad, good()]);
        assert_eq!(
            (read.spans.len(), read.rejected.count()),
            (2, 1),
            "{reason}"
        );
        let message = read.rejected.message();
        assert!(message.contains(reason), "{message}");
    }
    for off in [NOW - year, NOW + year] {
        let bad = otlp::Span {
            start_time_unix_nano: off,
            end_time_unix_nano: off,
            ..good()
        };
        let read = read(vec![bad.clone(), good(), bad]);
        assert_eq!((read.spans.len(), read.rejected.count()), (1, 2));
        assert_eq!(
            read.rejected.message(),
            "start or end is more than 30 days away (2)"
        );
    }
}

#[test]
fn odd_spans_are_kept_within_bounds() {
    let deep = (0..1_000).fold(AnyValue::default(), |inner, depth| AnyValue {
        value: Some(if depth % 2 == 0 {
            let values = vec![inner];
            Any::ArrayValue(ArrayValue { values })
        } else {
            let value = Some(inner);
            let values = vec![KeyValue {
                value,
                ..Default::default()
            }];
            Any::KvlistValue(KeyValueList { values })
        }),
    });
    // Encoding is recursive, so this much only; nothing here walks it anyway.
    let deep = KeyValue {
        key: "db.statement".into(),
        value: Some(deep),
        ..Default::default()
    };
    let message = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || {
            let mut odd = good();
            odd.name = "n".repeat(1 << 20);
            odd.kind = 77;
            odd.end_time_unix_nano = odd.start_time_unix_nano - 1_000;
            odd.attributes.insert(0, deep);
            odd.attributes
                .push(text("rpc.method", &"é".repeat(1 << 19)));
            let message = export(vec![odd]);
            (message.len() > 2 << 20).then_some(message)
        });
    let message = message.unwrap().join().unwrap().unwrap();
    let read = super::read(&message, &mut Labels::default(), NOW).unwrap();
    let [received] = &read.spans[..] else {
        panic!("{read:?}")
    };
    assert_eq!(received.span.duration_ns(), 0, "the clock went back");
    assert_eq!(received.span.kind(), SpanKind::Internal);
    assert!(received.bytes() < 1_000, "{}", received.bytes());
}

#[test]
fn the_length_of_the_answer_is_read_off_the_proxys_spans_and_shares_the_label() {
    let root = |bytes| otlp::Span {
        attributes: vec![
            text("cutover.arm", "legacy"),
            text("cutover.role", "primary"),
            text("rpc.method", "a.B/C"),
            pair(ANSWER_BYTES, Any::IntValue(bytes)),
        ],
        ..good()
    };
    let read = read(vec![root(7), root(9), good()]);
    let bytes: Vec<_> = read.spans.iter().map(|of| of.answer_bytes).collect();
    assert_eq!(bytes, [Some(7), Some(9), None]);
    let label = |place: usize| &read.spans[place].span.label;
    assert!(Arc::ptr_eq(label(0), label(1)));
}

#[test]
fn a_flood_of_one_sort_shares_its_label() {
    let read = read(vec![good(); 1_000]);
    let first = &read.spans[0].span.label;
    assert!(
        read.spans
            .iter()
            .all(|of| Arc::ptr_eq(&of.span.label, first))
    );
}

fn spans() -> impl Strategy<Value = Vec<otlp::Span>> {
    let bytes = |len| proptest::collection::vec(any::<u8>(), len);
    let value = prop_oneof![
        ".{0,20}".prop_map(Any::StringValue),
        any::<i64>().prop_map(Any::IntValue),
        any::<f64>().prop_map(Any::DoubleValue),
        any::<bool>().prop_map(Any::BoolValue),
        bytes(0..20).prop_map(Any::BytesValue),
    ];
    let names = [
        &cutover_compare::trace::ATTRIBUTES[..],
        &["cutover.arm", "x"],
    ]
    .concat();
    let attribute = (proptest::sample::select(names), value).prop_map(|(k, v)| pair(k, v));
    let attributes = proptest::collection::vec(attribute, 0..8);
    let ids = (bytes(15..18), bytes(7..10), bytes(0..10));
    let times = (NOW - 10..NOW + 10, any::<u64>());
    let span = (ids, ".{0,30}", -1..8_i32, times, attributes);
    let span = span.prop_map(
        |((trace_id, span_id, parent_span_id), name, kind, times, attributes)| otlp::Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: if times.1 % 3 == 0 { times.1 } else { times.0 },
            attributes,
            ..otlp::Span::default()
        },
    );
    proptest::collection::vec(span, 0..8)
}

proptest! {
    /// Every span is kept or counted as rejected, whatever is in it.
    #[test]
    fn what_libraries_could_write_is_kept_or_counted(spans in spans()) {
        let count = spans.len() as u64;
        let read = read(spans);
        prop_assert_eq!(read.spans.len() as u64 + read.rejected.count(), count);
        prop_assert_eq!(read.rejected.count() == 0, read.rejected.message().is_empty());
    }

    /// Broken bytes are refused or read as something; what `prost` reads is never refused, and has
    /// as many spans.
    #[test]
    fn broken_bytes_do_no_harm_and_the_walk_agrees_with_prost(
        spans in spans(),
        breaks in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut message = export(spans);
        for (place, byte) in breaks {
            *place.get_mut(&mut message) = byte;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        let read = super::read(&message, &mut Labels::default(), NOW);
        if let Ok(decoded) = ExportTraceServiceRequest::decode(message.as_slice()) {
            let scopes = decoded.resource_spans.iter().flat_map(|of| &of.scope_spans);
            let count: usize = scopes.map(|scope| scope.spans.len()).sum();
            let read = read.expect("what prost reads is read");
            prop_assert_eq!(read.spans.len() + read.rejected.count() as usize, count);
        }
    }
}
