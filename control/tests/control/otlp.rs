//! Spans and metrics in, operation counters out.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client as metrics_client;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, span::SpanKind};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::{MANIFEST, METHOD, Plane, Proxy};

/// After the start of every control plane here: spans from before it are not compared.
static NOW: LazyLock<u64> = LazyLock::new(|| {
    let since = UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(60);
    since.as_nanos() as u64
});

pub(crate) fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value.into())),
    });
    KeyValue {
        key: key.into(),
        value,
        ..Default::default()
    }
}

pub(crate) fn span(id: u8, parent: u8, kind: SpanKind, attributes: &[(&str, &str)]) -> otlp::Span {
    otlp::Span {
        trace_id: vec![9; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: format!("span {id}"),
        kind: kind.into(),
        start_time_unix_nano: *NOW + u64::from(id) * 1_000_000,
        end_time_unix_nano: *NOW + u64::from(id) * 1_000_000 + 500_000,
        attributes: attributes
            .iter()
            .map(|(key, value)| pair(key, value))
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn export(arm: Option<&str>, spans: Vec<otlp::Span>) -> ExportTraceServiceRequest {
    let attributes = arm
        .map(|arm| pair("cutover.arm", arm))
        .into_iter()
        .collect();
    let resource = Some(Resource {
        attributes,
        ..Default::default()
    });
    let scope_spans = vec![otlp::ScopeSpans {
        spans,
        ..Default::default()
    }];
    let resource_spans = otlp::ResourceSpans {
        resource,
        scope_spans,
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    }
}

pub(crate) fn root(id: u8, arm: &str, role: &str) -> otlp::Span {
    let attributes = [
        ("cutover.arm", arm),
        ("cutover.role", role),
        ("rpc.method", METHOD),
    ];
    span(id, 1, SpanKind::Client, &attributes)
}

pub(crate) fn database(id: u8, parent: u8) -> otlp::Span {
    let attributes = [
        ("db.system.name", "sqlite"),
        ("db.query.text", "SELECT * FROM places WHERE id = ?"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "places"),
    ];
    span(id, parent, SpanKind::Client, &attributes)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_both_arms_become_operation_counters() {
    let plane = Plane::start(MANIFEST).await;
    let mut client =
        TraceServiceClient::new(plane.channel().await).send_compressed(CompressionEncoding::Gzip);
    let candidate: Vec<otlp::Span> = std::iter::once(span(30, 3, SpanKind::Server, &[]))
        .chain((31..36).map(|id| database(id, 30)))
        .collect();
    let legacy = vec![database(21, 20), span(20, 2, SpanKind::Server, &[])];
    let proxy = vec![
        root(3, "candidate", "shadow"),
        root(2, "legacy", "primary"),
        span(1, 0, SpanKind::Server, &[]),
    ];
    for request in [
        export(Some("candidate"), candidate),
        export(None, proxy),
        export(Some("legacy"), legacy),
    ] {
        let answer = client.export(request).await.unwrap().into_inner();
        assert!(answer.partial_success.is_none());
    }
    let compared = |status: &cutover_proto::cutover::v1::Status| {
        let method = status
            .methods
            .iter()
            .find(|method| method.method == METHOD)
            .unwrap();
        method
            .traces
            .as_ref()
            .is_some_and(|traces| traces.compared == 1)
    };
    let status = plane.until(compared).await;
    let method = status
        .methods
        .iter()
        .find(|method| method.method == METHOD)
        .unwrap();
    let traces = method.traces.as_ref().unwrap();
    assert_eq!(traces.mismatched, 1);
    let [operation] = &traces.operations[..] else {
        panic!("{traces:?}")
    };
    assert_eq!(
        (operation.legacy_calls, operation.candidate_calls),
        (1, 5),
        "{operation:?}"
    );
    assert_eq!(operation.more_in_candidate, 1);
    assert!(operation.n_plus_one, "{operation:?}");
    assert!(operation.key.contains("places"), "{operation:?}");

    let request = cutover_proto::cutover::v1::ListTracePairsRequest {
        only_mismatched: true,
        ..Default::default()
    };
    let mut operator = plane.operator().await;
    let pairs = operator
        .list_trace_pairs(request)
        .await
        .unwrap()
        .into_inner()
        .pairs;
    assert_eq!(pairs[0].trace_id, "09".repeat(16));
    let depths: Vec<u32> = pairs[0].legacy.iter().map(|span| span.depth).collect();
    assert_eq!((depths, pairs[0].candidate.len()), (vec![0, 1, 2], 7));
    assert!(!pairs[0].differences.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ids_are_told_and_oversize_is_resource_exhausted() {
    let plane = Plane::start(MANIFEST).await;
    let mut client = TraceServiceClient::new(plane.channel().await);
    let bad = otlp::Span {
        trace_id: vec![1; 3],
        ..span(1, 0, SpanKind::Server, &[])
    };
    let good = span(2, 0, SpanKind::Server, &[]);
    let answer = client
        .export(export(None, vec![bad, good]))
        .await
        .unwrap()
        .into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace_id"), "{partial:?}");

    let huge = otlp::Span {
        name: "n".repeat(4 << 20),
        ..span(2, 0, SpanKind::Server, &[])
    };
    let request = export(None, vec![huge]);
    let status = client.export(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // A bomb: small on the wire, large inside.
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let status = client.export(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_mebibytes_are_taken_and_one_byte_more_is_not() {
    let plane = Plane::start(MANIFEST).await;
    let limit = 4 << 20;
    let named = |length: usize| {
        let name = "n".repeat(length);
        let root = span(2, 0, SpanKind::Server, &[]);
        export(None, vec![otlp::Span { name, ..root }])
    };
    let of_bytes = |bytes: usize| {
        let request = named(bytes - (named(bytes).encoded_len() - bytes));
        assert_eq!(request.encoded_len(), bytes);
        request
    };
    let plain = TraceServiceClient::new(plane.channel().await);
    let packed = plain.clone().send_compressed(CompressionEncoding::Gzip);
    for mut client in [plain, packed] {
        let taken = client.export(of_bytes(limit)).await.unwrap();
        assert_eq!(taken.into_inner().partial_success, None);
        let status = client.export(of_bytes(limit + 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    }
}

/// What a process of an arm says of its CPU time and its memory, with four threads.
pub(crate) fn readings(
    arm: &str,
    seconds: f64,
    bytes: f64,
    at_s: u64,
) -> ExportMetricsServiceRequest {
    let sum = |name: &str, value| metrics::Metric {
        name: name.into(),
        data: Some(metrics::metric::Data::Sum(metrics::Sum {
            data_points: vec![metrics::NumberDataPoint {
                time_unix_nano: at_s * 1_000_000_000,
                value: Some(metrics::number_data_point::Value::AsDouble(value)),
                ..Default::default()
            }],
            ..Default::default()
        })),
        ..Default::default()
    };
    let metrics = vec![
        sum("process.cpu.time", seconds),
        sum("process.memory.usage", bytes),
        sum("process.thread.count", 4.0),
    ];
    let attributes = vec![pair("cutover.arm", arm)];
    ExportMetricsServiceRequest {
        resource_metrics: vec![metrics::ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Default::default()
            }),
            scope_metrics: vec![metrics::ScopeMetrics {
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_an_arm_become_its_process_status() {
    let plane = Plane::start(MANIFEST).await;
    let request = |seconds: f64, at_s: u64| readings("candidate", seconds, 1e6, at_s);
    let channel = plane.channel().await;
    let mut client = metrics_client::MetricsServiceClient::new(channel);
    client.export(request(1.0, 100)).await.unwrap();
    client.export(request(3.5, 105)).await.unwrap();
    let status = plane
        .until(|s| s.processes.iter().any(|p| p.cpu_seconds == 3.5))
        .await;
    let process = &status.processes[0];
    assert_eq!(
        (process.cpu_cores, process.memory_bytes, process.threads),
        (0.5, 1_000_000, 4)
    );
}

/// An export of one span by a process of the candidate.
pub(crate) fn by(version: Option<&str>, instance: &str) -> ExportTraceServiceRequest {
    let mut request = export(Some("candidate"), vec![database(2, 1)]);
    let resource = request.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(pair("service.name", "gazetteer"));
    let id = pair("service.instance.id", instance);
    resource.attributes.push(id);
    let version = version.map(|version| pair("service.version", version));
    resource.attributes.extend(version);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_begins_anew_when_an_arm_is_deployed_and_the_weight_stays() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let before = proxy.table.clone();
    let mut spans = TraceServiceClient::new(plane.channel().await);
    // No version, the first version, and another instance of it are no deploys.
    for (version, instance) in [
        (None, "a"),
        (Some("1.0"), "a"),
        (Some("1.0"), "b"),
        (Some("1.1"), "c"),
    ] {
        spans.export(by(version, instance)).await.unwrap();
    }
    proxy.next_table().await;
    assert_eq!(proxy.table.epoch, before.epoch + 1);
    assert_eq!(proxy.table.generation, before.generation + 1);
    assert_eq!(proxy.weight_bp(), 100);
    let status = plane.status().await;
    assert_eq!(status.methods[0].pairs.as_ref().unwrap().compared, 0);
    let deploy = plane.decisions().await.remove(0);
    assert_eq!(
        (deploy.action.as_str(), deploy.who.as_str()),
        ("deploy", "otlp")
    );
    assert_eq!((deploy.from_bp, deploy.to_bp), (100, 100));
    assert_eq!(deploy.epoch, before.epoch + 1);
    assert!(deploy.why.contains("1.0 → 1.1"), "{}", deploy.why);

    // What was running is known after a restart: a deploy in between is seen.
    let plane = plane.restart().await;
    let mut proxy = Proxy::connect(&plane, 'b').await;
    let mut spans = TraceServiceClient::new(plane.channel().await);
    spans.export(by(Some("1.1"), "c")).await.unwrap();
    spans.export(by(Some("1.2"), "d")).await.unwrap();
    proxy.next_table().await;
    assert_eq!(proxy.table.epoch, before.epoch + 2);
}
