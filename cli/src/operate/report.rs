//! `report`: the migration in one page: both arms beside each other with the ratios promised,
//! what was compared, what differed and where, and what was decided.

mod arms;

use cutover_proto::cutover::v1::{
    Arm, ArmStatus, Decision, Finding, GetReportRequest, GetReportResponse, Quantiles, Status,
};

use super::client::Client;
use super::json::{self, Shape};
use super::scope;
use super::view::line;
use crate::args::{Output, ReportArgs};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text::{self, Table, percent, share};
use arms::less;

/// Most findings shown.
const MAX_FINDINGS: usize = 20;
/// Most decisions shown.
const MAX_DECISIONS: usize = 20;

/// Runs the command.
pub(crate) async fn run(args: ReportArgs) -> Result<Outcome, Failure> {
    let mut client = Client::connect(&args.operator).await?;
    let answer = client
        .service
        .get_report(client.request(GetReportRequest {}))
        .await;
    let answer = answer
        .map_err(|status| client.failure(&status))?
        .into_inner();
    match args.operator.output {
        Output::Json => print(&json::render("GetReportResponse", &answer, Shape::Pretty)?)?,
        Output::Text => print(&render(&answer))?,
    }
    Ok(Outcome::Good)
}

fn render(report: &GetReportResponse) -> String {
    let nothing = Status::default();
    let status = report.status.as_ref().unwrap_or(&nothing);
    let mut out = String::new();
    let at = text::moment(status.at_unix_ms);
    line(
        &mut out,
        format_args!("migration report of {}, {at}\n", status.name),
    );
    out.push_str(&arms::side_by_side(report, status));
    out.push_str(&methods(status));
    out.push_str(&comparison(report));
    out.push_str(&decisions(&report.decisions));
    out
}

/// Each method's own change.
fn methods(status: &Status) -> String {
    let head = [
        "METHOD", "WEIGHT", "P50", "P99", "ERRORS", "COMPARED", "DIFFERED",
    ];
    let mut table = Table::new(&head);
    for method in &status.methods {
        let arm = |arm| method.arms.iter().find(|a| a.arm() == arm);
        let (legacy, candidate) = (arm(Arm::Legacy), arm(Arm::Candidate));
        let change = |of: fn(&Quantiles) -> f64| {
            let value = |arm: Option<&_>| {
                let arm: &ArmStatus = arm?;
                arm.latency.as_ref().map(of).filter(|us| *us > 0.0)
            };
            match (value(legacy), value(candidate)) {
                (Some(legacy), Some(candidate)) => less(legacy, candidate),
                _ => "-".to_owned(),
            }
        };
        let errors = |arm: Option<&ArmStatus>| {
            arm.map_or_else(|| "-".to_owned(), |arm| share(arm.failures, arm.calls))
        };
        let pairs = method.pairs.as_ref();
        table.row(vec![
            method.method.clone(),
            percent(method.weight_bp),
            change(|q| q.p50_us),
            change(|q| q.p99_us),
            format!("{} → {}", errors(legacy), errors(candidate)),
            pairs.map_or(0, |pairs| pairs.compared).to_string(),
            pairs.map_or(0, |pairs| pairs.mismatched).to_string(),
        ]);
    }
    format!(
        "\nmethods (latency of the candidate against the legacy)\n{}",
        table.render()
    )
}

fn comparison(report: &GetReportResponse) -> String {
    let mut out = String::new();
    let differed = share(report.mismatched, report.compared);
    line(
        &mut out,
        format_args!(
            "\ncomparison\n  {} pairs compared, {} differed ({differed})",
            report.compared, report.mismatched
        ),
    );
    let methods = report.status.iter().flat_map(|status| &status.methods);
    let pairs = methods.filter_map(|method| Some((&method.method, method.pairs.as_ref()?)));
    for (method, pairs) in pairs {
        let mut not: Vec<_> = pairs.not_compared.iter().filter(|(_, n)| **n > 0).collect();
        not.sort();
        for (why, n) in not {
            let why = text::why_not_compared(why);
            line(
                &mut out,
                format_args!("  {method}: {n} not compared: {why}"),
            );
        }
    }
    for finding in report.findings.iter().take(MAX_FINDINGS) {
        line(&mut out, format_args!("  {}", self::finding(finding)));
    }
    if report.findings.len() > MAX_FINDINGS {
        let more = report.findings.len() - MAX_FINDINGS;
        line(
            &mut out,
            format_args!("  and {more} more: see the dashboard, or --output json"),
        );
    }
    out
}

fn finding(finding: &Finding) -> String {
    let Finding {
        method,
        subject,
        path,
        kind,
        pairs,
        compared,
        example,
    } = finding;
    let mut text = format!("{method}: {subject} {path}, {kind}, in {pairs} of {compared} pairs");
    if !example.is_empty() {
        text += &format!(", such as {example}");
    }
    text
}

fn decisions(decisions: &[Decision]) -> String {
    let mut out = String::from("\ndecisions\n");
    if decisions.is_empty() {
        out.push_str("  none yet\n");
    }
    let skipped = decisions.len().saturating_sub(MAX_DECISIONS);
    if skipped > 0 {
        line(
            &mut out,
            format_args!("  {skipped} earlier ones are in --output json"),
        );
    }
    for decision in &decisions[skipped..] {
        let what = if decision.scope == scope::ALL {
            "all"
        } else {
            &decision.scope
        };
        line(
            &mut out,
            format_args!(
                "  {}  {} {what}: {} → {}, by {}: {}",
                text::moment(decision.at_unix_ms),
                decision.action,
                percent(decision.from_bp),
                percent(decision.to_bp),
                decision.who,
                decision.why
            ),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_has_no_ratio_and_says_where_cpu_comes_from() {
        let text = render(&GetReportResponse::default());
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
        assert!(text.contains("0 pairs compared, 0 differed (-)"));
        assert!(!text.contains("NaN"));
    }
}
