//! The report of a replay, and what it means for the exit code.

use std::fmt::Write as _;
use std::path::Path;

use cutover_compare::observation::code_name;
use cutover_compare::{Histogram, Misfit};
use cutover_manifest::{Arm, DescriptorSource, Manifest};
use serde_json::{Map, Value, json};

use super::source::End;
use super::tally::{Finding, MethodTally, Tally, is_misfit};
use crate::args::Output;
use crate::failure::Outcome;
use crate::text::{self, Table, share};

/// Most differences shown of one method; JSON has all.
const MAX_SHOWN: usize = 20;
/// The quantiles told.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// A replay that is over.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) file: &'a Path,
    pub(super) manifest: &'a Manifest,
    pub(super) tally: &'a Tally,
    pub(super) end: &'a End,
    pub(super) interrupted: bool,
    pub(super) max_mismatch: f64,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No more differ than may.
    Agree,
    /// More differ.
    Differ,
    /// The descriptors are not the arms'.
    Misfit,
    /// Not all that should be compared was, or nothing was.
    Failed,
}

impl Ending<'_> {
    /// The report as text or JSON.
    pub(super) fn render(&self, output: Output) -> String {
        match output {
            Output::Text => self.text(),
            Output::Json => format!("{:#}\n", self.json()),
        }
    }

    /// For the exit code.
    pub(super) fn outcome(&self) -> Outcome {
        match self.verdict().0 {
            Verdict::Agree => Outcome::Good,
            Verdict::Differ | Verdict::Failed => Outcome::Bad,
            Verdict::Misfit => Outcome::Unfit,
        }
    }

    /// Differences are told before failures: they are what one looks for.
    fn verdict(&self) -> (Verdict, String) {
        let (compared, differed) = (self.tally.compared(), self.tally.differed());
        let allowed = percent(self.max_mismatch);
        let of = format!(
            "{differed} of {compared} calls differ ({})",
            share(differed, compared)
        );
        if differed as f64 > self.max_mismatch * compared as f64 {
            return (Verdict::Differ, format!("{of}, {allowed} may"));
        }
        // Before failures: mending these is the first thing to do.
        let misfits = self.tally.misfits();
        if misfits > 0 {
            return (
                Verdict::Misfit,
                format!("the descriptors don't fit {misfits} calls; {of}"),
            );
        }
        let failed = |why: String| (Verdict::Failed, why);
        match self.tally.failed() {
            0 if self.interrupted => failed("interrupted before the end".to_owned()),
            0 if self.end.is_damaged() => failed("the recording is damaged".to_owned()),
            0 if compared == 0 => failed("nothing was compared".to_owned()),
            0 => (Verdict::Agree, format!("{of}, {allowed} may")),
            n => failed(format!("{n} calls got no pair of answers; {of}")),
        }
    }

    fn text(&self) -> String {
        let tally = self.tally;
        let (legacy, candidate) = (&self.manifest.legacy.url, &self.manifest.candidate.url);
        let noise = match tally.only_noise() {
            0 => String::new(),
            n => format!(" ({n} more by noise alone)"),
        };
        let misfits = match tally.misfits() {
            0 => String::new(),
            n => format!(", {n} that the descriptors don't fit"),
        };
        let mut out = format!(
            "replay of {}: legacy {legacy}, candidate {candidate}\n  {} calls in the recording, \
             {} compared, {} differ{noise}, {} failed, {} left out{misfits}\n",
            self.file.display(),
            tally.read,
            tally.compared(),
            tally.differed(),
            tally.failed(),
            tally.skipped() + tally.over_bound(),
        );
        if let Some(note) = self.end.note() {
            line(&mut out, format_args!("  the recording: {note}"));
        }
        if !tally.methods.is_empty() {
            out.push_str(&methods(tally));
        }
        out.push_str(&differences(tally));
        out.push_str(&self.misfits());
        out.push_str(&failures(tally));
        out.push_str(&left_out(tally));
        let (verdict, why) = self.verdict();
        line(
            &mut out,
            format_args!("\nverdict: {}: {why}", verdict.word()),
        );
        out
    }

    /// Which methods and messages the descriptors don't fit, and what to do.
    fn misfits(&self) -> String {
        let mut out = String::new();
        for ((method, _), calls) in self.tally.left_out.iter().filter(|(of, _)| is_misfit(of)) {
            line(
                &mut out,
                format_args!("  {method}: {calls} calls: they have no such method"),
            );
        }
        for (method, tally) in &self.tally.methods {
            for ((misfit, answer), calls) in &tally.misfits {
                let what = match misfit {
                    Misfit::Undecodable => format!("neither arm's answer decodes as {answer}"),
                    Misfit::UnknownFields => {
                        format!("most fields of both arms' answers are not in {answer}")
                    }
                };
                line(&mut out, format_args!("  {method}: {calls} calls: {what}"));
            }
        }
        let mend = match &self.manifest.descriptors {
            DescriptorSource::File(file) => {
                format!("compile {file} from the .proto files that the arms were built from")
            }
            _ => "let the arms serve the descriptors that they were built from, or name a file in \
                  spec.descriptors.file"
                .to_owned(),
        };
        match out.is_empty() {
            true => out,
            false => format!("\nthe descriptors don't fit\n{out}  help: {mend}\n"),
        }
    }

    fn json(&self) -> Value {
        let tally = self.tally;
        let (verdict, why) = self.verdict();
        let left_out = tally.left_out.iter().map(|((method, skip), calls)| {
            json!({ "method": method, "reason": skip.word(), "calls": calls })
        });
        json!({
            "recording": self.file.display().to_string(),
            "note": self.end.note(),
            "verdict": verdict.word(),
            "why": why,
            "good": verdict == Verdict::Agree,
            "interrupted": self.interrupted,
            "calls": tally.read,
            "compared": tally.compared(),
            "differed": tally.differed(),
            "only_noise": tally.only_noise(),
            "failed": tally.failed(),
            "misfits": tally.misfits(),
            "max_mismatch": self.max_mismatch,
            "methods": tally.methods.iter().map(method_json).collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
        })
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Agree => "agree",
            Verdict::Differ => "differ",
            Verdict::Misfit => "misfit",
            Verdict::Failed => "failed",
        }
    }
}

