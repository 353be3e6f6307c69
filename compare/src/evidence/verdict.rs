//! The verdict on a ramp: every gate's answer, and what follows from all of them together.

use cutover_manifest::{Gates, Weight};

use super::counters::MethodEvidence;
use super::gates::{Levels, Question};

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VerdictKind {
    /// Every gate is passed.
    Advance,
    /// Not enough evidence yet.
    Wait,
    /// The candidate is worse.
    Rollback,
}

impl VerdictKind {
    /// `advance`, `wait` or `rollback`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictKind::Advance => "advance",
            VerdictKind::Wait => "wait",
            VerdictKind::Rollback => "rollback",
        }
    }
}

/// A question put to the evidence, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GateAnswer {
    /// `min_calls`, `paired_errors`, `error_rate`, `mismatch`, `latency`, `traces` or `memory`.
    pub name: &'static str,
    /// The answer.
    pub verdict: VerdictKind,
    /// One sentence with the figures.
    pub reason: String,
    /// Observations counted.
    pub n: u64,
    /// Ones among them.
    pub s: u64,
    /// Natural logarithm of the e-value, where the gate is a test.
    pub log_e: Option<f64>,
    /// What `log_e` has to reach for the gate's next answer.
    pub log_threshold: Option<f64>,
    /// About how many more calls are needed, for `wait`, where that can be told.
    pub more_calls: Option<u64>,
}

/// The verdict on one ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The answer: rollback if any gate says so, else wait if any does, else advance.
    pub kind: VerdictKind,
    /// The gates that were asked, those that decided first.
    pub gates: Vec<GateAnswer>,
}

/// Puts the gates to the evidence. `weight` is the weight in force.
///
/// A wrong rollback has a chance of at most `levels.guards` in the life of the evidence. A wrong
/// advance has one of at most `levels.proof`: it takes every gate, so at least one would have to
/// err. What a rollback means at weight 0, where no client is hurt, is for the ramp to say.
#[must_use]
pub fn judge(gates: &Gates, weight: Weight, levels: Levels, evidence: &MethodEvidence) -> Verdict {
    let question = Question {
        gates,
        weight,
        levels,
        evidence,
    };
    let mut answers: Vec<GateAnswer> = [
        question.min_calls(),
        question.paired_errors(),
        question.error_rate(),
        question.mismatch(),
        question.latency(),
        question.traces(),
        question.memory(),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Stable: among equals the order above stays.
    answers.sort_by_key(|answer| std::cmp::Reverse(answer.verdict));
    let kind = answers
        .first()
        .map_or(VerdictKind::Wait, |answer| answer.verdict);
    Verdict {
        kind,
        gates: answers,
    }
}

#[cfg(test)]
mod tests;
