//! The counters of one method: read from a report (and refused whole when they can't be true),
//! merged over proxies, subtracted to get a window. All of it is addition, so neither order nor
//! repetition of reports matters.

use std::collections::{BTreeMap, HashMap};

use cutover_manifest::{Arm, Role, Weight};
use cutover_proto::cutover::v1 as wire;

use crate::words::{arm_from_wire, arm_to_wire, role_from_wire, role_to_wire};

/// Most cells of calls (weight × arm × role) in a method's report.
pub(crate) const MAX_CELLS: usize = 2_048;
/// Most fields in a method's report.
pub(crate) const MAX_FIELDS: usize = 2_048;
/// Most reasons or status codes in a map of counts.
pub(crate) const MAX_KEYS: usize = 64;
/// Longest field path or reason, bytes.
pub(crate) const MAX_NAME_BYTES: usize = 512;
/// Largest count; beyond it no float holds it exactly, and no proxy lives so long.
pub(crate) const MAX_COUNT: u64 = 1 << 53;
/// Buckets of a histogram.
const BUCKETS: u32 = 256;

/// Which calls a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellKey {
    pub(crate) weight: Weight,
    pub(crate) arm: Arm,
    pub(crate) role: Role,
}

/// Calls of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) by_status: BTreeMap<u32, u64>,
    pub(crate) failures: u64,
    pub(crate) buckets: BTreeMap<u32, u64>,
    pub(crate) sum_us: u64,
}

/// How often one field differed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FieldTally {
    pub(crate) pairs: u64,
    pub(crate) only_other: u64,
    pub(crate) only_repeat: u64,
    pub(crate) both: u64,
}

/// Compared pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PairTally {
    pub(crate) compared: u64,
    pub(crate) mismatched: u64,
    pub(crate) triples: u64,
    pub(crate) only_candidate_failed: u64,
    pub(crate) only_legacy_failed: u64,
    pub(crate) candidate_slower: u64,
    pub(crate) legacy_slower: u64,
    pub(crate) not_compared: BTreeMap<String, u64>,
    /// By path and kind.
    pub(crate) fields: BTreeMap<(String, String), FieldTally>,
}

/// All counters of one method.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MethodTally {
    pub(crate) calls: BTreeMap<CellKey, Cell>,
    pub(crate) pairs: PairTally,
}

/// What can't be true about a report; the sentence goes back to the proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Implausible(pub(crate) String);

