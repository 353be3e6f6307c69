//! `cutover-bench`: makes calls of a gRPC service at a steady rate or as fast as they are answered,
//! and says how long they took and what the server used meanwhile. It owns the load alone;
//! `bench/arms.py` starts the servers and puts the figures side by side.

mod args;
mod calls;
mod connection;
mod load;
mod pace;
mod report;
mod usage;
mod world;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Command::Load(load) = args::Args::parse().command;
    match load::run(&load) {
        Ok(report) => {
            report.print(load.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cutover-bench: {error:#}");
            ExitCode::from(if error.is::<args::Mistake>() { 2 } else { 1 })
        }
    }
}
