//! Judging a decision's stored counters again, with the same tests that judged them first.

use cutover_compare::evidence::{Levels, MemoryCell, OperationCell, Spells, TraceCell};
use cutover_compare::{
    CallCell, GateAnswer, Histogram, MethodEvidence, PairCell, VerdictKind, judge,
};
use cutover_manifest::{Arm, Gates, LeakGate, Role, TracesGate, Weight};
use cutover_proto::cutover::v1::{self as wire, Basis, Decision, Gate};
use serde_json::{Value, json};

/// How far two log e-values may lie apart and still be the same: another machine's logarithms
/// differ in their last digits.
const TOLERANCE: f64 = 1e-9;

/// What came of judging again.
#[derive(Debug)]
pub(super) enum Judged {
    /// No verdict, or no counters with it.
    Nothing,
    /// Each gate that rests on counters.
    Gates(Vec<Again>),
}

/// One gate, as it was recorded and as it comes out now; one of them may be missing.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) name: String,
    recorded: Option<Gate>,
    now: Option<GateAnswer>,
}

/// Judges the counters that are stored with a decision.
pub(super) fn judge_again(decision: &Decision) -> Judged {
    let (Some(verdict), Some(basis)) = (&decision.verdict, &decision.basis) else {
        return Judged::Nothing;
    };
    let Some((gates, weight, levels, evidence)) = read(basis) else {
        return Judged::Nothing;
    };
    let mut judged = judge(&gates, weight, levels, &evidence).gates;
    let mut all = Vec::new();
    for gate in &verdict.gates {
        let index = judged.iter().position(|answer| answer.name == gate.name);
        let now = index.map(|index| judged.remove(index));
        // The hold and overrides are no questions to the counters.
        if now.is_some() || gate.log_e.is_some() {
            all.push(Again {
                name: gate.name.clone(),
                recorded: Some(gate.clone()),
                now,
            });
        }
    }
    all.extend(judged.into_iter().map(|answer| Again {
        name: answer.name.to_owned(),
        recorded: None,
        now: Some(answer),
    }));
    Judged::Gates(all)
}

impl Again {
    /// Whether something else comes out now.
    pub(super) fn deviates(&self) -> bool {
        let (Some(recorded), Some(now)) = (&self.recorded, &self.now) else {
            return true;
        };
        recorded.verdict() != kind(now.verdict)
            || (recorded.n, recorded.s) != (now.n, now.s)
            || !same(recorded.log_e, now.log_e)
            || !same(recorded.log_threshold, now.log_threshold)
    }

    /// The outcome in words.
    pub(super) fn words(&self) -> String {
        match (&self.recorded, &self.now, self.deviates()) {
            (_, Some(now), false) => match now.log_e {
                Some(log_e) => format!("reproduced: e = {:.4e}, ln e = {log_e:.6}", log_e.exp()),
                None => "reproduced".to_owned(),
            },
            (Some(recorded), Some(now), true) => format!(
                "NOT reproduced: {} now, with {} in {} and ln e {}; {} in {} and ln e {} recorded",
                now.verdict.as_str(),
                now.s,
                now.n,
                figure(now.log_e),
                recorded.s,
                recorded.n,
                figure(recorded.log_e)
            ),
            (None, Some(_), _) => "NOT reproduced: this gate was not recorded".to_owned(),
            (_, None, _) => "NOT reproduced: this gate is not asked now".to_owned(),
        }
    }

    /// The outcome for scripts.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "name": self.name,
            "reproduced": !self.deviates(),
            "verdict": self.now.as_ref().map(|now| now.verdict.as_str()),
            "n": self.now.as_ref().map(|now| now.n),
            "s": self.now.as_ref().map(|now| now.s),
            "logE": self.now.as_ref().and_then(|now| now.log_e),
            "logThreshold": self.now.as_ref().and_then(|now| now.log_threshold),
            "recordedLogE": self.recorded.as_ref().and_then(|recorded| recorded.log_e),
        })
    }
}

/// The question and the counters, where all of them can be read.
fn read(basis: &Basis) -> Option<(Gates, Weight, Levels, MethodEvidence)> {
    let settings = basis.gates.as_ref()?;
    let gates = Gates {
        min_calls: settings.min_calls,
        error_rate_margin: settings.error_rate_margin,
        mismatch_below: settings.mismatch_below,
        p99_ratio: settings.p99_ratio,
        p99_tolerance: settings.p99_tolerance,
        traces: TracesGate::parse(&settings.traces)?,
        leak: LeakGate::parse(&settings.leak)?,
        memory_ratio: settings.memory_ratio,
        confidence: settings.confidence,
    };
    let evidence = basis.evidence.as_ref()?;
    let calls: Option<Vec<CallCell>> = evidence.calls.iter().map(cell).collect();
    let pairs = evidence.pairs.clone().unwrap_or_default();
    Some((
        gates,
        Weight::from_bp(basis.weight_bp)?,
        Levels {
            guards: basis.guard_error,
            ..Levels::of(&gates)
        },
        MethodEvidence {
            calls: calls?,
            pairs: PairCell {
                compared: pairs.compared,
                mismatched: pairs.mismatched,
                undecided: basis.undecided,
                triples: pairs.triples,
                only_candidate_failed: pairs.only_candidate_failed,
                only_legacy_failed: pairs.only_legacy_failed,
                candidate_slower: pairs.candidate_slower,
                legacy_slower: pairs.legacy_slower,
            },
            traces: traces(basis),
            memory: memory(&basis.memory.clone().unwrap_or_default()),
        },
    ))
}

