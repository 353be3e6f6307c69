//! Examples of differences that wait for the next report: bounded in all and by method and field,
//! so that a frequent difference doesn't crowd out a rare one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cutover_compare::Comparison;
use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as proto;

/// Samples between two reports.
const MAX_WAITING: usize = 128;
/// Samples with the same method and first differing field between two reports.
const MAX_ALIKE: usize = 4;
/// Differences kept of one sample.
const MAX_DIFFERENCES: usize = 32;

/// The samples that wait.
#[derive(Default)]
pub(crate) struct Samples {
    waiting: Vec<proto::Sample>,
    alike: HashMap<(Arc<str>, String), usize>,
    last_id: u64,
    dropped: u64,
}

impl Samples {
    /// Keeps a mismatch as an example, or counts it as dropped.
    pub(crate) fn offer(
        &mut self,
        method: &Arc<str>,
        trace_id: [u8; 16],
        primary: Arm,
        status: [u32; 2],
        comparison: &Comparison,
    ) {
        let Some(first) = comparison.differences.first() else {
            return;
        };
        let alike = self
            .alike
            .entry((method.clone(), first.path.clone()))
            .or_default();
        if *alike >= MAX_ALIKE || self.waiting.len() >= MAX_WAITING {
            self.dropped += 1;
            return;
        }
        *alike += 1;
        self.last_id += 1;
        let kept = &comparison.differences[..comparison.differences.len().min(MAX_DIFFERENCES)];
        let cut = (comparison.differences.len() - kept.len()) as u32;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.waiting.push(proto::Sample {
            id: self.last_id,
            method: method.to_string(),
            trace_id: trace_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            primary: match primary {
                Arm::Legacy => proto::Arm::Legacy,
                Arm::Candidate => proto::Arm::Candidate,
            }
            .into(),
            at_unix_ms: now.as_millis() as i64,
            legacy_status: status[Arm::Legacy.index()],
            candidate_status: status[Arm::Candidate.index()],
            differences: kept
                .iter()
                .map(|difference| proto::Difference {
                    path: difference.path.clone(),
                    kind: difference.kind.as_str().to_owned(),
                    legacy: difference.legacy.clone(),
                    candidate: difference.candidate.clone(),
                    sufficient_relative: difference.sufficient_relative,
                })
                .collect(),
            differences_dropped: comparison.dropped + cut,
        });
    }

    /// Takes what waits, and how many have been dropped in all.
    pub(crate) fn take(&mut self) -> (Vec<proto::Sample>, u64) {
        self.alike.clear();
        (std::mem::take(&mut self.waiting), self.dropped)
    }
}
