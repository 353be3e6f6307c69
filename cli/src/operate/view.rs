//! The state as text: ramps with their gates, methods with both arms, differences, proxies.

mod method;

use std::fmt::Write;

use cutover_proto::cutover::v1::{Gate, Phase, RampStatus, Status, VerdictKind};

use super::scope::ALL;
use crate::text::{self, Table, length, percent};

/// The whole state.
pub(super) fn status(status: &Status) -> String {
    let phase = phase(status, None).map_or("no ramp", phase_word);
    let mut out = String::new();
    line(&mut out, format_args!("{}  {phase}", status.name));
    let at = text::moment(status.at_unix_ms);
    line(
        &mut out,
        format_args!(
            "  generation {}, epoch {}, {at}",
            status.generation, status.epoch
        ),
    );
    if !status.manifest_error.is_empty() {
        line(
            &mut out,
            format_args!("  manifest on disk refused: {}", status.manifest_error),
        );
    }
    if let Some(store) = status
        .store
        .as_ref()
        .filter(|store| !store.error.is_empty())
    {
        let since = text::moment(store.unavailable_since_unix_ms);
        line(
            &mut out,
            format_args!("  store unavailable since {since}: {}", store.error),
        );
    }
    if let Some(store) = status
        .store
        .as_ref()
        .filter(|store| !store.replica.is_empty())
    {
        let (replica, leader) = (&store.replica, &store.leader);
        line(
            &mut out,
            format_args!("  from {replica}; the ramps are run by {leader}"),
        );
    }
    let steps: Vec<String> = status.steps_bp.iter().map(|&bp| percent(bp)).collect();
    if !steps.is_empty() {
        line(&mut out, format_args!("  steps: {}", steps.join(" → ")));
    }
    out.push_str(&ramps(status, None));
    for method in &status.methods {
        out.push('\n');
        out.push_str(&method::show(method));
    }
    out.push_str(&proxies(status));
    out
}

/// The phase of everything in scope, the worst first; none without a ramp.
pub(super) fn phase(status: &Status, scope: Option<&str>) -> Option<Phase> {
    let worst_first = [
        Phase::Degraded,
        Phase::Paused,
        Phase::Progressing,
        Phase::Healthy,
    ];
    let phases: Vec<Phase> = ramps_of(status, scope).map(RampStatus::phase).collect();
    worst_first.into_iter().find(|phase| phases.contains(phase))
}

/// The ramps that move `scope`: its own, or that of all.
pub(super) fn ramps_of<'a>(
    status: &'a Status,
    scope: Option<&'a str>,
) -> impl Iterator<Item = &'a RampStatus> {
    status.ramps.iter().filter(move |ramp| {
        scope.is_none_or(|scope| scope == ALL || ramp.scope == scope || ramp.scope == ALL)
    })
}

/// The ramps in scope, each with its verdict's gates.
pub(super) fn ramps(status: &Status, scope: Option<&str>) -> String {
    let mut out = String::new();
    for ramp in ramps_of(status, scope) {
        out.push('\n');
        out.push_str(&self::ramp(ramp, status));
    }
    out
}

fn ramp(ramp: &RampStatus, status: &Status) -> String {
    let mut out = String::new();
    let name = if ramp.scope == ALL {
        "all methods"
    } else {
        &ramp.scope
    };
    let step = match usize::try_from(ramp.step) {
        Ok(step) => format!("step {} of {}", step + 1, status.steps_bp.len()),
        Err(_) => "before the first step".to_owned(),
    };
    let since = status.at_unix_ms - ramp.entered_unix_ms;
    let hold = match ramp.hold_ms {
        0 => String::new(),
        hold => format!(" (held at least {})", length(hold)),
    };
    let phase = phase_word(ramp.phase());
    let weight = percent(ramp.weight_bp);
    line(
        &mut out,
        format_args!(
            "ramp {name}: {phase}, {weight}, {step} for {}{hold}",
            length(since)
        ),
    );
    if !ramp.reason.is_empty() {
        line(&mut out, format_args!("  why: {}", ramp.reason));
    }
    if let Some(verdict) = &ramp.verdict {
        line(
            &mut out,
            format_args!("  verdict: {}", verdict_word(verdict.kind())),
        );
        for gate in &verdict.gates {
            line(&mut out, format_args!("    {}", self::gate(gate)));
        }
    }
    out
}

/// One gate in a line: the figure beside its threshold.
pub(super) fn gate(gate: &Gate) -> String {
    let mut out = format!(
        "{:8} {}: {}",
        verdict_word(gate.verdict()),
        gate.name,
        gate.reason
    );
    if let (Some(e), Some(threshold)) = (gate.log_e, gate.log_threshold) {
        let _ = write!(
            out,
            " [ln e {e:.2} of {threshold:.2}; {} in {}]",
            gate.s, gate.n
        );
    }
    if let Some(more) = gate.more_calls {
        let _ = write!(out, " (about {more} more calls)");
    }
    out
}

fn proxies(status: &Status) -> String {
    let mut out = String::from("\nproxies\n");
    let mut table = Table::new(&["HOST", "INSTANCE", "VERSION", "GENERATION", "STATE"]);
    for proxy in &status.proxies {
        let state = match (proxy.connected, proxy.error.as_str()) {
            (_, error) if !error.is_empty() => format!("refused: {error}"),
            (true, _) if proxy.applied_generation < status.generation => "behind".to_owned(),
            (true, _) => "connected".to_owned(),
            (false, _) => "away".to_owned(),
        };
        table.row(vec![
            proxy.host.clone(),
            proxy.instance.chars().take(8).collect(),
            proxy.version.clone(),
            format!("{} of {}", proxy.applied_generation, status.generation),
            state,
        ]);
    }
    match status.proxies.is_empty() {
        true => out.push_str("  none has connected\n"),
        false => out.push_str(&table.render()),
    }
    out
}

pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Progressing => "Progressing",
        Phase::Paused => "Paused",
        Phase::Degraded => "Degraded",
        Phase::Healthy => "Healthy",
        Phase::Unspecified => "Unknown",
    }
}

pub(super) fn verdict_word(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Advance => "advance",
        VerdictKind::Wait => "wait",
        VerdictKind::Rollback => "rollback",
        VerdictKind::Unspecified => "none",
    }
}

/// Adds a line. Writing to a `String` can't fail.
pub(in crate::operate) fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{arguments}");
}
