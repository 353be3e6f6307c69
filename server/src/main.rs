//! The server of the gazetteer in Rust.

use std::process::ExitCode;

use clap::Parser;
use gazetteer_server::config::Config;
use gazetteer_server::server;

/// The gazetteer: place names of the world, found by name or by position.
#[derive(Parser)]
#[command(name = "gazetteer-server", version)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match server::run(&cli.config, |gazetteer| gazetteer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            eprintln!("gazetteer-server: {:#}", anyhow::Error::from(error));
            code
        }
    }
}
