//! From text to a manifest: what is read, what is refused, and where an error points.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_manifest::{
    Arm, Event, LeakGate, Limits, Manifest, ManifestError, MethodPath, MirrorSideEffects,
    Normalization, RampScope, Target, TracesGate, Weight,
};

const WHOLE: &str = r#"
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: gazetteer }
spec:
  listen: 127.0.0.1:50050
  legacy:    { url: "http://127.0.0.1:50051" }
  candidate: { url: "http://127.0.0.1:50052" }
  stickyKey: { metadata: X-User-Id }
  rules:
  - matches: [{ method: { service: gazetteer.v1.GazetteerService, method: SearchPlaces } }]
    mirror: { percent: 100, noisePercent: 5 }
    compare: { ignore: [search_id], tolerance: { "places[].score": { relative: 1e-9 } } }
  - matches: [{ method: { service: gazetteer.v1.GazetteerService, method: RecordVisit } }]
    weight: 0
  ramp:
    scope: method
    steps: [{ weight: 1, hold: 10m }, { weight: 10, hold: 30m }, { weight: 50, hold: 1h }, { weight: 100 }]
    gates: { minCalls: 500, errorRateMargin: 0.1%, mismatchBelow: 0.01%, latency: { p99Ratio: 1.0, tolerance: 25% }, traces: required, memory: { leak: rollback, ratio: 1.5 }, confidence: 0.95 }
    onFailure: rollback
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse("cutover.yaml", text)
}

/// The error of `WHOLE` with one text put in place of another, as people see it.
fn refusal(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    parse(&WHOLE.replacen(from, to, 1))
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn reads_the_whole_manifest() {
    let manifest = parse(WHOLE).unwrap();
    assert_eq!(manifest.name, "gazetteer");
    assert_eq!(manifest.arm(Arm::Candidate).authority, "127.0.0.1:50052");
    assert_eq!(manifest.sticky_key.unwrap().metadata, "x-user-id");
    let search = &manifest.rules[0];
    assert_eq!(search.weight, None);
    assert_eq!(search.mirror.percent, Weight::FULL);
    assert_eq!(search.mirror.noise.bp(), 500);
    assert_eq!(search.mirror.side_effects, MirrorSideEffects::Refuse);
    assert_eq!(
        search.compare.tolerance.values().next().unwrap().relative,
        1e-9
    );
    assert_eq!(manifest.rules[1].weight, Some(Weight::ZERO));
    let ramp = manifest.ramp.unwrap();
    assert_eq!(ramp.scope, RampScope::Method);
    assert_eq!(ramp.steps.len(), 4);
    assert_eq!(ramp.steps[1].hold, Duration::from_secs(1800));
    assert!((ramp.gates.mismatch_below - 1e-4).abs() < 1e-12);
    assert_eq!(ramp.gates.p99_ratio, Some(1.0));
    assert_eq!(ramp.gates.p99_tolerance, 0.25);
    assert_eq!(ramp.gates.traces, TracesGate::Required);
    assert_eq!(ramp.gates.leak, LeakGate::Rollback);
    assert_eq!(ramp.gates.memory_ratio, Some(1.5));
}

#[test]
fn points_at_what_is_wrong_and_says_what_would_be_right() {
    for (from, to, place, says) in [
        ("listen:", "listne:", ":6:3:", "listen"),
        ("weight: 0", "weight: 101", ":15:13:", "0 to 100"),
        ("weight: 0", "weight: 0.001", ":15:13:", "steps of 0.01"),
        ("weight: 0", "weight: lots", ":15:13:", "0 to 100"),
        ("hold: 10m", "hold: 10", ":18:", "500ms, 10s, 5m, 1h or 2d"),
        ("minCalls: 500", "minCalls: -1", ":19:", ""),
        (
            "traces: required",
            "traces: never",
            ":19:",
            "rollback and required",
        ),
        (
            "leak: rollback",
            "leak: no",
            ":19:",
            "report, hold and rollback",
        ),
        ("ratio: 1.5", "ratio: 0", ":19:", "must be positive"),
        ("0.1%", "0.1", ":19:", "0.1%"),
        ("confidence: 0.95", "confidence: 1.5", ":19:", "below 1"),
        ("weight: 50", "weight: 5", ":18:", "must rise"),
        (
            "method: RecordVisit",
            "method: SearchPlaces",
            ":14:",
            "line 11 has one already",
        ),
        (
            "http://127.0.0.1:50051",
            "https://127.0.0.1",
            ":7:",
            "http://HOST:PORT",
        ),
        ("127.0.0.1:50050", "50050", ":6:", "HOST:PORT"),
        (
            "cutover.dev/v1alpha1",
            "cutover.dev/v2",
            ":2:",
            "cutover.dev/v1alpha1",
        ),
        ("kind: Cutover", "kind: Service", ":3:", "Cutover"),
        ("[search_id]", "[\"search id\"]", ":13:", "field path"),
        (
            "onFailure: rollback",
            "onFailure: explode",
            ":20:",
            "rollback",
        ),
        (
            "  ramp:",
            "  legacy: { url: \"http://a:1\" }\n  ramp:",
            ":16:",
            "legacy",
        ),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.starts_with("cutover.yaml:"), "{refusal}");
        assert!(
            refusal.contains(place),
            "{to}: {refusal} should point to {place}"
        );
        assert!(refusal.contains(says), "{to}: {refusal} should say {says}");
    }
}

