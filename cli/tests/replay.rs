//! Calls through `cutover record` to a file, and from there by `cutover replay` to two arms:
//! agreement, disagreement, and everything that can be wrong with a recording.
#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
#[allow(dead_code, reason = "this file writes its own manifests")]
mod binary;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use binary::{Ended, cutover};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

/// Neither health nor reflection marks its methods: the rules have to accept them.
const ACCEPTED: &str = "  rules:
  - matches: [{ method: { service: grpc.health.v1.Health, method: Check } }]
    mirror: { percent: 0, acceptSideEffects: true }
    compare: { captureValues: true }
  - matches:
    - method: { service: grpc.reflection.v1.ServerReflection, method: ServerReflectionInfo }
    mirror: { percent: 0, acceptSideEffects: true }
";

/// The same for health alone, for arms that have no reflection.
const CHECK_ACCEPTED: &str = "  rules:
  - matches: [{ method: { service: grpc.health.v1.Health, method: Check } }]
    mirror: { percent: 0, acceptSideEffects: true }
";

/// A server with health and reflection that knows these services.
async fn arm(known: &[(&str, ServingStatus)]) -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    for (name, status) in known {
        reporter.set_service_status(*name, *status).await;
    }
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

/// A directory with a manifest between two arms.
struct Place(TempDir);

impl Place {
    fn new(legacy: SocketAddr, candidate: SocketAddr, rules: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write(legacy, candidate, rules);
        place
    }

