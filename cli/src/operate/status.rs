//! `status`: shows the state once, at each change, or until it is Healthy.

use std::io::{self, IsTerminal};
use std::time::Duration;

use cutover_proto::cutover::v1::{
    GetStatusResponse, Phase, Status, WatchStatusRequest, WatchStatusResponse,
};

use super::client::Client;
use super::json::{self, Shape};
use super::{scope, view};
use crate::args::{Output, StatusArgs};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Runs the command.
pub(crate) async fn run(args: StatusArgs) -> Result<Outcome, Failure> {
    let mut client = Client::connect(&args.operator).await?;
    let status = client.status().await?;
    let scope = match &args.scope {
        None => None,
        Some(given) => Some(scope::resolve(Some(given), &status)?),
    };
    let view = View {
        output: args.operator.output,
        scope,
        watch: args.watch,
    };
    match (args.timeout, args.watch) {
        (Some(timeout), _) => wait(&mut client, &view, timeout).await,
        (None, true) => watch(&mut client, &view).await,
        (None, false) => {
            view.show(status)?;
            Ok(Outcome::Good)
        }
    }
}

/// How states are shown.
struct View {
    output: Output,
    scope: Option<String>,
    watch: bool,
}

impl View {
    fn show(&self, mut status: Status) -> Result<(), Failure> {
        if let Some(scope) = &self.scope {
            status.methods.retain(|method| method.method == *scope);
            status.ramps = view::ramps_of(&status, Some(scope)).cloned().collect();
        }
        match (self.output, self.watch) {
            (Output::Json, false) => {
                let answer = GetStatusResponse {
                    status: Some(status),
                };
                print(&json::render("GetStatusResponse", &answer, Shape::Pretty)?)
            }
            (Output::Json, true) => {
                let answer = WatchStatusResponse {
                    status: Some(status),
                };
                print(&json::render("WatchStatusResponse", &answer, Shape::Line)?)
            }
            (Output::Text, false) => print(&view::status(&status)),
            (Output::Text, true) => {
                let clear = if io::stdout().is_terminal() {
                    CLEAR
                } else {
                    "\n"
                };
                print(&format!("{clear}{}", view::status(&status)))
            }
        }
    }
}

/// Shows each state until interrupted or until the control plane ends.
async fn watch(client: &mut Client, view: &View) -> Result<Outcome, Failure> {
    let opened = client.service.watch_status(WatchStatusRequest {}).await;
    let mut states = opened
        .map_err(|status| client.failure(&status))?
        .into_inner();
    while let Some(state) = states
        .message()
        .await
        .map_err(|status| client.failure(&status))?
    {
        view.show(state.status.unwrap_or_default())?;
    }
    Err(Failure::failed("the control plane has ended the watch"))
}

/// Waits until every ramp in scope is Healthy, one is Degraded, or the time has passed.
async fn wait(client: &mut Client, view: &View, timeout: Duration) -> Result<Outcome, Failure> {
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let opened = client.service.watch_status(WatchStatusRequest {}).await;
    let mut states = opened
        .map_err(|status| client.failure(&status))?
        .into_inner();
    let mut last: Option<Status> = None;
    let why = loop {
        let state = tokio::select! {
            state = states.message() => state.map_err(|status| client.failure(&status))?,
            () = &mut deadline => {
                let within = text::length(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
                break format!("not Healthy within {within}");
            }
        };
        let Some(state) = state else {
            return Err(Failure::failed("the control plane has ended the watch"));
        };
        let status = state.status.unwrap_or_default();
        let phase = view::phase(&status, view.scope.as_deref());
        let ended = matches!(phase, Some(Phase::Healthy | Phase::Degraded));
        if view.watch || ended {
            view.show(status.clone())?;
        }
        last = (!view.watch && !ended).then_some(status);
        match phase {
            Some(Phase::Healthy) => return Ok(Outcome::Good),
            Some(Phase::Degraded) => break "the ramp is Degraded".to_owned(),
            _ => {}
        }
    };
    if let Some(status) = last {
        view.show(status)?;
    }
    Err(Failure::failed(why).help("the gates above say what is missing or wrong"))
}
