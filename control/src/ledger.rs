//! Who has counted what: one entry for each proxy instance, its newest report kept whole. Reports
//! are cumulative, so the newest wins and the sum over instances is the truth; an instance that has
//! long gone is folded into the retired ones once, and what it says after that is not counted.
//! One file, because every way in and out has to keep that each report counts exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cutover_manifest::MethodPath;
use cutover_proto::cutover::v1 as wire;

use crate::store::{EvidenceRow, Others, ProxyRow, Saved, Snapshot};
use crate::tally::{Implausible, MethodTally};
use crate::words::{OTHER, is_hex};

/// Most proxy instances at a time, those that went away a short while ago included.
pub(crate) const MAX_INSTANCES: usize = 256;
/// Most retired instances remembered within an epoch.
const MAX_RETIRED: usize = 65_536;
/// Most methods that are counted.
pub(crate) const MAX_METHODS: usize = 1_000;
/// How long an instance without a stream keeps its own entry.
const RETIRE_AFTER: Duration = Duration::from_secs(600);
/// How long an instance of another control plane is taken as connected without a report.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Longest host or version that is taken, bytes.
const MAX_LABEL_BYTES: usize = 256;

/// The sum over all instances, by method.
pub(crate) type Totals = BTreeMap<String, MethodTally>;

/// One stream of one instance; a later stream of the same instance takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

/// Why a message of a proxy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It can't be true.
    #[error(transparent)]
    Implausible(#[from] Implausible),
    /// Too many instances are connected.
    #[error("{MAX_INSTANCES} proxies are connected; no more are taken")]
    TooMany,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It is the newest state of the instance.
    Newest,
    /// It, or a newer one, was counted before.
    Known,
    /// It belongs to an epoch that is over, or to one of a store that was lost.
    OtherEpoch,
    /// The instance was folded into the retired ones.
    Retired,
}

/// One proxy instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) applied_generation: u64,
    pub(crate) error: String,
    pub(crate) reported_unix_ms: i64,
    sequence: Option<u64>,
    stream: Option<StreamId>,
    /// Whether its stream is open at another control plane.
    elsewhere: bool,
    /// Whether its newest report came here: only that is saved here.
    ours: bool,
    last_seen: Duration,
    methods: Totals,
}

impl Instance {
    /// Whether its stream is open.
    pub(crate) fn connected(&self) -> bool {
        self.stream.is_some() || self.elsewhere
    }
}

/// All instances, and the sum of what they counted in one epoch.
#[derive(Debug)]
pub(crate) struct Ledger {
    epoch: u64,
    instances: BTreeMap<String, Instance>,
    retired: Totals,
    retired_names: BTreeSet<String>,
    next_stream: u64,
    totals: Option<Arc<Totals>>,
    unsaved: BTreeSet<String>,
    folded: Vec<String>,
    /// Whether instances that have gone are folded here, and not by another control plane.
    retires: bool,
}

impl Ledger {
    /// With what the store held for `epoch`.
    pub(crate) fn new(epoch: u64, saved: &Saved, now: Duration) -> Ledger {
        let mut ledger = Ledger {
            epoch,
            instances: BTreeMap::new(),
            retired: BTreeMap::new(),
            retired_names: BTreeSet::new(),
            next_stream: 0,
            totals: None,
            unsaved: BTreeSet::new(),
            folded: Vec::new(),
            retires: true,
        };
        if saved.epoch != epoch {
            return ledger;
        }
        for row in &saved.proxies {
            if row.retired {
                ledger.retired_names.insert(row.instance.clone());
                continue;
            }
            let mut instance = Instance::new(&row.host, &row.version, now);
            instance.sequence = u64::try_from(row.sequence).ok();
            instance.ours = false;
            ledger.instances.insert(row.instance.clone(), instance);
        }
        for row in &saved.evidence {
            let Ok(tally) = MethodTally::from_wire(&row.report) else {
                tracing::warn!(method = row.report.method, "saved evidence is implausible");
                continue;
            };
            let methods = match ledger.instances.get_mut(&row.instance) {
                Some(instance) => &mut instance.methods,
                None => &mut ledger.retired,
            };
            methods
                .entry(row.report.method.clone())
                .or_default()
                .merge(&tally);
        }
        ledger
    }

