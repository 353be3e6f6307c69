//! What a comparison costs on the shadow runtime: `cargo bench -p cutover-compare`.
#![allow(
    missing_docs,
    reason = "criterion_group! writes an undocumented function"
)]

#[path = "compare/wide.rs"]
mod wide;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cutover_compare::evidence::{
    FieldCell, FieldCounts, FieldNoise, Levels, MemoryCell, MethodQuestion, Question, assess,
};
use cutover_compare::{
    Descriptors, Message, MethodEvidence, Observation, Redaction, compare, judge,
};
use cutover_manifest::{Arm, CompareRules, Gates, Role, Weight};
use cutover_proto::gazetteer::v1::{Place, SearchPlacesResponse, SearchResult};
use prost::Message as _;

const METHOD: &str = "/gazetteer.v1.GazetteerService/SearchPlaces";
/// Results in an answer, the most that the gazetteer gives.
const RESULTS: i64 = 100;

/// An answer; `turned` has its first two results the other way round.
fn answer(search_id: &str, turned: bool) -> Observation {
    let result = |id: i64| SearchResult {
        place: Some(Place {
            id,
            name: format!("Place {id}"),
            population: 1000 * id,
            ..Place::default()
        }),
        score: 1.0 / id as f64,
        matched_name: format!("Place {id}"),
    };
    let mut results: Vec<SearchResult> = (1..=RESULTS).map(result).collect();
    if turned {
        results.swap(0, 1);
    }
    let response = SearchPlacesResponse {
        results,
        search_id: search_id.to_owned(),
    };
    let bytes = response.encode_to_vec().into();
    Observation {
        messages: vec![Message {
            compressed: false,
            bytes,
        }],
        ..Observation::default()
    }
}

fn comparison(criterion: &mut Criterion) {
    let Ok(descriptors) = Descriptors::decode(cutover_proto::gazetteer::FILE_DESCRIPTOR_SET) else {
        return;
    };
    let Some(method) = descriptors.method(METHOD) else {
        return;
    };
    let (rules, redaction) = (CompareRules::default(), Redaction::new([0; 16]));
    let legacy = answer("a", false);
    let mut group = criterion.benchmark_group("compare");
    group.throughput(Throughput::Bytes(legacy.messages[0].bytes.len() as u64));
    let candidates = [
        ("equal bytes", answer("a", false)),
        ("one field", answer("b", false)),
        ("another order", answer("a", true)),
    ];
    for (name, candidate) in candidates {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                compare(
                    method,
                    &rules,
                    black_box(&legacy),
                    black_box(&candidate),
                    &redaction,
                )
            });
        });
    }
}

/// Two answers of 1 KiB with 20 fields: the measure that a comparison should stay below 10 µs by,
/// decoding included.
fn kibibyte(criterion: &mut Criterion) {
    let Some(wide) = wide::Wide::new() else {
        return;
    };
    let (rules, redaction) = (wide::rules(), Redaction::new([0; 16]));
    let legacy = wide.answer(wide::Order::Rising, 0);
    let mut group = criterion.benchmark_group("1 KiB of 20 fields");
    group.throughput(Throughput::Bytes(legacy.messages[0].bytes.len() as u64));
    let candidates = [
        ("equal bytes", wide.answer(wide::Order::Rising, 0)),
        (
            "equal, fields in another order",
            wide.answer(wide::Order::Falling, 0),
        ),
        ("5 differences", wide.answer(wide::Order::Rising, 5)),
    ];
    for (name, candidate) in candidates {
        for (with, rules) in [("", &CompareRules::default()), (", 6 rules", &rules)] {
            group.bench_function(format!("{name}{with}"), |bencher| {
                let (legacy, candidate) = (black_box(&legacy), black_box(&candidate));
                bencher.iter(|| compare(&wide.method, rules, legacy, candidate, &redaction));
            });
        }
    }
}

fn verdict(criterion: &mut Criterion) {
    let gates = Gates {
        p99_ratio: Some(1.0),
        ..Gates::default()
    };
    let Some(weight) = Weight::from_bp(1000) else {
        return;
    };
    let mut evidence = MethodEvidence::default();
    evidence.pairs.compared = 100_000;
    for (arm, calls) in [(Arm::Legacy, 900_000), (Arm::Candidate, 100_000)] {
        let cell = evidence.cell(weight, arm, Role::Primary);
        (cell.calls, cell.failures) = (calls, calls / 1000);
    }
    criterion.bench_function("judge", |bencher| {
        bencher.iter(|| judge(&gates, weight, Levels::of(&gates), black_box(&evidence)));
    });
}

/// A ramp over all methods, each with as many fields that differ, repeats and all.
fn ramp(criterion: &mut Criterion) {
    const METHODS: u64 = 200;
    const FIELDS: u64 = 500;
    let Some(weight) = Weight::from_bp(1000) else {
        return;
    };
    let method = |n: u64| {
        let mut whole = MethodEvidence::default();
        (whole.pairs.compared, whole.pairs.mismatched) = (100_000, 5_000);
        for (arm, calls) in [(Arm::Legacy, 900_000), (Arm::Candidate, 100_000)] {
            let cell = whole.cell(weight, arm, Role::Primary);
            (cell.calls, cell.failures) = (calls, calls / 1000);
            (1..2000).for_each(|us| cell.latency.record(Duration::from_micros(us * us)));
        }
        let field = |field: u64| FieldCell {
            path: "places[].name",
            whole: FieldCounts {
                pairs: 10 + field,
                noise: FieldNoise {
                    only_other: (n + field) % 40,
                    only_repeat: field % 30,
                    both: 3,
                },
            },
            recent: FieldCounts::default(),
        };
        MethodQuestion {
            recent: whole.clone(),
            whole,
            noise_share: 0.05,
            fields: (0..FIELDS).map(field).collect(),
        }
    };
    let question = Question {
        gates: Gates {
            p99_ratio: Some(1.0),
            ..Gates::default()
        },
        weight,
        window: 2,
        methods: (0..METHODS).map(method).collect(),
        memory: MemoryCell::default(),
    };
    criterion.bench_function("assess 200 methods of 500 fields", |bencher| {
        bencher.iter(|| assess(black_box(&question)));
    });
}

criterion_group!(benches, kibibyte, comparison, verdict, ramp);
criterion_main!(benches);
