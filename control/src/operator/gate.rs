//! The verdict as a gate for other tools that roll out: as JSON for Argo Rollouts, which reads
//! fields, and as a status code for Flagger, which reads nothing else. The codes are open like
//! `/metrics`, and say no more than it does; the JSON has the reasons, and is part of the API.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use cutover_compare::VerdictKind;
use cutover_proto::cutover::v1 as wire;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::Operator;
use crate::shared::Shared;
use crate::status::ramps;
use crate::words::ALL;

/// Most scopes that an answer lists.
const MAX_LISTED: usize = 20;

/// Which ramps are asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `*` for all, or `/package.Service/Method`.
    #[serde(default = "all")]
    scope: String,
}

/// What several ramps say together: the worst of them decides.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Gate {
    verdict: &'static str,
    phase: &'static str,
    /// The lowest of the ramps' weights, 0 to 100.
    weight: f64,
    scope: String,
    reason: String,
    /// Whether Flagger may go on.
    #[serde(skip)]
    open: bool,
}

/// `GET /api/gate`: the gate as JSON.
pub(super) async fn show(State(operator): State<Operator>, Query(asked): Query<Asked>) -> Response {
    match gate(&operator.shared, &asked.scope).await {
        Ok(gate) => {
            let headers = [(header::CACHE_CONTROL, "no-store")];
            (headers, axum::Json(gate)).into_response()
        }
        Err(message) => (StatusCode::NOT_FOUND, message).into_response(),
    }
}

/// `/gate/flagger`: 200 where a canary may go on, else 409.
pub(super) async fn flagger(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
) -> Response {
    code(gate(&shared, &asked.scope).await, |gate| gate.open)
}

/// `/gate/flagger/rollback`: 200 where a canary has to be rolled back, else 409.
pub(super) async fn flagger_rollback(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
) -> Response {
    let rollback = VerdictKind::Rollback.as_str();
    let gate = gate(&shared, &asked.scope).await;
    code(gate, |gate| gate.verdict == rollback)
}

