//! The flags, typed and complete: what can be wrong with them is found before anything starts.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What a server of the gazetteer needs to know.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address to listen on; with port 0 the kernel chooses one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051", value_parser = address)]
    pub listen: SocketAddr,

    /// The database that gazetteer-load made.
    #[arg(long, value_name = "PATH", default_value = "gazetteer.db")]
    pub database: PathBuf,

    /// Calls that run at once; more are refused with RESOURCE_EXHAUSTED.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub max_concurrent_calls: NonZeroUsize,

    /// Bytes that a request message may have.
    #[arg(long, value_name = "N", default_value = "4194304")]
    pub max_message_bytes: NonZeroUsize,

    /// Seconds that running calls get to end when the server is told to.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub shutdown_grace: Duration,

    /// Threads that serve calls [default: one for each core].
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Least level of log lines, or a filter such as warn,h2=debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Reads an address; a host name is looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs();
    let first = addresses.ok().and_then(|mut addresses| addresses.next());
    first.ok_or_else(|| "must be a host and a port, such as 127.0.0.1:50051".to_owned())
}

/// Reads a `Duration` from seconds, which may have a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "must be a positive number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{FromArgMatches, error::ErrorKind};

    fn parse(flags: &[&str]) -> Result<Config, clap::Error> {
        let command = Config::augment_args(clap::Command::new("test"));
        let matches = command.try_get_matches_from([&["test"], flags].concat())?;
        Config::from_arg_matches(&matches)
    }

    #[test]
    fn has_a_default_for_every_flag() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 50051)));
        assert_eq!(config.max_message_bytes.get(), 4 * 1024 * 1024);
        assert_eq!(config.shutdown_grace, Duration::from_secs(10));
        assert_eq!(config.threads, None);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for flags in [
            ["--listen", "nowhere"],
            ["--max-concurrent-calls", "0"],
            ["--max-message-bytes", "-1"],
            ["--shutdown-grace", "-1"],
            ["--shutdown-grace", "soon"],
            ["--threads", "0"],
        ] {
            let error = parse(&flags).unwrap_err();
            let kinds = [ErrorKind::ValueValidation, ErrorKind::UnknownArgument];
            assert!(kinds.contains(&error.kind()), "{flags:?}: {error}");
        }
    }

    #[test]
    fn reads_fractions_of_seconds() {
        let config = parse(&["--shutdown-grace", "0.25"]).unwrap();
        assert_eq!(config.shutdown_grace, Duration::from_millis(250));
    }
}
