//! How many calls the ramp takes at least, and how long that is: told before anything runs, since a
//! step that can't be passed looks like one that is not passed yet.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_compare::evidence::{Needed, Stage, forecast};
use cutover_manifest::{
    Manifest, MirrorSideEffects, Percent, Ramp, RampScope, Rule, Target, TracesGate,
};
use prost_reflect::DescriptorPool;

use super::list::List;
use super::methods;
use crate::text;

/// A step that takes longer is none that anybody waits for.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Most names in one line; the rest is counted.
const MAX_NAMED: usize = 3;

/// Forecasts the ramp for each share of calls that is mirrored: with descriptors for the methods
/// there are, else for the rules.
pub(super) fn check(
    manifest: &Manifest,
    pool: Option<&DescriptorPool>,
    rate: Option<f64>,
    list: &mut List,
) {
    let Some(ramp) = &manifest.ramp else { return };
    if ramp.gates.traces == TracesGate::Required {
        let listen = &manifest.control.listen;
        list.note(
            "ramp",
            format!("gates.traces is required: both arms must export their spans to {listen}"),
        );
    }
    let mut shares = match pool {
        Some(pool) => of_methods(manifest, pool),
        None => of_rules(manifest),
    };
    if ramp.scope == RampScope::Service
        && let Some((most, _)) = shares.pop_last()
    {
        shares = [(most, vec!["all methods together".to_owned()])].into();
    }
    let forecasts: Vec<_> = shares
        .into_iter()
        .rev()
        .map(|(share, who)| (share, who, forecast(ramp, share, rate)))
        .collect();
    let is_hopeless = !forecasts.iter().any(|(.., stages)| passes(stages));
    for (share, who, stages) in &forecasts {
        let told = told(*share, who, stages, ramp, rate);
        match is_hopeless || is_too_long(stages, rate) {
            true => list.failed("ramp", told),
            false => list.note("ramp", told),
        }
    }
}

fn passes(stages: &[Stage]) -> bool {
    let calls = |stage: &Stage| matches!(stage.needed, Needed::Calls { .. });
    stages.iter().all(calls)
}

fn is_too_long(stages: &[Stage], rate: Option<f64>) -> bool {
    let takes = |stage: &Stage| stage.takes(rate?);
    stages.iter().filter_map(takes).any(|takes| takes > LONGEST)
}

/// The methods that follow the ramp, by the share of their calls that is mirrored.
fn of_methods(manifest: &Manifest, pool: &DescriptorPool) -> BTreeMap<Percent, Vec<String>> {
    let mut shares: BTreeMap<Percent, Vec<String>> = BTreeMap::new();
    for (path, method) in methods::all(pool) {
        let rule = methods::rule_for(manifest, &path);
        if rule.is_some_and(|rule| rule.weight.is_some()) {
            continue;
        }
        let share = rule.map_or(Percent::ZERO, |rule| {
            let accepted = rule.mirror.side_effects == MirrorSideEffects::Accept;
            match accepted || !methods::may_write(&method) {
                true => rule.mirror.percent,
                false => Percent::ZERO,
            }
        });
        shares
            .entry(share)
            .or_default()
            .push(path.method().to_owned());
    }
    shares
}

fn of_rules(manifest: &Manifest) -> BTreeMap<Percent, Vec<String>> {
    let mut shares: BTreeMap<Percent, Vec<String>> = BTreeMap::new();
    let follows = |rule: &&Rule| rule.weight.is_none();
    for rule in manifest.rules.iter().filter(follows) {
        let names = rule.targets.iter().map(|(target, _)| match target {
            Target::Method(path) => path.method().to_owned(),
            Target::Service(service) => service.clone(),
            Target::Default => "whatever no other rule is for".to_owned(),
        });
        shares.entry(rule.mirror.percent).or_default().extend(names);
    }
    if manifest.rules.is_empty() {
        shares.insert(Percent::ZERO, vec!["every method".to_owned()]);
    }
    shares
}

