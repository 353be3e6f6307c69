//! The commands that talk to a running control plane over `cutover.v1.OperatorService`: what
//! stands where, and how to move it.

mod client;
mod json;
mod moves;
mod report;
mod scope;
mod status;
mod view;
mod weight;

pub(crate) use moves::{abort, pause, promote, resume};
pub(crate) use report::run as report;
pub(crate) use status::run as status;
pub(crate) use weight::run as weight;

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Writes an answer to standard output. A reader that has gone away (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
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
