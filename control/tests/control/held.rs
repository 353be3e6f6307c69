//! Evidence against a candidate that answers nobody: the ramp is held, and not latched.

use cutover_proto::cutover::v1 as wire;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use crate::otlp::by;
use crate::ramp::{climb, phase};
use crate::support::{MANIFEST, Plane, Proxy};

/// The candidate says which version it is.
async fn run(plane: &Plane, version: &str) {
    let mut spans = TraceServiceClient::new(plane.channel().await);
    spans.export(by(Some(version), "a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_fails_holds_the_ramp_until_a_deploy_that_passes() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    run(&plane, "1").await;
    proxy.count(0, 1_000, 900).await;
    proxy.next_table().await;
    let status = plane.status().await;
    assert_eq!(
        (phase(&status), status.ramps[0].weight_bp),
        (wire::Phase::Progressing, 0)
    );
    let hold = plane.decisions().await.remove(0);
    assert_eq!((hold.action.as_str(), hold.who.as_str()), ("hold", "ramp"));
    assert_eq!(hold.why, status.ramps[0].reason);
    assert_eq!(
        hold.verdict.unwrap().kind(),
        wire::VerdictKind::Rollback,
        "with what it was drawn from"
    );
    // However good the evidence becomes in the same epoch. Of another weight, for one cell is
    // counted once.
    proxy.count(1, 10_000_000, 0).await;
    let stays = |status: &wire::Status| {
        let gates = status.ramps[0].verdict.iter().flat_map(|v| &v.gates);
        let held = |gate: &wire::Gate| gate.reason.contains("begins it anew");
        status.methods[0].pairs.as_ref().unwrap().compared == 10_001_000
            && gates.into_iter().any(held)
    };
    let status = plane.until(stays).await;
    assert_eq!(status.ramps[0].weight_bp, 0);

    run(&plane, "2").await;
    proxy.next_table().await;
    let status = plane.status().await;
    assert_eq!(status.ramps[0].reason, "");
    proxy.forget();
    climb(&mut proxy).await;
    let decisions = plane.decisions().await;
    let actions: Vec<&str> = decisions.iter().map(|d| d.action.as_str()).collect();
    assert_eq!(actions, ["advance", "advance", "advance", "deploy", "hold"]);
}
