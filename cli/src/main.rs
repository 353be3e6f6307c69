//! The `cutover` binary: parses the command line, builds what the command needs, runs it and maps
//! errors to exit codes. What a proxy or a control plane does is in their own crates.

mod args;
mod check;
mod failure;
mod logging;
mod operate;
mod output;
mod replay;
mod run;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::{Failure, Outcome};

/// Threads of the command's own runtime. A proxy brings its own; a control plane is light.
const RUNTIME_THREADS: usize = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = logging::init(&cli.log, cli.command.default_log_level())
        .and_then(|()| dispatch(cli.command));
    match result {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            // A closed stderr leaves the exit code to tell.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<Outcome, Failure> {
    if let Command::Completion(args) = &command {
        let mut script = Vec::new();
        clap_complete::generate(args.shell, &mut Cli::command(), "cutover", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        return Ok(Outcome::Good);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("cutover")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Up(args) => run::up(args).await,
            Command::Proxy(args) => run::proxy(args).await,
            Command::Control(args) => run::control(args).await,
            Command::Record(args) => run::record(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Status(args) => operate::status(args).await,
            Command::Weight(args) => operate::weight(args).await,
            Command::Pause(args) => operate::pause(args).await,
            Command::Resume(args) => operate::resume(args).await,
            Command::Promote(args) => operate::promote(args).await,
            Command::Abort(args) => operate::abort(args).await,
            Command::Report(args) => operate::report(args).await,
            Command::Explain(args) => operate::explain(args).await,
            Command::Completion(_) => Ok(Outcome::Good),
        }
    })
}
