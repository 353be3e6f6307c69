//! Reports in, weights out.

use cutover_proto::cutover::v1 as wire;
use tonic::Code;
use wire::sync_request::Kind;

use crate::support::{MANIFEST, METHOD, Plane, Proxy};

pub(crate) fn phase(status: &wire::Status) -> wire::Phase {
    status
        .ramps
        .iter()
        .find(|ramp| ramp.scope == METHOD)
        .unwrap()
        .phase()
}

/// Good evidence at each weight, until the last step.
pub(crate) async fn climb(proxy: &mut Proxy) {
    for (weight_bp, next_bp) in [(0, 100), (100, 5_000), (5_000, 10_000)] {
        assert_eq!(proxy.weight_bp(), weight_bp);
        proxy.count(weight_bp, 1_000_000, 0).await;
        proxy.next_table().await;
        assert_eq!(proxy.weight_bp(), next_bp);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_evidence_raises_the_weight_step_by_step() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    assert!(
        !proxy
            .table
            .weights
            .as_ref()
            .unwrap()
            .ramp_by_method_bp
            .contains_key("/gazetteer.v1.GazetteerService/RecordVisit")
    );
    climb(&mut proxy).await;
    let generation = proxy.table.generation;
    let status = plane
        .until(|s| s.proxies[0].applied_generation == generation)
        .await;
    assert_eq!(phase(&status), wire::Phase::Healthy);
    let method = status.methods.iter().find(|m| m.method == METHOD).unwrap();
    assert_eq!(
        (method.weight_bp, method.weight_owner.as_str()),
        (10_000, "ramp")
    );
    assert_eq!(method.pairs.as_ref().unwrap().compared, 3_000_000);
    let decisions = plane.decisions().await;
    let steps: Vec<(u32, u32)> = decisions.iter().map(|d| (d.from_bp, d.to_bp)).collect();
    assert_eq!(steps, [(5_000, 10_000), (100, 5_000), (0, 100)]);
    assert!(
        decisions
            .iter()
            .all(|d| d.action == "advance" && d.who == "ramp")
    );
    assert!(
        decisions
            .iter()
            .all(|d| !d.verdict.as_ref().unwrap().gates.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_evidence_moves_nothing() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 5, 0).await;
    let waits = |s: &wire::Status| {
        let verdict = s.ramps[0].verdict.as_ref();
        verdict.is_some_and(|verdict| verdict.kind() == wire::VerdictKind::Wait)
    };
    let status = plane.until(waits).await;
    assert_eq!(
        (phase(&status), status.ramps[0].weight_bp),
        (wire::Phase::Progressing, 0)
    );
    let gates = &status.ramps[0].verdict.as_ref().unwrap().gates;
    assert!(
        gates.iter().any(|gate| gate.more_calls.is_some()),
        "{gates:?}"
    );
    assert!(plane.decisions().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_evidence_rolls_back_to_zero_and_latches_until_resumed_in_a_new_epoch() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    climb(&mut proxy).await;
    let epoch = proxy.table.epoch;
    proxy.count(10_000, 2_000, 1_000).await;
    proxy.next_table().await;
    assert_eq!(proxy.weight_bp(), 0);
    let status = plane.status().await;
    assert_eq!(phase(&status), wire::Phase::Degraded);
    let decision = plane.decisions().await.remove(0);
    assert_eq!((decision.action.as_str(), decision.to_bp), ("rollback", 0));
    let verdict = decision.verdict.unwrap();
    assert_eq!(verdict.kind(), wire::VerdictKind::Rollback);
    assert_eq!(decision.why, status.ramps[0].reason);

    let mut operator = plane.operator().await;
    let resume = wire::MoveRampRequest {
        scope: METHOD.into(),
        r#move: wire::RampMove::Resume.into(),
        who: "ada".into(),
        why: "fixed".into(),
        ..Default::default()
    };
    operator.move_ramp(resume).await.unwrap();
    proxy.next_table().await;
    assert_eq!((proxy.table.epoch, proxy.weight_bp()), (epoch + 1, 0));
    let status = plane.status().await;
    assert_eq!(phase(&status), wire::Phase::Progressing);
    assert_eq!(status.methods[0].pairs.as_ref().unwrap().compared, 0);
    proxy.forget();
    climb(&mut proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let before = proxy.table.clone();
    assert_eq!(proxy.weight_bp(), 100);
    let (plane, ()) = tokio::join!(plane.restart(), async {
        assert_eq!(proxy.end().await.code(), Code::Unavailable);
    });
    let mut again = Proxy::connect(&plane, 'a').await;
    assert_eq!((again.weight_bp(), again.table.epoch), (100, before.epoch));
    assert!(again.table.generation > before.generation);
    let status = plane.status().await;
    assert_eq!(
        status.methods[0].pairs.as_ref().unwrap().compared,
        1_000_000
    );
    assert_eq!(plane.decisions().await.len(), 1);
    again.count(100, 1_000_000, 0).await;
    again.report(Vec::new()).await;
    again.next_table().await;
    assert_eq!(again.weight_bp(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_add_up_and_both_get_the_table() {
    let plane = Plane::start(MANIFEST).await;
    let mut one = Proxy::connect(&plane, 'a').await;
    let mut two = Proxy::connect(&plane, 'b').await;
    one.count(0, 500_000, 0).await;
    two.count(0, 500_000, 0).await;
    one.next_table().await;
    two.next_table().await;
    assert_eq!((one.weight_bp(), two.weight_bp()), (100, 100));
    let status = plane
        .until(|s| s.methods[0].pairs.as_ref().unwrap().compared == 1_000_000)
        .await;
    assert_eq!(
        status
            .proxies
            .iter()
            .filter(|proxy| proxy.connected)
            .count(),
        2
    );
    drop(one);
    let status = plane
        .until(|s| s.proxies.iter().filter(|p| p.connected).count() == 1)
        .await;
    assert_eq!(
        status.methods[0].pairs.as_ref().unwrap().compared,
        1_000_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_true_ends_the_stream_and_counts_nothing() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    let pairs = wire::PairCounters {
        compared: 1,
        mismatched: 2,
        ..Default::default()
    };
    let method = wire::MethodReport {
        method: METHOD.into(),
        calls: vec![],
        pairs: Some(pairs),
    };
    let report = wire::Report {
        epoch: proxy.table.epoch,
        sequence: 1,
        methods: vec![method],
        ..Default::default()
    };
    proxy.say(Kind::Report(report)).await;
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("mismatched is 2 of 1"),
        "{status}"
    );
    assert_eq!(
        plane.status().await.methods[0]
            .pairs
            .as_ref()
            .unwrap()
            .compared,
        0
    );

    let mut proxy = Proxy::connect(&plane, 'b').await;
    proxy.say(Kind::Hello(wire::Hello::default())).await;
    assert_eq!(proxy.end().await.code(), Code::InvalidArgument);
}
