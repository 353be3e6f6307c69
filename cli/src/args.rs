//! The command line, as types. Each command's flags are beside its kind: [`run`] for what runs,
//! [`operate`] for what talks to a running control plane, [`replay`] for recordings.

mod operate;
mod replay;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use operate::{
    ExplainArgs, MoveArgs, OperatorArgs, Output, PromoteArgs, ReportArgs, StatusArgs, WeightArgs,
};
pub(crate) use replay::{RecordArgs, ReplayArgs};
pub(crate) use run::{ControlArgs, ProxyArgs, UpArgs};

const LONG_ABOUT: &str = "\
Moves a live gRPC service from one implementation to another without a leap of faith.

A proxy stands in front of both arms (legacy and candidate), sends a chosen percentage of calls to \
the candidate, mirrors calls to the other arm and compares what both answered and did. Evidence \
moves the percentage up; a bad sign moves it to zero.";

const EXAMPLES: &str = "\
Examples:
  cutover check -f cutover.yaml        # is the manifest right, are both arms there?
  cutover up -f cutover.yaml           # proxy and control plane in one process
  cutover status --watch               # where does the ramp stand, and why?
  cutover weight GetPlace 25 --why 'try a quarter'
  cutover abort --why 'errors in search'
  cutover report                       # both arms side by side
  cutover record -f cutover.yaml --out calls.binlog   # calls to a file
  cutover replay calls.binlog          # from there to both arms, compared

Exit codes: 0 good, 1 something failed or the answer is bad, 2 what was written is wrong.";

/// Moves a live gRPC service from one implementation to another, by evidence.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, long_about = LONG_ABOUT, after_long_help = EXAMPLES)]
#[command(arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    /// How to log.
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Level of logs on standard error: error, warn, info, debug, trace, or per module.
    /// Default: info for up, proxy, control and record; warn for the rest.
    #[arg(
        long,
        global = true,
        help_heading = "Logs",
        env = "RUST_LOG",
        value_name = "LEVEL",
        hide_env_values = true
    )]
    pub(crate) log_level: Option<String>,
    /// Shape of logs on standard error.
    #[arg(
        long,
        global = true,
        help_heading = "Logs",
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// Shape of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run proxy and control plane in one process.
    Up(UpArgs),
    /// Run a proxy alone.
    Proxy(ProxyArgs),
    /// Run the control plane alone.
    Control(ControlArgs),
    /// Run a proxy that writes the calls that pass to a file.
    Record(RecordArgs),
    /// Send recorded calls to both arms and compare their answers.
    Replay(ReplayArgs),
    /// Check a manifest, and whether both arms fit it.
    Check(CheckArgs),
    /// Show where everything stands.
    Status(StatusArgs),
    /// Show, override or reset the weight of one method or of all.
    Weight(WeightArgs),
    /// Stop the ramp where it is; the weight stays.
    Pause(MoveArgs),
    /// Let the ramp go on after a pause, or from weight 0 after a rollback.
    Resume(MoveArgs),
    /// Take the ramp's next step now, or the last one with --full.
    Promote(PromoteArgs),
    /// Send everything back to the legacy, and stay there.
    Abort(MoveArgs),
    /// Show the migration report: both arms side by side.
    Report(ReportArgs),
    /// Explain one decision of the log, and judge its counters again.
    Explain(ExplainArgs),
    /// Print a completion script for a shell.
    Completion(CompletionArgs),
}

impl Command {
    /// Servers tell what they do; commands that answer a question keep quiet.
    pub(crate) fn default_log_level(&self) -> &'static str {
        match self {
            Command::Up(_) | Command::Proxy(_) | Command::Control(_) | Command::Record(_) => "info",
            _ => "warn",
        }
    }
}

const CHECK_EXAMPLES: &str = "\
Looks at the manifest, then at both arms: can they be reached over HTTP/2, does server reflection \
answer, do both have the same methods with the same messages, do all rules name methods and fields \
that exist, are the ports to listen on free? And how many calls does each step of the ramp take, \
if the candidate is never wrong? With --rate, also how long; a step that nothing passes, or that \
takes more than 30 days, is a failed check.

Examples:
  cutover check -f cutover.yaml
  cutover check -f cutover.yaml --offline          # the manifest alone: for CI
  cutover check -f cutover.yaml --rate 20          # 20 calls a second of a method
  cutover check -f cutover.yaml --output json

Exit codes: 0 all good, 1 a check failed, 2 the manifest is wrong.";

/// Flags of `cutover check`.
#[derive(Debug, Args)]
#[command(after_long_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The manifest.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CUTOVER_FILE",
        default_value = "cutover.yaml"
    )]
    pub(crate) file: PathBuf,
    /// Look at nothing but files: no arms, no ports.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Calls a second that a method gets (with `scope: service`, all of them together), to tell how
    /// long the ramp takes at least.
    #[arg(long, value_name = "CALLS_PER_SECOND", value_parser = crate::text::parse_rate)]
    pub(crate) rate: Option<f64>,
    /// How to print the list.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(cutover completion bash)
  cutover completion zsh > \"${fpath[1]}/_cutover\"
  cutover completion fish > ~/.config/fish/completions/cutover.fish";

/// Flags of `cutover completion`.
#[derive(Debug, Args)]
#[command(after_long_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
