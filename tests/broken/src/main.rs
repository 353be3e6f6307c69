//! The candidate with porting bugs, one hazard at a time: the real implementation, wrapped.
//!
//! A cut-over that trusts its evidence must catch each hazard before the hazard's arm has the
//! traffic; the tests and the demo run this server to see that it does.

mod effects;
mod fields;
mod hazard;
mod numbers;
mod order;
mod service;
mod statuses;
mod streams;
mod texts;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gazetteer_server::config::Config;
use gazetteer_server::server;
use hazard::{Hazard, Hazards};
use service::Broken;

/// The gazetteer with porting bugs.
#[derive(Parser)]
#[command(name = "gazetteer-broken", version)]
struct Cli {
    #[command(flatten)]
    config: Config,

    /// What the porter did wrong; repeatable. Without it: a set for demonstrations.
    #[arg(long, value_name = "NAME", value_enum, hide_possible_values = true)]
    hazard: Vec<Hazard>,

    /// With the hazard `flaky`: one call of GetPlace in so many fails.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    flaky_every: u64,

    /// Print every hazard and what it does, and exit; * marks those of the demonstration.
    #[arg(long)]
    list_hazards: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list_hazards {
        list_hazards();
        return ExitCode::SUCCESS;
    }
    let chosen = if cli.hazard.is_empty() {
        Hazard::DEMO
    } else {
        &cli.hazard
    };
    let hazards = chosen.iter().copied().collect::<Hazards>();
    let broken = |gazetteer| Broken::new(gazetteer, hazards, cli.flaky_every);
    match server::run(&cli.config, broken) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            eprintln!("gazetteer-broken: {:#}", anyhow::Error::from(error));
            code
        }
    }
}

fn list_hazards() {
    for hazard in Hazard::value_variants() {
        let mark = if Hazard::DEMO.contains(hazard) {
            '*'
        } else {
            ' '
        };
        let Some(value) = hazard.to_possible_value() else {
            continue;
        };
        let help = value
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        println!("{mark} {:24} {help}", value.get_name());
    }
}
