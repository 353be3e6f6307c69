//! Real spans, all the way from the export to what differs: recorded of real programs, in every
//! generation of the conventions that programs write. Where they come from: `tests/spans/`. The
//! generation that none of them writes yet (`rpc.status_code`) is in the tests of the keys.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_compare::trace::{OpStats, OperationDiff, SpanKind, Subtree, TraceDiff, diff_pair};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;

use super::labels::Labels;
use super::spans;
use crate::pairing::{Bounds, Outcome, Pair, Pairing, ROLE};

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/spans/recorded/",
            $name,
            ".jsonl"
        ))
    };
}

/// The gazetteer: grpcio with its instrumentation beside tonic.
const GAZETTEER: &str = recording!("gazetteer");
/// The same with a candidate that reads names one by one, and writes twice.
const BROKEN: &str = recording!("gazetteer-broken");
/// Python's instrumentations of 2023, beside today's with the conventions of today.
const PYTHON_OLD_NEW: &str = recording!("python-old-new");
/// Today's with the conventions that they have by default, beside both at once.
const PYTHON_NOW_BOTH: &str = recording!("python-now-both");
/// Today's Python beside today's Go.
const PYTHON_GO: &str = recording!("python-go");
/// Go with the conventions of before, beside both at once.
const GO_OLD_BOTH: &str = recording!("go-old-both");
const OUTBOUND: [&str; 4] = [PYTHON_OLD_NEW, PYTHON_NOW_BOTH, PYTHON_GO, GO_OLD_BOTH];

fn exports(recording: &str) -> Vec<ExportTraceServiceRequest> {
    let export = |line| serde_json::from_str(line).expect("OTLP's JSON");
    recording.lines().map(export).collect()
}

fn spans_of(exports: &[ExportTraceServiceRequest]) -> impl Iterator<Item = &otlp::Span> {
    let resources = exports.iter().flat_map(|export| &export.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

/// The pairs of a recording, in the order of the calls.
fn pairs(recording: &str) -> Vec<Pair> {
    let exports = exports(recording);
    let times = spans_of(&exports).map(|span| span.start_time_unix_nano);
    let began = times.min().unwrap();
    let bounds = Bounds::from(&cutover_manifest::Tracing::default());
    let mut pairing = Pairing::new(bounds, began);
    let mut labels = Labels::default();
    for export in exports {
        let read = spans::read(&export.encode_to_vec(), &mut labels, began).unwrap();
        assert_eq!(read.rejected.count(), 0, "{}", read.rejected.message());
        for received in read.spans {
            assert!(pairing.add(received, Duration::ZERO).is_empty());
        }
    }
    let pair = |outcome| match outcome {
        Outcome::Pair(pair) => *pair,
        Outcome::Incomplete { method, missing } => panic!("{method}: {missing} is missing"),
    };
    let outcomes = pairing.sweep(bounds.quiet);
    let mut pairs: Vec<Pair> = outcomes.into_iter().map(pair).collect();
    pairs.sort_by_key(|pair| pair.legacy.root.start_ns);
    pairs
}

/// The pair of a method's first call.
fn pair(recording: &str, method: &str) -> Pair {
    let mut pairs = pairs(recording).into_iter();
    let found = pairs.find(|pair| pair.method.as_str().ends_with(method));
    found.unwrap_or_else(|| panic!("no call of {method}"))
}

fn diff(pair: &Pair) -> TraceDiff {
    diff_pair(&pair.legacy, &pair.candidate)
}

/// Both arms did the same: these operations, each once, those marked so with an error.
fn alike(recording: &str, method: &str, expected: &[(&str, bool)]) {
    let diff = diff(&pair(recording, method));
    assert!(!diff.mismatched(), "{method}: {:?}", diff.sentences);
    let errors = |stats: &OpStats| (stats.count, stats.errors > 0);
    for operation in &diff.operations {
        assert_eq!(operation.alignment.by_path, 1, "{}", operation.key);
        assert_eq!(errors(&operation.legacy), errors(&operation.candidate));
    }
    let found = |of: &OperationDiff| (of.key.clone(), errors(&of.legacy));
    let found: Vec<_> = diff.operations.iter().map(found).collect();
    let expected = expected
        .iter()
        .map(|(key, failed)| ((*key).to_owned(), (1, *failed)));
    assert_eq!(found, expected.collect::<Vec<_>>(), "{method}");
}

fn operation<'a>(diff: &'a TraceDiff, key: &str) -> &'a OperationDiff {
    let mut operations = diff.operations.iter();
    operations.find(|of| of.key == key).expect(key)
}

#[test]
fn statements_have_one_key_in_python_and_in_rust() {
    alike(
        GAZETTEER,
        "GetPlace",
        &[
            ("db sqlite SELECT count visits", false),
            ("db sqlite SELECT names", false),
            ("db sqlite SELECT places", false),
        ],
    );
    alike(
        GAZETTEER,
        "RecordVisit",
        &[
            ("db sqlite INSERT visits", false),
            ("db sqlite SELECT count visits", false),
            ("db sqlite SELECT places", false),
        ],
    );
    // The one that is not found: both arms look for it, and for nothing more.
    let missed = diff(&pairs(GAZETTEER)[1]);
    assert!(!missed.mismatched(), "{missed:?}");
    assert_eq!(missed.operations.len(), 1);
}

