//! Two control planes on one Postgres: what both hear adds up, one of them runs the ramps, and the
//! other goes on when that one is gone.

use std::time::{Duration, Instant};

use cutover_proto::cutover::v1 as wire;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::otlp::{database, export, pair, readings, root, span};
use crate::postgres::Server;
use crate::support::{MANIFEST, METHOD, PATIENCE, Plane, Proxy};

/// A change reaches the proxies of both within this; the promise is one second, the machine may
/// be busy.
const SOON: Duration = Duration::from_secs(3);

/// Two control planes, the one that runs the ramps first.
async fn two() -> Option<(Plane, Plane)> {
    let url = Server::of_this_run()?.make_database();
    let first = Plane::start_on(MANIFEST, &url).await;
    let leads = |s: &wire::Status| {
        let store = s.store.as_ref().unwrap();
        !store.leader.is_empty() && store.leader == store.replica
    };
    first.until(leads).await;
    let second = Plane::start_on(MANIFEST, &url).await;
    let knows = |s: &wire::Status| !s.store.as_ref().unwrap().leader.is_empty();
    assert!(!leads(&second.until(knows).await));
    Some((first, second))
}

fn compared(status: &wire::Status) -> u64 {
    let pairs = status.methods.iter().filter_map(|m| m.pairs.as_ref());
    pairs.map(|pairs| pairs.compared).sum()
}

