//! Runs the real binary, without the caller's environment for it, and keeps what it said.

use std::path::PathBuf;
use std::process::Command;

/// How a run ended.
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `cutover` with these words.
pub(crate) fn cutover<'a>(words: impl IntoIterator<Item = &'a str>) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
        .args(words)
        .env_remove("RUST_LOG")
        .env_remove("CUTOVER_FILE")
        .env_remove("CUTOVER_CONTROL")
        .env_remove("CUTOVER_OPERATOR")
        .env_remove("CUTOVER_OPERATOR_TOKEN")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A directory with `cutover.yaml` in it; it goes when the first value goes.
pub(crate) fn manifest(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cutover.yaml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}