fn code(gate: Result<Gate, String>, passes: impl FnOnce(&Gate) -> bool) -> Response {
    let gate = match gate {
        Ok(gate) => gate,
        Err(message) => return (StatusCode::NOT_FOUND, message).into_response(),
    };
    let code = if passes(&gate) {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    let text = format!("{} {}\n", gate.verdict, gate.phase);
    (code, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// The gate of the ramps in scope, or which scopes there are.
async fn gate(shared: &Shared, scope: &str) -> Result<Gate, String> {
    let ramps = shared.shown(|core, _| ramps(core)).await;
    let in_scope = |ramp: &&wire::RampStatus| {
        scope == ALL || ramp.scope == scope || (ramp.scope == ALL && scope.starts_with('/'))
    };
    let asked: Vec<&wire::RampStatus> = ramps.iter().filter(in_scope).collect();
    if asked.is_empty() && scope != ALL {
        let names: Vec<&str> = ramps.iter().map(|ramp| ramp.scope.as_str()).collect();
        let names = names[..names.len().min(MAX_LISTED)].join(", ");
        return Err(format!("there is no ramp of {scope}; there are: {names}\n"));
    }
    Ok(together(&asked))
}

fn together(ramps: &[&wire::RampStatus]) -> Gate {
    let answers = ramps.iter().map(|ramp| (answer(ramp), *ramp));
    let Some((verdict, deciding)) = answers.max_by_key(|(verdict, _)| *verdict) else {
        return Gate {
            verdict: VerdictKind::Wait.as_str(),
            phase: "none",
            weight: 0.0,
            scope: ALL.to_owned(),
            reason: "there is no ramp: the manifest has none, or no method was called yet".into(),
            open: false,
        };
    };
    let weight_bp = ramps.iter().map(|ramp| ramp.weight_bp).min().unwrap_or(0);
    let goes_on = |ramp: &&wire::RampStatus| match answer(ramp) {
        VerdictKind::Advance => true,
        VerdictKind::Wait => ramp.phase() == wire::Phase::Healthy,
        VerdictKind::Rollback => false,
    };
    Gate {
        verdict: verdict.as_str(),
        phase: match deciding.phase() {
            wire::Phase::Progressing => "progressing",
            wire::Phase::Paused => "paused",
            wire::Phase::Degraded => "degraded",
            wire::Phase::Healthy => "healthy",
            wire::Phase::Unspecified => "unknown",
        },
        weight: f64::from(weight_bp) / 100.0,
        scope: deciding.scope.clone(),
        reason: reason(deciding),
        open: ramps.iter().all(goes_on),
    }
}

/// What a ramp says: who paused it wants it to wait, and one that was rolled back, or is held for
/// the same evidence at weight 0, stays so.
fn answer(ramp: &wire::RampStatus) -> VerdictKind {
    let kind = ramp.verdict.as_ref().map(wire::Verdict::kind);
    if ramp.phase() == wire::Phase::Progressing && !ramp.reason.is_empty() {
        return VerdictKind::Rollback;
    }
    match (ramp.phase(), kind) {
        (wire::Phase::Degraded, _) | (_, Some(wire::VerdictKind::Rollback)) => {
            VerdictKind::Rollback
        }
        (wire::Phase::Progressing | wire::Phase::Healthy, Some(wire::VerdictKind::Advance)) => {
            VerdictKind::Advance
        }
        _ => VerdictKind::Wait,
    }
}

fn reason(ramp: &wire::RampStatus) -> String {
    if !ramp.reason.is_empty() {
        return ramp.reason.clone();
    }
    let Some(verdict) = ramp.verdict.as_ref().filter(|v| !v.gates.is_empty()) else {
        return "nothing was judged yet".to_owned();
    };
    let deciding = verdict
        .gates
        .iter()
        .filter(|gate| gate.verdict == verdict.kind);
    let reasons: Vec<&str> = deciding.map(|gate| gate.reason.as_str()).collect();
    reasons.join("; ")
}

fn all() -> String {
    ALL.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(phase: wire::Phase, kind: wire::VerdictKind, weight_bp: u32) -> wire::RampStatus {
        wire::RampStatus {
            phase: phase.into(),
            weight_bp,
            verdict: Some(wire::Verdict {
                kind: kind.into(),
                gates: Vec::new(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn the_worst_ramp_decides_and_what_is_not_known_waits() {
        use wire::Phase::{Degraded, Healthy, Paused, Progressing};
        use wire::VerdictKind::{Advance, Rollback, Unspecified, Wait};
        let check = |ramps: &[wire::RampStatus], verdict: &str, open: bool| {
            let gate = together(&ramps.iter().collect::<Vec<_>>());
            assert_eq!((gate.verdict, gate.open), (verdict, open), "{ramps:?}");
        };
        check(&[], "wait", false);
        check(&[ramp(Progressing, Unspecified, 0)], "wait", false);
        check(&[ramp(Progressing, Wait, 0)], "wait", false);
        check(&[ramp(Progressing, Advance, 0)], "advance", true);
        check(&[ramp(Paused, Advance, 100)], "wait", false);
        check(&[ramp(Paused, Rollback, 100)], "rollback", false);
        check(&[ramp(Healthy, Wait, 10_000)], "wait", true);
        check(&[ramp(Healthy, Advance, 10_000)], "advance", true);
        check(&[ramp(Healthy, Rollback, 10_000)], "rollback", false);
        check(&[ramp(Degraded, Advance, 0)], "rollback", false);
        let held = wire::RampStatus {
            reason: "bad answers".into(),
            ..ramp(Progressing, Wait, 0)
        };
        check(&[held], "rollback", false);
        let (good, bad) = (ramp(Healthy, Advance, 10_000), ramp(Degraded, Wait, 0));
        check(&[good.clone(), bad], "rollback", false);
        check(&[good, ramp(Progressing, Wait, 5_000)], "wait", false);
    }

    #[test]
    fn the_weight_is_the_lowest_one_in_percent() {
        use wire::Phase::Progressing;
        use wire::VerdictKind::Wait;
        let ramps = [ramp(Progressing, Wait, 5_000), ramp(Progressing, Wait, 125)];
        assert_eq!(together(&ramps.iter().collect::<Vec<_>>()).weight, 1.25);
    }
}