impl Cell {
    /// Calls ended.
    pub(crate) fn calls(&self) -> u64 {
        self.by_status
            .values()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    fn merge(&mut self, other: &Cell) {
        add_all(&mut self.by_status, &other.by_status);
        add_all(&mut self.buckets, &other.buckets);
        self.failures = self.failures.saturating_add(other.failures);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    fn since(&self, baseline: &Cell) -> Cell {
        Cell {
            by_status: subtract_all(&self.by_status, &baseline.by_status),
            failures: self.failures.saturating_sub(baseline.failures),
            buckets: subtract_all(&self.buckets, &baseline.buckets),
            sum_us: self.sum_us.saturating_sub(baseline.sum_us),
        }
    }
}

impl PairTally {
    fn merge(&mut self, other: &PairTally) {
        self.merge_counts(other);
        let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
        for (key, field) in &other.fields {
            let mine = self.fields.entry(key.clone()).or_default();
            add(&mut mine.pairs, field.pairs);
            add(&mut mine.only_other, field.only_other);
            add(&mut mine.only_repeat, field.only_repeat);
            add(&mut mine.both, field.both);
        }
    }

    /// All but the fields.
    fn merge_counts(&mut self, other: &PairTally) {
        let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
        add(&mut self.compared, other.compared);
        add(&mut self.mismatched, other.mismatched);
        add(&mut self.triples, other.triples);
        add(&mut self.only_candidate_failed, other.only_candidate_failed);
        add(&mut self.only_legacy_failed, other.only_legacy_failed);
        add(&mut self.candidate_slower, other.candidate_slower);
        add(&mut self.legacy_slower, other.legacy_slower);
        add_all(&mut self.not_compared, &other.not_compared);
    }

    fn since(&self, baseline: &PairTally) -> PairTally {
        let field_since = |(key, field): (&(String, String), &FieldTally)| {
            let old = baseline.fields.get(key).copied().unwrap_or_default();
            let new = FieldTally {
                pairs: field.pairs.saturating_sub(old.pairs),
                only_other: field.only_other.saturating_sub(old.only_other),
                only_repeat: field.only_repeat.saturating_sub(old.only_repeat),
                both: field.both.saturating_sub(old.both),
            };
            (new != FieldTally::default()).then(|| (key.clone(), new))
        };
        PairTally {
            compared: self.compared.saturating_sub(baseline.compared),
            mismatched: self.mismatched.saturating_sub(baseline.mismatched),
            triples: self.triples.saturating_sub(baseline.triples),
            only_candidate_failed: self
                .only_candidate_failed
                .saturating_sub(baseline.only_candidate_failed),
            only_legacy_failed: self
                .only_legacy_failed
                .saturating_sub(baseline.only_legacy_failed),
            candidate_slower: self
                .candidate_slower
                .saturating_sub(baseline.candidate_slower),
            legacy_slower: self.legacy_slower.saturating_sub(baseline.legacy_slower),
            not_compared: subtract_all(&self.not_compared, &baseline.not_compared),
            fields: self.fields.iter().filter_map(field_since).collect(),
        }
    }

    /// As it goes over the wire.
    pub(crate) fn to_wire(&self) -> wire::PairCounters {
        wire::PairCounters {
            compared: self.compared,
            mismatched: self.mismatched,
            triples: self.triples,
            only_candidate_failed: self.only_candidate_failed,
            only_legacy_failed: self.only_legacy_failed,
            candidate_slower: self.candidate_slower,
            legacy_slower: self.legacy_slower,
            not_compared: self.not_compared.clone().into_iter().collect(),
            fields: self
                .fields
                .iter()
                .map(|((path, kind), field)| wire::FieldCounters {
                    path: path.clone(),
                    kind: kind.clone(),
                    pairs: field.pairs,
                    only_other: field.only_other,
                    only_repeat: field.only_repeat,
                    both: field.both,
                })
                .collect(),
        }
    }
}

impl MethodTally {
    /// Reads a report's counters; refuses what can't be true.
    pub(crate) fn from_wire(report: &wire::MethodReport) -> Result<MethodTally, Implausible> {
        let method = &report.method;
        bound(report.calls.len(), MAX_CELLS, method, "cells of calls")?;
        let mut calls: BTreeMap<CellKey, Cell> = BTreeMap::new();
        for counters in &report.calls {
            let (key, cell) = read_cell(method, counters)?;
            if calls.insert(key, cell).is_some() {
                return Err(Implausible(format!(
                    "{method}: two cells for the same calls"
                )));
            }
        }
        let pairs = report
            .pairs
            .as_ref()
            .map(|pairs| read_pairs(method, pairs))
            .transpose()?;
        Ok(MethodTally {
            calls,
            pairs: pairs.unwrap_or_default(),
        })
    }

    /// As it goes over the wire, and into the store.
    pub(crate) fn to_wire(&self, method: &str) -> wire::MethodReport {
        let calls = self.calls.iter().map(|(key, cell)| wire::CallCounters {
            weight_bp: u32::from(key.weight.bp()),
            arm: arm_to_wire(key.arm).into(),
            role: role_to_wire(key.role).into(),
            by_status: cell.by_status.clone().into_iter().collect(),
            failures: cell.failures,
            latency: Some(wire::Histogram {
                buckets: cell.buckets.clone().into_iter().collect(),
                sum_us: cell.sum_us,
            }),
        });
        wire::MethodReport {
            method: method.to_owned(),
            calls: calls.collect(),
            pairs: Some(self.pairs.to_wire()),
        }
    }

    /// Adds what another proxy counted.
    pub(crate) fn merge(&mut self, other: &MethodTally) {
        for (key, cell) in &other.calls {
            self.calls.entry(*key).or_default().merge(cell);
        }
        self.pairs.merge(&other.pairs);
    }

    /// Adds what another method counted, without its fields.
    pub(crate) fn merge_without_fields(&mut self, other: &MethodTally) {
        for (key, cell) in &other.calls {
            self.calls.entry(*key).or_default().merge(cell);
        }
        self.pairs.merge_counts(&other.pairs);
    }

    /// What was counted since `baseline`, an earlier state of the same counters.
    pub(crate) fn since(&self, baseline: &MethodTally) -> MethodTally {
        let cell_since = |(key, cell): (&CellKey, &Cell)| {
            let cell = baseline
                .calls
                .get(key)
                .map_or_else(|| cell.clone(), |old| cell.since(old));
            (cell.calls() > 0).then_some((*key, cell))
        };
        MethodTally {
            calls: self.calls.iter().filter_map(cell_since).collect(),
            pairs: self.pairs.since(&baseline.pairs),
        }
    }
}

fn add_all<K: Clone + Ord>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        let mine = into.entry(key.clone()).or_default();
        *mine = mine.saturating_add(*count);
    }
}

