//! What operators see and do, over gRPC and HTTP.

use cutover_proto::cutover::v1 as wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::support::{MANIFEST, METHOD, PATIENCE, Plane, Proxy};

fn weight(scope: &str, weight_bp: Option<u32>, who: &str) -> wire::SetWeightRequest {
    wire::SetWeightRequest {
        scope: scope.into(),
        weight_bp,
        who: who.into(),
        why: "a test".into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_reaches_the_proxies_and_ends_with_its_reset() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    let mut operator = plane.operator().await;
    let status = operator
        .set_weight(weight("*", Some(2_500), "ada"))
        .await
        .unwrap();
    let status = status.into_inner().status.unwrap();
    assert_eq!(
        (
            status.overrides[0].who.as_str(),
            status.overrides[0].weight_bp
        ),
        ("ada", 2_500)
    );
    assert!(
        status
            .methods
            .iter()
            .all(|method| method.weight_owner == "override")
    );
    assert_eq!(
        proxy
            .next_table()
            .await
            .weights
            .as_ref()
            .unwrap()
            .override_bp,
        Some(2_500)
    );
    operator
        .set_weight(weight(METHOD, Some(0), "ada"))
        .await
        .unwrap();
    let weights = proxy.next_table().await.weights.clone().unwrap();
    assert_eq!(weights.override_by_method_bp[METHOD], 0);
    for scope in ["*", METHOD] {
        operator
            .set_weight(weight(scope, None, "bob"))
            .await
            .unwrap();
        proxy.next_table().await;
    }
    assert_eq!(proxy.table.weights.as_ref().unwrap().override_bp, None);
    let decisions = plane.decisions().await;
    let lines: Vec<_> = decisions
        .iter()
        .map(|d| (d.action.as_str(), d.who.as_str(), d.to_bp))
        .collect();
    let expected = [
        ("reset", "bob", 0),
        ("reset", "bob", 0),
        ("override", "ada", 0),
        ("override", "ada", 2_500),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_make_no_sense_are_refused_and_say_what_would_be_right() {
    let plane = Plane::start(MANIFEST).await;
    let mut operator = plane.operator().await;
    for (request, code, says) in [
        (weight("*", Some(1), " "), Code::InvalidArgument, "who"),
        (
            weight("*", Some(10_001), "ada"),
            Code::InvalidArgument,
            "10,000",
        ),
        (
            weight("GetPlace", Some(1), "ada"),
            Code::InvalidArgument,
            "/package.Service/Method",
        ),
        (
            weight("/no.Such/Thing", Some(1), "ada"),
            Code::NotFound,
            METHOD,
        ),
        (
            weight("*", None, "ada"),
            Code::FailedPrecondition,
            "no override",
        ),
    ] {
        let status = operator.set_weight(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(says), "{status}");
    }
    let request = |scope: &str, step: wire::RampMove| wire::MoveRampRequest {
        scope: scope.into(),
        r#move: step.into(),
        who: "ada".into(),
        why: String::new(),
        ..Default::default()
    };
    let pinned = "/gazetteer.v1.GazetteerService/RecordVisit";
    for (request, code, says) in [
        (
            request(METHOD, wire::RampMove::Unspecified),
            Code::InvalidArgument,
            "move",
        ),
        (
            request(METHOD, wire::RampMove::Resume),
            Code::FailedPrecondition,
            "neither",
        ),
        (
            request(pinned, wire::RampMove::Promote),
            Code::FailedPrecondition,
            "pins",
        ),
        (
            request("/no.Such/Thing", wire::RampMove::Pause),
            Code::NotFound,
            METHOD,
        ),
    ] {
        let status = operator.move_ramp(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(says), "{status}");
    }
    assert!(
        plane.decisions().await.is_empty(),
        "what is refused changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_replayed_or_based_on_an_older_state_is_refused() {
    let plane = Plane::start(MANIFEST).await;
    let mut operator = plane.operator().await;
    let revision = plane.status().await.generation;
    let promote = wire::MoveRampRequest {
        scope: "*".into(),
        r#move: wire::RampMove::Promote.into(),
        who: "ada".into(),
        why: "seen enough".into(),
        revision: Some(revision),
    };
    operator.move_ramp(promote.clone()).await.unwrap();
    let replayed = operator.move_ramp(promote).await.unwrap_err();
    assert_eq!(replayed.code(), Code::Aborted);
    let now = revision + 1;
    for says in [
        format!("based on revision {revision}"),
        format!("at revision {now}"),
        "cutover status".to_owned(),
    ] {
        assert!(replayed.message().contains(&says), "{replayed}");
    }
    for other in [revision, now + 1] {
        let stale = wire::SetWeightRequest {
            revision: Some(other),
            ..weight("*", Some(10_000), "ada")
        };
        let status = operator.set_weight(stale).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
    }
    let status = plane.status().await;
    assert_eq!((status.ramps[0].weight_bp, status.generation), (100, now));
    let mut log = plane.decisions().await;
    assert_eq!(log.len(), 1, "what is refused changes nothing");
    assert_eq!(log.remove(0).revision, revision);
    let fresh = wire::SetWeightRequest {
        revision: Some(now),
        ..weight("*", Some(10_000), "ada")
    };
    operator.set_weight(fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pauses_promotes_and_aborts_a_ramp() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    let mut operator = plane.operator().await;
    for (step, weight_bp, phase) in [
        (wire::RampMove::Promote, 100, wire::Phase::Progressing),
        (wire::RampMove::Pause, 100, wire::Phase::Paused),
        (wire::RampMove::Promote, 5_000, wire::Phase::Progressing),
        (wire::RampMove::PromoteFull, 10_000, wire::Phase::Healthy),
        (wire::RampMove::Abort, 0, wire::Phase::Degraded),
    ] {
        let request = wire::MoveRampRequest {
            scope: "*".into(),
            r#move: step.into(),
            who: "ada".into(),
            why: "a test".into(),
            ..Default::default()
        };
        let status = operator
            .move_ramp(request)
            .await
            .unwrap()
            .into_inner()
            .status
            .unwrap();
        assert_eq!(
            (status.ramps[0].weight_bp, status.ramps[0].phase()),
            (weight_bp, phase)
        );
        proxy.next_table().await;
        assert_eq!(proxy.weight_bp(), weight_bp);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_what_differs_with_an_example() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000, 20).await;
    let difference = wire::Difference {
        path: "place.name".into(),
        kind: "value".into(),
        legacy: "Köln".into(),
        candidate: "Koln".into(),
        sufficient_relative: None,
    };
    let sample = wire::Sample {
        id: 1,
        method: METHOD.into(),
        trace_id: "a".repeat(32),
        differences: vec![difference],
        ..Default::default()
    };
    proxy.report(vec![sample]).await;
    plane
        .until(|s| s.methods[0].pairs.as_ref().unwrap().mismatched == 20)
        .await;
    let mut operator = plane.operator().await;
    // The report's samples are saved before its answer is: one thread does both in order.
    let report = loop {
        let report = operator
            .get_report(wire::GetReportRequest {})
            .await
            .unwrap()
            .into_inner();
        if report
            .findings
            .iter()
            .all(|finding| !finding.example.is_empty())
        {
            break report;
        }
    };
    let finding = &report.findings[0];
    assert_eq!(
        (finding.path.as_str(), finding.pairs, finding.compared),
        ("place.name", 20, 1_000)
    );
    assert_eq!(finding.example, "Köln → Koln");
    assert_eq!((report.compared, report.mismatched), (1_000, 20));
    assert!(report.legacy_latency.unwrap().p99_us > 0.0);
    let request = wire::ListDifferencesRequest {
        path: "place.name".into(),
        ..Default::default()
    };
    let listed = operator
        .list_differences(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.samples.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_reads_everything_and_changes_nothing() {
    let plane = Plane::start(MANIFEST).await;
    let (head, body) = plane.http("GET", "/api/status").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["status"]["name"], "gazetteer");
    assert_eq!(
        value["status"]["stepsBp"],
        serde_json::json!([100, 5_000, 10_000])
    );
    for path in [
        "/api/differences?method=x&limit=3",
        "/api/traces?only_mismatched=true",
        "/api/decisions",
        "/api/report",
        "/livez",
        "/readyz",
    ] {
        let (head, _) = plane.http("GET", path).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        let (head, _) = plane.http("POST", path).await;
        assert!(head.starts_with("HTTP/1.1 405"), "{path}: {head}");
    }
    let (head, _) = plane.http("GET", "/api/status/nothing").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(head.contains("default-src 'self'"), "{head}");
    let (_, metrics) = plane.http("GET", "/metrics").await;
    let line = format!("cutover_weight_ratio{{method=\"{METHOD}\"}} 0");
    assert!(metrics.contains(&line), "{metrics}");
    assert!(
        metrics.contains("cutover_pairs_compared_total"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_bring_the_status_at_once_and_again() {
    let plane = Plane::start(MANIFEST).await;
    let address = plane.control.operator_address();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let read = async {
        let mut buffer = [0; 65_536];
        while text.matches("event: status\ndata: {").count() < 2 {
            let n = stream.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "{text}");
            text += &String::from_utf8_lossy(&buffer[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    let (ended, ()) = tokio::join!(stream.read_to_string(&mut text), plane.control.shutdown());
    assert!(ended.is_ok(), "shutting down ends the stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_can_neither_change_weights_nor_read_by_a_name_of_its_own() {
    let plane = Plane::start(MANIFEST).await;
    let (head, _) = plane
        .http("POST", "/cutover.v1.OperatorService/SetWeight")
        .await;
    assert!(head.starts_with("HTTP/1.1 415"), "{head}");
    let (head, _) = plane
        .http("GET", "/cutover.v1.OperatorService/SetWeight")
        .await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let address = plane.control.operator_address();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /api/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 421"), "{text}");
}
