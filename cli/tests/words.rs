//! What the binary teaches: help with examples, completion, versions.
#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
#[allow(dead_code, reason = "this file needs no manifest")]
mod binary;

use binary::cutover;

const COMMANDS: [&str; 14] = [
    "up",
    "proxy",
    "control",
    "record",
    "replay",
    "check",
    "status",
    "weight",
    "pause",
    "resume",
    "promote",
    "abort",
    "report",
    "completion",
];

#[test]
fn every_command_teaches_by_examples() {
    for command in COMMANDS {
        let output = cutover([command, "--help"]);
        assert_eq!(output.code, Some(0), "{command}: {}", output.stderr);
        assert!(
            output.stdout.contains("Examples:"),
            "{command}: {}",
            output.stdout
        );
        let example = format!("cutover {command}");
        assert!(
            output.stdout.contains(&example),
            "{command}: {}",
            output.stdout
        );
    }
    assert!(cutover(["--help"]).stdout.contains("Exit codes:"));
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = cutover(["completion", shell]);
        assert_eq!(output.code, Some(0), "{shell}: {}", output.stderr);
        for command in COMMANDS {
            assert!(output.stdout.contains(command), "{shell} lacks {command}");
        }
    }
}

#[test]
fn an_unknown_command_is_told_what_is_near() {
    let output = cutover(["statsu"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("'status'"), "{}", output.stderr);
}

#[test]
fn says_its_version() {
    let output = cutover(["--version"]);
    assert_eq!(output.code, Some(0));
    assert_eq!(
        output.stdout.trim(),
        concat!("cutover ", env!("CARGO_PKG_VERSION"))
    );
}
