//! Reads a manifest from disk, with errors that name the file, the place and what would be right.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use cutover_manifest::Manifest;

use crate::failure::Failure;

/// A longer file is no manifest.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Reads and parses `file`.
pub(crate) fn read(file: &Path) -> Result<Manifest, Failure> {
    let name = file.display().to_string();
    let text = read_text(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::usage(format!("there is no manifest at {name}"))
            .help("name it with -f FILE, or go to its directory"),
        ErrorKind::InvalidData => Failure::usage(format!("{name} is not a manifest: {error}"))
            .help("a manifest is YAML in UTF-8, at most 1 MiB long"),
        _ => Failure::failed(format!("can't read the manifest {name}: {error}")),
    })?;
    Manifest::parse(&name, &text).map_err(|error| {
        Failure::usage(error.message.clone())
            .at(format!(
                "{name}:{}:{}",
                error.position.line, error.position.column
            ))
            .help(help_for(&error.message))
    })
}

fn read_text(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(file)?
        .take(MAX_MANIFEST_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "it is longer than 1 MiB",
        ));
    }
    Ok(text)
}

/// The message says most already; some of the parser's own need a word more.
fn help_for(message: &str) -> &'static str {
    if message.contains("unknown field") {
        "write one of the keys that the message lists, or take this one out"
    } else if message.contains("missing field") {
        "add the key; `cutover check --help` shows how to try again"
    } else if message.contains("duplicate") {
        "keep one of the two"
    } else {
        "mend it there, then try again with `cutover check -f FILE --offline`"
    }
}
