//! `pause`, `resume`, `promote` and `abort`: moves of the ramp, each with who and why.

use cutover_proto::cutover::v1::{MoveRampRequest, RampMove, Status};

use super::client::Client;
use super::json::{self, Shape};
use super::{scope, view};
use crate::args::{MoveArgs, Output, PromoteArgs};
use crate::failure::{Failure, Outcome};
use crate::output::print;

/// Stops the ramp where it is.
pub(crate) async fn pause(args: MoveArgs) -> Result<Outcome, Failure> {
    run(args, RampMove::Pause, "paused").await
}

/// Lets the ramp go on.
pub(crate) async fn resume(args: MoveArgs) -> Result<Outcome, Failure> {
    run(args, RampMove::Resume, "resumed").await
}

/// Takes the next step, or the last.
pub(crate) async fn promote(args: PromoteArgs) -> Result<Outcome, Failure> {
    let step = if args.full {
        RampMove::PromoteFull
    } else {
        RampMove::Promote
    };
    run(args.moving, step, "promoted").await
}

/// Back to weight 0, latched.
pub(crate) async fn abort(args: MoveArgs) -> Result<Outcome, Failure> {
    run(args, RampMove::Abort, "aborted").await
}

async fn run(args: MoveArgs, step: RampMove, done: &str) -> Result<Outcome, Failure> {
    let mut client = Client::connect(&args.operator).await?;
    let scope = match &args.scope {
        None => scope::ALL.to_owned(),
        Some(given) => scope::resolve(Some(given), &client.status().await?)?,
    };
    let message = MoveRampRequest {
        scope: scope.clone(),
        r#move: step.into(),
        who: args.reason.who,
        why: args
            .reason
            .why
            .unwrap_or_else(|| "no reason given".to_owned()),
        revision: None,
    };
    let ask = async |client: &mut Client, revision| {
        let revision = Some(revision);
        let request = client.request(MoveRampRequest {
            revision,
            ..message.clone()
        });
        client.service.move_ramp(request).await
    };
    let answer = client.change(args.reason.revision, ask).await?;
    match args.operator.output {
        Output::Json => print(&json::render("MoveRampResponse", &answer, Shape::Pretty)?)?,
        Output::Text => print(&text(done, &scope, &answer.status.unwrap_or_default()))?,
    }
    Ok(Outcome::Good)
}

fn text(done: &str, scope: &str, status: &Status) -> String {
    let what = if scope == scope::ALL {
        "every ramp"
    } else {
        scope
    };
    format!("{done} {what}\n{}", view::ramps(status, Some(scope)))
}
