//! `explain`: one decision of the log whole, with its verdict judged again from the counters that
//! were stored with it.

mod again;

use cutover_proto::cutover::v1::{
    Arm, Basis, CallCounters, Decision, ListDecisionsRequest, Phase, Role,
};

use super::client::Client;
use super::json::{self, Shape};
use super::scope;
use super::view::{gate, line, phase_word, verdict_word};
use crate::args::{ExplainArgs, Output};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text::{self, Table, percent};
use again::{Again, Judged, judge_again};

/// Runs the command.
pub(crate) async fn run(args: ExplainArgs) -> Result<Outcome, Failure> {
    let mut client = Client::connect(&args.operator).await?;
    let request = client.request(ListDecisionsRequest {
        id: args.id,
        ..Default::default()
    });
    let answer = client.service.list_decisions(request).await;
    let answer = answer.map_err(|status| client.failure(&status))?;
    let decision = answer.into_inner().decisions.into_iter().next();
    let decision = decision.filter(|decision| decision.id == args.id);
    let decision = decision.ok_or_else(|| {
        Failure::failed("the control plane answered with another decision than asked for")
            .help("is it of an older version?")
    })?;
    let judged = judge_again(&decision);
    match args.operator.output {
        Output::Json => print(&as_json(&decision, &judged)?)?,
        Output::Text => print(&render(&decision, &judged))?,
    }
    Ok(match judged {
        Judged::Gates(gates) if gates.iter().any(Again::deviates) => Outcome::Bad,
        Judged::Gates(_) | Judged::Nothing => Outcome::Good,
    })
}

fn as_json(decision: &Decision, judged: &Judged) -> Result<String, Failure> {
    let text = json::render("Decision", decision, Shape::Line)?;
    let failed = |error| Failure::failed(format!("can't write the decision as JSON: {error}"));
    let decision: serde_json::Value = serde_json::from_str(&text).map_err(failed)?;
    let gates: Vec<serde_json::Value> = match judged {
        Judged::Nothing => Vec::new(),
        Judged::Gates(gates) => gates.iter().map(Again::as_json).collect(),
    };
    let answer = serde_json::json!({
        "decision": decision,
        "reproduced": match judged {
            Judged::Nothing => None,
            Judged::Gates(gates) => Some(!gates.iter().any(Again::deviates)),
        },
        "judgedAgain": gates,
    });
    let mut text = serde_json::to_string_pretty(&answer).map_err(failed)?;
    text.push('\n');
    Ok(text)
}

fn render(decision: &Decision, judged: &Judged) -> String {
    let mut out = String::new();
    let what = match decision.scope.as_str() {
        scope::ALL => "all methods",
        method => method,
    };
    let (from, to) = (percent(decision.from_bp), percent(decision.to_bp));
    let (id, action) = (decision.id, &decision.action);
    line(
        &mut out,
        format_args!("decision {id}: {action} {what}, {from} → {to}"),
    );
    let at = text::moment(decision.at_unix_ms);
    let phase = match decision.phase() {
        Phase::Unspecified => String::new(),
        phase => format!(", the ramp then {}", phase_word(phase)),
    };
    let (who, epoch, revision) = (&decision.who, decision.epoch, decision.revision);
    line(
        &mut out,
        format_args!("  {at}, by {who}, on revision {revision}, epoch {epoch}{phase}"),
    );
    line(&mut out, format_args!("  why: {}", decision.why));
    if let Some(verdict) = &decision.verdict {
        let word = verdict_word(verdict.kind());
        line(&mut out, format_args!("\nverdict: {word}"));
        for of in &verdict.gates {
            line(&mut out, format_args!("  {}", gate(of)));
            if let Judged::Gates(gates) = judged {
                let again = gates.iter().find(|again| again.name == of.name);
                let words = again.map_or_else(|| "not from counters".to_owned(), Again::words);
                line(&mut out, format_args!("           {words}"));
            }
        }
    }
    match (&decision.basis, judged) {
        (Some(basis), Judged::Gates(gates)) => {
            out.push_str(&self::basis(basis));
            line(&mut out, format_args!("\n{}", summary(gates)));
        }
        _ => out.push_str("\nno counters are stored with it: nothing was judged for it\n"),
    }
    if !decision.samples.is_empty() {
        out.push_str("\ndifferences seen last before it\n");
    }
    for sample in &decision.samples {
        let at = text::moment(sample.at_unix_ms);
        let trace = match sample.trace_id.as_str() {
            "" => "not traced",
            id => id,
        };
        line(
            &mut out,
            format_args!(
                "  {at}  trace {trace}  {}: {}, {}",
                sample.method, sample.path, sample.kind
            ),
        );
    }
    out
}

fn summary(gates: &[Again]) -> String {
    let deviating: Vec<&str> = gates
        .iter()
        .filter(|gate| gate.deviates())
        .map(|gate| gate.name.as_str())
        .collect();
    match deviating.as_slice() {
        [] => format!(
            "judged again from these counters: all {} gates reproduced",
            gates.len()
        ),
        names => format!(
            "judged again from these counters: NOT reproduced: {}",
            names.join(", ")
        ),
    }
}

/// The counters, and what was asked of them.
fn basis(basis: &Basis) -> String {
    let what = match basis.window {
        0 => "all evidence of the epoch".to_owned(),
        window => format!("the recent evidence of window {window}"),
    };
    let weight = percent(basis.weight_bp);
    let mut out = format!("\ndrawn from {what}, judged at weight {weight}\n");
    if let Some(gates) = &basis.gates {
        let p99 = gates.p99_ratio.map_or_else(String::new, |ratio| {
            let tolerance = gates.p99_tolerance;
            format!(", p99 ratio {ratio} and {tolerance} more")
        });
        line(
            &mut out,
            format_args!(
                "  min calls {}, error rate margin {}, mismatch below {}, confidence {} to advance, \
                 {} to roll back{p99}",
                gates.min_calls,
                gates.error_rate_margin,
                gates.mismatch_below,
                gates.confidence,
                1.0 - basis.guard_error
            ),
        );
    }
    let Some(evidence) = &basis.evidence else {
        return out;
    };
    if let Some(pairs) = &evidence.pairs {
        line(
            &mut out,
            format_args!(
                "  {} pairs compared, {} differ ({} of them perhaps by noise); only the candidate failed in {}, only the legacy \
                 in {}; the candidate was slower in {}, the legacy in {}",
                pairs.compared,
                pairs.mismatched,
                basis.undecided,
                pairs.only_candidate_failed,
                pairs.only_legacy_failed,
                pairs.candidate_slower,
                pairs.legacy_slower
            ),
        );
    }
    let mut table = Table::new(&["WEIGHT", "ARM", "ROLE", "CALLS", "FAILED"]);
    for cell in &evidence.calls {
        table.row(vec![
            percent(cell.weight_bp),
            arm_word(cell).to_owned(),
            role_word(cell).to_owned(),
            cell.by_status.values().sum::<u64>().to_string(),
            cell.failures.to_string(),
        ]);
    }
    if !evidence.calls.is_empty() {
        out.push_str(&table.render());
    }
    out
}

fn arm_word(cell: &CallCounters) -> &'static str {
    match cell.arm() {
        Arm::Legacy => "legacy",
        Arm::Candidate => "candidate",
        Arm::Unspecified => "unknown",
    }
}

fn role_word(cell: &CallCounters) -> &'static str {
    match cell.role() {
        Role::Primary => "primary",
        Role::Shadow => "shadow",
        Role::Noise => "noise",
        Role::Unspecified => "unknown",
    }
}
