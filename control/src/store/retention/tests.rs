use std::collections::HashMap;
use std::time::{Duration, Instant};

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::*;
use crate::store::testing::{Place, on_both};
use crate::store::{
    Change, Sought, Store, Which, find_decision, list_decisions, list_samples, list_trace_pairs,
    load, save_change, save_sample, save_trace_pair,
};

on_both!(
    what_is_old_goes_and_the_last_decisions_stay_whole,
    what_is_too_much_goes_oldest_first,
);

const DAY_MS: i64 = 86_400_000;
const METHODS: [&str; 7] = [
    "/g.S/A", "/g.S/B", "/g.S/C", "/g.S/D", "/g.S/E", "/g.S/F", "/g.S/G",
];

fn keep(days: u64, size_bytes: usize) -> Retention {
    let age = Duration::from_secs(days * 86_400);
    Retention { age, size_bytes }
}

/// Counters of a ramp that has gone through six weights, as a decision keeps them.
fn basis() -> wire::Basis {
    let cell = |weight_bp, arm: wire::Arm, role: wire::Role| wire::CallCounters {
        weight_bp,
        arm: arm.into(),
        role: role.into(),
        by_status: HashMap::from([(0, 1_234_567), (13, 1_234)]),
        failures: 1_234,
        latency: Some(wire::Histogram {
            buckets: (60..140)
                .map(|bucket| (bucket, u64::from(bucket) * 1_001))
                .collect(),
            sum_us: 123_456_789,
        }),
    };
    let arms = [wire::Arm::Legacy, wire::Arm::Candidate];
    let roles = [wire::Role::Primary, wire::Role::Shadow];
    let weights = [0, 100, 500, 2_500, 5_000, 10_000];
    let cells = weights.into_iter().flat_map(|weight| {
        let of_arm = move |arm| roles.map(|role| cell(weight, arm, role));
        arms.into_iter().flat_map(of_arm)
    });
    wire::Basis {
        evidence: Some(wire::MethodReport {
            method: METHODS[0].into(),
            calls: cells.collect(),
            pairs: Some(wire::PairCounters::default()),
        }),
        ..Default::default()
    }
}

fn decision(at_unix_ms: i64) -> wire::Decision {
    let gate = |name: &str| wire::Gate {
        name: name.into(),
        reason: "a sentence with its figures, about as long as one usually is ".repeat(2),
        ..Default::default()
    };
    wire::Decision {
        at_unix_ms,
        scope: METHODS[0].into(),
        action: "advance".into(),
        verdict: Some(wire::Verdict {
            kind: wire::VerdictKind::Advance.into(),
            gates: [
                "min_calls",
                "error_rate",
                "paired_errors",
                "mismatch",
                "latency",
            ]
            .map(gate)
            .to_vec(),
        }),
        ..Default::default()
    }
}

fn sample(at_unix_ms: i64) -> wire::Sample {
    let id = at_unix_ms as u64;
    let difference = |n: u64| wire::Difference {
        path: format!("results[].field_{}", (id / 7 + n) % 70),
        kind: "value".into(),
        legacy: "#0123456789abcdef".into(),
        candidate: "#fedcba9876543210".into(),
        sufficient_relative: None,
    };
    wire::Sample {
        id,
        method: METHODS[id as usize % METHODS.len()].into(),
        trace_id: format!("{id:032x}"),
        at_unix_ms,
        differences: (0..5).map(difference).collect(),
        ..Default::default()
    }
}

fn pair(at_unix_ms: i64) -> wire::TracePair {
    let id = at_unix_ms as u64;
    let span = |n: u64| wire::SpanSummary {
        span_id: format!("{n:016x}"),
        depth: 1,
        name: "SELECT places".into(),
        key: "db sqlite SELECT places".into(),
        duration_us: 1_234,
        ..Default::default()
    };
    let spans: Vec<_> = (0..20).map(span).collect();
    let differs = id.count_ones().is_multiple_of(2);
    wire::TracePair {
        trace_id: format!("{id:032x}"),
        method: METHODS[id as usize % METHODS.len()].into(),
        at_unix_ms,
        legacy: spans.clone(),
        candidate: spans,
        differences: vec!["one more statement".into(); usize::from(differs)],
        ..Default::default()
    }
}

/// A decision, a sample and a pair of traces at each of these times.
async fn fill(store: &Store, times: impl Iterator<Item = i64> + Clone + Send + 'static) {
    let basis = basis();
    let decisions = times.clone().map(|at| wire::Decision {
        basis: Some(basis.clone()),
        ..decision(at)
    });
    let change = Change {
        decisions: decisions.collect(),
        ..Change::default()
    };
    let filled = store.call(move |c| {
        save_change(c, &change)?;
        for at in times {
            save_sample(c, "i", &sample(at))?;
            save_trace_pair(c, &pair(at))?;
        }
        Ok(())
    });
    filled.await.unwrap();
}

async fn has_basis(store: &Store, id: u64) -> bool {
    match store.call(move |c| find_decision(c, id)).await.unwrap() {
        Sought::Found(decision) => decision.basis.is_some(),
        Sought::Unknown(range) => panic!("decision {id} of {range:?}"),
    }
}

