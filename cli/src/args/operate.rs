//! Flags of the commands that talk to a running control plane.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::text;

/// Where the control plane is, who asks, and how to print the answer.
#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// Where the control plane serves operators (spec.control.operator).
    #[arg(long, value_name = "HOST:PORT", env = "CUTOVER_OPERATOR")]
    #[arg(default_value = "127.0.0.1:50054")]
    pub(crate) operator: String,
    /// Bearer token, where the control plane asks for one.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "CUTOVER_OPERATOR_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For a person.
    Text,
    /// The answer as proto3 JSON.
    Json,
}

/// Who changes something, and why; both are kept in the decision log.
#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Who asks; default: the user's name.
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "unknown",
        hide_env = true
    )]
    pub(crate) who: String,
    /// Why; kept in the decision log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Only if the state is still at this generation (`cutover status` shows it); default: at the
    /// one that it has when the command runs.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) revision: Option<u64>,
}

const STATUS_EXAMPLES: &str = "\
Shows the phase of each ramp with the verdict's gates, then each method with both arms beside each \
other, and the fields in which they differed.

Examples:
  cutover status
  cutover status --watch                           # again at each change
  cutover status --scope SearchPlaces
  cutover status --timeout 30m                     # wait until Healthy: for pipelines
  cutover status --output json

With --timeout the exit code is 0 once every ramp is Healthy, and 1 when one is Degraded or the \
time has passed.";

/// Flags of `cutover status`.
#[derive(Debug, Args)]
#[command(after_long_help = STATUS_EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Show one method only; a short form such as SearchPlaces will do.
    #[arg(long, value_name = "METHOD")]
    pub(crate) scope: Option<String>,
    /// Show the state again whenever it changes, until interrupted.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Wait at most this long until Healthy (30s, 10m, 1h); exit code 1 unless it is.
    #[arg(long, value_name = "DURATION", value_parser = text::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

const WEIGHT_EXAMPLES: &str = "\
The weight is the percent of calls that the candidate answers, 0 to 100 in steps of 0.01. An \
override is stronger than the manifest and the ramp, and holds until reset.

Examples:
  cutover weight                                   # show all weights and who owns them
  cutover weight SearchPlaces                      # show one
  cutover weight SearchPlaces 25 --why 'try a quarter'
  cutover weight --all 0 --why 'candidate under repair'
  cutover weight SearchPlaces --reset --why 'back to the ramp'";

/// Flags of `cutover weight`.
#[derive(Debug, Args)]
#[command(after_long_help = WEIGHT_EXAMPLES)]
pub(crate) struct WeightArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// A method (short forms such as SearchPlaces will do), then a percent; with --all only a
    /// percent. Without a percent the weight is shown.
    #[arg(value_name = "METHOD|PERCENT", num_args = 0..=2, allow_negative_numbers = true)]
    pub(crate) what: Vec<String>,
    /// All methods, instead of one.
    #[arg(long)]
    pub(crate) all: bool,
    /// End the override: the manifest or the ramp decides again.
    #[arg(long)]
    pub(crate) reset: bool,
    #[command(flatten)]
    pub(crate) reason: ReasonArgs,
}

const MOVE_EXAMPLES: &str = "\
Examples:
  cutover pause --why 'deploying the legacy'       # every ramp
  cutover pause --scope SearchPlaces               # one method's
  cutover resume --why 'deployed'
  cutover abort --why 'errors in search'           # weight 0 until someone resumes";

/// Flags of `cutover pause`, `resume` and `abort`.
#[derive(Debug, Args)]
#[command(after_long_help = MOVE_EXAMPLES)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// One method's ramp, instead of every ramp; a short form such as SearchPlaces will do.
    #[arg(long, value_name = "METHOD")]
    pub(crate) scope: Option<String>,
    #[command(flatten)]
    pub(crate) reason: ReasonArgs,
}

const PROMOTE_EXAMPLES: &str = "\
Takes the next step at once, without waiting for evidence or the hold. The gates go on watching: a \
bad sign still rolls back.

Examples:
  cutover promote --scope SearchPlaces --why 'seen enough'
  cutover promote --full --why 'the legacy goes away today'";

/// Flags of `cutover promote`.
#[derive(Debug, Args)]
#[command(after_long_help = PROMOTE_EXAMPLES)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) moving: MoveArgs,
    /// Take the last step instead of the next one.
    #[arg(long)]
    pub(crate) full: bool,
}

const REPORT_EXAMPLES: &str = "\
Both arms beside each other (latency, CPU, memory, errors) with their ratios and the range that a \
migration from Python to Rust is expected to bring, then what was compared, what differed and \
where, then the decisions.

Examples:
  cutover report
  cutover report --output json > report.json";

/// Flags of `cutover report`.
#[derive(Debug, Args)]
#[command(after_long_help = REPORT_EXAMPLES)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
}

const EXPLAIN_EXAMPLES: &str = "\
Shows one line of the decision log whole: who moved what from where to where, when and why, every \
gate with its figures, and what they were drawn from. Judges the stored counters again and says \
whether the same figures come out. The ids are in `cutover report --output json` and on the \
dashboard.

Examples:
  cutover explain 17
  cutover explain 17 --output json

Exit codes: 0 reproduced, or nothing was judged; 1 other figures came out, or something failed; \
2 there is no such decision.";

/// Flags of `cutover explain`.
#[derive(Debug, Args)]
#[command(after_long_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// The decision's number in the log.
    #[arg(value_name = "DECISION_ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) id: u64,
}
