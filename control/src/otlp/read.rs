//! OTLP messages into spans and readings. Whatever comes is bounded here: attributes in number and
//! length, names in length; ids must be whole.

use std::collections::{BTreeMap, BTreeSet};

use cutover_compare::trace::{Span, SpanKind};
use cutover_manifest::Arm;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as WireKind;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, status::StatusCode};

use crate::deploys::Running;
use crate::pairing::{ARM, Received};
use crate::process::{ProcessKey, Reading};

/// Most attributes of a span that are kept.
const MAX_ATTRIBUTES: usize = 64;
/// Longest attribute value or name that is kept, bytes.
const MAX_TEXT_BYTES: usize = 1_024;
/// Most senders of one export whose versions are looked at.
const MAX_RUNNING: usize = 64;

/// What an export brought.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) spans: Vec<Received>,
    pub(super) rejected: u64,
    /// Why the last one was rejected.
    pub(super) reason: &'static str,
    /// What the senders run.
    pub(super) running: BTreeSet<Running>,
}

/// Reads spans; those with ids that are not ids are rejected.
pub(super) fn spans(request: ExportTraceServiceRequest) -> Spans {
    let mut read = Spans {
        running: running(request.resource_spans.iter().map(|of| &of.resource)),
        ..Spans::default()
    };
    for resource in request.resource_spans {
        let sender = arm_of(resource.resource.as_ref());
        for span in resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            match read_span(span) {
                Ok(span) => read.spans.push(Received { span, sender }),
                Err(reason) => {
                    read.rejected += 1;
                    read.reason = reason;
                }
            }
        }
    }
    read
}

/// Which versions the arms among the senders run, as far as they say it.
pub(super) fn running<'a>(
    resources: impl Iterator<Item = &'a Option<Resource>>,
) -> BTreeSet<Running> {
    let of = |resource: &Option<Resource>| {
        let resource = resource.as_ref();
        let version = text_at(resource, "service.version")?;
        (!version.is_empty()).then_some(())?;
        Some(Running {
            arm: arm_of(resource)?,
            service: text_at(resource, "service.name").unwrap_or_default(),
            version,
        })
    };
    resources.filter_map(of).take(MAX_RUNNING).collect()
}

/// Reads what the arms' processes say about CPU, memory and threads.
pub(super) fn readings(request: &ExportMetricsServiceRequest) -> Vec<(ProcessKey, Reading)> {
    let mut readings: BTreeMap<ProcessKey, Reading> = BTreeMap::new();
    for resource in &request.resource_metrics {
        let Some(arm) = arm_of(resource.resource.as_ref()) else {
            continue;
        };
        let reading = readings
            .entry((arm, instance_of(resource.resource.as_ref())))
            .or_default();
        for metric in resource
            .scope_metrics
            .iter()
            .flat_map(|scope| &scope.metrics)
        {
            let points = match &metric.data {
                Some(Data::Sum(sum)) => &sum.data_points,
                Some(Data::Gauge(gauge)) => &gauge.data_points,
                _ => continue,
            };
            let total: f64 = points.iter().map(number).filter(|n| n.is_finite()).sum();
            match metric.name.as_str() {
                "process.cpu.time" => {
                    reading.cpu_seconds = Some(total.max(0.0));
                    let newest = points.iter().map(|point| point.time_unix_nano).max();
                    reading.time_unix_ns = newest.unwrap_or(0);
                }
                "process.memory.usage" => reading.memory_bytes = Some(total.max(0.0) as u64),
                "process.thread.count" => reading.threads = Some(total.max(0.0) as u64),
                _ => {}
            }
        }
    }
    readings.retain(|_, reading| *reading != Reading::default());
    readings.into_iter().collect()
}

fn read_span(span: otlp::Span) -> Result<Span, &'static str> {
    let trace_id: [u8; 16] = span
        .trace_id
        .try_into()
        .map_err(|_| "trace_id is not 16 bytes")?;
    let span_id: [u8; 8] = span
        .span_id
        .try_into()
        .map_err(|_| "span_id is not 8 bytes")?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return Err("trace_id or span_id is all zeros");
    }
    let parent_id = match span.parent_span_id.as_slice() {
        [] => None,
        bytes => Some(<[u8; 8]>::try_from(bytes).map_err(|_| "parent_span_id is not 8 bytes")?),
    };
    let kind = match WireKind::try_from(span.kind) {
        Ok(WireKind::Server) => SpanKind::Server,
        Ok(WireKind::Client) => SpanKind::Client,
        Ok(WireKind::Producer) => SpanKind::Producer,
        Ok(WireKind::Consumer) => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    Ok(Span {
        trace_id,
        span_id,
        parent_id: parent_id.filter(|parent| *parent != [0; 8]),
        name: shortened(span.name),
        kind,
        start_ns: span.start_time_unix_nano,
        // A clock that went back must not make a duration of centuries.
        end_ns: span.end_time_unix_nano.max(span.start_time_unix_nano),
        error: span
            .status
            .is_some_and(|status| status.code == i32::from(StatusCode::Error)),
        attributes: attributes(span.attributes),
    })
}