fn methods(tally: &Tally) -> String {
    let head = [
        "METHOD", "COMPARED", "DIFFER", "FAILED", "P50", "P90", "P99",
    ];
    let mut table = Table::new(&head);
    for (name, method) in &tally.methods {
        let failed: u64 = method.failed.values().sum();
        let mut row = vec![
            name.clone(),
            method.compared.to_string(),
            method.differed_beyond_noise().to_string(),
            failed.to_string(),
        ];
        row.extend(QUANTILES.map(|(_, q)| {
            let [legacy, candidate] = method.latency.each_ref().map(|h| quantile(h, q));
            format!("{legacy} → {candidate}")
        }));
        table.row(row);
    }
    let mut out = format!(
        "\nmethods (latency: legacy → candidate)\n{}",
        table.render()
    );
    out.push_str("\nstatuses\n");
    for (name, method) in &tally.methods {
        let [legacy, candidate] = method.statuses.each_ref().map(|by_status| {
            let one = |(status, calls): (&u32, &u64)| format!("{calls} {}", code_name(*status));
            by_status.iter().map(one).collect::<Vec<_>>().join(", ")
        });
        match legacy == candidate {
            true => line(&mut out, format_args!("  {name}: {legacy} on both")),
            false => line(
                &mut out,
                format_args!("  {name}: legacy {legacy}; candidate {candidate}"),
            ),
        }
    }
    out
}

fn quantile(histogram: &Histogram, q: f64) -> String {
    match histogram.count() {
        0 => "-".to_owned(),
        _ => text::micros(histogram.quantile(q).as_secs_f64() * 1e6),
    }
}