#[test]
fn accepts_side_effects_only_where_the_method_is_named() {
    let text = WHOLE.replace(
        "    weight: 0",
        "    mirror: { percent: 1, acceptSideEffects: true }",
    );
    let manifest = parse(&text).unwrap();
    assert_eq!(
        manifest.rules[1].mirror.side_effects,
        MirrorSideEffects::Accept
    );
    let refusal = parse(&text.replace(", method: RecordVisit", ""))
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("names the method"), "{refusal}");
}

#[test]
fn unknown_methods_are_named_with_the_nearest_known_one() {
    let known: BTreeSet<MethodPath> = ["SearchPlace", "RecordVisit"]
        .iter()
        .map(|method| MethodPath::new("gazetteer.v1.GazetteerService", method).unwrap())
        .collect();
    let errors = parse(WHOLE).unwrap().check_methods("cutover.yaml", &known);
    assert_eq!(errors.len(), 1);
    let text = errors[0].to_string();
    assert!(text.starts_with("cutover.yaml:11:"), "{text}");
    assert!(
        text.contains("did you mean /gazetteer.v1.GazetteerService/SearchPlace?"),
        "{text}"
    );
}

#[test]
fn a_rule_without_matches_is_the_default() {
    let text = WHOLE.replace("  ramp:", "  - mirror: { percent: 10 }\n  ramp:");
    let manifest = parse(&text).unwrap();
    assert_eq!(manifest.rules[2].targets[0].0, Target::Default);
}

#[test]
fn reads_who_is_told_about_decisions() {
    assert!(parse(WHOLE).unwrap().notify.is_empty());
    let notify = "spec:\n  notify: [{ url: \"http://hooks:8080/cutover\" }, \
                  { url: \"http://pager/\", events: [rollback, healthy] }]\n";
    let manifest = parse(&WHOLE.replacen("spec:\n", notify, 1)).unwrap();
    let [all, pager] = manifest.notify.as_slice() else {
        panic!("{:?}", manifest.notify)
    };
    assert_eq!(all.events, Event::ALL.into());
    assert_eq!(
        (all.host.as_str(), all.port, all.path.as_str()),
        ("hooks", 8080, "/cutover")
    );
    assert_eq!(pager.events, [Event::Rollback, Event::Healthy].into());
    assert_eq!(pager.port, 80);
}

#[test]
fn refuses_to_tell_over_what_it_does_not_speak() {
    let check = |entry: &str, expected: &str| {
        let message = refusal("spec:\n", &format!("spec:\n  notify: [{entry}]\n"));
        assert!(message.contains(expected), "{message}");
        assert!(message.starts_with("cutover.yaml:6:"), "{message}");
    };
    check("{ url: \"https://hooks/x\" }", "https is not supported yet");
    check("{ url: hooks }", "write it as http://HOST[:PORT]/PATH");
    check("{ url: \"http://a\", events: [] }", "leave it out for all");
    check("{ url: \"http://a\", events: [explode] }", "explode");
    check(
        "{ url: \"http://a\" }, { url: \"http://a\" }",
        "join their events",
    );
}