    /// Takes a proxy in; its stream is the one that counts from now on.
    pub(crate) fn hello(
        &mut self,
        hello: &wire::Hello,
        now: Duration,
    ) -> Result<StreamId, Refusal> {
        if !is_hex(&hello.instance, 32) {
            let message = "instance must be 32 lower-case hexadecimal digits".to_owned();
            return Err(Implausible(message).into());
        }
        if hello.host.len() > MAX_LABEL_BYTES || hello.version.len() > MAX_LABEL_BYTES {
            let message = format!("host or version longer than {MAX_LABEL_BYTES} bytes");
            return Err(Implausible(message).into());
        }
        if !self.instances.contains_key(&hello.instance) && self.instances.len() >= MAX_INSTANCES {
            self.retire_longest_away().ok_or(Refusal::TooMany)?;
        }
        self.next_stream += 1;
        let stream = StreamId(self.next_stream);
        let instance = self
            .instances
            .entry(hello.instance.clone())
            .or_insert_with(|| Instance::new(&hello.host, &hello.version, now));
        instance.host.clone_from(&hello.host);
        instance.version.clone_from(&hello.version);
        instance.stream = Some(stream);
        instance.elsewhere = false;
        instance.ours = true;
        instance.last_seen = now;
        self.unsaved.insert(hello.instance.clone());
        Ok(stream)
    }

    /// Notes which table is in force at an instance.
    pub(crate) fn ack(&mut self, name: &str, ack: &wire::Ack) {
        if let Some(instance) = self.instances.get_mut(name) {
            if ack.error.is_empty() {
                instance.applied_generation = ack.generation;
            }
            instance.error = ack.error.chars().take(1_000).collect();
            self.unsaved.insert(name.to_owned());
        }
    }

    /// Counts a report, unless it was counted before.
    pub(crate) fn report(
        &mut self,
        name: &str,
        report: &wire::Report,
        now: Duration,
        unix_ms: i64,
    ) -> Result<Counted, Refusal> {
        let methods = read_methods(&report.methods)?;
        let known: BTreeSet<&String> = self.totals_keys();
        let added = methods
            .keys()
            .filter(|method| !known.contains(method))
            .count();
        if known.len() + added > MAX_METHODS {
            return Err(Implausible(format!("more than {MAX_METHODS} methods in all")).into());
        }
        let Some(instance) = self.instances.get_mut(name) else {
            return Ok(Counted::Retired);
        };
        instance.last_seen = now;
        instance.reported_unix_ms = unix_ms;
        if report.epoch != self.epoch {
            return Ok(Counted::OtherEpoch);
        }
        if self.retired_names.contains(name) {
            return Ok(Counted::Retired);
        }
        if instance
            .sequence
            .is_some_and(|newest| newest >= report.sequence)
        {
            return Ok(Counted::Known);
        }
        instance.sequence = Some(report.sequence);
        instance.methods = methods;
        self.totals = None;
        self.unsaved.insert(name.to_owned());
        Ok(Counted::Newest)
    }

    /// Notes that a stream has ended, unless a later one of the same instance is open.
    pub(crate) fn gone(&mut self, name: &str, stream: StreamId, now: Duration) {
        if let Some(instance) = self.instances.get_mut(name)
            && instance.stream == Some(stream)
        {
            instance.stream = None;
            instance.last_seen = now;
            self.unsaved.insert(name.to_owned());
        }
    }

    /// The newest report of each instance, -1 where there is none.
    pub(crate) fn sequences(&self) -> BTreeMap<String, i64> {
        let sequence = |instance: &Instance| instance.row("").sequence;
        let instances = self.instances.iter();
        instances
            .map(|(name, instance)| (name.clone(), sequence(instance)))
            .collect()
    }

    /// Takes over what other control planes have counted of the same epoch. Who runs the ramps
    /// also retires instances; for all others that is done elsewhere.
    pub(crate) fn take_others(&mut self, others: &Others, retires: bool, now: Duration) {
        self.retires = retires;
        for row in &others.proxies {
            self.take_other(row, &others.evidence, now);
        }
        if !retires {
            let listed: BTreeSet<&String> = others.proxies.iter().map(|p| &p.instance).collect();
            self.instances
                .retain(|name, instance| instance.ours || listed.contains(name));
            self.retired = tallies(&others.evidence, "");
        }
        self.totals = None;
    }

