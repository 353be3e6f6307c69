use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const T0: Duration = Duration::ZERO;

fn ledger() -> Ledger {
    Ledger::new(1, &Saved::default(), T0)
}

fn hello(name: &str) -> wire::Hello {
    wire::Hello {
        instance: name.into(),
        version: "1".into(),
        host: "h".into(),
    }
}

fn report(epoch: u64, sequence: u64, compared: u64) -> wire::Report {
    let pairs = wire::PairCounters {
        compared,
        ..Default::default()
    };
    let method = wire::MethodReport {
        method: "/a.B/C".into(),
        calls: vec![],
        pairs: Some(pairs),
    };
    wire::Report {
        epoch,
        sequence,
        methods: vec![method],
        ..Default::default()
    }
}

fn compared(ledger: &mut Ledger) -> u64 {
    ledger
        .totals()
        .get("/a.B/C")
        .map_or(0, |tally| tally.pairs.compared)
}

#[test]
fn the_newest_report_of_each_instance_counts_once() {
    let mut ledger = ledger();
    ledger.hello(&hello(A), T0).unwrap();
    ledger.hello(&hello(B), T0).unwrap();
    assert_eq!(
        ledger.report(A, &report(1, 1, 10), T0, 0).unwrap(),
        Counted::Newest
    );
    assert_eq!(
        ledger.report(A, &report(1, 1, 10), T0, 0).unwrap(),
        Counted::Known
    );
    assert_eq!(
        ledger.report(A, &report(1, 3, 30), T0, 0).unwrap(),
        Counted::Newest
    );
    assert_eq!(
        ledger.report(A, &report(1, 2, 20), T0, 0).unwrap(),
        Counted::Known
    );
    assert_eq!(
        ledger.report(B, &report(1, 1, 5), T0, 0).unwrap(),
        Counted::Newest
    );
    assert_eq!(compared(&mut ledger), 35);
}

#[test]
fn what_a_gone_instance_counted_is_kept_and_counted_once() {
    let mut ledger = ledger();
    let stream = ledger.hello(&hello(A), T0).unwrap();
    ledger.report(A, &report(1, 1, 10), T0, 0).unwrap();
    ledger.gone(A, stream, T0);
    ledger.retire_gone(RETIRE_AFTER);
    assert!(ledger.instances().is_empty());
    assert_eq!(compared(&mut ledger), 10);

    ledger.hello(&hello(A), RETIRE_AFTER).unwrap();
    let later = ledger
        .report(A, &report(1, 2, 12), RETIRE_AFTER, 0)
        .unwrap();
    assert_eq!((later, compared(&mut ledger)), (Counted::Retired, 10));

    ledger.restart(2);
    let fresh = ledger.report(A, &report(2, 3, 4), RETIRE_AFTER, 0).unwrap();
    assert_eq!((fresh, compared(&mut ledger)), (Counted::Newest, 4));
}

#[test]
fn an_instance_that_comes_back_soon_goes_on_counting() {
    let mut ledger = ledger();
    let first = ledger.hello(&hello(A), T0).unwrap();
    ledger.report(A, &report(1, 1, 10), T0, 0).unwrap();
    ledger.hello(&hello(A), T0).unwrap();
    ledger.gone(A, first, T0);
    assert!(ledger.instances()[A].connected(), "the later stream counts");
    ledger.report(A, &report(1, 2, 15), T0, 0).unwrap();
    assert_eq!(compared(&mut ledger), 15);
}

#[test]
fn a_restart_goes_on_with_the_same_counters() {
    let mut ledger = ledger();
    ledger.hello(&hello(A), T0).unwrap();
    ledger.report(A, &report(1, 1, 10), T0, 0).unwrap();
    let mut snapshot = Snapshot::default();
    ledger.take_unsaved(&mut snapshot);
    let saved = Saved {
        epoch: 1,
        proxies: snapshot.proxies,
        evidence: snapshot.evidence,
        ..Saved::default()
    };
    let mut again = Ledger::new(1, &saved, T0);
    assert_eq!(compared(&mut again), 10);
    again.hello(&hello(A), T0).unwrap();
    again.report(A, &report(1, 2, 11), T0, 0).unwrap();
    assert_eq!(compared(&mut again), 11);
    assert_eq!(
        compared(&mut Ledger::new(2, &saved, T0)),
        0,
        "another epoch"
    );
}

#[test]
fn refuses_odd_instances_methods_and_crowds_and_counts_no_other_epoch() {
    let mut ledger = ledger();
    assert!(ledger.hello(&hello("me"), T0).is_err());
    ledger.hello(&hello(A), T0).unwrap();
    for epoch in [0, 2] {
        let counted = ledger.report(A, &report(epoch, 1, 1), T0, 0).unwrap();
        assert_eq!(counted, Counted::OtherEpoch);
    }
    let mut odd = report(1, 1, 1);
    odd.methods[0].method = "a.B/C".into();
    assert!(
        ledger.report(A, &odd, T0, 0).is_err(),
        "a method without its slash"
    );
    for n in 1..MAX_INSTANCES {
        ledger.hello(&hello(&format!("{n:032x}")), T0).unwrap();
    }
    assert_eq!(ledger.hello(&hello(B), T0), Err(Refusal::TooMany));
}

#[test]
fn a_snapshot_that_was_not_saved_comes_again() {
    let mut ledger = ledger();
    ledger.hello(&hello(A), T0).unwrap();
    ledger.report(A, &report(1, 1, 10), T0, 0).unwrap();
    let take = |ledger: &mut Ledger| {
        let mut snapshot = Snapshot {
            epoch: 1,
            ..Snapshot::default()
        };
        ledger.take_unsaved(&mut snapshot);
        snapshot
    };
    let first = take(&mut ledger);
    assert_eq!(
        (first.evidence.len(), take(&mut ledger).evidence.len()),
        (1, 0)
    );
    ledger.give_back(&first);
    assert_eq!(take(&mut ledger).evidence, first.evidence);
}
