//! A process from its first line to its last: where it listens, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
#[allow(dead_code, reason = "this file starts processes by itself")]
mod binary;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use binary::manifest;
use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
use cutover_proto::gazetteer::v1::GetPlaceRequest;
use cutover_proto::gazetteer::v1::gazetteer_service_client::GazetteerServiceClient;

const MANIFEST: &str = r#"apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: lifecycle }
spec:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  control: { listen: "127.0.0.1:0", operator: "127.0.0.1:0" }
  legacy: { url: "http://127.0.0.1:1" }
  candidate: { url: "http://127.0.0.1:2" }
"#;

/// A running `cutover`, killed if the test ends before it.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(directory: &Path, words: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command.args(words);
        Running::spawn(directory, command)
    }

    fn spawn(directory: &Path, mut command: Command) -> Running {
        let mut child = command
            .current_dir(directory)
            .env_remove("CUTOVER_OPERATOR_TOKEN")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// The address in the next line, which must begin with `what`.
    fn address(&mut self, what: &str) -> String {
        let line = self.lines.next().unwrap().unwrap();
        let address = line
            .strip_prefix(what)
            .unwrap_or_else(|| panic!("{line:?} is not {what}"));
        address.trim_end_matches('/').to_owned()
    }

    /// Sends SIGTERM.
    fn signal(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends SIGTERM and waits for the exit code.
    fn terminate(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to kill where the test has waited for the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a call of a client that never gives up by itself.
fn call_without_end(address: String) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let url = format!("http://{address}");
            let mut client = GazetteerServiceClient::connect(url).await.unwrap();
            // It fails when the process ends at once, which is what the test is about.
            let _ = client.get_place(GetPlaceRequest { id: 1 }).await;
        });
    });
}

/// The first line of the answer to a plain HTTP/1.1 request.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn up_says_where_it_listens_and_ends_gracefully() {
    let (directory, _) = manifest(MANIFEST);
    let mut up = Running::start(directory.path(), &["up", "-f", "cutover.yaml"]);
    let control = up.address("control listening on ");
    let dashboard = up.address("dashboard at http://");
    let proxy = up.address("proxy listening on ");
    let admin = up.address("admin listening on ");
    assert!(TcpStream::connect(&control).is_ok());
    assert!(TcpStream::connect(&proxy).is_ok());
    assert_eq!(get(&admin, "/livez"), "HTTP/1.1 200 OK");
    assert_eq!(get(&dashboard, "/livez"), "HTTP/1.1 200 OK");
    assert_eq!(up.terminate(), Some(0));
}

#[test]
fn a_proxy_starts_from_its_bootstrap_while_the_control_plane_is_away() {
    let (directory, _) = manifest(MANIFEST);
    let words = [
        "proxy",
        "--control",
        "http://127.0.0.1:9",
        "--bootstrap",
        "cutover.yaml",
    ];
    let mut proxy = Running::start(directory.path(), &words);
    proxy.address("proxy listening on ");
    let admin = proxy.address("admin listening on ");
    assert_eq!(get(&admin, "/readyz"), "HTTP/1.1 200 OK");
    assert_eq!(proxy.terminate(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let legacy = format!("http://{}", silent.local_addr().unwrap());
    let text = MANIFEST.replace("http://127.0.0.1:1", &legacy);
    // Longer than any test may take: only the second signal can end it in time.
    let more = "  limits: { shutdownGrace: 1h }\n  descriptors: { file: gazetteer.bin }\n";
    let (directory, _) = manifest(&(text + more));
    // With descriptors from a file, nothing but the call connects to the arm.
    std::fs::write(directory.path().join("gazetteer.bin"), FILE_DESCRIPTOR_SET).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command.args([
        "proxy",
        "--bootstrap",
        "cutover.yaml",
        "--log-level",
        "info",
    ]);
    command.stderr(Stdio::piped());
    let mut proxy = Running::spawn(directory.path(), command);
    let address = proxy.address("proxy listening on ");
    call_without_end(address);
    let (held, _) = silent.accept().unwrap();
    let stderr = BufReader::new(proxy.child.stderr.take().unwrap());
    proxy.signal();
    let mut told = stderr.lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("ending gracefully")));
    assert_eq!(proxy.terminate(), Some(128 + 15));
    drop(held);
}

#[test]
fn a_taken_port_is_a_failure_not_a_mistake() {
    let (directory, _) = manifest(MANIFEST);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["up", "-f", "cutover.yaml", "--operator", &address];
    let ended = Running::start(directory.path(), &words)
        .child
        .wait()
        .unwrap();
    assert_eq!(ended.code(), Some(1));
}

#[test]
fn an_operator_listener_for_everyone_needs_a_token() {
    let (directory, _) = manifest(MANIFEST);
    let words = ["control", "-f", "cutover.yaml", "--operator", "0.0.0.0:0"];
    let ended = Running::start(directory.path(), &words)
        .child
        .wait()
        .unwrap();
    assert_eq!(ended.code(), Some(2));
}