fn subtract_all<K: Clone + Ord>(
    from: &BTreeMap<K, u64>,
    baseline: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    from.iter()
        .map(|(key, n)| {
            (
                key.clone(),
                n.saturating_sub(baseline.get(key).copied().unwrap_or(0)),
            )
        })
        .filter(|(_, n)| *n > 0)
        .collect()
}

fn bound(have: usize, most: usize, method: &str, what: &str) -> Result<(), Implausible> {
    if have > most {
        return Err(Implausible(format!(
            "{method}: {have} {what}; at most {most} are taken"
        )));
    }
    Ok(())
}

fn count(method: &str, what: &str, n: u64) -> Result<u64, Implausible> {
    if n > MAX_COUNT {
        return Err(Implausible(format!(
            "{method}: {what} is {n}; at most 2^53 is taken"
        )));
    }
    Ok(n)
}

fn read_cell(method: &str, wire: &wire::CallCounters) -> Result<(CellKey, Cell), Implausible> {
    let weight = Weight::from_bp(wire.weight_bp).ok_or_else(|| {
        Implausible(format!(
            "{method}: weight_bp {} is above 10,000",
            wire.weight_bp
        ))
    })?;
    let arm = arm_from_wire(wire.arm)
        .ok_or_else(|| Implausible(format!("{method}: calls without a known arm")))?;
    let role = role_from_wire(wire.role)
        .ok_or_else(|| Implausible(format!("{method}: calls without a known role")))?;
    bound(wire.by_status.len(), MAX_KEYS, method, "status codes")?;
    let latency = wire.latency.clone().unwrap_or_default();
    let cell = Cell {
        by_status: counts(method, "by_status", wire.by_status.clone())?,
        failures: count(method, "failures", wire.failures)?,
        buckets: counts(method, "latency", latency.buckets)?,
        sum_us: latency.sum_us,
    };
    if let Some(bucket) = cell.buckets.keys().find(|bucket| **bucket >= BUCKETS) {
        return Err(Implausible(format!(
            "{method}: bucket {bucket}; the last one is 255"
        )));
    }
    if cell.failures > cell.calls() {
        let message = format!(
            "{method}: {} failures in {} calls",
            cell.failures,
            cell.calls()
        );
        return Err(Implausible(message));
    }
    Ok((CellKey { weight, arm, role }, cell))
}

fn counts<K: Ord>(
    method: &str,
    what: &str,
    from: HashMap<K, u64>,
) -> Result<BTreeMap<K, u64>, Implausible> {
    from.into_iter()
        .map(|(key, n)| Ok((key, count(method, what, n)?)))
        .collect()
}

