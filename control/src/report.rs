//! The migration report: both arms side by side, and where they disagree, with an example.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;

use crate::shared::Shared;
use crate::status::latency;
use crate::store::{StoreError, list_decisions, list_samples};

/// Most findings in a report.
const MAX_FINDINGS: usize = 200;
/// Most decisions in a report.
const MAX_DECISIONS: u32 = 100;

/// Draws the report.
pub(crate) async fn report(shared: &Arc<Shared>) -> Result<wire::GetReportResponse, StoreError> {
    let mut report = {
        let state = shared.status().await;
        let totals = shared.core().ledger.totals();
        let sum = |of: fn(&crate::tally::PairTally) -> u64| {
            totals.values().map(|tally| of(&tally.pairs)).sum()
        };
        wire::GetReportResponse {
            legacy_latency: Some(latency(totals.values(), Arm::Legacy)),
            candidate_latency: Some(latency(totals.values(), Arm::Candidate)),
            compared: sum(|pairs| pairs.compared),
            mismatched: sum(|pairs| pairs.mismatched),
            findings: findings(&state),
            status: Some(state),
            decisions: Vec::new(),
        }
    };
    let wanted: Vec<(String, String)> = report
        .findings
        .iter()
        .filter(|finding| finding.subject == "field")
        .map(|finding| (finding.method.clone(), finding.path.clone()))
        .collect();
    let (decisions, mut examples) = shared
        .store
        .call(move |session| {
            let mut examples = BTreeMap::new();
            for (method, path) in wanted {
                let samples = list_samples(session, &method, &path, 1)?;
                if let Some(sample) = samples.into_iter().next() {
                    examples.insert((method, path), sample);
                }
            }
            Ok((list_decisions(session, MAX_DECISIONS)?, examples))
        })
        .await?;
    for finding in &mut report.findings {
        let key = (finding.method.clone(), finding.path.clone());
        if let Some(sample) = examples.get_mut(&key) {
            finding.example = example(sample, &finding.path, &finding.kind);
        }
    }
    report.decisions = decisions.into_iter().rev().collect();
    Ok(report)
}

/// Fields that are not noise and operations that differ, the largest share of pairs first.
fn findings(status: &wire::Status) -> Vec<wire::Finding> {
    let mut findings = Vec::new();
    for method in &status.methods {
        let compared = method.pairs.as_ref().map_or(0, |pairs| pairs.compared);
        for field in method.fields.iter().filter(|field| !field.noisy) {
            findings.push(wire::Finding {
                method: method.method.clone(),
                subject: "field".into(),
                path: field.path.clone(),
                kind: field.kind.clone(),
                pairs: field.pairs,
                compared,
                example: String::new(),
            });
        }
        let Some(traces) = &method.traces else {
            continue;
        };
        for operation in &traces.operations {
            findings.extend(operation_finding(
                &method.method,
                traces.compared,
                operation,
            ));
        }
    }
    let share = |finding: &wire::Finding| finding.pairs as f64 / finding.compared.max(1) as f64;
    findings.sort_by(|a, b| share(b).total_cmp(&share(a)));
    findings.truncate(MAX_FINDINGS);
    findings
}

fn operation_finding(
    method: &str,
    compared: u64,
    operation: &wire::OperationStatus,
) -> Option<wire::Finding> {
    let (more, fewer) = (operation.more_in_candidate, operation.more_in_legacy);
    let errors_differ = operation.legacy_errors != operation.candidate_errors;
    let kind = if operation.n_plus_one {
        "n_plus_one"
    } else if operation.candidate_calls == 0 && operation.legacy_calls > 0 {
        "missing"
    } else if operation.legacy_calls == 0 && operation.candidate_calls > 0 {
        "extra"
    } else if more + fewer > 0 {
        "count"
    } else if errors_differ {
        "errors"
    } else {
        return None;
    };
    let errors = operation.legacy_errors.abs_diff(operation.candidate_errors);
    let per_pair = |calls: u64| calls as f64 / compared.max(1) as f64;
    Some(wire::Finding {
        method: method.to_owned(),
        subject: "operation".into(),
        path: operation.key.clone(),
        kind: kind.into(),
        pairs: if kind == "errors" {
            errors.min(compared)
        } else {
            more + fewer
        },
        compared,
        example: format!(
            "{:.2} → {:.2} calls for each call",
            per_pair(operation.legacy_calls),
            per_pair(operation.candidate_calls)
        ),
    })
}

fn example(sample: &wire::Sample, path: &str, kind: &str) -> String {
    let of_path = || {
        sample
            .differences
            .iter()
            .filter(|difference| difference.path == path)
    };
    let exact = of_path().find(|difference| difference.kind == kind);
    let Some(difference) = exact.or_else(|| of_path().next()) else {
        return String::new();
    };
    format!("{} → {}", difference.legacy, difference.candidate)
}
