//! What the binary says to people who wrote something wrong: exit code 2, the place, the remedy.
#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
mod binary;

use binary::{cutover, manifest};

const GOOD: &str = r#"apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: gazetteer }
spec:
  legacy: { url: "http://127.0.0.1:50051" }
  candidate: { url: "http://127.0.0.1:50052" }
  rules:
    - matches: [{ method: { service: a.v1.A, method: Get } }]
      weight: 5
"#;

/// A wrong manifest is told with its place and what would be right, by every command that reads it.
fn check_wrong(from: &str, to: &str, place: &str, says: &str) {
    assert!(GOOD.contains(from), "{from:?} is not in the good manifest");
    let (_directory, file) = manifest(&GOOD.replacen(from, to, 1));
    let path = file.display().to_string();
    for command in [&["check", "--offline"][..], &["control"], &["up"]] {
        let output = cutover(command.iter().copied().chain(["-f", &path]));
        let told = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(2), "{command:?}: {told}");
        assert!(
            told.contains(&format!("{path}:{place}")),
            "{command:?}: {told}"
        );
        assert!(told.contains(says), "{command:?}: {told}");
        assert!(told.contains("help: "), "{command:?}: {told}");
    }
}

#[test]
fn refuses_an_unknown_key() {
    check_wrong("weight: 5", "wieght: 5", "9:7", "expected one of");
}

#[test]
fn refuses_a_weight_above_100() {
    check_wrong("weight: 5", "weight: 101", "9:15", "a number from 0 to 100");
}

#[test]
fn refuses_a_second_rule_for_the_same_method() {
    let rule = "    - matches: [{ method: { service: a.v1.A, method: Get } }]\n";
    let twice = format!("{rule}{rule}");
    check_wrong(
        rule,
        &twice,
        "9:17",
        "duplicate rule for /a.v1.A/Get: line 8 has one already",
    );
}

#[test]
fn refuses_a_bad_url() {
    let place = "5:18";
    check_wrong(
        "http://127.0.0.1:50051",
        "127.0.0.1:50051",
        place,
        "http://HOST:PORT",
    );
}

#[test]
fn takes_a_good_manifest() {
    let (_directory, file) = manifest(GOOD);
    let output = cutover(["check", "--offline", "-f", file.to_str().unwrap()]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("✓ good"), "{}", output.stdout);
}

#[test]
fn names_a_missing_file() {
    let (directory, _) = manifest(GOOD);
    let missing = directory.path().join("nowhere.yaml");
    let output = cutover(["control", "-f", missing.to_str().unwrap()]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(
        output.stderr.starts_with("error: there is no manifest at"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("help: "), "{}", output.stderr);
}

#[test]
fn a_proxy_needs_a_table_from_somewhere() {
    let output = cutover(["proxy"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("--control"), "{}", output.stderr);
    let output = cutover(["proxy", "--control", "127.0.0.1:4317"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(
        output.stderr.contains("http://HOST:PORT"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_weight_outside_or_without_a_reason_never_leaves_the_house() {
    let output = cutover(["weight", "Get", "101", "--why", "x"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("steps of 0.01"), "{}", output.stderr);
    let output = cutover(["weight", "Get", "10"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("--why"), "{}", output.stderr);
}

#[test]
fn a_rule_for_a_field_or_in_a_way_that_cannot_be_is_told_with_its_place() {
    let (directory, file) = manifest(GOOD);
    let set = directory.path().join("api.binpb");
    std::fs::write(&set, cutover_proto::gazetteer::FILE_DESCRIPTOR_SET).unwrap();
    let check = |compare: &str| {
        let text = GOOD.replace(
            "a.v1.A, method: Get",
            "gazetteer.v1.GazetteerService, method: SearchPlaces",
        );
        let set = set.display();
        let text = text.replace(
            "  rules:",
            &format!("  descriptors: {{ file: \"{set}\" }}\n  rules:"),
        );
        std::fs::write(&file, format!("{text}      compare: {compare}\n")).unwrap();
        let output = cutover(["check", "--offline", "-f", file.to_str().unwrap()]);
        let prefix = format!("{}:", file.display());
        (output.code, output.stdout.replace(&prefix, "FILE:"))
    };
    let (code, told) = check("{ ignore: [search_id], keyed: { results: [place.id] } }");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("all 2 that the rules name"), "{told}");
    for (wrong, says) in [
        ("{ ignore: [score] }", "FILE:11:27: ignore names score"),
        ("{ ignore: [score] }", "did you mean results[].score?"),
        (
            "{ tolerance: { search_id: { relative: 1 } } }",
            "FILE:11:31: tolerance does not fit",
        ),
        ("{ keyed: { results: [id] } }", "did you mean place.id?"),
        ("{ normalize: { search_id: [upper] } }", "FILE:11:43"),
    ] {
        let (code, told) = check(wrong);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(says), "{told} lacks {says}");
    }
}

#[test]
fn a_ramp_that_can_never_pass_is_told_with_the_estimate() {
    let rules = "    - mirror: { percent: 100 }\n  ramp:\n    \
                 steps: [{ weight: 1 }, { weight: 100 }]\n    gates: { minCalls: 1000000 }\n";
    let (_directory, file) = manifest(&format!("{GOOD}{rules}"));
    let path = file.display().to_string();
    let check = |more: &[&str]| cutover([&["check", "--offline", "-f", &path], more].concat());
    let told = check(&[]);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(told.stdout.contains("at 1 %: 1000000 for min_calls\n"));
    let in_time = check(&["--rate", "1"]);
    assert_eq!(in_time.code, Some(0), "{}", in_time.stdout);
    assert!(
        in_time
            .stdout
            .contains("at 1 %: 1000000 for min_calls: 277h46m\n")
    );
    let never = check(&["--rate", "0.1"]);
    assert_eq!(never.code, Some(1), "{}", never.stdout);
    let says = "for min_calls: 2777h46m, longer than 720h";
    assert!(never.stdout.contains(says), "{}", never.stdout);
    assert_eq!(check(&["--rate", "0"]).code, Some(2));
}
