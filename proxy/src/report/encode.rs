//! Counters as the control plane's messages.

use cutover_manifest::{Arm, Role};
use cutover_proto::cutover::v1 as proto;

use super::Snapshot;
use crate::observe::{Cell, MethodStats, PairStats};

/// All that was counted in the current epoch.
pub(crate) fn report(snapshot: Snapshot, sequence: u64) -> proto::Report {
    let Snapshot {
        stats,
        samples,
        samples_dropped,
    } = snapshot;
    proto::Report {
        epoch: stats.epoch,
        sequence,
        methods: stats
            .current
            .0
            .iter()
            .map(|(name, stats)| method(name, stats))
            .collect(),
        samples,
        refused: stats
            .refused
            .iter()
            .map(|(k, v)| ((*k).to_owned(), *v))
            .collect(),
        samples_dropped,
    }
}

fn method(name: &str, stats: &MethodStats) -> proto::MethodReport {
    proto::MethodReport {
        method: name.to_owned(),
        calls: stats.cells.iter().map(cell).collect(),
        pairs: Some(pairs(&stats.pairs)),
    }
}

fn cell(cell: &Cell) -> proto::CallCounters {
    let by_status = cell.by_status.iter().zip(0u32..);
    proto::CallCounters {
        weight_bp: cell.weight.bp().into(),
        arm: match cell.arm {
            Arm::Legacy => proto::Arm::Legacy,
            Arm::Candidate => proto::Arm::Candidate,
        }
        .into(),
        role: match cell.role {
            Role::Primary => proto::Role::Primary,
            Role::Shadow => proto::Role::Shadow,
            Role::Noise => proto::Role::Noise,
        }
        .into(),
        by_status: by_status
            .filter(|(n, _)| **n > 0)
            .map(|(n, code)| (code, *n))
            .collect(),
        failures: cell.failures,
        latency: Some(proto::Histogram {
            buckets: cell.latency.buckets().collect(),
            sum_us: cell.latency.sum_us(),
        }),
    }
}

fn pairs(pairs: &PairStats) -> proto::PairCounters {
    let [legacy, candidate] = Arm::BOTH.map(Arm::index);
    proto::PairCounters {
        compared: pairs.compared,
        mismatched: pairs.mismatched,
        triples: pairs.triples,
        only_candidate_failed: pairs.only_failed[candidate],
        only_legacy_failed: pairs.only_failed[legacy],
        candidate_slower: pairs.slower[candidate],
        legacy_slower: pairs.slower[legacy],
        not_compared: pairs
            .not_compared
            .iter()
            .map(|(k, v)| ((*k).to_owned(), *v))
            .collect(),
        fields: pairs
            .fields
            .iter()
            .map(|((path, kind), field)| proto::FieldCounters {
                path: path.clone(),
                kind: (*kind).to_owned(),
                pairs: field.pairs,
                only_other: field.only_other,
                only_repeat: field.only_repeat,
                both: field.both,
            })
            .collect(),
    }
}