    fn take_other(&mut self, row: &ProxyRow, evidence: &[EvidenceRow], now: Duration) {
        let sequence = u64::try_from(row.sequence).ok();
        if self.retired_names.contains(&row.instance) {
            return;
        }
        if let Some(known) = self.instances.get_mut(&row.instance) {
            if known.stream.is_some() || known.sequence > sequence {
                return;
            }
            known.applied_generation = row.applied_generation;
            if known.sequence == sequence {
                return;
            }
        } else if self.instances.len() >= MAX_INSTANCES && self.retire_longest_away().is_none() {
            tracing::warn!("too many proxies: what another control plane counts is left out");
            return;
        }
        let mut instance = Instance::new(&row.host, &row.version, now);
        instance.applied_generation = row.applied_generation;
        instance.reported_unix_ms = row.reported_unix_ms;
        instance.sequence = sequence;
        instance.elsewhere = row.connected;
        instance.ours = false;
        instance.methods = tallies(evidence, &row.instance);
        self.unsaved.remove(&row.instance);
        self.instances.insert(row.instance.clone(), instance);
    }

    /// Takes over the epoch that another control plane has begun, and all that was counted.
    pub(crate) fn adopt(&mut self, saved: &Saved, now: Duration) {
        if saved.epoch != self.epoch {
            self.restart(saved.epoch);
        }
        for row in saved.proxies.iter().filter(|row| row.retired) {
            self.retired_names.insert(row.instance.clone());
            self.instances
                .retain(|name, instance| *name != row.instance || instance.stream.is_some());
        }
        let others = Others {
            proxies: saved
                .proxies
                .iter()
                .filter(|row| !row.retired)
                .cloned()
                .collect(),
            evidence: saved.evidence.clone(),
            traces: Vec::new(),
            ..Others::default()
        };
        self.take_others(&others, false, now);
    }

    /// Folds instances that have long gone into the retired ones.
    pub(crate) fn retire_gone(&mut self, now: Duration) {
        for instance in self.instances.values_mut() {
            let silent = now.saturating_sub(instance.last_seen) >= SILENT_AFTER;
            instance.elsewhere &= !silent;
        }
        let gone = |instance: &Instance| {
            !instance.connected() && now.saturating_sub(instance.last_seen) >= RETIRE_AFTER
        };
        let names: Vec<String> = self
            .instances
            .iter()
            .filter(|(_, instance)| gone(instance))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.retire(&name);
        }
    }

    /// Begins an epoch: all counters start from zero.
    pub(crate) fn restart(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.retired.clear();
        self.retired_names.clear();
        for instance in self.instances.values_mut() {
            instance.methods.clear();
        }
        self.totals = None;
        self.folded.clear();
        let ours = self.instances.iter().filter(|(_, instance)| instance.ours);
        self.unsaved = ours.map(|(name, _)| name.clone()).collect();
    }

    /// The sum over all instances.
    pub(crate) fn totals(&mut self) -> Arc<Totals> {
        if let Some(totals) = &self.totals {
            return totals.clone();
        }
        let mut sum = self.retired.clone();
        for instance in self.instances.values() {
            for (method, tally) in &instance.methods {
                sum.entry(method.clone()).or_default().merge(tally);
            }
        }
        let totals = Arc::new(sum);
        self.totals = Some(totals.clone());
        totals
    }

    /// The instances, by name.
    pub(crate) fn instances(&self) -> &BTreeMap<String, Instance> {
        &self.instances
    }

    /// Adds what changed since the last time to a snapshot.
    pub(crate) fn take_unsaved(&mut self, snapshot: &mut Snapshot) {
        let unsaved = std::mem::take(&mut self.unsaved);
        for name in &unsaved {
            if name.is_empty() {
                push_evidence(&mut snapshot.evidence, "", &self.retired);
            } else if let Some(instance) = self.instances.get(name) {
                snapshot.proxies.push(instance.row(name));
                push_evidence(&mut snapshot.evidence, name, &instance.methods);
            }
        }
        for name in std::mem::take(&mut self.folded) {
            let row = ProxyRow {
                instance: name.clone(),
                sequence: 0,
                host: String::new(),
                version: String::new(),
                retired: true,
                connected: false,
                applied_generation: 0,
                reported_unix_ms: 0,
            };
            snapshot.proxies.push(row);
            snapshot.folded.push(name);
        }
    }

    /// Takes back a snapshot that could not be saved: the next one holds it again.
    pub(crate) fn give_back(&mut self, snapshot: &Snapshot) {
        if snapshot.epoch != self.epoch {
            return;
        }
        let names = snapshot.evidence.iter().map(|row| &row.instance);
        let names = names.chain(snapshot.proxies.iter().map(|row| &row.instance));
        self.unsaved.extend(names.cloned());
        self.folded.extend(snapshot.folded.iter().cloned());
    }

    fn totals_keys(&self) -> BTreeSet<&String> {
        let own = self
            .instances
            .values()
            .flat_map(|instance| instance.methods.keys());
        own.chain(self.retired.keys()).collect()
    }

    fn retire_longest_away(&mut self) -> Option<()> {
        let away = self
            .instances
            .iter()
            .filter(|(_, instance)| !instance.connected());
        let name = away
            .min_by_key(|(_, instance)| instance.last_seen)?
            .0
            .clone();
        self.retire(&name);
        Some(())
    }

    /// Folds one instance. Its name is remembered, so that it can't be counted twice; where too
    /// many are remembered already, its evidence is forgotten instead, which is safe too.
    fn retire(&mut self, name: &str) {
        let Some(instance) = self.instances.remove(name) else {
            return;
        };
        self.unsaved.remove(name);
        self.totals = None;
        if !self.retires {
            // What it has counted stays in the store, for the one who does.
            return;
        }
        self.folded.push(name.to_owned());
        if instance.methods.is_empty() {
            return;
        }
        self.totals = None;
        if self.retired_names.len() >= MAX_RETIRED {
            tracing::warn!(
                instance = name,
                "too many retired proxies: its evidence is forgotten"
            );
            return;
        }
        self.retired_names.insert(name.to_owned());
        for (method, tally) in &instance.methods {
            self.retired.entry(method.clone()).or_default().merge(tally);
        }
        self.unsaved.insert(String::new());
    }
}

