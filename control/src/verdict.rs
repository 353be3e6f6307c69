//! From counters to a verdict. The evidence of the whole epoch decides about advancing; a rollback
//! is decided by it and by a recent window as well, so that a bad build in the middle of a long,
//! clean ramp is not hidden behind its history.
//!
//! With alpha = 1 - confidence, the chance of a wrong rollback stays at most alpha: half of it goes
//! to the whole epoch, and of the other half the k-th window of the epoch gets the share
//! 6 / (pi² k²), which adds up to one over all windows there can ever be. A window opens where a
//! step is entered and every [`WINDOW`] after that; each is an e-process of its own, begun at a
//! stopping time.
//!
//! Pairs that differ only in noisy fields should not count. From counters alone their number is
//! known only between two bounds, so each side gets the bound that is safe for it: advancing is
//! judged with the most mismatches there can be, rolling back with the fewest.

use std::f64::consts::PI;
use std::time::Duration;

use cutover_compare::evidence::{FieldNoise, noisy};
use cutover_compare::{CallCell, Histogram, MethodEvidence, PairCell, Verdict, VerdictKind, judge};
use cutover_manifest::{Gates, Weight};
use cutover_proto::cutover::v1 as wire;

use crate::tally::{MethodTally, PairTally};

/// How long a window of recent evidence lasts.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);

/// What is asked about one ramp.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) gates: Gates,
    pub(crate) weight: Weight,
    /// Which window of the epoch `recent` is, from 1.
    pub(crate) window: u64,
    /// One entry for each method of the ramp, since the epoch began.
    pub(crate) whole: Vec<MethodTally>,
    /// The same since the window opened.
    pub(crate) recent: Vec<MethodTally>,
}

/// Which bound of the number of mismatched pairs is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Most,
    Fewest,
}

/// A verdict, and what it was drawn from: judging that again gives the same gates.
#[derive(Clone, Debug)]
pub(crate) struct Assessed {
    pub(crate) verdict: Verdict,
    pub(crate) basis: Basis,
}

/// What a verdict was drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    gates: Gates,
    weight: Weight,
    /// Which window the counters are from; 0 for the whole epoch.
    window: u64,
    /// Of all methods together; mismatches without noise, and fields left out.
    counters: MethodTally,
}

/// The verdict on a ramp.
pub(crate) fn assess(question: &Question) -> Assessed {
    let alpha = 1.0 - question.gates.confidence;
    let ask = |tallies: &[MethodTally], window, bound, alpha: f64| {
        let mut counters = MethodTally::default();
        for tally in tallies {
            let mismatched = mismatched(&tally.pairs, bound, alpha);
            counters.merge_without_fields(tally, mismatched);
        }
        let basis = Basis {
            gates: Gates {
                confidence: 1.0 - alpha,
                ..question.gates
            },
            weight: question.weight,
            window,
            counters,
        };
        Assessed {
            verdict: judge(&basis.gates, basis.weight, &[&evidence(&basis.counters)]),
            basis,
        }
    };
    let k = question.window.max(1) as f64;
    let recent = ask(
        &question.recent,
        question.window.max(1),
        Bound::Fewest,
        alpha / 2.0 * 6.0 / (PI * PI * k * k),
    );
    if recent.verdict.kind == VerdictKind::Rollback {
        return recent;
    }
    let mut whole = ask(&question.whole, 0, Bound::Fewest, alpha / 2.0);
    if whole.verdict.kind == VerdictKind::Rollback {
        return whole;
    }
    // What remains is advancing, with all of alpha: a rollback at that level is none.
    let advance = ask(&question.whole, 0, Bound::Most, alpha);
    match advance.verdict.kind {
        VerdictKind::Rollback => {
            whole.verdict.kind = VerdictKind::Wait;
            whole
        }
        VerdictKind::Advance | VerdictKind::Wait => advance,
    }
}

