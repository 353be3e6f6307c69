//! Logs: to standard error only, as text or JSON, so that standard output stays for answers.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};
use crate::failure::Failure;

/// Starts logging. `default_level` holds where neither `--log-level` nor `RUST_LOG` is given.
pub(crate) fn init(args: &LogArgs, default_level: &str) -> Result<(), Failure> {
    let level = args.log_level.as_deref().unwrap_or(default_level);
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("--log-level {level:?} is not a log level: {error}")).help(
            "write error, warn, info, debug or trace, or per module: info,cutover_proxy=debug",
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let result = match args.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| Failure::failed(format!("can't start logging: {error}")))
}