    fn write(&self, legacy: SocketAddr, candidate: SocketAddr, rules: &str) {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: {{ name: replay }}
spec:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  legacy: {{ url: \"http://{legacy}\" }}
  candidate: {{ url: \"http://{candidate}\" }}
{rules}"
        );
        std::fs::write(self.path("cutover.yaml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs `cutover COMMAND -f cutover.yaml …` to its end, without blocking the arms.
    async fn run(&self, words: &[&str]) -> Ended {
        let (file, words) = (self.word("cutover.yaml"), words.join("\n"));
        let run = move || cutover(words.split('\n').chain(["-f", &file]));
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn replay(&self, more: &[&str]) -> Ended {
        let recording = self.word("calls.binlog");
        let mut words = vec!["replay", &recording];
        words.extend(more);
        self.run(&words).await
    }
}

/// A running `cutover record`, killed if the test ends before it.
struct Recorder {
    child: Child,
    address: String,
    out: BufReader<std::process::ChildStdout>,
}

impl Recorder {
    fn start(place: &Place, more: &[&str]) -> Recorder {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cutover"))
            .args(["record", "-f", "cutover.yaml", "--out", "calls.binlog"])
            .args(more)
            .current_dir(place.0.path())
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("proxy listening on ").unwrap();
        Recorder {
            address: format!("http://{address}"),
            child,
            out,
        }
    }

    /// Ends it; gives its exit code and what it printed.
    fn end(self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        self.told()
    }

    /// Waits for its end.
    fn told(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.out.read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nothing is left to kill where the test has waited for the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn check(address: &str, services: &[&str]) {
    let channel = Channel::from_shared(address.to_owned()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    for service in services {
        let service = (*service).to_owned();
        // Whether the service is known plays no part here.
        let _ = client.check(HealthCheckRequest { service }).await;
    }
}

/// A conversation of two questions, which the client ends.
async fn reflect(address: &str) {
    let channel = Channel::from_shared(address.to_owned()).unwrap();
    let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let questions = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileByFilename("health.proto".to_owned())),
    ]);
    let mut answers = client
        .server_reflection_info(questions)
        .await
        .unwrap()
        .into_inner();
    let mut heard: Vec<ServerReflectionResponse> = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        heard.push(answer);
    }
    assert_eq!(heard.len(), 2);
}

/// Records three health checks and a conversation with the first arm.
async fn recorded(place: &Place) {
    let recorder = Recorder::start(place, &[]);
    check(&recorder.address, &["a", "b", "nobody"]).await;
    reflect(&recorder.address).await;
    let (code, told) = recorder.end();
    assert_eq!(code, Some(0));
    assert!(told.contains("recorded 4 calls in "), "{told}");
    assert!(told.contains("  0 messages left out"), "{told}");
}

const BOTH: [(&str, ServingStatus); 2] =
    [("a", ServingStatus::Serving), ("b", ServingStatus::Serving)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arms_that_answer_alike_agree() {
    let (legacy, candidate) = (arm(&BOTH).await, arm(&BOTH).await);
    let place = Place::new(legacy, candidate, ACCEPTED);
    recorded(&place).await;
    let ended = place.replay(&[]).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    for part in [
        "4 calls in the recording, 4 compared, 0 differ, 0 failed, 0 left out",
        "/grpc.health.v1.Health/Check: 2 OK, 1 NOT_FOUND on both",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo: 1 OK on both",
        "verdict: agree: 0 of 4 calls differ (0 %), 0 % may",
    ] {
        assert!(
            ended.stdout.contains(part),
            "no {part:?} in {}",
            ended.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arms_that_differ_are_told_apart_by_field_and_status() {
    let legacy = arm(&BOTH).await;
    let candidate = arm(&[("a", ServingStatus::NotServing)]).await;
    let place = Place::new(legacy, candidate, ACCEPTED);
    recorded(&place).await;
    let ended = place.replay(&["--output", "json"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["verdict"], "differ");
    let check = &report["methods"][0];
    assert_eq!(check["method"], "/grpc.health.v1.Health/Check");
    assert_eq!(
        (&check["compared"], &check["differed"]),
        (&3.into(), &2.into())
    );
    let field = |path: &str| {
        let fields = check["fields"].as_array().unwrap();
        fields.iter().find(|f| f["path"] == path).cloned().unwrap()
    };
    assert_eq!(field("status")["kind"], "value");
    assert_eq!(field("status")["examples"][0]["candidate"], "NOT_SERVING");
    assert_eq!(field("grpc_status")["examples"][0]["legacy"], "OK");
    assert_eq!(check["statuses"]["candidate"]["NOT_FOUND"], 2);

    let text = place.replay(&[]).await;
    assert_eq!(text.code, Some(1));
    assert!(
        text.stdout.contains("status: value, in 1 of 3 calls"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("legacy OK, candidate NOT_FOUND"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("verdict: differ: 2 of 4 calls"),
        "{}",
        text.stdout
    );

    assert_eq!(place.replay(&["--max-mismatch", "50%"]).await.code, Some(0));
    assert_eq!(place.replay(&["--max-mismatch", "49%"]).await.code, Some(1));
    let one = [
        "--methods",
        "ServerReflectionInfo",
        "--rate",
        "1000",
        "--concurrency",
        "1",
    ];
    let one = place.replay(&one).await;
    assert_eq!(one.code, Some(0), "{}{}", one.stdout, one.stderr);
    assert!(
        one.stdout.contains("Check: 3 calls: not among --methods"),
        "{}",
        one.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_write_is_not_sent_and_nothing_compared_is_no_agreement() {
    let (legacy, candidate) = (arm(&BOTH).await, arm(&BOTH).await);
    let place = Place::new(legacy, candidate, "");
    recorded(&place).await;
    let ended = place.replay(&[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("may have side effects"),
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stdout
            .contains("verdict: failed: nothing was compared")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_that_is_cut_off_is_used_as_far_as_it_goes() {
    let (legacy, candidate) = (arm(&BOTH).await, arm(&BOTH).await);
    let place = Place::new(legacy, candidate, ACCEPTED);
    recorded(&place).await;
    let file = place.path("calls.binlog");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let ended = place.replay(&[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("in the middle of the entry at byte"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains(" 4 compared"), "{}", ended.stdout);

    // A length that no entry has, in the middle: nobody knows what is lost.
    let mut damaged = whole;
    let second = 4 + u32::from_be_bytes(damaged[..4].try_into().unwrap()) as usize;
    damaged[second..second + 4].fill(0xff);
    std::fs::write(&file, damaged).unwrap();
    let ended = place.replay(&[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let place_told = format!("there is no entry at byte {second}");
    assert!(ended.stdout.contains(&place_told), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_and_listed_fields_are_not_in_the_file() {
    let legacy = arm(&BOTH).await;
    let rules = format!("{ACCEPTED}  - compare: {{ redact: [service] }}\n").replace(
        "compare: { captureValues: true }",
        "compare: { redact: [service] }",
    );
    let place = Place::new(legacy, legacy, &rules);
    let recorder = Recorder::start(&place, &[]);
    let channel = Channel::from_shared(recorder.address.clone()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut request = tonic::Request::new(HealthCheckRequest {
        service: "hidden-name".to_owned(),
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer hidden-token".parse().unwrap());
    metadata.insert("x-kept", "seen".parse().unwrap());
    client.check(request).await.unwrap_err();
    drop(client);
    let (code, told) = recorder.end();
    assert_eq!(code, Some(0));
    assert!(told.contains("  1 fields cleared"), "{told}");
    let bytes = std::fs::read(place.path("calls.binlog")).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has("x-kept") && !has("hidden-name") && !has("hidden-token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duration_ends_a_recording() {
    let legacy = arm(&BOTH).await;
    let place = Place::new(legacy, legacy, ACCEPTED);
    let recorder = Recorder::start(&place, &["--duration", "100ms", "--percent", "0.01"]);
    let (code, told) = recorder.told();
    assert_eq!(code, Some(0));
    assert!(told.contains("recorded 0 calls"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_wrong_is_told_with_what_would_be_right() {
    let legacy = arm(&BOTH).await;
    let place = Place::new(legacy, legacy, ACCEPTED);
    let wrong = |ended: Ended, part: &str| {
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    };
    wrong(place.replay(&[]).await, "there is no recording at");
    std::fs::write(place.path("calls.binlog"), "apiVersion: cutover.dev").unwrap();
    wrong(place.replay(&[]).await, "is not a binary log");
    let out = place.word("calls.binlog");
    wrong(
        place.run(&["record", "--out", &out]).await,
        "is there already",
    );
    let out = place.word("no/such/directory");
    wrong(
        place.run(&["record", "--out", &out]).await,
        "no such directory",
    );
    wrong(
        place.replay(&["--max-mismatch", "1"]).await,
        "is not a share",
    );
    std::fs::write(place.path("calls.binlog"), "").unwrap();
    wrong(
        place.replay(&["--methods", "Chekc"]).await,
        "did you mean Check?",
    );
    assert_eq!(place.replay(&[]).await.code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_is_away_is_named() {
    let legacy = arm(&BOTH).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let place = Place::new(legacy, nobody, ACCEPTED);
    recorded(&place).await;
    let ended = place.replay(&[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("can't connect to the candidate"),
        "{}",
        ended.stderr
    );
    place.write(nobody, nobody, ACCEPTED);
    let out = place.word("other.binlog");
    let ended = place.run(&["record", "--out", &out]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no descriptors"), "{}", ended.stderr);
    assert!(!Path::new(&out).exists());
}

/// A port where connections are taken and then treated like this.
fn bad_arm(treat: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            treat(stream.unwrap());
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_drops_connections_fails_the_replay_and_is_named() {
    let legacy = arm(&BOTH).await;
    let place = Place::new(legacy, bad_arm(drop), ACCEPTED);
    recorded(&place).await;
    let ended = place.replay(&["--max-mismatch", "100%"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("0 compared, 0 differ, 4 failed"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("calls: candidate: "),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("verdict: failed: 4 calls"),
        "{}",
        ended.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_hangs_differs_by_its_status_and_two_that_hang_agree_on_nothing() {
    let (sender, held) = std::sync::mpsc::channel();
    let hang = bad_arm(move |stream| sender.send(stream).unwrap());
    let limits = format!("{ACCEPTED}  limits: {{ mirrorDeadline: 300ms }}\n");
    let legacy = arm(&BOTH).await;
    let place = Place::new(legacy, hang, &limits);
    recorded(&place).await;
    let ended = place.replay(&["--methods", "Check"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let told = "candidate DEADLINE_EXCEEDED";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);

    let set = place.path("health.binpb");
    std::fs::write(&set, tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    let from_file = format!("  descriptors: {{ file: \"{}\" }}\n", set.display());
    let rules = format!("{CHECK_ACCEPTED}{from_file}  limits: {{ mirrorDeadline: 300ms }}\n");
    place.write(hang, hang, &rules);
    let ended = place.replay(&["--max-mismatch", "100%"]).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("neither arm answered in time"),
        "{}",
        ended.stdout
    );
    drop(held);
}
