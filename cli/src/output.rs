//! Standard output: answers, and nothing else.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Writes an answer to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "can't write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}