#[test]
fn names_read_one_by_one_are_an_n_plus_one() {
    let broken = diff(&pair(BROKEN, "GetPlace"));
    let names = operation(&broken, "db sqlite SELECT names");
    assert!(names.n_plus_one);
    assert_eq!((names.legacy.count, names.candidate.count), (1, 6));
    assert_eq!(
        broken.sentences,
        [
            "the legacy calls db sqlite SELECT names once, the candidate 6 times",
            "the candidate calls db sqlite SELECT names 6 times in a row: N+1?",
        ]
    );
}

#[test]
fn a_visit_written_twice_is_seen() {
    let broken = diff(&pair(BROKEN, "RecordVisit"));
    let insert = operation(&broken, "db sqlite INSERT visits");
    assert_eq!((insert.legacy.count, insert.candidate.count), (1, 2));
    let sentence = "the legacy calls db sqlite INSERT visits once, the candidate 2 times";
    assert!(broken.sentences.contains(&sentence.to_owned()));
}

#[test]
fn calls_over_grpc_and_http_have_one_key_in_every_generation_and_language() {
    for recording in OUTBOUND {
        alike(
            recording,
            "Reserve",
            &[
                ("rpc grpc spans.v1.Stock/Audit", true),
                ("rpc grpc spans.v1.Stock/Take", false),
            ],
        );
        alike(
            recording,
            "Quote",
            &[
                ("http GET /gone", true),
                ("http GET /rates/{}", false),
                ("http POST /quotes", false),
            ],
        );
    }
}

#[test]
fn statements_have_one_key_in_every_generation() {
    for recording in [PYTHON_OLD_NEW, PYTHON_NOW_BOTH] {
        alike(
            recording,
            "Sell",
            &[
                ("db sqlite INSERT orders", false),
                ("db sqlite SELECT count orders", false),
                ("db sqlite SELECT goods", false),
                ("db sqlite UPDATE goods", false),
            ],
        );
    }
}

#[test]
fn what_a_program_does_inside_itself_is_looked_through() {
    let quote = pair(PYTHON_GO, "Quote");
    let inside = |tree: &Subtree| {
        let kinds = tree.in_order().into_iter().map(|(_, span)| span.kind());
        kinds.filter(|kind| *kind == SpanKind::Internal).count()
    };
    // The GET hangs below Python's INTERNAL span, and below Go's SERVER span: `alike` above has
    // found both in the same place.
    assert_eq!((inside(&quote.legacy), inside(&quote.candidate)), (1, 0));
    assert_eq!(quote.legacy.in_order()[3].0, 3);
    assert_eq!(quote.candidate.in_order()[2].0, 2);
}

/// A recording made anew, by newer programs, must still hold what the tests above are about.
#[test]
fn the_recordings_hold_every_generation() {
    let check = |recording: &str, attributes: &[&str]| {
        let exports = exports(recording);
        let is_arms = |span: &&otlp::Span| span.attributes.iter().all(|pair| pair.key != ROLE);
        let of_arms = spans_of(&exports).filter(is_arms);
        let keys = of_arms.flat_map(|span| &span.attributes);
        let known: BTreeSet<&str> = keys.map(|pair| pair.key.as_str()).collect();
        for attribute in attributes {
            assert!(known.contains(attribute), "{attribute} is not in {known:?}");
        }
    };
    let rpc_before = ["rpc.system", "rpc.service", "rpc.grpc.status_code"];
    let rpc_now = ["rpc.system.name", "rpc.method", "rpc.response.status_code"];
    let sql_before = ["db.system", "db.statement"];
    let sql_now = ["db.system.name", "db.query.text"];
    let http_before = ["http.method", "http.url", "http.status_code"];
    let http_now = [
        "http.request.method",
        "url.full",
        "http.response.status_code",
    ];
    let summed = [
        "db.query.summary",
        "db.operation.name",
        "db.collection.name",
    ];
    check(
        GAZETTEER,
        &[&rpc_before[..], &rpc_now, &sql_before, &sql_now, &summed].concat(),
    );
    check(
        PYTHON_OLD_NEW,
        &[&rpc_before[..], &sql_before, &sql_now].concat(),
    );
    check(PYTHON_OLD_NEW, &[http_before, http_now].concat());
    check(PYTHON_NOW_BOTH, &[http_before, http_now].concat());
    check(
        PYTHON_GO,
        &[&rpc_before[..], &rpc_now, &http_before, &http_now].concat(),
    );
    // Go's status has today's name in all of them.
    check(GO_OLD_BOTH, &[&rpc_before[..2], &rpc_now].concat());
}
