//! Flags of `record` and `replay`: calls to a file, and from it to both arms.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cutover_manifest::Percent;

use super::Output;
use crate::text;

/// More calls at once than this would measure this machine.
const MAX_CONCURRENCY: i64 = 1_024;

const RECORD_EXAMPLES: &str = "\
Runs a proxy as `cutover proxy --bootstrap` does, and writes the calls that pass to a file in \
gRPC's own binary log format (grpc.binarylog.v1, framed like grpc-go's): headers, messages, half \
close, and what the caller was answered. `cutover replay` sends the requests again.

Never written: authorization, cookies, x-api-key, -bin metadata, the peer's address. Fields marked \
debug_redact in the .proto, or listed under compare.redact of the method's rule, are cleared in \
requests and answers alike. That needs descriptors: without any, recording doesn't start, and a \
message that doesn't decode is left out and counted.

Recording never holds a call up: when the writer is behind, calls are left out and counted. When \
the file is full, recording ends and calls go on. SIGTERM, SIGINT or --duration end the proxy \
gracefully; then the counts are printed.

Examples:
  cutover record -f cutover.yaml --out calls.binlog
  cutover record -f cutover.yaml --out calls.binlog --percent 10 --max-bytes 1GiB
  cutover record -f cutover.yaml --out calls.binlog --listen 127.0.0.1:0 --duration 60s
  cutover replay calls.binlog -f cutover.yaml";

/// Flags of `cutover record`.
#[derive(Debug, Args)]
#[command(after_long_help = RECORD_EXAMPLES)]
pub(crate) struct RecordArgs {
    /// The manifest.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CUTOVER_FILE",
        default_value = "cutover.yaml"
    )]
    pub(crate) file: PathBuf,
    /// The file to write; it must not be there yet. Only its owner can read it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Share of calls that are recorded, 0 to 100 in steps of 0.01.
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = percent)]
    pub(crate) percent: Percent,
    /// Most bytes of the file.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = text::parse_bytes)]
    pub(crate) max_bytes: u64,
    /// End after so long; default: run until a signal.
    #[arg(long, value_name = "DURATION", value_parser = text::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Where to take calls, instead of spec.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where to serve /metrics, /livez and /readyz, instead of spec.admin.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// Threads of the data path; 0 means one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
}

const REPLAY_EXAMPLES: &str = "\
Sends each recorded request to both arms, side by side, and compares their answers with the rules \
of the manifest, as the proxy does with mirrored calls. What the caller was answered when the call \
was recorded plays no part. Neither proxy nor control plane is needed, only the arms that the \
manifest names: on a laptop, in CI, before the first real call.

Sent are methods marked NO_SIDE_EFFECTS, and those for which a rule of the manifest says \
acceptSideEffects; streams of the client too, if they were recorded to their end. Copies carry the \
baggage cutover.role=shadow and the recorded metadata; credentials are never recorded, so give \
them with --metadata. Each call has limits.mirrorDeadline on each arm, whatever its caller gave \
it. Fields that differ by themselves (random ids, times) belong under compare.ignore. A file that \
was cut off is used as far as it goes. Binary logs of grpc-go and grpc-java are read too.

Examples:
  cutover replay calls.binlog -f cutover.yaml
  cutover replay calls.binlog --max-mismatch 0.1% --output json    # for CI
  cutover replay calls.binlog --methods SearchPlaces,GetPlace --rate 200
  cutover replay calls.binlog --metadata 'authorization=Bearer TOKEN'

Where the descriptors are not those of the arms, calls are not compared, neither for nor against \
the candidate: methods that the descriptors lack, and answers of both arms that don't decode by \
them. The report names these methods and messages.

Exit codes: 0 no more differ than --max-mismatch allows; 1 more differ, a call got no answer, or \
nothing could be compared; 2 what was written is wrong; 3 no more differ than allowed, but the \
descriptors don't fit some calls.";

/// Flags of `cutover replay`.
#[derive(Debug, Args)]
#[command(after_long_help = REPLAY_EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    pub(crate) recording: PathBuf,
    /// The manifest.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CUTOVER_FILE",
        default_value = "cutover.yaml"
    )]
    pub(crate) file: PathBuf,
    /// Calls at once; each is under way on both arms.
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    pub(crate) concurrency: u16,
    /// Only these methods, by name (SearchPlaces) or path; separated by commas.
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// At most so many calls a second; default: as fast as the arms answer.
    #[arg(long, value_name = "CALLS_PER_SECOND", value_parser = text::parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Metadata to send with each call, instead of what was recorded under that name.
    #[arg(long, value_name = "NAME=VALUE", value_parser = metadata)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Share of compared calls that may differ: 0, or such as 0.1%.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = text::parse_share)]
    pub(crate) max_mismatch: f64,
    /// How to print the report.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

fn percent(text: &str) -> Result<Percent, String> {
    let number = text.trim_end_matches('%').trim().parse();
    let number = number.map_err(|_| format!("{text:?} is not a number from 0 to 100"))?;
    Percent::from_percent(number)
}

fn metadata(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let (name, value) = pair.ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    let name = name.trim().to_ascii_lowercase();
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(known) || name.ends_with("-bin") {
        return Err(format!("{name:?} is not the name of text metadata"));
    }
    if !value.chars().all(|c| (' '..='~').contains(&c)) {
        return Err(format!("the value of {name:?} is not printable ASCII"));
    }
    Ok((name, value.to_owned()))
}
