//! The command line, and what can be wrong with it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use thiserror::Error;

use crate::calls::Method;

/// Load for gRPC servers.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes calls and prints their latency, throughput and errors.
    Load(Load),
    /// Makes calls that stream many small messages to a server that echoes, as fast as they pass.
    Stream(Stream),
    /// Opens connections and streams, says so, and keeps them open until it is stopped.
    Hold(Hold),
}

/// Calls that stream.
#[derive(clap::Args)]
pub(crate) struct Stream {
    /// The server, as http://HOST:PORT (clear-text HTTP/2).
    #[arg(long)]
    pub(crate) target: String,
    /// What to call.
    #[arg(long)]
    pub(crate) path: String,
    /// Calls at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) calls: usize,
    /// Connections that the calls are spread over.
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    /// Messages that each call sends, each in a frame of its own.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) messages: u64,
    /// Size of each message, bytes.
    #[arg(long, default_value_t = 50)]
    pub(crate) message_bytes: u32,
}

/// Streams that stay open.
#[derive(clap::Args)]
pub(crate) struct Hold {
    /// The server, as http://HOST:PORT (clear-text HTTP/2).
    #[arg(long)]
    pub(crate) target: String,
    /// What to call.
    #[arg(long)]
    pub(crate) path: String,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    /// Streams on each connection. Each sends one message, and counts as open once its answer has
    /// begun.
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Size of each message, bytes.
    #[arg(long, default_value_t = 50)]
    pub(crate) message_bytes: u32,
    /// Go on sending on every stream, and read nothing; says when nothing more is taken.
    #[arg(long)]
    pub(crate) flood: bool,
}

/// A run of calls.
#[derive(clap::Args)]
pub(crate) struct Load {
    /// The server, as http://HOST:PORT (clear-text HTTP/2).
    #[arg(long)]
    pub(crate) target: String,
    /// What to call: shares such as search=40,get=25, or one word of search, get, nearest, suggest,
    /// list, route, visit.
    #[arg(
        long,
        default_value = "search=40,get=25,nearest=20,suggest=5,list=5,route=5"
    )]
    pub(crate) mix: Mix,
    /// Instead of a mix: one call of any service, such as /package.Service/Method.
    #[arg(long, conflicts_with = "mix")]
    pub(crate) path: Option<String>,
    /// The message of such a call, as hexadecimal digits; an empty message where unset.
    #[arg(long, requires = "path", default_value = "")]
    pub(crate) body_hex: String,
    /// Open: calls start at their time, whatever became of the ones before. Closed: each caller waits
    /// for its answer.
    #[arg(long, value_enum, default_value_t = Mode::Closed)]
    pub(crate) mode: Mode,
    /// Calls a second (open mode).
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// How starts are spread (open mode).
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    pub(crate) arrivals: Arrivals,
    /// Callers (closed mode).
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// Seconds measured.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Seconds of calls before that are not measured.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) warmup: f64,
    /// Stop after so many calls (closed mode), whatever the duration; 0 means no bound.
    #[arg(long, default_value_t = 0)]
    pub(crate) calls: u64,
    /// Connections that the calls are spread over.
    #[arg(long, default_value_t = 4)]
    pub(crate) connections: usize,
    /// Distinct sticky keys, taken in turn; 0 sends none.
    #[arg(long, default_value_t = 0)]
    pub(crate) keys: u64,
    /// Metadata that carries the sticky key.
    #[arg(long, default_value = "x-user-id")]
    pub(crate) key_metadata: String,
    /// The gazetteer's database, from which real queries are made; needed for a mix.
    #[arg(long)]
    pub(crate) database: Option<PathBuf>,
    /// Distinct calls made beforehand and then repeated in order.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) pool: usize,
    /// The same seed makes the same calls at the same times.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A server process whose CPU and memory are measured, its children included; may be repeated.
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Count answers by the value of this initial metadata.
    #[arg(long)]
    pub(crate) tally: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// When calls start.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// At their time.
    Open,
    /// When a caller is free.
    Closed,
}

/// How the starts of calls are spread in open mode.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// Like independent users: gaps are exponentially distributed.
    Poisson,
    /// All gaps are equal.
    Even,
}

/// Shares of methods.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix(pub(crate) Vec<(Method, u32)>);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |part: &str| {
            let (word, share) = part.split_once('=').unwrap_or((part, "1"));
            let share = share
                .parse()
                .map_err(|_| format!("{share:?} is not a whole number"))?;
            Ok((word.parse()?, share))
        };
        let shares: Vec<(Method, u32)> =
            text.split(',').map(share).collect::<Result<_, String>>()?;
        if shares.iter().all(|(_, share)| *share == 0) {
            return Err("at least one share must be above 0".to_owned());
        }
        Ok(Mix(shares))
    }
}

/// What the user wrote wrong, beyond what one flag alone can tell.
#[derive(Debug, Error)]
pub(crate) enum Mistake {
    /// A mix without a database.
    #[error("--mix makes its calls from a database: give --database PATH")]
    NoDatabase,
    /// The target is no URL of that kind.
    #[error("--target {0:?}: write it as http://HOST:PORT")]
    Target(String),
    /// The body is not hexadecimal.
    #[error("--body-hex: not an even number of hexadecimal digits")]
    Body,
    /// The path is not a method's.
    #[error("--path {0:?}: write it as /package.Service/Method")]
    Path(String),
    /// A number out of its range.
    #[error("{0} must be above 0")]
    NotPositive(&'static str),
    /// The key's metadata has no valid name.
    #[error("--key-metadata {0:?} is not the name of a metadata entry")]
    Metadata(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_as_shares_or_as_one_word() {
        let mix: Mix = "search=40,get=2".parse().unwrap();
        assert_eq!(mix.0, [(Method::SearchPlaces, 40), (Method::GetPlace, 2)]);
        assert_eq!(
            "visit".parse::<Mix>().unwrap().0,
            [(Method::RecordVisit, 1)]
        );
    }

    #[test]
    fn a_mix_with_an_unknown_word_or_no_share_is_refused() {
        assert!("find=1".parse::<Mix>().unwrap_err().contains("find"));
        assert!("get=x".parse::<Mix>().is_err());
        assert!("get=0".parse::<Mix>().is_err());
    }
}
