//! A store that is lost, damaged or away: what goes on, what waits, and what is told.

use cutover_proto::cutover::v1 as wire;

use crate::postgres::Server;
use crate::support::{MANIFEST, METHOD, Plane, Proxy};

fn ramp(status: &wire::Status) -> &wire::RampStatus {
    status
        .ramps
        .iter()
        .find(|ramp| ramp.scope == METHOD)
        .unwrap()
}

fn away(status: &wire::Status) -> bool {
    !status.store.as_ref().unwrap().error.is_empty()
}

/// The ramp is at its first step; then the store goes.
async fn first_step(plane: &Plane) -> Proxy {
    let mut proxy = Proxy::connect(plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    assert_eq!(proxy.weight_bp(), 100);
    proxy
}

/// While the store is away: the ramp waits though the evidence is good, and says why; a bad sign
/// still brings the weight to 0.
async fn waits_and_still_rolls_back(plane: &Plane, proxy: &mut Proxy) {
    plane.until(away).await;
    proxy.count(100, 1_000_000, 0).await;
    let waits = |status: &wire::Status| {
        let verdict = ramp(status).verdict.as_ref().unwrap();
        let told = |gate: &wire::Gate| gate.reason.contains("the store is unavailable");
        verdict.gates.iter().any(told)
            && status.methods[0].pairs.as_ref().unwrap().compared == 2_000_000
    };
    let status = plane.until(waits).await;
    assert_eq!(ramp(&status).weight_bp, 100);
    assert!(status.store.as_ref().unwrap().unavailable_since_unix_ms > 0);
    let (head, body) = plane.http("GET", "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("store unavailable since"), "{body}");

    proxy.forget();
    proxy.count(100, 1_200_000, 2_000).await;
    while proxy.weight_bp() > 0 {
        proxy.next_table().await;
    }
}

async fn everything_is_there(plane: Plane, proxy: Proxy) {
    plane.until(|status| !away(status)).await;
    let rolled_back = |decisions: &[wire::Decision]| {
        let actions: Vec<&str> = decisions.iter().map(|d| d.action.as_str()).collect();
        actions == ["rollback", "advance"]
    };
    while !rolled_back(&plane.decisions().await) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(proxy);
    let plane = plane.restart().await;
    let status = plane.status().await;
    assert_eq!(ramp(&status).phase(), wire::Phase::Degraded);
    assert_eq!(
        status.methods[0].pairs.as_ref().unwrap().compared,
        1_200_000
    );
    assert!(rolled_back(&plane.decisions().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_stalls_holds_the_ramp_back_and_loses_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let plane = Plane::start_on(MANIFEST, &server.make_database()).await;
    let mut proxy = first_step(&plane).await;
    server.signal("STOP");
    waits_and_still_rolls_back(&plane, &mut proxy).await;
    server.signal("CONT");
    everything_is_there(plane, proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_down_holds_the_ramp_back_and_loses_nothing() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let plane = Plane::start_on(MANIFEST, &server.make_database()).await;
    let mut proxy = first_step(&plane).await;
    server.crash("stay down");
    waits_and_still_rolls_back(&plane, &mut proxy).await;
    server.crash("restart");
    everything_is_there(plane, proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_corrupt_store_the_ramp_stands_at_0_until_a_person_resumes_it() {
    let plane = Plane::start(MANIFEST).await;
    let before = first_step(&plane).await.table;
    let plane = plane
        .restart_after(|folder| {
            let file = folder.join("cutover.db");
            let mut bytes = std::fs::read(&file).unwrap();
            let half = bytes.len() / 2;
            bytes[512..half].fill(0xa5);
            std::fs::write(&file, bytes).unwrap();
        })
        .await;
    let proxy = Proxy::connect(&plane, 'a').await;
    assert_eq!(
        proxy.weight_bp(),
        0,
        "lower is safe, where the place is not known"
    );
    assert!(proxy.table.generation > before.generation);
    assert!(proxy.table.epoch > before.epoch);
    let status = plane.status().await;
    assert_eq!(ramp(&status).phase(), wire::Phase::Paused);
    assert!(ramp(&status).reason.contains("corrupt"), "{status:?}");
    assert_eq!(plane.decisions().await[0].action, "quarantine");

    // Good evidence alone moves nothing, also after another restart.
    let plane = plane.restart().await;
    let mut proxy_again = Proxy::connect(&plane, 'b').await;
    proxy_again.count(0, 1_000_000, 0).await;
    let judged = |s: &wire::Status| {
        ramp(s)
            .verdict
            .as_ref()
            .is_some_and(|v| !v.gates.is_empty())
    };
    assert_eq!(ramp(&plane.until(judged).await).weight_bp, 0);
    let mut operator = plane.operator().await;
    let resume = wire::MoveRampRequest {
        scope: "*".into(),
        r#move: wire::RampMove::Resume.into(),
        who: "ada".into(),
        why: "looked".into(),
        ..Default::default()
    };
    operator.move_ramp(resume).await.unwrap();
    while proxy_again.weight_bp() == 0 {
        proxy_again.next_table().await;
    }
    drop(proxy);
}