impl Instance {
    fn new(host: &str, version: &str, now: Duration) -> Instance {
        Instance {
            host: host.to_owned(),
            version: version.to_owned(),
            applied_generation: 0,
            error: String::new(),
            reported_unix_ms: 0,
            sequence: None,
            stream: None,
            elsewhere: false,
            ours: true,
            last_seen: now,
            methods: BTreeMap::new(),
        }
    }

    fn row(&self, name: &str) -> ProxyRow {
        ProxyRow {
            instance: name.to_owned(),
            sequence: self
                .sequence
                .and_then(|s| i64::try_from(s).ok())
                .unwrap_or(-1),
            host: self.host.clone(),
            version: self.version.clone(),
            retired: false,
            connected: self.stream.is_some(),
            applied_generation: self.applied_generation,
            reported_unix_ms: self.reported_unix_ms,
        }
    }
}

fn push_evidence(rows: &mut Vec<EvidenceRow>, instance: &str, methods: &Totals) {
    rows.extend(methods.iter().map(|(method, tally)| EvidenceRow {
        instance: instance.to_owned(),
        report: tally.to_wire(method),
    }));
}

/// What rows say of one instance; those that can't be true are left out.
fn tallies(rows: &[EvidenceRow], instance: &str) -> Totals {
    let mut methods = Totals::new();
    for row in rows.iter().filter(|row| row.instance == instance) {
        match MethodTally::from_wire(&row.report) {
            Ok(tally) => methods
                .entry(row.report.method.clone())
                .or_default()
                .merge(&tally),
            Err(_) => {
                tracing::warn!(method = row.report.method, "saved evidence is implausible");
            }
        }
    }
    methods
}

fn read_methods(reports: &[wire::MethodReport]) -> Result<Totals, Implausible> {
    if reports.len() > MAX_METHODS {
        let message = format!(
            "{} methods in a report; at most {MAX_METHODS}",
            reports.len()
        );
        return Err(Implausible(message));
    }
    let mut methods = BTreeMap::new();
    for report in reports {
        if report.method != OTHER {
            let path = MethodPath::parse(&report.method).map_err(|e| Implausible(e.to_string()))?;
            if path.as_str() != report.method {
                return Err(Implausible(format!("{:?} lacks its slash", report.method)));
            }
        }
        let tally = MethodTally::from_wire(report)?;
        if methods.insert(report.method.clone(), tally).is_some() {
            return Err(Implausible(format!("{} twice in a report", report.method)));
        }
    }
    Ok(methods)
}

#[cfg(test)]
mod tests;
