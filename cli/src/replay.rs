//! `replay`: recorded requests, sent to both arms and compared. It reads the recording as a
//! stream, so its size doesn't matter, and holds no more calls than are under way.

mod arm;
mod plan;
mod progress;
mod report;
mod source;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use cutover_compare::{Comparison, Misfit, Observation, Redaction, compare};
use cutover_manifest::{Arm, Manifest, Role, RouteTable, Weights};
use cutover_proxy::journal::RecordedCall;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::args::ReplayArgs;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::run::{Signals, read_manifest};
use arm::{ArmClient, Unanswered};
use plan::Plan;
use progress::Progress;
use report::Ending;
use source::Source;
use tally::Tally;

/// What one call came to.
struct Done {
    id: u64,
    method: String,
    outcome: Result<Compared, Uncompared>,
}

/// Why a call was not compared.
enum Uncompared {
    /// There is no pair of answers.
    Unanswered(Unanswered),
    /// Neither answer is the message that the descriptors name.
    Misfit(Misfit, String),
}

/// Both answers and what differs in them.
struct Compared {
    seen: [Observation; 2],
    comparison: Comparison,
    /// What differs between two answers of the legacy, where it was asked twice.
    repeat: Option<Comparison>,
}

/// Runs the command.
pub(crate) async fn run(args: ReplayArgs) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    let manifest = Arc::new(read_manifest(&args.file)?);
    let mut source = Source::open(&args.recording)?;
    let arms = [
        connect(&manifest, Arm::Legacy, &args).await?,
        connect(&manifest, Arm::Candidate, &args).await?,
    ];
    let plan = Arc::new(plan(&manifest, &args).await?);
    let mut run = Run {
        arms: Arc::new(arms),
        plan,
        tally: Tally::default(),
        progress: Progress::start(source.bytes()),
        concurrency: usize::from(args.concurrency),
        pace: args.rate.map(pace),
    };
    let interrupted = tokio::select! {
        () = run.all(&mut source) => false,
        () = signals.first() => true,
    };
    run.progress.finish();
    let end = source.end();
    let ending = Ending {
        file: &args.recording,
        manifest: &manifest,
        tally: &run.tally,
        end: &end,
        interrupted,
        max_mismatch: args.max_mismatch,
    };
    print(&ending.render(args.output))?;
    Ok(ending.outcome())
}

async fn connect(manifest: &Manifest, arm: Arm, args: &ReplayArgs) -> Result<ArmClient, Failure> {
    ArmClient::connect(arm, manifest, &args.metadata).await
}

async fn plan(manifest: &Arc<Manifest>, args: &ReplayArgs) -> Result<Plan, Failure> {
    let descriptors = cutover_proxy::reflection::descriptors(manifest).await;
    let descriptors = descriptors.map_err(|reason| {
        Failure::failed("there are no descriptors, so nothing could be compared")
            .at(reason)
            .help("let an arm serve reflection, or name a file in spec.descriptors.file")
    })?;
    let table = RouteTable::build(manifest.clone(), &Weights::default(), 0, 0);
    Plan::new(descriptors, table, &args.methods)
}

/// One tick for each call.
fn pace(rate: f64) -> Interval {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    // A slow answer must not be made up for by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A replay under way.
struct Run {
    arms: Arc<[ArmClient; 2]>,
    plan: Arc<Plan>,
    tally: Tally,
    progress: Progress,
    concurrency: usize,
    pace: Option<Interval>,
}

impl Run {
    async fn all(&mut self, source: &mut Source) {
        let redaction = Arc::new(Redaction::new(rand::random()));
        let mut under_way = JoinSet::new();
        let mut next: Option<RecordedCall> = None;
        let mut exhausted = false;
        while !exhausted || next.is_some() || !under_way.is_empty() {
            let free = under_way.len() < self.concurrency;
            tokio::select! {
                Some(done) = under_way.join_next(), if !under_way.is_empty() => self.done(done),
                call = source.next(), if next.is_none() && !exhausted => match call {
                    None => exhausted = true,
                    Some(call) => {
                        self.tally.read += 1;
                        match self.plan.admit(&call) {
                            Ok(()) => next = Some(call),
                            Err(skip) => self.tally.leave_out(&call.method, skip),
                        }
                    }
                },
                () = turn(&mut self.pace), if next.is_some() && free => {
                    if let Some(call) = next.take() {
                        let (arms, plan) = (self.arms.clone(), self.plan.clone());
                        under_way.spawn(one(arms, plan, redaction.clone(), call));
                    }
                }
                () = sleep_until(self.progress.due()) => {}
            }
            if Instant::now() >= self.progress.due() {
                self.progress.tell(self.tally.ended(), source.position());
            }
        }
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(done) => self.tally.take(done),
            // A panic in the comparison is a defect of ours; it must not pass for agreement.
            Err(error) => self.tally.lost(&error.to_string()),
        }
    }
}

async fn turn(pace: &mut Option<Interval>) {
    if let Some(ticks) = pace {
        ticks.tick().await;
    }
}

/// Sends one call to both arms at once and compares what they answer. For noise, the legacy is
/// asked a second time: it is the arm whose answers are right by themselves.
async fn one(
    arms: Arc<[ArmClient; 2]>,
    plan: Arc<Plan>,
    redaction: Arc<Redaction>,
    call: RecordedCall,
) -> Done {
    let id = call.id;
    let [legacy, candidate] = arms.each_ref().map(|arm| arm.send(&call, Role::Shadow));
    let repeat = async {
        match plan.asks_twice(&call.method) {
            true => arms[Arm::Legacy.index()]
                .send(&call, Role::Noise)
                .await
                .ok(),
            false => None,
        }
    };
    let (legacy, candidate, repeat) = tokio::join!(legacy, candidate, repeat);
    let outcome = match (legacy, candidate) {
        (Ok(legacy), Ok(candidate)) => arm::both(legacy, candidate),
        (Err(unanswered), _) | (_, Err(unanswered)) => Err(unanswered),
    };
    let outcome = outcome.map_err(Uncompared::Unanswered).and_then(|seen| {
        let rules = plan.rules(&call.method);
        let (method, rules) = rules.expect("the plan has admitted the method");
        let differ = |other: &Observation| compare(method, rules, &seen[0], other, &redaction);
        let comparison = differ(&seen[1]);
        // What differs then says nothing about the candidate.
        if let Some(misfit) = comparison.misfit {
            let answer = method.output.full_name().to_owned();
            return Err(Uncompared::Misfit(misfit, answer));
        }
        let repeat = repeat.map(|answered| differ(answered.seen()));
        Ok(Compared {
            seen,
            comparison,
            repeat,
        })
    });
    Done {
        id,
        method: call.method,
        outcome,
    }
}
