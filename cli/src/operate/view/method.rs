//! One method as text: both arms beside each other, what was compared, what differed.

use cutover_proto::cutover::v1::{Arm, ArmStatus, MethodStatus, OperationStatus};

use super::line;
use crate::text::{Table, micros, percent, share, why_not_compared};

/// Most differing fields, and most operations, shown of one method.
const MAX_SHOWN: usize = 8;

/// One method: both arms, the comparison, the traces.
pub(super) fn show(method: &MethodStatus) -> String {
    let mut out = String::new();
    let weight = percent(method.weight_bp);
    line(
        &mut out,
        format_args!("{}  {weight}, by {}", method.method, method.weight_owner),
    );
    let mut table = Table::new(&[
        "ARM", "CALLS", "/S", "ERRORS", "SHADOW", "P50", "P90", "P99", "SAMPLES",
    ]);
    for arm in &method.arms {
        table.row(arm_row(arm));
    }
    out.push_str(&table.render());
    if let Some(pairs) = &method.pairs {
        let different = share(pairs.mismatched, pairs.compared);
        line(
            &mut out,
            format_args!(
                "  compared {} pairs, {} differed ({different}); only the candidate failed {}, \
                 only the legacy {}",
                pairs.compared,
                pairs.mismatched,
                pairs.only_candidate_failed,
                pairs.only_legacy_failed
            ),
        );
        let mut not: Vec<_> = pairs.not_compared.iter().filter(|(_, n)| **n > 0).collect();
        not.sort();
        if !not.is_empty() {
            line(&mut out, format_args!("  not compared:"));
            for (why, n) in not {
                line(&mut out, format_args!("    {n}: {}", why_not_compared(why)));
            }
        }
    }
    for field in method.fields.iter().take(MAX_SHOWN) {
        let noisy = if field.noisy {
            " (noise: it differs by itself)"
        } else {
            ""
        };
        let (path, kind, pairs) = (&field.path, &field.kind, field.pairs);
        line(
            &mut out,
            format_args!("    differs: {path}, {kind}, in {pairs} pairs{noisy}"),
        );
    }
    if method.fields.len() > MAX_SHOWN {
        line(
            &mut out,
            format_args!("    and {} more fields", method.fields.len() - MAX_SHOWN),
        );
    }
    out.push_str(&traces(method));
    out
}

fn arm_row(arm: &ArmStatus) -> Vec<String> {
    let latency = arm.latency.unwrap_or_default();
    let time = |us| {
        if latency.count == 0 {
            "-".to_owned()
        } else {
            micros(us)
        }
    };
    vec![
        arm_word(arm.arm()).to_owned(),
        arm.calls.to_string(),
        format!("{:.1}", arm.calls_per_second),
        format!("{} ({})", arm.failures, share(arm.failures, arm.calls)),
        arm.shadow_calls.to_string(),
        time(latency.p50_us),
        time(latency.p90_us),
        time(latency.p99_us),
        latency.count.to_string(),
    ]
}

fn traces(method: &MethodStatus) -> String {
    let mut out = String::new();
    let Some(traces) = method.traces.as_ref().filter(|traces| traces.compared > 0) else {
        return out;
    };
    let (compared, differed) = (traces.compared, traces.mismatched);
    line(
        &mut out,
        format_args!("  compared {compared} pairs of traces, {differed} differed"),
    );
    for o in traces
        .operations
        .iter()
        .filter(|o| is_odd(o))
        .take(MAX_SHOWN)
    {
        let n_plus_one = if o.n_plus_one {
            " (looks like N+1)"
        } else {
            ""
        };
        line(
            &mut out,
            format_args!(
                "    operation {}: legacy {} calls, candidate {}; errors {} and {}{n_plus_one}",
                o.key, o.legacy_calls, o.candidate_calls, o.legacy_errors, o.candidate_errors
            ),
        );
    }
    out
}

fn is_odd(o: &OperationStatus) -> bool {
    o.more_in_candidate + o.more_in_legacy > 0 || o.legacy_errors != o.candidate_errors
}

/// `legacy` or `candidate`.
fn arm_word(arm: Arm) -> &'static str {
    match arm {
        Arm::Legacy => "legacy",
        Arm::Candidate => "candidate",
        Arm::Unspecified => "unknown arm",
    }
}
