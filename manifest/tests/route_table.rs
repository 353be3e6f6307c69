//! Which rule a call falls under, which weight is in force, and which arm answers.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_manifest::{
    Arm, Key, Manifest, MethodPath, RouteTable, Weight, WeightOwner, Weights, choose_arm,
};
use proptest::prelude::*;

const MANIFEST: &str = r#"
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: t }
spec:
  legacy:    { url: "http://127.0.0.1:1" }
  candidate: { url: "http://127.0.0.1:2" }
  rules:
  - matches: [{ method: { service: a.A } }]
    weight: 20
  - matches: [{ method: { service: a.A, method: Pinned } }]
    weight: 30
  - matches: [{ method: { service: a.A, method: Free } }]
  - weight: 10
"#;

fn table(weights: &Weights) -> RouteTable {
    let manifest = Manifest::parse("t.yaml", MANIFEST).unwrap();
    RouteTable::build(Arc::new(manifest), weights, 1, 1)
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

#[test]
fn the_most_specific_rule_wins() {
    let table = table(&Weights {
        ramp: weight(7.0),
        ..Weights::default()
    });
    for (path, percent, owner) in [
        ("/a.A/Pinned", 30.0, WeightOwner::Manifest),
        ("/a.A/Free", 7.0, WeightOwner::Ramp),
        ("/a.A/Else", 20.0, WeightOwner::Manifest),
        ("/b.B/Any", 10.0, WeightOwner::Manifest),
        ("nonsense", 10.0, WeightOwner::Manifest),
    ] {
        let route = table.route(path);
        assert_eq!(
            (route.weight, route.owner),
            (weight(percent), owner),
            "{path}"
        );
    }
}

#[test]
fn an_override_is_stronger_than_a_pin_and_a_method_stronger_than_all() {
    let pinned = MethodPath::parse("/a.A/Pinned").unwrap();
    let free = MethodPath::parse("/a.A/Free").unwrap();
    let table = table(&Weights {
        ramp: weight(7.0),
        ramp_by_method: BTreeMap::from([(free.clone(), weight(8.0))]),
        override_all: Some(weight(1.0)),
        override_by_method: BTreeMap::from([(pinned.clone(), weight(2.0))]),
    });
    assert_eq!(table.route(pinned.as_str()).weight, weight(2.0));
    assert_eq!(table.route(free.as_str()).weight, weight(1.0));
    assert_eq!(table.route("/b.B/Any").owner, WeightOwner::Override);
}

#[test]
fn stickiness_never_overrides_weight_0_or_100() {
    for bucket in 0..10_000 {
        assert_eq!(choose_arm(bucket, Weight::ZERO), Arm::Legacy);
        assert_eq!(choose_arm(bucket, Weight::FULL), Arm::Candidate);
    }
}

#[test]
fn buckets_stay_the_same_across_versions() {
    // These pairs are part of the contract: a replica of another version must agree.
    let table = table(&Weights::default());
    let mut route = table.route("/a.A/Free").clone();
    let share = |route: &cutover_manifest::MethodRoute| {
        (0..10_000)
            .filter(|i: &u32| {
                table.arm(route, Key::Sticky(format!("user-{i}").as_bytes())) == Arm::Candidate
            })
            .count()
    };
    route.weight = weight(25.0);
    assert_eq!(share(&route), 2472);
    route.weight = weight(50.0);
    assert_eq!(share(&route), 4985);
}

proptest! {
    #[test]
    fn raising_the_weight_only_adds_keys(key: Vec<u8>, low in 0u32..=10_000, high in 0u32..=10_000) {
        let (low, high) = (low.min(high), low.max(high));
        let table = table(&Weights::default());
        let mut route = table.route("/a.A/Free").clone();
        route.weight = Weight::from_bp(low).unwrap();
        let before = table.arm(&route, Key::Sticky(&key));
        route.weight = Weight::from_bp(high).unwrap();
        let after = table.arm(&route, Key::Sticky(&key));
        prop_assert!(!(before == Arm::Candidate && after == Arm::Legacy));
    }
}