fn differences(tally: &Tally) -> String {
    let mut out = String::new();
    for (name, method) in tally.methods.iter().filter(|(_, m)| m.differed > 0) {
        line(&mut out, format_args!("  {name}"));
        let found = by_weight(method);
        for ((path, kind), finding, noisy) in found.iter().take(MAX_SHOWN) {
            let path = if path.is_empty() { "(message)" } else { path };
            let of = format!("{} of {} calls", finding.calls, method.compared);
            let noise = match noisy {
                true => " (noise: it differs by itself)",
                false => "",
            };
            line(&mut out, format_args!("    {path}: {kind}, in {of}{noise}"));
            for example in &finding.examples {
                let side = |text: &str| match text {
                    "" => "(none)".to_owned(),
                    text => text.to_owned(),
                };
                let (legacy, candidate) = (side(&example.legacy), side(&example.candidate));
                let call = example.call;
                line(
                    &mut out,
                    format_args!("      call {call}: legacy {legacy}, candidate {candidate}"),
                );
            }
            if let Some(enough) = finding.sufficient_relative {
                line(
                    &mut out,
                    format_args!("      a relative tolerance of {enough:.1e} would do"),
                );
            }
        }
        let more = found.len().saturating_sub(MAX_SHOWN) as u64 + method.findings_dropped;
        if more > 0 {
            line(&mut out, format_args!("    and {more} more"));
        }
    }
    match out.is_empty() {
        true => out,
        false => format!("\nwhere they differ\n{out}"),
    }
}

