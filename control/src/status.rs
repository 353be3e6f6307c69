//! The state of everything, as operators see it.

use cutover_compare::Histogram;
use cutover_manifest::{Arm, Role};
use cutover_proto::cutover::v1 as wire;

use crate::core::{Core, Moment};
use crate::tally::{MethodTally, PairTally};
use crate::verdict::noisy_fields;
use crate::words::arm_to_wire;

/// Most fields shown for each method.
const MAX_FIELDS: usize = 100;
/// The level at which a field's noise is told from a real difference, without a ramp's own.
const ALPHA: f64 = 0.05;

/// The state now.
pub(crate) fn status(core: &mut Core, at: Moment) -> wire::Status {
    let methods = core.known_methods();
    let methods = methods
        .into_iter()
        .map(|method| method_status(core, method))
        .collect();
    let steps = core
        .manifest
        .ramp
        .as_ref()
        .map_or(&[][..], |ramp| &ramp.steps);
    let proxies = core
        .ledger
        .instances()
        .iter()
        .map(|(name, instance)| wire::ProxyStatus {
            instance: name.clone(),
            host: instance.host.clone(),
            version: instance.version.clone(),
            applied_generation: instance.applied_generation,
            error: instance.error.clone(),
            connected: instance.connected(),
            reported_unix_ms: instance.reported_unix_ms,
        });
    wire::Status {
        name: core.manifest.name.clone(),
        generation: core.generation,
        epoch: core.epoch,
        at_unix_ms: at.unix_ms,
        ramps: ramps(core),
        proxies: proxies.collect(),
        overrides: core.overrides.values().cloned().collect(),
        processes: core.processes.status(at.now),
        manifest_error: core.manifest_error.clone(),
        store: None,
        steps_bp: steps.iter().map(|step| step.weight.bp().into()).collect(),
        methods,
    }
}

/// The ramps that apply now.
pub(crate) fn ramps(core: &Core) -> Vec<wire::RampStatus> {
    let steps = core
        .manifest
        .ramp
        .as_ref()
        .map_or(&[][..], |ramp| &ramp.steps);
    let ramps = core.active_ramps().map(|(scope, run)| wire::RampStatus {
        scope: scope.to_owned(),
        phase: run.state.phase.into(),
        step: run.state.step_number(),
        weight_bp: run.state.weight(steps).bp().into(),
        entered_unix_ms: run.state.entered_unix_ms,
        hold_ms: i64::try_from(run.state.hold(steps).as_millis()).unwrap_or(i64::MAX),
        verdict: Some(run.verdict.clone()),
        reason: run.state.reason.clone(),
    });
    ramps.collect()
}

/// Quantiles of an arm's primary and shadow calls, over some methods.
pub(crate) fn latency<'a>(
    tallies: impl Iterator<Item = &'a MethodTally>,
    arm: Arm,
) -> wire::Quantiles {
    let mut sum = Histogram::default();
    for (key, cell) in tallies.flat_map(|tally| &tally.calls) {
        if key.arm == arm && key.role != Role::Noise {
            let buckets = cell.buckets.iter().map(|(bucket, n)| (*bucket, *n));
            sum.merge(&Histogram::from_buckets(buckets, cell.sum_us));
        }
    }
    let us = |q| sum.quantile(q).as_secs_f64() * 1e6;
    let count = sum.count();
    wire::Quantiles {
        count,
        p50_us: us(0.5),
        p90_us: us(0.9),
        p99_us: us(0.99),
    }
}

/// The fields that differed, most often first.
pub(crate) fn fields(pairs: &PairTally) -> Vec<wire::FieldStatus> {
    let noisy = noisy_fields(pairs, ALPHA);
    let field = |(((path, kind), field), noisy): ((&(String, String), _), bool)| {
        let field: &crate::tally::FieldTally = field;
        wire::FieldStatus {
            path: path.clone(),
            kind: kind.clone(),
            pairs: field.pairs,
            noisy,
        }
    };
    let mut fields: Vec<wire::FieldStatus> = pairs
        .fields
        .iter()
        .zip(noisy)
        .map(field)
        .filter(|field| field.pairs > 0)
        .collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.pairs));
    fields.truncate(MAX_FIELDS);
    fields
}

fn method_status(core: &mut Core, method: String) -> wire::MethodStatus {
    let totals = core.ledger.totals();
    let empty = MethodTally::default();
    let tally = totals.get(&method).unwrap_or(&empty);
    let route = core.table.route(&method);
    wire::MethodStatus {
        weight_bp: route.weight.bp().into(),
        weight_owner: route.owner.as_str().to_owned(),
        arms: Arm::BOTH
            .into_iter()
            .map(|arm| arm_status(core, &method, tally, arm))
            .collect(),
        pairs: Some(tally.pairs.to_wire()),
        fields: fields(&tally.pairs),
        traces: core.traces.status(&method),
        method,
    }
}

fn arm_status(core: &Core, method: &str, tally: &MethodTally, arm: Arm) -> wire::ArmStatus {
    let mut status = wire::ArmStatus {
        arm: arm_to_wire(arm).into(),
        latency: Some(latency(std::iter::once(tally), arm)),
        calls_per_second: core.rates.per_second(method, arm),
        ..wire::ArmStatus::default()
    };
    for (key, cell) in tally.calls.iter().filter(|(key, _)| key.arm == arm) {
        match key.role {
            Role::Primary => {
                status.calls += cell.calls();
                status.failures += cell.failures;
                for (code, n) in &cell.by_status {
                    *status.by_status.entry(*code).or_default() += n;
                }
            }
            Role::Shadow => status.shadow_calls += cell.calls(),
            Role::Noise => {}
        }
    }
    status
}