async fn until_at(proxy: &mut Proxy, weight_bp: u32) {
    while proxy.weight_bp() != weight_bp {
        proxy.next_table().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_control_planes_hear_adds_up_and_moves_the_proxies_of_both() {
    let Some((leader, other)) = two().await else {
        return;
    };
    let mut at_leader = Proxy::connect(&leader, 'a').await;
    let mut at_other = Proxy::connect(&other, 'b').await;
    assert_eq!(at_leader.table, at_other.table);
    // Neither alone has the calls that the gate wants.
    at_leader.count(0, 60, 0).await;
    at_other.count(0, 60, 0).await;
    until_at(&mut at_leader, 100).await;
    let moved = Instant::now();
    until_at(&mut at_other, 100).await;
    assert!(moved.elapsed() < SOON, "{:?}", moved.elapsed());
    assert_eq!(at_leader.table, at_other.table);
    // As proxies do all the time.
    at_leader.report(Vec::new()).await;
    at_other.report(Vec::new()).await;
    for plane in [&leader, &other] {
        let status = plane.until(|s| compared(s) == 120).await;
        let generation = status.generation;
        let both = |s: &wire::Status| {
            s.proxies.len() == 2
                && s.proxies
                    .iter()
                    .all(|p| p.connected && p.applied_generation == generation)
        };
        plane.until(both).await;
        assert_eq!(plane.decisions().await.len(), 1);
    }

    // Bad signs at the one that doesn't run the ramps, and an operator who asks it.
    at_other.forget();
    at_other.count(100, 10_000, 100).await;
    until_at(&mut at_leader, 0).await;
    until_at(&mut at_other, 0).await;
    let mut operator = other.operator().await;
    let all = wire::SetWeightRequest {
        scope: "*".into(),
        weight_bp: Some(2_500),
        who: "ada".into(),
        why: "a try".into(),
        ..Default::default()
    };
    let answer = operator.set_weight(all).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().overrides.len(), 1);
    for proxy in [&mut at_leader, &mut at_other] {
        while proxy.table.weights.as_ref().unwrap().override_bp != Some(2_500) {
            proxy.next_table().await;
        }
    }
    let actions: Vec<String> = leader
        .decisions()
        .await
        .into_iter()
        .map(|d| d.action)
        .collect();
    assert_eq!(actions, ["override", "rollback", "advance"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_gone_the_other_goes_on_where_the_ramp_stood() {
    let Some((leader, other)) = two().await else {
        return;
    };
    let mut at_leader = Proxy::connect(&leader, 'a').await;
    let mut at_other = Proxy::connect(&other, 'b').await;
    at_leader.count(0, 1_000_000, 0).await;
    until_at(&mut at_other, 100).await;
    other.until(|s| compared(s) == 1_000_000).await;
    // Without a farewell: its lease has to run out.
    drop(leader);
    at_other.count(100, 1_000_000, 0).await;
    let gone = Instant::now();
    until_at(&mut at_other, 5_000).await;
    assert!(
        gone.elapsed() < Duration::from_secs(15),
        "{:?}",
        gone.elapsed()
    );
    let status = other.status().await;
    assert_eq!(
        compared(&status),
        2_000_000,
        "what the other had counted stays"
    );
    let store = status.store.unwrap();
    assert_eq!(store.leader, store.replica);
    let ramp = status
        .ramps
        .iter()
        .find(|ramp| ramp.scope == METHOD)
        .unwrap();
    assert_eq!(ramp.step, 1);
    assert_eq!(other.decisions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_any_of_them_is_told_counts_and_whoever_leads_goes_on_from_it() {
    let Some((leader, other)) = two().await else {
        return;
    };
    let mut proxy = Proxy::connect(&other, 'a').await;
    // The arms tell the one that doesn't run the ramps, as behind a load balancer.
    let mut metrics = MetricsServiceClient::new(other.channel().await);
    let mut mib = 20.0;
    let mut leaks_until = async |plane: &Plane, proxy: &mut Proxy, spells: u64| {
        let watched = Instant::now();
        while memory(&plane.status().await).n < spells {
            assert!(watched.elapsed() < PATIENCE, "{:?}", plane.status().await);
            mib += 1.0;
            for (arm, bytes) in [("legacy", 50e6), ("candidate", mib * 1_048_576.0)] {
                let told = readings(arm, mib, bytes, mib as u64);
                metrics.export(told).await.unwrap();
            }
            proxy.forget();
            proxy.count(0, 10_000 * mib as u64, 0).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    leaks_until(&leader, &mut proxy, 1).await;
    let at_leader = memory(&leader.status().await);
    assert_eq!(at_leader.n, at_leader.s, "{at_leader:?}");
    // What it has saved is what the other one shows, and goes on from.
    let shown = other.until(|s| memory(s).n >= 1).await;
    drop(leader);
    let counted = memory(&shown).n;
    leaks_until(&other, &mut proxy, counted + 1).await;
    let at_other = memory(&other.status().await);
    assert_eq!((at_other.n, at_other.s), (counted + 1, counted + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_grow_with_the_answer_are_known_from_what_both_were_told_also_when_one_is_gone()
{
    let Some((leader, other)) = two().await else {
        return;
    };
    tell_growing_reads(&leader, 0).await;
    let (pairs, found) = traced(&other.until(|s| traced(s).0 == 30).await);
    assert_eq!((pairs, found), (30, false), "too few to tell");
    // Without a farewell.
    drop(leader);
    tell_growing_reads(&other, 100).await;
    assert!(traced(&other.until(|s| traced(s).0 == 60).await).1);
}

/// Spans of 30 calls: the longer the answer, the more often the candidate reads.
async fn tell_growing_reads(plane: &Plane, first: u8) {
    let mut client = TraceServiceClient::new(plane.channel().await);
    for n in 0..30 {
        let items = n % 2 + 1;
        let mut answered = root(2, "legacy", "primary");
        let bytes = (100 * u32::from(items)).to_string();
        answered
            .attributes
            .push(pair("cutover.answer.bytes", &bytes));
        let proxy = vec![answered, root(3, "candidate", "shadow")];
        let legacy = vec![span(20, 2, SpanKind::Server, &[]), database(21, 20)];
        let reads = (0..items).map(|read| database(31 + read, 30));
        let server = std::iter::once(span(30, 3, SpanKind::Server, &[]));
        let candidate = server.chain(reads).collect();
        for (arm, mut spans) in [
            (None, proxy),
            (Some("legacy"), legacy),
            (Some("candidate"), candidate),
        ] {
            for span in &mut spans {
                span.trace_id = vec![first + n + 1; 16];
            }
            client.export(export(arm, spans)).await.unwrap();
        }
    }
}

/// Pairs of traces, and whether any operation looks like N+1.
fn traced(status: &wire::Status) -> (u64, bool) {
    let method = status.methods.iter().find(|m| m.method == METHOD);
    let traces = method.and_then(|m| m.traces.clone()).unwrap_or_default();
    (
        traces.compared,
        traces.operations.iter().any(|o| o.n_plus_one),
    )
}

/// The gate that judges memory.
fn memory(status: &wire::Status) -> wire::Gate {
    let verdict = status
        .ramps
        .iter()
        .find(|ramp| ramp.scope == METHOD)
        .and_then(|ramp| ramp.verdict.clone());
    let gates = verdict.unwrap_or_default().gates;
    gates
        .into_iter()
        .find(|gate| gate.name == "memory")
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_well_hands_over_at_once() {
    let Some((leader, other)) = two().await else {
        return;
    };
    leader.control.shutdown().await;
    let asked = Instant::now();
    let leads = |s: &wire::Status| {
        let store = s.store.as_ref().unwrap();
        store.leader == store.replica
    };
    other.until(leads).await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_asked_of_both_at_once_are_all_made() {
    let Some((leader, other)) = two().await else {
        return;
    };
    let mut proxy = Proxy::connect(&leader, 'a').await;
    let (mut one, mut two) = (leader.operator().await, other.operator().await);
    let set = |weight_bp: u32, scope: &str| wire::SetWeightRequest {
        scope: scope.into(),
        weight_bp: Some(weight_bp),
        who: "ada".into(),
        why: "why".into(),
        ..Default::default()
    };
    for round in 1..=10 {
        let (a, b) = tokio::join!(
            one.set_weight(set(round, "*")),
            two.set_weight(set(round, METHOD))
        );
        a.unwrap();
        b.unwrap();
    }
    let last = |table: &wire::RouteTable| {
        let weights = table.weights.clone().unwrap();
        let of_method = weights.override_by_method_bp.get(METHOD).copied();
        (weights.override_bp, of_method)
    };
    while last(&proxy.table) != (Some(10), Some(10)) {
        proxy.next_table().await;
    }
    assert_eq!(other.decisions().await.len(), 20);
    other
        .until(|s| s.overrides.len() == 2 && s.overrides.iter().all(|o| o.weight_bp == 10))
        .await;
}