/// What differs, and whether that is noise: what is not first, and of that what differs most often.
fn by_weight(method: &MethodTally) -> Vec<(&(String, &'static str), &Finding, bool)> {
    let found = method.findings.iter().zip(method.noisy());
    let mut found: Vec<_> = found
        .map(|((key, finding), noisy)| (key, finding, noisy))
        .filter(|(_, finding, _)| finding.calls > 0)
        .collect();
    found.sort_by_key(|(_, finding, noisy)| (*noisy, std::cmp::Reverse(finding.calls)));
    found
}

fn failures(tally: &Tally) -> String {
    let mut out = String::new();
    for (name, method) in &tally.methods {
        for (why, calls) in &method.failed {
            line(&mut out, format_args!("  {name}: {calls} calls: {why}"));
        }
    }
    if tally.lost > 0 {
        let (lost, why) = (tally.lost, &tally.lost_reason);
        line(&mut out, format_args!("  {lost} calls: {why}"));
    }
    match out.is_empty() {
        true => out,
        false => format!("\nfailed\n{out}"),
    }
}

fn left_out(tally: &Tally) -> String {
    let mut out = String::new();
    for ((method, skip), calls) in tally.left_out.iter().filter(|(of, _)| !is_misfit(of)) {
        let method = if method.is_empty() {
            "(unknown)"
        } else {
            method
        };
        line(
            &mut out,
            format_args!("  {method}: {calls} calls: {}", skip.reason()),
        );
    }
    for (name, method) in tally.methods.iter().filter(|(_, m)| m.over_bound > 0) {
        let calls = method.over_bound;
        let why = "answers larger than limits.maxComparedMessageBytes";
        line(&mut out, format_args!("  {name}: {calls} calls: {why}"));
    }
    match out.is_empty() {
        true => out,
        false => format!("\nleft out\n{out}"),
    }
}

fn method_json((name, method): (&String, &MethodTally)) -> Value {
    let fields = by_weight(method)
        .into_iter()
        .map(|((path, kind), finding, noisy)| {
            let examples = finding
                .examples
                .iter()
                .map(|e| json!({ "call": e.call, "legacy": e.legacy, "candidate": e.candidate }));
            json!({
                "path": path,
                "kind": kind,
                "calls": finding.calls,
                "noisy": noisy,
                "examples": examples.collect::<Vec<_>>(),
                "sufficient_relative": finding.sufficient_relative,
            })
        });
    let by_arm = |of: &dyn Fn(usize) -> Value| {
        let sides = Arm::BOTH.map(|arm| (arm.as_str().to_owned(), of(arm.index())));
        Value::Object(sides.into_iter().collect())
    };
    let statuses = |arm: usize| {
        let one = |(status, calls): (&u32, &u64)| (code_name(*status), json!(calls));
        Value::Object(method.statuses[arm].iter().map(one).collect::<Map<_, _>>())
    };
    let latency = |arm: usize| {
        let histogram = &method.latency[arm];
        let one = |(name, q): (&str, f64)| {
            let us = histogram.quantile(q).as_secs_f64() * 1e6;
            (name.to_owned(), json!(us.round()))
        };
        Value::Object(QUANTILES.map(one).into_iter().collect::<Map<_, _>>())
    };
    let misfits = method.misfits.iter().map(|((misfit, _), calls)| {
        let word = match misfit {
            Misfit::Undecodable => "undecodable",
            Misfit::UnknownFields => "unknown_fields",
        };
        (word.to_owned(), json!(calls))
    });
    json!({
        "method": name,
        "compared": method.compared,
        "differed": method.differed_beyond_noise(),
        "asked_twice": method.asked_twice,
        "failed": method.failed,
        "over_bound": method.over_bound,
        "misfits": Value::Object(misfits.collect()),
        "statuses": by_arm(&statuses),
        "latency_us": by_arm(&latency),
        "fields": fields.collect::<Vec<_>>(),
        "fields_dropped": method.findings_dropped,
    })
}

fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Adds a line. Writing to a `String` can't fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::super::plan::Skip;
    use super::*;

    fn manifest() -> Manifest {
        let text = "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: { name: t }\n\
                    spec:\n  legacy: { url: \"http://a:1\" }\n  \
                    candidate: { url: \"http://b:1\" }\n";
        Manifest::parse("t.yaml", text).unwrap()
    }

    fn tally(compared: u64, differed: u64, failed: u64) -> Tally {
        let mut tally = Tally::default();
        let method = MethodTally {
            compared,
            differed,
            failed: [("legacy: gone".to_owned(), failed)].into(),
            ..MethodTally::default()
        };
        tally.methods.insert("/s/M".to_owned(), method);
        tally
    }

    fn verdict(tally: &Tally, max_mismatch: f64, interrupted: bool) -> (Verdict, String) {
        let manifest = manifest();
        let ending = Ending {
            file: Path::new("calls.binlog"),
            manifest: &manifest,
            tally,
            end: &End::default(),
            interrupted,
            max_mismatch,
        };
        assert!(
            ending
                .text()
                .ends_with(&format!(": {}\n", ending.verdict().1))
        );
        assert_eq!(ending.json()["good"], ending.outcome() == Outcome::Good);
        ending.verdict()
    }

    #[test]
    fn as_many_as_may_differ_do_and_one_more_does_not() {
        let check = |differed, share, expected| {
            let found = verdict(&tally(1_000, differed, 0), share, false);
            assert_eq!(found.0, expected, "{differed} {share}: {}", found.1);
        };
        check(0, 0.0, Verdict::Agree);
        check(1, 0.0, Verdict::Differ);
        check(1, 0.001, Verdict::Agree);
        check(2, 0.001, Verdict::Differ);
        check(1_000, 1.0, Verdict::Agree);
    }

    #[test]
    fn what_the_descriptors_do_not_fit_speaks_neither_for_nor_against() {
        let mut unfit = tally(9, 0, 0);
        let method = unfit.methods.get_mut("/s/M").unwrap();
        method
            .misfits
            .insert((Misfit::Undecodable, "s.Answer".to_owned()), 3);
        unfit.leave_out("/s/New", Skip::UnknownMethod);
        unfit.leave_out("/grpc.health.v1.Health/Check", Skip::UnknownMethod);
        let found = verdict(&unfit, 0.0, false);
        assert_eq!(found.0, Verdict::Misfit);
        assert!(
            found
                .1
                .starts_with("the descriptors don't fit 4 calls; 0 of 9")
        );
        assert_eq!((unfit.ended(), unfit.skipped()), (12, 1));
        unfit.methods.get_mut("/s/M").unwrap().differed = 1;
        assert_eq!(verdict(&unfit, 0.0, false).0, Verdict::Differ);
    }

    #[test]
    fn what_was_not_compared_is_no_agreement() {
        for (tally, interrupted, why) in [
            (tally(0, 0, 0), false, "nothing was compared"),
            (tally(9, 0, 1), false, "1 calls got no pair of answers"),
            (tally(9, 0, 0), true, "interrupted"),
        ] {
            let found = verdict(&tally, 1.0, interrupted);
            assert_eq!(found.0, Verdict::Failed);
            assert!(found.1.starts_with(why), "{}", found.1);
        }
    }
}