fn read_pairs(method: &str, wire: &wire::PairCounters) -> Result<PairTally, Implausible> {
    bound(
        wire.not_compared.len(),
        MAX_KEYS,
        method,
        "reasons in not_compared",
    )?;
    bound(wire.fields.len(), MAX_FIELDS, method, "fields")?;
    let names = wire
        .not_compared
        .keys()
        .chain(wire.fields.iter().flat_map(|f| [&f.path, &f.kind]));
    if names.into_iter().any(|name| name.len() > MAX_NAME_BYTES) {
        let message = format!("{method}: a name longer than {MAX_NAME_BYTES} bytes");
        return Err(Implausible(message));
    }
    let compared = count(method, "compared", wire.compared)?;
    let within = |what: &str, n: u64| {
        if n > compared {
            return Err(Implausible(format!(
                "{method}: {what} is {n} of {compared} compared"
            )));
        }
        Ok(n)
    };
    let mut fields = BTreeMap::new();
    for field in &wire.fields {
        let tally = FieldTally {
            pairs: within("fields.pairs", field.pairs)?,
            only_other: count(method, "fields.only_other", field.only_other)?,
            only_repeat: count(method, "fields.only_repeat", field.only_repeat)?,
            both: count(method, "fields.both", field.both)?,
        };
        if fields
            .insert((field.path.clone(), field.kind.clone()), tally)
            .is_some()
        {
            return Err(Implausible(format!(
                "{method}: field {:?} twice",
                field.path
            )));
        }
    }
    Ok(PairTally {
        compared,
        mismatched: within("mismatched", wire.mismatched)?,
        triples: within("triples", wire.triples)?,
        only_candidate_failed: within("only_candidate_failed", wire.only_candidate_failed)?,
        only_legacy_failed: within("only_legacy_failed", wire.only_legacy_failed)?,
        candidate_slower: within("candidate_slower", wire.candidate_slower)?,
        legacy_slower: within("legacy_slower", wire.legacy_slower)?,
        not_compared: counts(method, "not_compared", wire.not_compared.clone())?,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mismatched: u64, ok: u64) -> wire::MethodReport {
        wire::MethodReport {
            method: "/a.B/C".into(),
            calls: vec![wire::CallCounters {
                weight_bp: 100,
                arm: wire::Arm::Candidate.into(),
                role: wire::Role::Shadow.into(),
                by_status: HashMap::from([(0, ok)]),
                failures: 0,
                latency: Some(wire::Histogram {
                    buckets: HashMap::from([(80, ok)]),
                    sum_us: ok * 1_000,
                }),
            }],
            pairs: Some(wire::PairCounters {
                compared: ok,
                mismatched,
                ..Default::default()
            }),
        }
    }

    #[test]
    fn goes_over_the_wire_and_back_unchanged() {
        let tally = MethodTally::from_wire(&report(1, 5)).unwrap();
        assert_eq!(
            MethodTally::from_wire(&tally.to_wire("/a.B/C")).unwrap(),
            tally
        );
    }

    #[test]
    fn merges_by_addition_and_a_window_is_the_difference() {
        let early = MethodTally::from_wire(&report(1, 5)).unwrap();
        let late = MethodTally::from_wire(&report(3, 9)).unwrap();
        let window = late.since(&early);
        assert_eq!((window.pairs.compared, window.pairs.mismatched), (4, 2));
        let mut sum = early.clone();
        sum.merge(&window);
        assert_eq!(sum, late);
    }

    #[test]
    fn refuses_counters_that_cannot_be_true() {
        let check = |change: fn(&mut wire::MethodReport), expected: &str| {
            let mut wire = report(1, 5);
            change(&mut wire);
            let error = MethodTally::from_wire(&wire).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            |r| r.pairs.as_mut().unwrap().mismatched = 6,
            "mismatched is 6 of 5",
        );
        check(|r| r.calls[0].weight_bp = 10_001, "above 10,000");
        check(|r| r.calls[0].arm = 0, "known arm");
        check(|r| r.calls[0].role = 77, "known role");
        check(|r| r.calls[0].failures = 6, "6 failures in 5 calls");
        check(|r| r.calls.push(r.calls[0].clone()), "two cells");
        check(|r| _ = r.calls[0].by_status.insert(1, u64::MAX), "2^53");
        check(
            |r| _ = r.calls[0].latency.as_mut().unwrap().buckets.insert(256, 1),
            "bucket 256",
        );
    }
}
