//! The decision log: what a line holds, and that its figures come out of its counters again.

use cutover_compare::evidence::{ln_e_above, ln_e_rate_below};
use cutover_proto::cutover::v1 as wire;
use tonic::Code;

use crate::support::{MANIFEST, METHOD, Plane, Proxy};

async fn decision(plane: &Plane, id: u64) -> Result<wire::Decision, tonic::Status> {
    let request = wire::ListDecisionsRequest {
        id,
        ..Default::default()
    };
    let answer = plane.operator().await.list_decisions(request).await?;
    Ok(answer.into_inner().decisions.remove(0))
}

fn gate<'a>(decision: &'a wire::Decision, name: &str) -> &'a wire::Gate {
    let gates = &decision.verdict.as_ref().unwrap().gates;
    gates.iter().find(|gate| gate.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_can_be_judged_again_from_what_the_log_holds() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let sample = wire::Sample {
        id: 1,
        method: METHOD.into(),
        trace_id: "a".repeat(32),
        differences: vec![wire::Difference {
            path: "place.name".into(),
            kind: "value".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    proxy.report(vec![sample]).await;
    proxy.count(100, 1_000, 900).await;
    proxy.next_table().await;

    let advance = decision(&plane, 1).await.unwrap();
    assert_eq!(
        (advance.action.as_str(), advance.phase()),
        ("advance", wire::Phase::Progressing)
    );
    let basis = advance.basis.clone().unwrap();
    let pairs = basis.evidence.clone().unwrap().pairs.unwrap();
    let bound = basis.gates.unwrap().mismatch_below;
    assert_eq!((pairs.compared, basis.weight_bp), (1_000_000, 0));
    let again = ln_e_rate_below(pairs.compared, pairs.mismatched, bound);
    assert_eq!(gate(&advance, "mismatch").log_e, Some(again));

    let rollback = decision(&plane, 2).await.unwrap();
    assert_eq!(
        (rollback.action.as_str(), rollback.phase()),
        ("rollback", wire::Phase::Degraded)
    );
    let basis = rollback.basis.clone().unwrap();
    let pairs = basis.evidence.unwrap().pairs.unwrap();
    let bound = basis.gates.unwrap().mismatch_below;
    assert_eq!((pairs.mismatched, basis.weight_bp), (900, 100));
    let again = ln_e_above(pairs.compared, pairs.mismatched, bound);
    assert_eq!(gate(&rollback, "mismatch").log_e, Some(again));
    assert_eq!(rollback.samples[0].trace_id, "a".repeat(32));

    let listed = plane.decisions().await;
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|line| line.basis.is_none()),
        "lists stay small"
    );
    let (head, body) = plane.http("GET", "/api/decisions?id=2").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("\"basis\""), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_decision_says_which_there_are() {
    let plane = Plane::start(MANIFEST).await;
    let status = decision(&plane, 7).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("none was made yet"), "{status}");
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let status = decision(&plane, 7).await.unwrap_err();
    assert!(status.message().contains("1 to 1"), "{status}");
    let (head, _) = plane.http("GET", "/api/decisions?id=7").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
