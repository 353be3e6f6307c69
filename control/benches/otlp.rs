//! Spans per second on one core, from the bytes of an export to the counters of the comparison:
//! `cargo bench -p cutover-control --bench otlp`. The target is 100,000.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

#[path = "../tests/spans/exports.rs"]
mod spans;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cutover_control::Way;
use cutover_manifest::Tracing;

/// Calls in one round; their spans come in three exports, as from three processes.
const CALLS: u64 = 500;
/// Three of the proxy, three of each arm.
const SPANS_PER_CALL: u64 = 9;

fn way(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("otlp");
    group.throughput(Throughput::Elements(CALLS * SPANS_PER_CALL));
    group.bench_function("decode, pair and compare", |bench| {
        let mut way = Way::new(&Tracing::default());
        let (mut round, mut compared) = (0, 0);
        bench.iter_batched(
            || {
                round += 1;
                (round, spans::exports(round * CALLS..(round + 1) * CALLS))
            },
            |(round, exports)| {
                let now = Duration::from_secs(round * 3);
                for export in &exports {
                    way.take(black_box(export), now, spans::NOW);
                }
                way.sweep(now + Duration::from_secs(2));
                compared += CALLS;
            },
            criterion::BatchSize::LargeInput,
        );
        assert_eq!(way.compared(), compared, "every call was paired");
        assert_eq!(way.held().0, 0);
    });
    group.finish();
}

criterion_group!(benches, way);
criterion_main!(benches);
