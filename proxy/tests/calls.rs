//! Calls through a whole proxy, to two real servers that only differ in what they say they serve.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover_compare::{Comparison, Method, Observation, Redaction, compare};
use cutover_manifest::{CompareRules, Manifest};
use cutover_proxy::{Comparer, Proxy, ProxyOptions};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A server with health and reflection; `name` is the one service it knows.
async fn arm(name: &'static str) -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(name, tonic_health::ServingStatus::Serving)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(health)
        .add_service(reflection);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn proxy(legacy: SocketAddr, candidate: SocketAddr, rules: &str) -> Proxy {
    proxy_with(legacy, candidate, rules, Comparer::default()).await
}

async fn proxy_with(
    legacy: SocketAddr,
    candidate: SocketAddr,
    rules: &str,
    comparer: Comparer,
) -> Proxy {
    let text = format!(
        "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
         listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n  legacy: {{ url: \"http://{legacy}\" }}\n  \
         candidate: {{ url: \"http://{candidate}\" }}\n  rules:\n{rules}"
    );
    let bootstrap = Some(Arc::new(Manifest::parse("t.yaml", &text).unwrap()));
    Proxy::start(ProxyOptions {
        bootstrap,
        threads: 1,
        comparer,
        ..ProxyOptions::default()
    })
    .await
    .unwrap()
}

async fn client(proxy: &Proxy) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", proxy.listen_address())).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// Waits until `/metrics` has a line that starts with `name` and ends with `value`.
async fn metric(proxy: &Proxy, name: &str, value: &str) {
    let url = proxy.admin_address();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let text = get(url, "/metrics").await;
        let found = text
            .lines()
            .any(|l| l.starts_with(name) && l.ends_with(&format!(" {value}")));
        if found {
            return;
        }
        assert!(Instant::now() < until, "no {name} {value} in\n{text}");
        tokio::task::yield_now().await;
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_weight_decides_who_answers() {
    let (legacy, candidate) = (arm("legacy").await, arm("candidate").await);
    for (weight, right, wrong) in [(0, "legacy", "candidate"), (100, "candidate", "legacy")] {
        let proxy = proxy(legacy, candidate, &format!("  - weight: {weight}\n")).await;
        let mut client = client(&proxy).await;
        client.check(ask(right)).await.unwrap();
        assert_eq!(
            client.check(ask(wrong)).await.unwrap_err().code(),
            Code::NotFound
        );
        proxy.shutdown().await;
    }
}

#[tokio::test]
async fn a_candidate_that_cannot_be_connected_to_falls_over_to_legacy() {
    let proxy = proxy(arm("legacy").await, nobody().await, "  - weight: 100\n").await;
    client(&proxy).await.check(ask("legacy")).await.unwrap();
    metric(&proxy, "cutover_fallbacks_total", "1").await;
    proxy.shutdown().await;
}

#[tokio::test]
async fn both_arms_down_is_unavailable_at_once() {
    let proxy = proxy(nobody().await, nobody().await, "  - weight: 50\n").await;
    let begin = Instant::now();
    let status = client(&proxy).await.check(ask("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    proxy.shutdown().await;
}

#[tokio::test]
async fn the_deadline_ends_a_stream_that_has_begun() {
    let proxy = proxy(arm("legacy").await, nobody().await, "  - weight: 0\n").await;
    let mut request = tonic::Request::new(ask("legacy"));
    // The header without tonic's own timer, so that it is the proxy that ends the call.
    request
        .metadata_mut()
        .insert("grpc-timeout", "200m".parse().unwrap());
    let mut stream = client(&proxy)
        .await
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
    proxy.shutdown().await;
}

const MIRRORED: &str = "  - matches: [{ method: { service: grpc.health.v1.Health, method: Check } }]\n    \
                        mirror: { percent: 100, noisePercent: 100, acceptSideEffects: true }\n";

#[tokio::test]
async fn a_mirrored_call_reaches_the_other_arm_and_is_compared() {
    let proxy = proxy(arm("same").await, arm("same").await, MIRRORED).await;
    let label = "{method=\"/grpc.health.v1.Health/Check\"";
    // The methods get their labels when the descriptors have come.
    metric(&proxy, "cutover_route_table_generation", "0").await;
    let mut client = client(&proxy).await;
    let until = Instant::now() + Duration::from_secs(10);
    let shadow =
        format!("cutover_calls_total{label},arm=\"candidate\",role=\"shadow\",code=\"OK\"}}");
    let noise = format!("cutover_calls_total{label},arm=\"legacy\",role=\"noise\",code=\"OK\"}}");
    let text = loop {
        let text = get(proxy.admin_address(), "/metrics").await;
        if text.contains(&shadow) && text.contains(&noise) {
            break text;
        }
        client.check(ask("same")).await.unwrap();
        assert!(Instant::now() < until, "{text}");
    };
    assert!(
        text.contains(&format!("cutover_pairs_mismatched_total{label}}} 0")),
        "{text}"
    );
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_shadow_that_differs_is_counted_and_the_client_sees_nothing_of_it() {
    let proxy = proxy(arm("here").await, arm("elsewhere").await, MIRRORED).await;
    let mut client = client(&proxy).await;
    let label = "cutover_pairs_mismatched_total{method=\"/grpc.health.v1.Health/Check\"}";
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        client.check(ask("here")).await.unwrap();
        let text = get(proxy.admin_address(), "/metrics").await;
        let mismatched = text.lines().find_map(|line| line.strip_prefix(label));
        if mismatched.is_some_and(|n| n.trim() != "0") {
            break;
        }
        assert!(Instant::now() < until, "{text}");
    }
    proxy.shutdown().await;
}

/// Panics at the first pair that it sees, and at no other.
fn defective(
    method: &Method,
    rules: &CompareRules,
    legacy: &Observation,
    candidate: &Observation,
    redaction: &Redaction,
) -> Comparison {
    static SEEN: AtomicBool = AtomicBool::new(false);
    assert!(SEEN.swap(true, Ordering::Relaxed), "a defect");
    compare(method, rules, legacy, candidate, redaction)
}

#[tokio::test]
async fn a_comparison_that_panics_costs_its_own_pair_and_nothing_else() {
    let (legacy, candidate) = (arm("same").await, arm("same").await);
    let proxy = proxy_with(legacy, candidate, MIRRORED, Comparer(defective)).await;
    let mut client = client(&proxy).await;
    let label = "method=\"/grpc.health.v1.Health/Check\"";
    let failed =
        format!("cutover_pairs_not_compared_total{{{label},reason=\"comparer_failed\"}} 1\n");
    let compared = format!("cutover_pairs_compared_total{{{label}}} ");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        client.check(ask("same")).await.unwrap();
        let text = get(proxy.admin_address(), "/metrics").await;
        let n = text.lines().find_map(|line| line.strip_prefix(&compared));
        if text.contains(&failed) && n.is_some_and(|n| n.trim() != "0") {
            break;
        }
        assert!(Instant::now() < until, "{text}");
    }
    proxy.shutdown().await;
}

#[tokio::test]
async fn what_is_not_marked_safe_is_not_mirrored() {
    let rule = "  - mirror: { percent: 100 }\n";
    let (legacy, candidate) = (arm("legacy").await, arm("candidate").await);
    let proxy = proxy(legacy, candidate, rule).await;
    let mut client = client(&proxy).await;
    let until = Instant::now() + Duration::from_secs(10);
    let described = "method=\"/grpc.health.v1.Health/Check\"";
    while !get(proxy.admin_address(), "/metrics")
        .await
        .contains(described)
    {
        client.check(ask("legacy")).await.unwrap();
        assert!(Instant::now() < until);
    }
    for _ in 0..20 {
        client.check(ask("legacy")).await.unwrap();
    }
    let text = get(proxy.admin_address(), "/metrics").await;
    assert!(!text.contains("role=\"shadow\""), "{text}");
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
         listen: {address}\n  legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://a:2\" }}\n"
    );
    let bootstrap = Some(Arc::new(Manifest::parse("t.yaml", &text).unwrap()));
    let options = ProxyOptions {
        bootstrap,
        threads: 1,
        ..ProxyOptions::default()
    };
    let error = Proxy::start(options).await.unwrap_err();
    assert!(!error.is_usage());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn calls_in_flight_end_before_the_proxy_does() {
    let proxy = proxy(arm("legacy").await, nobody().await, "  - weight: 0\n").await;
    let mut client = client(&proxy).await;
    let mut request = tonic::Request::new(ask("legacy"));
    request
        .metadata_mut()
        .insert("grpc-timeout", "500m".parse().unwrap());
    let mut stream = client.watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap();
    let stopping = tokio::spawn(proxy.shutdown());
    // The stream lives on to its own end, which is its deadline.
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
    stopping.await.unwrap();
}
