//! What the binary says when the other side is away, or is something else: exit code 1.
#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
mod binary;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use binary::{Ended, cutover, manifest};

/// An address at which nobody listens: it was free a moment ago.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn check(legacy: SocketAddr, candidate: SocketAddr) -> Ended {
    let text = format!(
        r#"apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: {{ name: away }}
spec:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  control: {{ listen: "127.0.0.1:0", operator: "127.0.0.1:0" }}
  legacy: {{ url: "http://{legacy}" }}
  candidate: {{ url: "http://{candidate}" }}
"#
    );
    let (_directory, file) = manifest(&text);
    cutover(["check", "-f", file.to_str().unwrap()])
}

#[test]
fn check_names_the_arm_that_is_away() {
    let (legacy, candidate) = (nobody(), nobody());
    let output = check(legacy, candidate);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    for (arm, address) in [("legacy", legacy), ("candidate", candidate)] {
        let line = format!("✗ failed   {arm:11}  {address}: can't connect");
        assert!(output.stdout.contains(&line), "{}", output.stdout);
    }
    assert!(
        output.stdout.contains("✓ good     ports"),
        "{}",
        output.stdout
    );
}

#[test]
fn check_tells_a_port_that_speaks_something_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; 16];
        stream.read_exact(&mut heard).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    let output = check(address, nobody());
    server.join().unwrap();
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("is this a gRPC port?"),
        "{}",
        output.stdout
    );
}

#[test]
fn operator_commands_say_where_they_looked() {
    let address = nobody().to_string();
    for command in [
        &["status"][..],
        &["abort"],
        &["report"],
        &["weight", "Get", "1", "--why", "x"],
    ] {
        let words = command.iter().copied().chain(["--operator", &address]);
        let output = cutover(words);
        assert_eq!(output.code, Some(1), "{command:?}: {}", output.stderr);
        let first = format!("error: can't reach a control plane at {address}\n");
        assert!(
            output.stderr.starts_with(&first),
            "{command:?}: {}",
            output.stderr
        );
        assert!(
            output.stderr.contains("help: "),
            "{command:?}: {}",
            output.stderr
        );
    }
}
