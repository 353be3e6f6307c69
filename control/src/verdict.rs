//! Between the ramp's counters and the tests on them: [`cutover_compare::evidence::assess`] draws
//! the verdict; here its question is put together, and its answer goes over the wire.

use std::time::Duration;

use cutover_compare::evidence::{
    Basis as Drawn, FieldCell, FieldCounts, FieldNoise, MemoryCell, MethodQuestion, OperationCell,
    SpellCount, TraceCell, assess, noisy,
};
use cutover_compare::{CallCell, Histogram, MethodEvidence, PairCell, Verdict, VerdictKind};
use cutover_manifest::{Gates, Weight};
use cutover_proto::cutover::v1 as wire;

use crate::tally::{FieldTally, MethodTally, PairTally};

/// How long a window of recent evidence lasts.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);

/// What is asked about one ramp.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) gates: Gates,
    pub(crate) weight: Weight,
    /// Which window of the epoch the recent counters are from, from 1.
    pub(crate) window: u64,
    /// One entry for each method of the ramp.
    pub(crate) methods: Vec<MethodTallies>,
    /// The arms' memory.
    pub(crate) memory: MemoryCell,
}

/// What was counted of one method.
#[derive(Clone, Debug, Default)]
pub(crate) struct MethodTallies {
    /// Since the epoch began.
    pub(crate) whole: MethodTally,
    /// Since the window opened.
    pub(crate) recent: MethodTally,
    /// The share of its mirrored calls that are asked once more for noise.
    pub(crate) noise_share: f64,
    /// What its traces say.
    pub(crate) traces: TraceCell,
}

/// A verdict, and what it was drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Assessed {
    pub(crate) verdict: Verdict,
    pub(crate) basis: Basis,
}

/// What a verdict was drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    drawn: Drawn,
    /// Of all methods together, mismatches without noise, and fields left out.
    counters: MethodTally,
}

impl Question {
    /// The verdict.
    pub(crate) fn assess(&self) -> Assessed {
        let assessed = assess(&cutover_compare::evidence::Question {
            gates: self.gates,
            weight: self.weight,
            window: self.window,
            methods: self.methods.iter().map(MethodTallies::ask).collect(),
            memory: self.memory,
        });
        let mut counters = MethodTally::default();
        for method in &self.methods {
            counters.merge_without_fields(match assessed.basis.window {
                0 => &method.whole,
                _ => &method.recent,
            });
        }
        counters.pairs.mismatched = assessed.basis.evidence.pairs.mismatched;
        Assessed {
            verdict: assessed.verdict,
            basis: Basis {
                drawn: assessed.basis,
                counters,
            },
        }
    }
}

impl MethodTallies {
    fn ask(&self) -> MethodQuestion<'_> {
        let recent = &self.recent.pairs.fields;
        let fields = self.whole.pairs.fields.iter();
        let fields = fields.map(|(key, whole)| FieldCell {
            path: &key.0,
            whole: counts(whole),
            recent: recent.get(key).map(counts).unwrap_or_default(),
        });
        MethodQuestion {
            whole: MethodEvidence {
                traces: self.traces.clone(),
                ..evidence(&self.whole)
            },
            recent: evidence(&self.recent),
            noise_share: self.noise_share,
            fields: fields.collect(),
        }
    }
}

impl Basis {
    /// As it goes into the decision log.
    pub(crate) fn to_wire(&self, scope: &str) -> wire::Basis {
        let Drawn {
            gates, evidence, ..
        } = &self.drawn;
        let operation = |operation: &OperationCell| wire::OperationEvidence {
            key: operation.key.clone(),
            compared: operation.compared,
            more_in_candidate: operation.more_in_candidate,
            more_in_legacy: operation.more_in_legacy,
            n_plus_one: operation.n_plus_one,
        };
        let memory = evidence.memory;
        wire::Basis {
            gates: Some(wire::GateSettings {
                min_calls: gates.min_calls,
                error_rate_margin: gates.error_rate_margin,
                mismatch_below: gates.mismatch_below,
                p99_ratio: gates.p99_ratio,
                p99_tolerance: gates.p99_tolerance,
                confidence: gates.confidence,
                traces: gates.traces.as_str().to_owned(),
                leak: gates.leak.as_str().to_owned(),
                memory_ratio: gates.memory_ratio,
            }),
            weight_bp: self.drawn.weight.bp().into(),
            window: self.drawn.window,
            guard_error: self.drawn.levels.guards,
            undecided: evidence.pairs.undecided,
            traces_compared: evidence.traces.compared,
            operations: evidence.traces.operations.iter().map(operation).collect(),
            memory: (memory != MemoryCell::default()).then(|| wire::MemoryEvidence {
                spells: memory.spells.iter().map(spell_count).collect(),
                legacy_bytes: memory.legacy_bytes,
                candidate_bytes: memory.candidate_bytes,
            }),
            evidence: Some(self.counters.to_wire(scope)),
        }
    }
}

