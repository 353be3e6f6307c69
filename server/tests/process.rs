//! The server as a process: what it prints, how it ends, and what it exports.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "support/database.rs"]
mod database;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use cutover_proto::gazetteer::v1 as pb;
use cutover_proto::gazetteer::v1::gazetteer_service_client::GazetteerServiceClient;
use database::database;
use opentelemetry_proto::tonic::collector::metrics::v1 as otlp_metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as otlp_trace;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use otlp_metrics::metrics_service_server::{MetricsService, MetricsServiceServer};
use otlp_trace::trace_service_server::{TraceService, TraceServiceServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";
/// Exports that wait for a test to look at them.
const MAX_EXPORTS: usize = 64;

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gazetteer-server"));
    command.args(["--listen", "127.0.0.1:0"]).args(flags);
    command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the line that says where a server listens.
fn address(server: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.strip_prefix("listening on ")
        .unwrap()
        .trim_end()
        .to_owned()
}

fn terminate(server: Child, signal: &str) -> Output {
    let pid = server.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
    server.wait_with_output().unwrap()
}

fn check_refusal(flags: &[&str], code: i32, words: &str) {
    let output = command(flags).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(words), "{message}");
}

#[test]
fn refuses_a_database_that_is_not_there_as_the_users_mistake() {
    let path = "/nowhere/gazetteer.db";
    check_refusal(
        &["--database", path],
        2,
        "run gazetteer-load --database /nowhere/gazetteer.db",
    );
}

#[test]
fn refuses_a_database_that_it_cannot_use_as_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gazetteer.db");
    let flags = ["--database", path.to_str().unwrap()];
    let advice = format!("run gazetteer-load --database {}", path.display());
    std::fs::write(&path, "this is no database at all, and long enough to tell").unwrap();
    check_refusal(&flags, 1, &advice);
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 7")
        .unwrap();
    check_refusal(&flags, 1, "has version 7 instead of 1");
    check_refusal(&flags, 1, &advice);
}

#[test]
fn refuses_flags_that_make_no_sense_as_the_users_mistake() {
    check_refusal(
        &["--max-concurrent-calls", "0"],
        2,
        "--max-concurrent-calls",
    );
    check_refusal(&["--log-level", "a=b=c"], 2, "--log-level");
}

#[test]
fn refuses_an_address_in_use_as_a_failure() {
    let directory = database(1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = directory.path().join("gazetteer.db");
    let output = Command::new(env!("CARGO_BIN_EXE_gazetteer-server"))
        .args(["--listen", &address, "--database", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&address));
    assert!(output.stdout.is_empty());
}

#[test]
fn ends_well_at_either_signal() {
    let directory = database(1);
    let path = directory.path().join("gazetteer.db");
    for signal in ["-TERM", "-INT"] {
        let mut server = command(&["--database", path.to_str().unwrap()])
            .spawn()
            .unwrap();
        address(&mut server);
        let output = terminate(server, signal);
        assert_eq!(output.status.code(), Some(0), "{signal}: {output:?}");
    }
}

/// A collector that hands on what it gets.
#[derive(Clone)]
struct Collector {
    spans: mpsc::Sender<otlp_trace::ExportTraceServiceRequest>,
    metrics: mpsc::Sender<otlp_metrics::ExportMetricsServiceRequest>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<otlp_trace::ExportTraceServiceRequest>,
    ) -> Result<Response<otlp_trace::ExportTraceServiceResponse>, Status> {
        self.spans.send(request.into_inner()).await.unwrap();
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<otlp_metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<otlp_metrics::ExportMetricsServiceResponse>, Status> {
        self.metrics.send(request.into_inner()).await.unwrap();
        Ok(Response::new(Default::default()))
    }
}

/// Serves a collector; gives its URL and what it gets.
async fn collector() -> (
    String,
    mpsc::Receiver<otlp_trace::ExportTraceServiceRequest>,
    mpsc::Receiver<otlp_metrics::ExportMetricsServiceRequest>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (spans, got_spans) = mpsc::channel(MAX_EXPORTS);
    let (metrics, got_metrics) = mpsc::channel(MAX_EXPORTS);
    let collector = Collector { spans, metrics };
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .add_service(MetricsServiceServer::new(collector));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, got_spans, got_metrics)
}

/// A call of GetPlace in the trace of the tests, sampled or not.
async fn get_place(address: &str, id: i64, flags: &str) -> Result<(), Code> {
    let url = format!("http://{address}");
    let mut client = GazetteerServiceClient::connect(url).await.unwrap();
    let mut request = Request::new(pb::GetPlaceRequest { id });
    let traceparent = format!("00-{TRACE_ID}-{PARENT_ID}-{flags}");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    client
        .get_place(request)
        .await
        .map(drop)
        .map_err(|status| status.code())
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} is no text: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_what_a_call_did_below_its_caller_and_flushes_at_the_end() {
    let (url, mut spans, mut metrics) = collector().await;
    let directory = database(3);
    let path = directory.path().join("gazetteer.db");
    let mut server = command(&["--database", path.to_str().unwrap()])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("OTEL_RESOURCE_ATTRIBUTES", "cutover.arm=candidate")
        .spawn()
        .unwrap();
    let address = address(&mut server);
    assert_eq!(get_place(&address, 2, "01").await, Ok(()));
    assert_eq!(get_place(&address, 99, "01").await, Err(Code::NotFound));
    assert_eq!(get_place(&address, 3, "00").await, Ok(()));
    assert!(terminate(server, "-TERM").status.success());

    let mut all = Vec::new();
    while let Ok(export) = spans.try_recv() {
        for resource in export.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert_eq!(
                text(&attributes, "cutover.arm").as_deref(),
                Some("candidate")
            );
            assert_eq!(
                text(&attributes, "service.name").as_deref(),
                Some("gazetteer-rust")
            );
            all.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    assert!(all.iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    let is_call = |span: &&Span| span.name == "gazetteer.v1.GazetteerService/GetPlace";
    let calls: Vec<_> = all.iter().filter(is_call).collect();
    let status = |span: &&Span| text(&span.attributes, "rpc.response.status_code").unwrap();
    assert_eq!(
        calls.iter().map(status).collect::<Vec<_>>(),
        ["OK", "NOT_FOUND"]
    );
    assert!(
        calls
            .iter()
            .all(|call| hex(&call.parent_span_id) == PARENT_ID)
    );
    let children = |call: &Span| {
        let children = all
            .iter()
            .filter(|span| span.parent_span_id == call.span_id);
        children.map(|span| span.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        children(calls[0]),
        ["SELECT places", "SELECT names", "SELECT visits"]
    );
    assert_eq!(children(calls[1]), ["SELECT places"]);
    assert_eq!(all.len(), 6);

    let metrics = metrics.try_recv().unwrap();
    let scopes = metrics
        .resource_metrics
        .into_iter()
        .flat_map(|r| r.scope_metrics);
    let mut names: Vec<_> = scopes
        .flat_map(|s| s.metrics)
        .map(|metric| metric.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "process.cpu.time",
            "process.memory.usage",
            "process.thread.count"
        ]
    );
}