#[test]
fn reads_compare_rules_with_the_places_of_the_fields_they_name() {
    let compare = "{ ignore: [search_id], keyed: { results: [place.id] }, normalize: { name: [trim, case] } }";
    let text = WHOLE.replace(
        "weight: 0\n",
        &format!("weight: 0\n    compare: {compare}\n"),
    );
    let rule = &parse(&text).unwrap().rules[1];
    let named: Vec<_> = rule
        .named_fields
        .iter()
        .map(|n| {
            (
                n.key.as_str(),
                n.path.as_str(),
                n.position.line,
                n.position.column,
            )
        })
        .collect();
    let expected = [
        ("ignore", "search_id", 16, 25),
        ("keyed", "results", 16, 46),
        ("normalize", "name", 16, 82),
    ];
    assert_eq!(named, expected);
    let forms = rule.compare.normalize.values().next().unwrap();
    assert_eq!(
        forms.iter().copied().collect::<Vec<_>>(),
        [Normalization::Trim, Normalization::Case]
    );
    for (wrong, says) in [
        (
            "{ keyed: { results: [] } }",
            ":16:25: keyed results needs at least one key field",
        ),
        (
            "{ normalize: { name: [] } }",
            ":16:29: normalize name needs trim, case or both",
        ),
        ("{ normalize: { name: [upper] } }", ":16:"),
        (
            "{ tolerance: { a: { relative: -1 } } }",
            ":16:29: tolerance of a must be finite",
        ),
        (
            "{ trailers: [cookie] }",
            ":16:27: trailer \"cookie\" is never compared",
        ),
        (
            "{ ignore: [a, a..b] }",
            ":16:28: \"a..b\" is not a field path",
        ),
    ] {
        let error = parse(&text.replace(compare, wrong))
            .expect_err(wrong)
            .to_string();
        assert!(error.contains(says), "{error} lacks {says}");
    }
}

#[test]
fn reads_how_long_and_how_much_is_kept() {
    let kept = |control: &str| {
        let listen = "  listen: 127.0.0.1:50050\n";
        let text = WHOLE.replacen(listen, &format!("{listen}  control: {control}\n"), 1);
        let retention = parse(&text).unwrap().control.retention;
        (retention.age.as_secs() / 86_400, retention.size_bytes >> 20)
    };
    assert_eq!(kept("{}"), (90, 200));
    assert_eq!(kept("{ retention: { age: 7d } }"), (7, 200));
    assert_eq!(kept("{ retention: { age: 30d, size: 1GiB } }"), (30, 1_024));
    let bad = refusal(
        "  listen:",
        "  control: { retention: { size: 1GB } }\n  listen:",
    );
    assert!(bad.contains("1GiB"), "{bad}");
}

#[test]
fn limits_on_connections_are_off_or_safe_until_they_are_named() {
    let given = |limits: &str| parse(&format!("{WHOLE}  limits: {{ {limits} }}\n"));
    let default = parse(WHOLE).unwrap().limits;
    assert_eq!(default, Limits::default());
    assert_eq!(default.max_connection_age, None);
    let named =
        "keepaliveTime: 5s, stuckTimeout: 1m, maxConnectionAge: 10m, maxConnectionAgeGrace: 0s";
    let limits = given(named).unwrap().limits;
    assert_eq!(limits.keepalive_time, Duration::from_secs(5));
    assert_eq!(limits.keepalive_timeout, default.keepalive_timeout);
    assert_eq!(limits.stuck_timeout, Duration::from_secs(60));
    assert_eq!(limits.max_connection_age, Some(Duration::from_secs(600)));
    assert_eq!(limits.max_connection_age_grace, Some(Duration::ZERO));
    for zero in ["headerTimeout: 0s", "maxConnectionAge: 0s"] {
        let refusal = given(zero).expect_err("must be refused").to_string();
        assert!(refusal.contains("not above 0"), "{refusal}");
    }
}