/// The attributes, the proxy's and those of the conventions first where there are too many.
fn attributes(mut given: Vec<KeyValue>) -> Vec<(String, String)> {
    if given.len() > MAX_ATTRIBUTES {
        let wanted = [
            "cutover.",
            "rpc.",
            "db.",
            "http.",
            "messaging.",
            "server.",
            "url.",
        ];
        given.sort_by_key(|pair| !wanted.iter().any(|prefix| pair.key.starts_with(prefix)));
        given.truncate(MAX_ATTRIBUTES);
    }
    let text = |pair: KeyValue| {
        let value = text_of(pair.value?)?;
        (pair.key.len() <= MAX_TEXT_BYTES).then(|| (pair.key, shortened(value)))
    };
    given.into_iter().filter_map(text).collect()
}

/// Simple values as text; lists and maps tell the comparison nothing.
fn text_of(value: AnyValue) -> Option<String> {
    match value.value? {
        Value::StringValue(text) => Some(text),
        Value::BoolValue(flag) => Some(flag.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    text
}

fn arm_of(resource: Option<&Resource>) -> Option<Arm> {
    Arm::parse(&text_at(resource, ARM)?)
}

fn text_at(resource: Option<&Resource>, key: &str) -> Option<String> {
    let pair = resource?.attributes.iter().find(|pair| pair.key == key)?;
    Some(shortened(text_of(pair.value.clone()?)?))
}

/// What tells processes of one arm apart.
fn instance_of(resource: Option<&Resource>) -> String {
    let parts = ["service.instance.id", "host.name", "process.pid"]
        .into_iter()
        .filter_map(|key| text_at(resource, key));
    shortened(parts.collect::<Vec<_>>().join("/"))
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1 as metrics;

    use super::*;

    fn pair(key: &str, value: Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue {
            key: key.into(),
            value,
            ..KeyValue::default()
        }
    }

    fn export(span: otlp::Span) -> Spans {
        let scope = otlp::ScopeSpans {
            spans: vec![span],
            ..Default::default()
        };
        let resource = otlp::ResourceSpans {
            scope_spans: vec![scope],
            ..Default::default()
        };
        spans(ExportTraceServiceRequest {
            resource_spans: vec![resource],
        })
    }

    #[test]
    fn rejects_spans_whose_ids_are_not_ids() {
        let good = || otlp::Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            ..otlp::Span::default()
        };
        assert_eq!(export(good()).spans.len(), 1);
        for bad in [
            otlp::Span {
                trace_id: vec![1; 15],
                ..good()
            },
            otlp::Span {
                trace_id: vec![0; 16],
                ..good()
            },
            otlp::Span {
                span_id: vec![],
                ..good()
            },
            otlp::Span {
                parent_span_id: vec![3; 9],
                ..good()
            },
        ] {
            let read = export(bad);
            assert_eq!((read.spans.len(), read.rejected), (0, 1));
            assert!(!read.reason.is_empty());
        }
    }

    #[test]
    fn bounds_what_it_keeps_of_a_hostile_span() {
        let mut attributes: Vec<KeyValue> = (0..10_000)
            .map(|n| pair(&format!("x{n}"), Value::IntValue(n)))
            .collect();
        attributes.push(pair("rpc.method", Value::StringValue("é".repeat(5_000))));
        let read = export(otlp::Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "n".repeat(100_000),
            start_time_unix_nano: u64::MAX,
            end_time_unix_nano: 0,
            attributes,
            ..otlp::Span::default()
        });
        let span = &read.spans[0].span;
        assert_eq!(
            (span.attributes.len(), span.name.len()),
            (MAX_ATTRIBUTES, MAX_TEXT_BYTES)
        );
        assert_eq!(span.attributes[0].0, "rpc.method");
        assert_eq!(span.end_ns, span.start_ns);
    }

    #[test]
    fn adds_user_and_system_time_of_an_arms_process() {
        let point = |value| metrics::NumberDataPoint {
            time_unix_nano: 5,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..Default::default()
        };
        let sum = metrics::Sum {
            data_points: vec![point(1.5), point(0.5)],
            ..Default::default()
        };
        let metric = metrics::Metric {
            name: "process.cpu.time".into(),
            data: Some(Data::Sum(sum)),
            ..Default::default()
        };
        let scope = metrics::ScopeMetrics {
            metrics: vec![metric],
            ..Default::default()
        };
        let arm = pair(ARM, Value::StringValue("legacy".into()));
        let resource = Resource {
            attributes: vec![arm],
            ..Default::default()
        };
        let mut resource_metrics = metrics::ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..Default::default()
        };
        let request = |resource: &metrics::ResourceMetrics| ExportMetricsServiceRequest {
            resource_metrics: vec![resource.clone()],
        };
        let read = readings(&request(&resource_metrics));
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].0.0, read[0].1.cpu_seconds),
            (Arm::Legacy, Some(2.0))
        );
        resource_metrics.resource = None;
        assert!(
            readings(&request(&resource_metrics)).is_empty(),
            "of no arm"
        );
    }
}