fn told(
    share: Percent,
    who: &[String],
    stages: &[Stage],
    ramp: &Ramp,
    rate: Option<f64>,
) -> String {
    let named = who.len().min(MAX_NAMED);
    let others = match who.len() - named {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let who = format!("{}{others}", who[..named].join(", "));
    let calls = match ramp.scope {
        RampScope::Method if named > 1 => "calls of each",
        _ => "calls",
    };
    let mut out = format!("{who}, mirrored {share}; {calls}, if the candidate is never wrong:");
    let mut all = Some(Duration::ZERO);
    for stage in stages {
        let takes = rate.and_then(|rate| stage.takes(rate));
        all = all.zip(takes).map(|(all, takes)| all.saturating_add(takes));
        out += &format!("\nat {}: {}", stage.weight, needs(stage, share, rate));
    }
    if let Some(all) = all.filter(|all| *all > Duration::ZERO) {
        let last = ramp
            .steps
            .last()
            .map(|step| step.weight)
            .unwrap_or_default();
        out += &format!("\n{last} is reached after {} at the soonest", length(all));
    }
    out
}

fn needs(stage: &Stage, share: Percent, rate: Option<f64>) -> String {
    match &stage.needed {
        Needed::Never { .. } if share == Percent::ZERO => {
            "never passed: no calls are mirrored, so nothing shows that answers agree; mirror \
             them, or pin a weight"
                .to_owned()
        }
        Needed::Never { gate, reason } => format!("never passed: {gate}: {reason}"),
        Needed::Calls { calls, gate } => {
            let hold = match stage.hold {
                Duration::ZERO => String::new(),
                hold => format!(", held for {}", length(hold)),
            };
            let takes = rate.and_then(|rate| stage.takes(rate));
            let takes = match takes {
                Some(takes) if takes > LONGEST => format!(
                    ": {}, longer than {}; ask less of gates, or wait for more traffic",
                    length(takes),
                    length(LONGEST)
                ),
                Some(takes) => format!(": {}", length(takes)),
                None => String::new(),
            };
            format!("{calls} for {gate}{hold}{takes}")
        }
    }
}

fn length(of: Duration) -> String {
    text::length(i64::try_from(of.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;

    use super::*;
    use crate::failure::Outcome;

    fn list(rules: &str, ramp: &str, rate: Option<f64>) -> List {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
             legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://b:1\" }}\n  \
             rules: [{rules}]\n  ramp: {{ {ramp} }}\n"
        );
        let manifest = Manifest::parse("t.yaml", &text).unwrap();
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let mut list = List::default();
        check(&manifest, Some(&pool), rate, &mut list);
        list
    }

    const MIRROR: &str = "{ mirror: { percent: 100 } }";
    const STEPS: &str = "steps: [{ weight: 1, hold: 10m }, { weight: 100 }], gates: ";

    #[test]
    fn tells_the_calls_and_the_time_of_each_step_and_what_never_advances() {
        let ramp = format!("{STEPS} {{ mismatchBelow: 0.01%, minCalls: 500 }}");
        let (told, timed) = (list(MIRROR, &ramp, None), list(MIRROR, &ramp, Some(100.0)));
        assert_eq!(told.outcome(), Outcome::Good, "{}", told.text());
        let text = told.text();
        assert!(text.contains("mirrored 100 %; calls of each"), "{text}");
        assert!(
            text.contains("at 0 %: 33") && text.contains(" for mismatch\n"),
            "{text}"
        );
        assert!(text.contains("RecordVisit, mirrored 0 %"), "{text}");
        assert!(
            text.contains("never passed: no calls are mirrored"),
            "{text}"
        );
        let text = timed.text();
        assert!(text.contains(" for mismatch: 5m3"), "{text}");
        assert!(text.contains("held for 10m: 10m"), "{text}");
        assert!(text.contains("100 % is reached after 15m3"), "{text}");
    }

    #[test]
    fn a_ramp_that_nothing_passes_fails_the_check() {
        let nothing = format!("{STEPS} {{ mismatchBelow: 0% }}");
        let found = list(MIRROR, &nothing, None);
        assert_eq!(found.outcome(), Outcome::Bad);
        let says = "never passed: mismatch: 0 of ";
        assert!(found.text().contains(says), "{}", found.text());
        let unmirrored = list("", &format!("{STEPS} {{ minCalls: 10 }}"), None);
        assert_eq!(unmirrored.outcome(), Outcome::Bad);
    }

    #[test]
    fn a_step_that_takes_longer_than_a_month_fails_the_check() {
        let ramp = format!("{STEPS} {{ minCalls: 100000 }}");
        assert_eq!(list(MIRROR, &ramp, Some(1.0)).outcome(), Outcome::Good);
        let slow = list(MIRROR, &ramp, Some(0.01));
        assert_eq!(slow.outcome(), Outcome::Bad);
        assert!(slow.text().contains("longer than 720h"), "{}", slow.text());
    }

    #[test]
    fn a_pinned_method_follows_no_ramp_and_a_service_is_one() {
        let pinned = "{ matches: [{ method: { service: gazetteer.v1.GazetteerService, method: \
                      RecordVisit } }], weight: 0 }";
        let ramp = format!("{STEPS} {{ minCalls: 10 }}");
        let found = list(&format!("{MIRROR}, {pinned}"), &ramp, None);
        assert!(!found.text().contains("RecordVisit"), "{}", found.text());
        let together = list(MIRROR, &format!("scope: service, {ramp}"), None);
        assert!(
            together
                .text()
                .contains("all methods together, mirrored 100 %; calls,")
        );
        assert!(!together.text().contains("never passed"));
    }
}
