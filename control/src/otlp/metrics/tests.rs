//! Exports of the arms' processes as the libraries of both languages write them.

use cutover_manifest::Arm;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp::metric::Data;
use otlp::number_data_point::Value as Number;
use prost::Message;

use super::*;

const CUMULATIVE: i32 = 2;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(Any::StringValue(value.into()));
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    }
}

fn point(value: Number, mode: &str, time: u64) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        attributes: vec![text("cpu.mode", mode)],
        start_time_unix_nano: 1,
        time_unix_nano: time,
        value: Some(value),
        ..Default::default()
    }
}

fn sum(
    name: &str,
    aggregation_temporality: i32,
    data_points: Vec<otlp::NumberDataPoint>,
) -> otlp::Metric {
    otlp::Metric {
        name: name.into(),
        data: Some(Data::Sum(otlp::Sum {
            data_points,
            aggregation_temporality,
            is_monotonic: true,
        })),
        ..Default::default()
    }
}

fn gauge(name: &str, value: Number) -> otlp::Metric {
    let data_points = vec![point(value, "", 9)];
    otlp::Metric {
        name: name.into(),
        data: Some(Data::Gauge(otlp::Gauge { data_points })),
        ..Default::default()
    }
}

fn of(arm: Option<&str>, instance: &str, metrics: Vec<otlp::Metric>) -> otlp::ResourceMetrics {
    let arm = arm.map(|arm| text("cutover.arm", arm));
    let attributes = [text("service.instance.id", instance)]
        .into_iter()
        .chain(arm);
    otlp::ResourceMetrics {
        resource: Some(Resource {
            attributes: attributes.collect(),
            ..Default::default()
        }),
        scope_metrics: vec![otlp::ScopeMetrics {
            metrics,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn read(resource_metrics: Vec<otlp::ResourceMetrics>) -> Readings {
    super::read(&ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()).unwrap()
}

#[test]
fn user_and_system_time_add_up_and_the_newest_of_a_series_counts() {
    let points = vec![
        point(Number::AsDouble(1.5), "user", 5),
        point(Number::AsDouble(0.5), "system", 5),
        point(Number::AsDouble(2.5), "user", 9),
    ];
    let metrics = vec![
        sum("process.cpu.time", CUMULATIVE, points),
        gauge("process.memory.usage", Number::AsInt(7_000)),
        gauge("process.thread.count", Number::AsInt(4)),
        gauge("something.else", Number::AsInt(1)),
    ];
    let read = read(vec![of(Some("legacy"), "a", metrics)]);
    let expected = Reading {
        cpu_seconds: Some(Amount::Total(3.0)),
        memory_bytes: Some(Amount::Total(7_000.0)),
        threads: Some(Amount::Total(4.0)),
        time_unix_ns: 9,
        began_unix_ns: 1,
    };
    assert_eq!(read.readings, [((Arm::Legacy, "a".to_owned()), expected)]);
    assert_eq!(read.rejected.count(), 0);
}

#[test]
fn deltas_of_one_export_add_up() {
    let points = |time| {
        vec![
            point(Number::AsDouble(0.5), "user", time),
            point(Number::AsDouble(0.25), "user", time + 1),
        ]
    };
    let delta = sum("process.cpu.time", DELTA as i32, points(5));
    let read = read(vec![of(Some("candidate"), "a", vec![delta])]);
    assert_eq!(read.readings[0].1.cpu_seconds, Some(Amount::Since(0.75)));
    assert_eq!(read.readings[0].1.time_unix_ns, 6);
}

#[test]
fn each_process_of_an_arm_has_a_reading_and_what_is_of_no_arm_has_none() {
    let memory = || vec![gauge("process.memory.usage", Number::AsInt(1))];
    let read = read(vec![
        of(Some("legacy"), "a", memory()),
        of(Some("legacy"), "b", memory()),
        of(None, "c", memory()),
        of(Some("legacy"), "d", vec![]),
    ]);
    let instances: Vec<&str> = read.readings.iter().map(|of| of.0.1.as_str()).collect();
    assert_eq!(instances, ["a", "b"]);
}

#[test]
fn what_is_no_number_and_what_is_too_much_is_rejected_and_the_rest_kept() {
    let odd = |value| point(Number::AsDouble(value), "user", 5);
    let points = vec![odd(f64::NAN), odd(f64::INFINITY), odd(2.0)];
    let cpu = sum("process.cpu.time", CUMULATIVE, points);
    let read_odd = read(vec![of(Some("legacy"), "a", vec![cpu])]);
    assert_eq!(read_odd.readings[0].1.cpu_seconds, Some(Amount::Total(2.0)));
    assert_eq!(
        read_odd.rejected.message(),
        "a value is not a finite number (2)"
    );

    let many = vec![odd(1.0); MAX_POINTS + 3];
    let cpu = sum("process.cpu.time", DELTA as i32, many);
    let read_many = read(vec![of(Some("legacy"), "a", vec![cpu]); MAX_READINGS + 1]);
    assert_eq!(read_many.readings.len(), MAX_READINGS);
    assert_eq!(
        read_many.rejected.count(),
        3 * (MAX_READINGS as u64 + 1) + 1
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(message in proptest::collection::vec(0..255_u8, 0..200)) {
        let _ = super::read(&message);
    }
}