fn traces(basis: &Basis) -> TraceCell {
    let operation = |operation: &wire::OperationEvidence| OperationCell {
        key: operation.key.clone(),
        compared: operation.compared,
        more_in_candidate: operation.more_in_candidate,
        more_in_legacy: operation.more_in_legacy,
        n_plus_one: operation.n_plus_one,
    };
    TraceCell {
        compared: basis.traces_compared,
        operations: basis.operations.iter().map(operation).collect(),
    }
}

fn memory(wire: &wire::MemoryEvidence) -> MemoryCell {
    let mut spells = Spells::default();
    for (count, wire) in spells.iter_mut().zip(&wire.spells) {
        (count.spells, count.grew) = (wire.spells, wire.grew);
    }
    MemoryCell {
        spells,
        legacy_bytes: wire.legacy_bytes,
        candidate_bytes: wire.candidate_bytes,
    }
}

fn cell(counters: &wire::CallCounters) -> Option<CallCell> {
    let latency = counters.latency.clone().unwrap_or_default();
    Some(CallCell {
        weight: Weight::from_bp(counters.weight_bp)?,
        arm: match counters.arm() {
            wire::Arm::Legacy => Arm::Legacy,
            wire::Arm::Candidate => Arm::Candidate,
            wire::Arm::Unspecified => return None,
        },
        role: match counters.role() {
            wire::Role::Primary => Role::Primary,
            wire::Role::Shadow => Role::Shadow,
            wire::Role::Noise => Role::Noise,
            wire::Role::Unspecified => return None,
        },
        calls: counters.by_status.values().sum(),
        failures: counters.failures,
        latency: Histogram::from_buckets(latency.buckets, latency.sum_us),
    })
}

fn kind(verdict: VerdictKind) -> wire::VerdictKind {
    match verdict {
        VerdictKind::Advance => wire::VerdictKind::Advance,
        VerdictKind::Wait => wire::VerdictKind::Wait,
        VerdictKind::Rollback => wire::VerdictKind::Rollback,
    }
}

fn same(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one == other || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
        }
        _ => false,
    }
}

fn figure(log_e: Option<f64>) -> String {
    log_e.map_or_else(|| "none".to_owned(), |log_e| format!("{log_e:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 pairs in which only one arm failed, `worse` of them the candidate, judged at weight 0.
    fn decision(worse: u64, recorded_log_e: f64) -> Decision {
        let gate = Gate {
            name: "paired_errors".to_owned(),
            verdict: wire::VerdictKind::Rollback.into(),
            n: 40,
            s: worse,
            log_e: Some(recorded_log_e),
            log_threshold: Some((7.0f64 / 0.05).ln()),
            ..Gate::default()
        };
        let hold = Gate {
            name: "hold".to_owned(),
            ..Gate::default()
        };
        let settings = wire::GateSettings {
            min_calls: 10,
            error_rate_margin: 0.001,
            mismatch_below: 0.5,
            p99_ratio: None,
            p99_tolerance: 0.5,
            confidence: 0.95,
            traces: "rollback".to_owned(),
            leak: "hold".to_owned(),
            memory_ratio: None,
        };
        let pairs = wire::PairCounters {
            compared: 1_000,
            only_candidate_failed: worse,
            only_legacy_failed: 40 - worse,
            ..Default::default()
        };
        Decision {
            verdict: Some(wire::Verdict {
                gates: vec![gate, hold],
                ..Default::default()
            }),
            basis: Some(Basis {
                gates: Some(settings),
                weight_bp: 0,
                window: 0,
                guard_error: 0.05,
                evidence: Some(wire::MethodReport {
                    pairs: Some(pairs),
                    ..Default::default()
                }),
                ..Basis::default()
            }),
            ..Decision::default()
        }
    }

    fn paired_errors(decision: &Decision) -> Again {
        let Judged::Gates(gates) = judge_again(decision) else {
            panic!("there are counters")
        };
        assert!(gates.iter().all(|gate| gate.name != "hold"));
        let found = gates.into_iter().find(|gate| gate.name == "paired_errors");
        found.unwrap()
    }

    #[test]
    fn the_recorded_figure_comes_out_of_the_counters_again() {
        let log_e = cutover_compare::evidence::ln_e_above(40, 38, 0.5);
        let again = paired_errors(&decision(38, log_e));
        assert!(!again.deviates(), "{}", again.words());
        assert!(again.words().starts_with("reproduced: e ="));
    }

    #[test]
    fn another_figure_is_shown_beside_the_recorded_one() {
        let again = paired_errors(&decision(38, 7.0));
        assert!(again.deviates());
        assert!(
            again.words().contains("7.000000 recorded"),
            "{}",
            again.words()
        );
    }

    #[test]
    fn without_counters_nothing_is_judged() {
        let bare = Decision {
            basis: None,
            ..decision(38, 7.0)
        };
        assert!(matches!(judge_again(&bare), Judged::Nothing));
    }
}
