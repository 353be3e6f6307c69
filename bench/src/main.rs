//! `cutover-bench`: makes calls of a gRPC service at a steady rate or as fast as they are answered,
//! and says how long they took and what the server used meanwhile. It owns the load alone;
//! `bench/arms.py` and `bench/peers` start the servers and put the figures side by side.

mod args;
mod calls;
mod connection;
mod hold;
mod load;
mod pace;
mod report;
mod stream;
mod usage;
mod world;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Command;

fn main() -> ExitCode {
    let done = match args::Args::parse().command {
        Command::Load(load) => load::run(&load).map(|report| report.print(load.json)),
        Command::Stream(stream) => stream::run(&stream),
        Command::Hold(hold) => hold::run(&hold),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cutover-bench: {error:#}");
            ExitCode::from(if error.is::<args::Mistake>() { 2 } else { 1 })
        }
    }
}
