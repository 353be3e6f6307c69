//! OTLP over HTTP/1.1 on the port that gRPC has, byte for byte as exporters speak it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_types::pb;

use crate::otlp::{database, export, root, span};
use crate::support::{MANIFEST, METHOD, PATIENCE, Plane};

/// An answer to a request over HTTP/1.1.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn error(&self) -> pb::Status {
        assert!(
            self.head.contains("content-type: application/x-protobuf"),
            "{self:?}"
        );
        pb::Status::decode(self.body.as_slice()).unwrap()
    }
}

async fn send(plane: &Plane, request: &str, headers: &str, body: &[u8]) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(plane.control.listen_address())
            .await
            .unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\
             {headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Where the answer comes before all of a large body was taken, the rest may be refused.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..count]);
        }
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec())
        .unwrap()
        .to_lowercase();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: answer[end + 4..].to_vec(),
        head,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const GZIP: &str = "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n";

async fn traces(plane: &Plane, request: &ExportTraceServiceRequest) -> Answer {
    send(plane, "POST /v1/traces", PROTOBUF, &request.encode_to_vec()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_spans_come_by_http_and_packed_is_compared() {
    let plane = Plane::start(MANIFEST).await;
    let candidate = vec![span(30, 3, SpanKind::Server, &[]), database(31, 30)];
    let legacy = vec![span(20, 2, SpanKind::Server, &[]), database(21, 20)];
    let proxy = vec![
        root(3, "candidate", "shadow"),
        root(2, "legacy", "primary"),
        span(1, 0, SpanKind::Server, &[]),
    ];
    for (arm, spans) in [(Some("candidate"), candidate), (None, proxy)] {
        let answer = traces(&plane, &export(arm, spans)).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
        assert!(answer.head.contains("content-type: application/x-protobuf"));
    }
    let packed = gzip(&export(Some("legacy"), legacy).encode_to_vec());
    let answer = send(&plane, "POST /v1/traces", GZIP, &packed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let status = plane
        .until(|status| {
            let methods = &mut status.methods.iter();
            methods.any(|of| {
                of.traces
                    .as_ref()
                    .is_some_and(|traces| traces.compared == 1)
            })
        })
        .await;
    let method = status
        .methods
        .iter()
        .find(|of| of.method == METHOD)
        .unwrap();
    assert_eq!(method.traces.as_ref().unwrap().mismatched, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_spans_are_a_partial_success_and_the_good_ones_are_kept() {
    let plane = Plane::start(MANIFEST).await;
    let bad = otlp::Span {
        span_id: vec![0; 8],
        ..span(1, 0, SpanKind::Server, &[])
    };
    let answer = traces(&plane, &export(None, vec![bad, database(2, 1)])).await;
    assert_eq!(answer.status, 200);
    let answer = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("all zeros"), "{partial:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_a_status_in_the_body() {
    let plane = Plane::start(MANIFEST).await;
    let check = async |request: &str, headers: &str, body: &[u8], status: u16, part: &str| {
        let answer = send(&plane, request, headers, body).await;
        assert_eq!(answer.status, status, "{request} {headers} {answer:?}");
        let error = answer.error();
        assert!(error.message.contains(part), "{error:?}");
        answer
    };
    let (traces, metrics) = ("POST /v1/traces", "POST /v1/metrics");
    check(
        traces,
        PROTOBUF,
        b"{\"resourceSpans\":[]}",
        400,
        "no export of OTLP",
    )
    .await;
    check(metrics, PROTOBUF, &[0x0a, 0x7f], 400, "no export of OTLP").await;
    check(traces, GZIP, b"not gzip", 400, "not gzip").await;
    let json = "content-type: application/json; charset=utf-8\r\n";
    check(traces, json, b"{}", 415, "only application/x-protobuf").await;
    check(traces, "", b"", 415, "only application/x-protobuf").await;
    let zstd = format!("{PROTOBUF}content-encoding: zstd\r\n");
    check(traces, &zstd, b"", 415, "only gzip").await;
    let answer = check("GET /v1/traces", "", b"", 405, "POST").await;
    assert!(answer.head.contains("allow: post"), "{answer:?}");
    check(
        "POST /v1/logs",
        PROTOBUF,
        b"",
        404,
        "/v1/traces and /v1/metrics",
    )
    .await;

    let limit = 4 << 20;
    check(traces, PROTOBUF, &vec![0; limit + 1], 413, "4 MiB").await;
    // A bomb: small on the wire, large inside.
    check(traces, GZIP, &gzip(&vec![0; 64 << 20]), 413, "4 MiB").await;
    // 4 MiB to the byte: one span with a long name.
    let huge = |length: usize| {
        let name = "n".repeat(length);
        export(
            None,
            vec![otlp::Span {
                name,
                ..span(2, 0, SpanKind::Server, &[])
            }],
        )
    };
    let exact = huge(limit - (huge(limit).encoded_len() - limit));
    assert_eq!(exact.encoded_len(), limit);
    let packed = gzip(&exact.encode_to_vec());
    let answer = send(&plane, traces, GZIP, &packed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
