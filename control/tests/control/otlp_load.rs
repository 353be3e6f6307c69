//! A flood of OTLP: exporters are told to come again, what is held is bounded, other work goes on.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt;

use crate::otlp::{export, pair, span};
use crate::support::{MANIFEST, PATIENCE, Plane, Proxy};

/// Bodies that fit into the receiver's budget of 32 MiB.
const FIT: usize = 8;

/// An export of a little less than 4 MiB.
fn large() -> ExportTraceServiceRequest {
    let attributes = (0..500).map(|n| pair(&format!("{n}"), &"x".repeat(2_000)));
    let span = otlp::Span {
        attributes: attributes.collect(),
        ..span(7, 0, SpanKind::Server, &[])
    };
    export(None, vec![span; 4])
}

/// Sends a body but for its last byte, which comes when `go` says so. Returns the answer's head.
async fn send_slowly(address: SocketAddr, body: Vec<u8>, go: CancellationToken) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (begin, end) = body.split_at(body.len() - 1);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(begin).await.unwrap();
    go.cancelled().await;
    stream.write_all(end).await.unwrap();
    let mut answer = vec![0; 1_000];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).to_lowercase()
}

async fn metric(plane: &Plane, name: &str) -> f64 {
    let (_, metrics) = plane.http("GET", "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    let line = line.expect("no such metric");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_budget_are_turned_away_and_other_work_goes_on() {
    let plane = Plane::start(MANIFEST).await;
    let body = large().encode_to_vec();
    assert!(body.len() * FIT < 32 << 20 && body.len() * (FIT + 1) > 32 << 20);
    let go = CancellationToken::new();
    let mut sending = JoinSet::new();
    for _ in 0..FIT {
        let address = plane.control.listen_address();
        sending.spawn(send_slowly(address, body.clone(), go.clone()));
    }
    let received = async {
        let all = (FIT * (body.len() - 1)) as f64;
        while metric(&plane, "cutover_exports_receiving_bytes").await < all {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, received)
        .await
        .expect("not all was received");

    // The budget is spent.
    let always = CancellationToken::new();
    always.cancel();
    let answer = send_slowly(plane.control.listen_address(), body.clone(), always).await;
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    let mut client = TraceServiceClient::new(plane.channel().await);
    let status = client.export(large()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let retry = status.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    assert_eq!(
        metric(&plane, "cutover_exports_turned_away_total").await,
        2.0
    );
    // What is small finds room, and proxies and operators notice nothing.
    let small = export(None, vec![span(1, 0, SpanKind::Server, &[])]);
    client.export(small).await.unwrap();
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000, 0).await;
    plane
        .until(|status| {
            let counted = |of| pairs(of) == 1_000;
            status.methods.iter().any(counted)
        })
        .await;

    // Those that were being taken are taken, and then there is room again.
    go.cancel();
    let answers = sending.join_all().await;
    let taken = |answer: &String| answer.starts_with("http/1.1 200");
    assert!(answers.iter().all(taken), "{answers:?}");
    client.export(large()).await.unwrap();
    assert_eq!(metric(&plane, "cutover_exports_receiving_bytes").await, 0.0);
}

fn pairs(method: &cutover_proto::cutover::v1::MethodStatus) -> u64 {
    method.pairs.as_ref().map_or(0, |pairs| pairs.compared)
}