impl Basis {
    /// As it goes into the decision log.
    pub(crate) fn to_wire(&self, scope: &str) -> wire::Basis {
        wire::Basis {
            gates: Some(wire::GateSettings {
                min_calls: self.gates.min_calls,
                error_rate_margin: self.gates.error_rate_margin,
                mismatch_below: self.gates.mismatch_below,
                p99_ratio: self.gates.p99_ratio,
                confidence: self.gates.confidence,
            }),
            weight_bp: self.weight.bp().into(),
            window: self.window,
            evidence: Some(self.counters.to_wire(scope)),
        }
    }
}

/// One sentence: why the verdict is what it is.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    let deciding = verdict
        .gates
        .iter()
        .filter(|gate| gate.verdict == verdict.kind);
    let reasons: Vec<&str> = deciding.map(|gate| gate.reason.as_str()).collect();
    reasons.join("; ")
}

/// As it goes over the wire.
pub(crate) fn to_wire(verdict: &Verdict) -> wire::Verdict {
    let kind = |kind: VerdictKind| {
        i32::from(match kind {
            VerdictKind::Advance => wire::VerdictKind::Advance,
            VerdictKind::Wait => wire::VerdictKind::Wait,
            VerdictKind::Rollback => wire::VerdictKind::Rollback,
        })
    };
    let gates = verdict.gates.iter().map(|gate| wire::Gate {
        name: gate.name.to_string(),
        verdict: kind(gate.verdict),
        reason: gate.reason.clone(),
        n: gate.n,
        s: gate.s,
        log_e: gate.log_e,
        log_threshold: gate.log_threshold,
        more_calls: gate.more_calls,
    });
    wire::Verdict {
        kind: kind(verdict.kind),
        gates: gates.collect(),
    }
}

/// For each field of the pairs, whether its differences are noise.
pub(crate) fn noisy_fields(pairs: &PairTally, alpha: f64) -> Vec<bool> {
    let triples: Vec<FieldNoise> = pairs
        .fields
        .values()
        .map(|field| FieldNoise {
            only_other: field.only_other,
            only_repeat: field.only_repeat,
            both: field.both,
        })
        .collect();
    noisy(&triples, alpha)
}

fn evidence(tally: &MethodTally) -> MethodEvidence {
    let calls = tally.calls.iter().map(|(key, cell)| CallCell {
        weight: key.weight,
        arm: key.arm,
        role: key.role,
        calls: cell.calls(),
        failures: cell.failures,
        latency: Histogram::from_buckets(
            cell.buckets.iter().map(|(bucket, n)| (*bucket, *n)),
            cell.sum_us,
        ),
    });
    let pairs = &tally.pairs;
    MethodEvidence {
        calls: calls.collect(),
        pairs: PairCell {
            compared: pairs.compared,
            mismatched: pairs.mismatched,
            only_candidate_failed: pairs.only_candidate_failed,
            only_legacy_failed: pairs.only_legacy_failed,
            candidate_slower: pairs.candidate_slower,
            legacy_slower: pairs.legacy_slower,
        },
    }
}

