//! Flags of the commands that run a proxy, a control plane or both.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

const UP_EXAMPLES: &str = "\
The embedded default: one process, its state in one SQLite file. Callers connect to the proxy; \
both arms send their spans to the control plane (OTEL_EXPORTER_OTLP_ENDPOINT).

Examples:
  cutover up -f cutover.yaml
  cutover up -f cutover.yaml --listen 127.0.0.1:0 --store /var/lib/cutover/cutover.db

When ready, it prints one line for each listener on standard output. SIGTERM or SIGINT ends it \
gracefully, a second one at once.";

/// Flags of `cutover up`.
#[derive(Debug, Args)]
#[command(after_long_help = UP_EXAMPLES)]
pub(crate) struct UpArgs {
    /// The manifest.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CUTOVER_FILE",
        default_value = "cutover.yaml"
    )]
    pub(crate) file: PathBuf,
    /// Where the proxy takes calls, instead of spec.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where the proxy serves /metrics, /livez and /readyz, instead of spec.admin.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// Where proxies and OTLP connect to the control plane, instead of spec.control.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) control_listen: Option<String>,
    /// Where operators and browsers connect, instead of spec.control.operator.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) operator: Option<String>,
    /// What holds the state, instead of spec.control.store: an SQLite file, or the URL of a Postgres.
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "CUTOVER_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// Threads of the proxy's data path; 0 means one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// Where the proxy's own spans go, instead of the control plane: an OTLP/gRPC endpoint.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

const PROXY_EXAMPLES: &str = "\
Stateless: run as many as you like. The route table comes from the control plane; while that is \
away, the proxy goes on with the last table it holds, and starts from the bootstrap manifest.

Examples:
  cutover proxy --control http://cutover-control:4317
  cutover proxy --control http://cutover-control:4317 --bootstrap /etc/cutover/cutover.yaml
  cutover proxy --bootstrap cutover.yaml           # no control plane: pinned weights only

When ready, it prints one line for each listener on standard output.";

/// Flags of `cutover proxy`.
#[derive(Debug, Args)]
#[command(after_long_help = PROXY_EXAMPLES)]
#[command(group = table_source())]
pub(crate) struct ProxyArgs {
    /// The control plane's listen address, as http://HOST:PORT.
    #[arg(long, value_name = "URL", env = "CUTOVER_CONTROL")]
    pub(crate) control: Option<String>,
    /// A manifest to start from until the control plane sends a table.
    #[arg(long, value_name = "FILE")]
    pub(crate) bootstrap: Option<PathBuf>,
    /// Where to take calls, instead of the bootstrap manifest's spec.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where to serve /metrics, /livez and /readyz, instead of spec.admin.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// Threads of the data path; 0 means one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// Where the proxy's own spans go, instead of the control plane: an OTLP/gRPC endpoint.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

/// A proxy routes by a table from at least one of these.
fn table_source() -> ArgGroup {
    ArgGroup::new("table")
        .args(["control", "bootstrap"])
        .required(true)
        .multiple(true)
}

const CONTROL_EXAMPLES: &str = "\
Takes reports from proxies and spans from both arms, decides on the ramp and serves operators. A \
changed manifest is taken up without a restart; a wrong one is refused whole.

Examples:
  cutover control -f cutover.yaml
  cutover control -f /etc/cutover/cutover.yaml --listen 0.0.0.0:4317 --operator 0.0.0.0:50054

When ready, it prints one line for each listener on standard output.";

/// Flags of `cutover control`.
#[derive(Debug, Args)]
#[command(after_long_help = CONTROL_EXAMPLES)]
pub(crate) struct ControlArgs {
    /// The manifest.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CUTOVER_FILE",
        default_value = "cutover.yaml"
    )]
    pub(crate) file: PathBuf,
    /// Where proxies and OTLP connect, instead of spec.control.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where operators and browsers connect, instead of spec.control.operator.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) operator: Option<String>,
    /// What holds the state, instead of spec.control.store: an SQLite file, or the URL of a Postgres.
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "CUTOVER_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
}