/// What a verdict is drawn from, of spells of one length.
fn spell_count(count: &SpellCount) -> wire::SpellCount {
    wire::SpellCount {
        spells: count.spells,
        grew: count.grew,
        ..wire::SpellCount::default()
    }
}

/// What the pairs of traces of a method say.
pub(crate) fn trace_cell(status: &wire::TraceStatus) -> TraceCell {
    let operation = |operation: &wire::OperationStatus| OperationCell {
        key: operation.key.clone(),
        compared: status.compared,
        more_in_candidate: operation.more_in_candidate,
        more_in_legacy: operation.more_in_legacy,
        n_plus_one: operation.n_plus_one,
    };
    TraceCell {
        compared: status.compared,
        operations: status.operations.iter().map(operation).collect(),
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
    let triples: Vec<FieldNoise> = pairs.fields.values().map(|f| counts(f).noise).collect();
    noisy(&triples, alpha)
}

fn counts(field: &FieldTally) -> FieldCounts {
    FieldCounts {
        pairs: field.pairs,
        noise: FieldNoise {
            only_other: field.only_other,
            only_repeat: field.only_repeat,
            both: field.both,
        },
    }
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
            undecided: 0,
            triples: pairs.triples,
            only_candidate_failed: pairs.only_candidate_failed,
            only_legacy_failed: pairs.only_legacy_failed,
            candidate_slower: pairs.candidate_slower,
            legacy_slower: pairs.legacy_slower,
        },
        ..MethodEvidence::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cutover_compare::judge;

    use super::*;

    fn tally(compared: u64, mismatched: u64, triples: u64) -> MethodTally {
        let field = FieldTally {
            pairs: mismatched,
            only_other: triples.min(mismatched),
            ..FieldTally::default()
        };
        let fields = BTreeMap::from([(("name".to_owned(), "value".to_owned()), field)]);
        let pairs = PairTally {
            compared,
            mismatched,
            triples,
            fields,
            ..PairTally::default()
        };
        MethodTally {
            calls: BTreeMap::new(),
            pairs,
        }
    }

    fn question(whole: MethodTally, recent: MethodTally, noise_share: f64) -> Question {
        Question {
            gates: Gates::default(),
            weight: Weight::ZERO,
            window: 3,
            methods: vec![MethodTallies {
                whole,
                recent,
                noise_share,
                traces: TraceCell::default(),
            }],
            memory: MemoryCell::default(),
        }
    }

    #[test]
    fn what_goes_into_the_log_gives_the_same_gates_again() {
        for (noise_share, window, undecided) in [(0.0, 3, 0), (0.5, 0, 90)] {
            let asked = question(tally(5_000, 90, 2), tally(200, 90, 2), noise_share);
            let Assessed { verdict, basis } = asked.assess();
            let wire = basis.to_wire("/a.B/C");
            assert_eq!((wire.window, wire.undecided), (window, undecided));
            let counters = wire.evidence.unwrap();
            assert!(counters.pairs.as_ref().unwrap().fields.is_empty());
            let mut again = evidence(&MethodTally::from_wire(&counters).unwrap());
            again.pairs.undecided = undecided;
            let drawn = basis.drawn;
            let again = judge(&drawn.gates, drawn.weight, drawn.levels, &again);
            let figures = |verdict: &Verdict| {
                let gates = verdict.gates.iter();
                gates
                    .map(|g| (g.name, g.n, g.s, g.log_e))
                    .collect::<Vec<_>>()
            };
            assert_eq!(figures(&again), figures(&verdict));
        }
    }

    #[test]
    fn fields_of_the_window_are_those_of_the_epoch() {
        let asked = question(tally(5_000, 40, 30), tally(200, 90, 30), 0.5);
        let method = asked.methods[0].ask();
        let field = &method.fields[0];
        assert_eq!(
            (field.path, field.whole.pairs, field.recent.pairs),
            ("name", 40, 90)
        );
        assert_eq!(asked.assess().verdict.kind, VerdictKind::Rollback);
        assert!(!sentence(&asked.assess().verdict).is_empty());
    }
}