/// Pairs that differ in a field that is not noise: at least as many as the worst such field has,
/// and as remain when every noisy difference had a pair of its own; at most all such differences
/// together. Where the fields don't explain all mismatches, all count.
fn mismatched(pairs: &PairTally, bound: Bound, alpha: f64) -> u64 {
    let noisy = noisy_fields(pairs, alpha);
    let sum_where = |wanted: bool| {
        let fields = pairs.fields.values().zip(&noisy);
        fields
            .filter(|(_, noisy)| **noisy == wanted)
            .map(|(field, _)| field.pairs)
            .sum::<u64>()
    };
    let (noise, real) = (sum_where(true), sum_where(false));
    if noise.saturating_add(real) < pairs.mismatched {
        return pairs.mismatched;
    }
    match bound {
        Bound::Most => real.min(pairs.mismatched),
        Bound::Fewest => {
            let fields = pairs.fields.values().zip(&noisy);
            let worst = fields
                .filter(|(_, noisy)| !**noisy)
                .map(|(field, _)| field.pairs)
                .max();
            worst
                .unwrap_or(0)
                .max(pairs.mismatched.saturating_sub(noise))
                .min(pairs.mismatched)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tally::FieldTally;

    fn tally(compared: u64, mismatched: u64) -> MethodTally {
        let field = FieldTally {
            pairs: mismatched,
            ..FieldTally::default()
        };
        let fields = BTreeMap::from([(("name".to_owned(), "value".to_owned()), field)]);
        let pairs = PairTally {
            compared,
            mismatched,
            fields,
            ..PairTally::default()
        };
        MethodTally {
            calls: BTreeMap::new(),
            pairs,
        }
    }

    fn question(whole: MethodTally, recent: MethodTally) -> Question {
        Question {
            gates: Gates {
                mismatch_below: 0.01,
                min_calls: 100,
                ..Gates::default()
            },
            weight: Weight::ZERO,
            window: 3,
            whole: vec![whole],
            recent: vec![recent],
        }
    }

    fn verdict(whole: MethodTally, recent: MethodTally) -> Verdict {
        assess(&question(whole, recent)).verdict
    }

    #[test]
    fn what_a_verdict_was_drawn_from_gives_the_same_gates_again() {
        let mut noisy = tally(1_000, 40);
        for field in noisy.pairs.fields.values_mut() {
            field.both = 50;
        }
        let mut asked = question(noisy.clone(), tally(10, 0));
        asked.whole.push(tally(500, 3));
        let Assessed { verdict, basis } = assess(&asked);
        let wire = basis.to_wire("*").evidence.unwrap();
        let pairs = wire.pairs.clone().unwrap();
        assert_eq!(
            (pairs.compared, pairs.mismatched),
            (1_500, 3),
            "noise is left out"
        );
        let again = MethodTally::from_wire(&wire::MethodReport {
            method: "/a.B/C".into(),
            ..wire
        });
        let again = judge(&basis.gates, basis.weight, &[&evidence(&again.unwrap())]);
        assert_eq!(again.gates, verdict.gates);
    }

    #[test]
    fn nothing_seen_means_wait() {
        let verdict = verdict(MethodTally::default(), MethodTally::default());
        assert_eq!(verdict.kind, VerdictKind::Wait);
    }

    #[test]
    fn many_mismatches_roll_back() {
        let verdict = verdict(tally(1_000, 300), tally(1_000, 300));
        assert_eq!(verdict.kind, VerdictKind::Rollback, "{verdict:?}");
        assert!(!sentence(&verdict).is_empty());
    }

    #[test]
    fn a_bad_build_is_not_hidden_behind_a_long_clean_history() {
        let clean = verdict(tally(1_000_000, 100), tally(200, 0));
        assert_ne!(clean.kind, VerdictKind::Rollback);
        let assessed = assess(&question(tally(1_000_000, 100), tally(200, 100)));
        assert_eq!(assessed.basis.window, 3, "the recent window decided");
        let verdict = assessed.verdict;
        assert_eq!(verdict.kind, VerdictKind::Rollback, "{verdict:?}");
    }

    #[test]
    fn pairs_that_differ_only_by_noise_do_not_count() {
        let mut noisy = tally(1_000, 1_000);
        for field in noisy.pairs.fields.values_mut() {
            field.both = 50;
        }
        for bound in [Bound::Most, Bound::Fewest] {
            assert_eq!(mismatched(&noisy.pairs, bound, 0.05), 0);
            assert_eq!(mismatched(&tally(10, 4).pairs, bound, 0.05), 4);
        }
        let real = FieldTally {
            pairs: 7,
            ..FieldTally::default()
        };
        noisy
            .pairs
            .fields
            .insert(("score".into(), "value".into()), real);
        assert_eq!(mismatched(&noisy.pairs, Bound::Fewest, 0.05), 7);
        noisy.pairs.mismatched = 2_000;
        noisy.pairs.compared = 2_000;
        let unexplained = mismatched(&noisy.pairs, Bound::Most, 0.05);
        assert_eq!(
            unexplained, 2_000,
            "differences beyond those that fields explain"
        );
    }
}