async fn what_is_old_goes_and_the_last_decisions_stay_whole(place: Place) {
    let (store, _) = place.store();
    fill(&store, (1..=150).map(|day| day * DAY_MS)).await;
    let prune_at = |day: i64| store.call(move |c| prune(c, keep(90, usize::MAX), day * DAY_MS));
    assert!(!prune_at(90).await.unwrap(), "nothing is old yet");
    assert!(prune_at(150).await.unwrap());
    let oldest = |times: Vec<i64>| times.into_iter().min().unwrap() / DAY_MS;
    let samples = store.call(|c| list_samples(c, "", "", 500)).await.unwrap();
    assert_eq!(oldest(samples.iter().map(|s| s.at_unix_ms).collect()), 60);
    let pairs = store
        .call(|c| list_trace_pairs(c, "", Which::All, 500))
        .await
        .unwrap();
    assert_eq!(oldest(pairs.iter().map(|p| p.at_unix_ms).collect()), 60);
    assert!(!has_basis(&store, 1).await && !has_basis(&store, 50).await);
    assert!(has_basis(&store, 51).await, "one of the last 100");
    assert!(prune_at(100_000).await.unwrap());
    assert!(has_basis(&store, 51).await && has_basis(&store, 150).await);
    let lines = store.call(|c| list_decisions(c, 500)).await.unwrap();
    assert_eq!(lines.len(), 150, "lines of the log stay");
    assert!(!prune_at(100_000).await.unwrap(), "once is enough");
}

async fn what_is_too_much_goes_oldest_first(place: Place) {
    let (store, _) = place.store();
    fill(&store, 0..200).await;
    let before = store.call(size_bytes).await.unwrap();
    let half = before as usize / 2;
    store
        .call(move |c| prune(c, keep(1, half), 200))
        .await
        .unwrap();
    let after = store.call(size_bytes).await.unwrap();
    assert!(
        after <= before / 2 && after > before / 3,
        "{before} → {after}"
    );
    assert!(!has_basis(&store, 1).await && has_basis(&store, 200).await);
    // Nothing that may go is left: what has to stay does, though that is too much.
    store.call(|c| prune(c, keep(1, 0), 200)).await.unwrap();
    assert!(has_basis(&store, 101).await && !has_basis(&store, 100).await);
    assert!(
        store
            .call(|c| list_samples(c, "", "", 10))
            .await
            .unwrap()
            .is_empty()
    );
}

/// Ten decisions a day and 1,000 differences: below 200 MiB, and the dashboard's first page has
/// what it shows within 100 ms.
#[tokio::test]
async fn a_year_of_evidence_is_small_and_read_at_once() {
    let place = Place::sqlite().unwrap();
    let (store, _) = place.store();
    let filled =
        store.call(|c| {
            let basis = basis().encode_to_vec();
            for at in (0..3_650).map(|n| n * DAY_MS / 10) {
                c.execute(
                "INSERT INTO decisions (token, at_unix_ms, body, basis) VALUES ($1, $2, $3, $4)",
                values![&at.to_string(), at, decision(at).encode_to_vec(), basis.clone()],
            )?;
            }
            for at in 0..1_000 {
                save_sample(c, "i", &sample(at))?;
            }
            (0..350).try_for_each(|at| save_trace_pair(c, &pair(at)))
        });
    filled.await.unwrap();
    let kept = store
        .call(|c| list_samples(c, "", "", 5_000))
        .await
        .unwrap();
    assert_eq!(kept.len(), 1_000);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let shown = store.call(|c| {
            let decisions = list_decisions(c, 50)?;
            let samples = list_samples(c, "", "", 50)?;
            Ok((decisions, samples, list_trace_pairs(c, "", Which::All, 20)?))
        });
        let (decisions, samples, pairs) = shown.await.unwrap();
        best = best.min(began.elapsed());
        assert_eq!((decisions.len(), samples.len(), pairs.len()), (50, 50, 20));
    }
    let began = Instant::now();
    store.call(load).await.unwrap();
    let restart = began.elapsed();
    store.shrink();
    store.call(size_bytes).await.unwrap();
    let bytes = place.size_bytes();
    println!(
        "{}: a year is {:.1} MiB with {} differences, the first page takes {best:.1?}, a \
         restart {restart:.1?}",
        place.location,
        bytes as f64 / f64::from(1 << 20),
        kept.len()
    );
    assert!(bytes < 200 << 20, "{bytes}");
    assert!(best < Duration::from_millis(100), "{best:?}");
}

#[tokio::test]
async fn a_file_shrinks_when_rows_go() {
    let place = Place::sqlite().unwrap();
    let (store, _) = place.store();
    fill(&store, 0..200).await;
    store.shrink();
    store.call(size_bytes).await.unwrap();
    let before = place.size_bytes();
    store.call(|c| prune(c, keep(1, 0), 200)).await.unwrap();
    store.shrink();
    store.call(size_bytes).await.unwrap();
    let after = place.size_bytes();
    assert!(after < before * 2 / 3, "{before} → {after}");
}
