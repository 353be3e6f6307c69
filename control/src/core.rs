//! The state of everything, in memory, behind one lock that is never held while something waits.
//! Methods here change the state and say what they decided; [`crate::shared`] saves and publishes.
//! One file for the state itself, because all its parts change under that one lock.

mod moves;
mod ticking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover_manifest::{
    Manifest, MethodPath, RampScope, RouteTable, Target, Weight, WeightOwner, Weights,
};
use cutover_proto::cutover::v1 as wire;

use crate::deploys::{Deploy, Versions};
use crate::fingerprint::fingerprint;
use crate::ledger::{Ledger, Totals};
use crate::memory::Memory;
use crate::process::Processes;
use crate::ramp::{Evidence, RampState, Transition};
use crate::rates::Rates;
use crate::replicas::Replica;
use crate::store::{Change, RampRow, Saved, Snapshot};
use crate::traces::Traces;
use crate::verdict::Basis;
use crate::words::{ALL, OTHER};

pub(crate) use moves::ChangeError;
pub(crate) use ticking::Standing;

/// Most decisions that wait for a store that fails.
const MAX_PENDING: usize = 1_000;

/// The time, both ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Monotonic, since the process began.
    pub(crate) now: Duration,
    /// By the wall clock.
    pub(crate) unix_ms: i64,
}

/// A ramp at work.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) state: RampState,
    pub(crate) verdict: wire::Verdict,
    /// What the verdict was drawn from; `None` until the first one since the start.
    basis: Option<Basis>,
    /// Of the totals that the window began with.
    epoch: u64,
    /// The totals when the window of recent evidence opened.
    baseline: Arc<Totals>,
    opened: Duration,
}

/// The state of everything.
pub(crate) struct Core {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) manifest_error: String,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) overrides: BTreeMap<String, wire::Override>,
    pub(crate) ledger: Ledger,
    pub(crate) traces: Traces,
    pub(crate) processes: Processes,
    pub(crate) memory: Memory,
    pub(crate) versions: Versions,
    pub(crate) rates: Rates,
    /// With the weights of the moment.
    pub(crate) table: RouteTable,
    /// Without any: tells which methods are pinned.
    bare_table: RouteTable,
    fingerprint: String,
    pub(crate) replica: Replica,
    /// The generation in the store when it was loaded.
    base: u64,
    /// Why ramps that are new begin paused; empty where they don't.
    latch: String,
    /// Also those that don't apply now (another scope, a pinned method): their place is kept.
    ramps: BTreeMap<String, Run>,
    last_tick: Duration,
    verdicts_moved: bool,
    /// Decisions that are in force but could not be saved yet; `None` where all is saved.
    pending: Option<Vec<wire::Decision>>,
}

impl Core {
    /// From a manifest and what the store held; says what changed in between.
    pub(crate) fn new(
        manifest: Arc<Manifest>,
        saved: &Saved,
        replica: Replica,
        at: Moment,
    ) -> (Core, Vec<wire::Decision>) {
        let fingerprint = fingerprint(&manifest);
        let fresh = saved.epoch == 0;
        let same = saved.fingerprint == fingerprint;
        let epoch = if same { saved.epoch } else { saved.epoch + 1 };
        let mut core = Core {
            manifest_error: String::new(),
            generation: saved.generation,
            epoch,
            overrides: saved
                .overrides
                .iter()
                .map(|o| (o.scope.clone(), o.clone()))
                .collect(),
            ledger: Ledger::new(epoch, saved, at.now),
            // One of several learns only later which of the rows are its own.
            traces: if replica.is_shared() {
                Traces::default()
            } else {
                Traces::alone(if same { &saved.traces } else { &[] })
            },
            replica,
            processes: Processes::default(),
            memory: Memory::new(saved.memory.as_ref().filter(|_| same)),
            versions: Versions::from_text(&saved.versions, at.now),
            rates: Rates::default(),
            table: RouteTable::build(manifest.clone(), &Weights::default(), 0, epoch),
            bare_table: RouteTable::build(manifest.clone(), &Weights::default(), 0, epoch),
            fingerprint,
            base: saved.generation,
            latch: saved.latch.clone(),
            ramps: BTreeMap::new(),
            last_tick: at.now,
            verdicts_moved: false,
            pending: None,
            manifest,
        };
        core.take_ramps(saved, at);
        if !same {
            for run in core.ramps.values_mut() {
                if let Some(ramp) = &core.manifest.ramp {
                    run.state.release(ramp);
                }
                run.state.windows = 1;
            }
        }
        core.add_ramps(at);
        core.rebuild();
        let weight = core.weight_of(ALL);
        let lost = saved.fingerprint.is_empty() && !core.latch.is_empty();
        let decisions = if lost {
            let why = core.latch.clone();
            vec![core.decision(ALL, "quarantine", (weight, weight), "store", &why, at)]
        } else if fresh || same {
            Vec::new()
        } else {
            let why = "the manifest has changed since the last start: evidence begins anew";
            vec![core.decision(ALL, "manifest", (weight, weight), "manifest", why, at)]
        };
        (core, decisions)
    }

    /// Makes the table for the state as it is now, under a new generation.
    pub(crate) fn renew(&mut self) -> Arc<wire::RouteTable> {
        self.generation += 1;
        self.rebuild();
        self.table_message()
    }

    /// The table for the state as it is now.
    pub(crate) fn table_message(&self) -> Arc<wire::RouteTable> {
        let weights = self.weights();
        let by_method = |weights: BTreeMap<MethodPath, Weight>| {
            let entry = |(path, weight): (MethodPath, Weight)| {
                (path.as_str().to_owned(), u32::from(weight.bp()))
            };
            weights.into_iter().map(entry).collect()
        };
        Arc::new(wire::RouteTable {
            generation: self.generation,
            epoch: self.epoch,
            manifest: self.manifest.text.clone(),
            weights: Some(wire::Weights {
                ramp_bp: u32::from(weights.ramp.bp()),
                ramp_by_method_bp: by_method(weights.ramp_by_method),
                override_bp: weights.override_all.map(|weight| u32::from(weight.bp())),
                override_by_method_bp: by_method(weights.override_by_method),
            }),
        })
    }

    /// What the store has to hold for the state as it is now.
    pub(crate) fn change(&self, decisions: Vec<wire::Decision>) -> Change {
        Change {
            base: self.base,
            writer: self.replica.name.clone(),
            generation: self.generation,
            epoch: self.epoch,
            fingerprint: self.fingerprint.clone(),
            latch: self.latch.clone(),
            ramps: self.ramp_rows(),
            overrides: self.overrides.values().cloned().collect(),
            versions: self.versions.to_text(),
            decisions,
        }
    }

    /// Keeps decisions that are in force but could not be saved, to save them later. Where there
    /// are too many, the oldest are lost to the log; what they led to is not.
    pub(crate) fn not_saved(&mut self, decisions: Vec<wire::Decision>) {
        let pending = self.pending.get_or_insert_default();
        pending.extend(decisions);
        let over = pending.len().saturating_sub(MAX_PENDING);
        pending.drain(..over);
    }

    /// The change that is still to be saved, if there is one.
    pub(crate) fn take_pending(&mut self) -> Option<Change> {
        let decisions = self.pending.take()?;
        Some(self.change(decisions))
    }

    /// Takes back a snapshot that could not be saved.
    pub(crate) fn give_back(&mut self, snapshot: &Snapshot) {
        self.ledger.give_back(snapshot);
        self.traces.give_back(snapshot);
        self.processes.give_back(snapshot);
        if snapshot.memory.is_some() {
            self.memory.give_back();
        }
    }

    /// What changed in the evidence since the last snapshot.
    pub(crate) fn snapshot(&mut self, now: Duration) -> Snapshot {
        let mut snapshot = Snapshot {
            epoch: self.epoch,
            generation: self.generation,
            writer: self.replica.name.clone(),
            slot: self.replica.slot,
            ramps: if self.replica.leads(now) {
                self.ramp_rows()
            } else {
                Vec::new()
            },
            versions: self.versions.to_text(),
            ..Snapshot::default()
        };
        self.ledger.take_unsaved(&mut snapshot);
        self.traces.take_unsaved(&mut snapshot);
        self.processes.take_unsaved(&mut snapshot);
        if self.replica.led() {
            snapshot.memory = self.memory.take_unsaved();
        }
        snapshot
    }

    /// Takes over the state that another control plane has saved; gives the table for it. What was
    /// counted here stays, if it is of the same epoch.
    pub(crate) fn adopt(&mut self, saved: &Saved, at: Moment) -> Arc<wire::RouteTable> {
        let begins = saved.epoch != self.epoch;
        self.generation = saved.generation;
        self.base = saved.generation;
        self.epoch = saved.epoch;
        self.fingerprint.clone_from(&saved.fingerprint);
        self.latch.clone_from(&saved.latch);
        let overrides = saved.overrides.iter();
        self.overrides = overrides.map(|o| (o.scope.clone(), o.clone())).collect();
        self.versions = Versions::from_text(&saved.versions, at.now);
        self.ledger.adopt(saved, at.now);
        if begins {
            self.traces.restart();
            self.rates.restart();
        }
        if begins || !self.replica.led() {
            self.memory = Memory::new(saved.memory.as_ref());
        }
        self.take_ramps(saved, at);
        self.add_ramps(at);
        self.rebuild();
        self.table_message()
    }

    /// Whether the store holds another state than this one, which has nothing left to save.
    pub(crate) fn is_behind(&self, generation: u64) -> bool {
        generation != self.generation && self.pending.is_none()
    }

    /// Ramps as they were saved. One that is known keeps its window, as long as its epoch lasts.
    fn take_ramps(&mut self, saved: &Saved, at: Moment) {
        let Some(ramp) = self.manifest.ramp.clone() else {
            return;
        };
        let totals = self.ledger.totals();
        let mut before = std::mem::take(&mut self.ramps);
        for row in &saved.ramps {
            let state = RampState::from_row(row, &ramp);
            let known = before.remove(&row.scope);
            let same_step = |run: &Run| run.epoch == saved.epoch && run.state.step == state.step;
            let run = match known.filter(same_step) {
                Some(run) => Run { state, ..run },
                None => {
                    let mut run = Run::new(state, totals.clone(), at.now, saved.epoch);
                    if let Some(verdict) = saved.verdicts.get(&row.scope) {
                        run.verdict = verdict.clone();
                    }
                    run
                }
            };
            self.ramps.insert(row.scope.clone(), run);
        }
    }

    /// The ramps that apply now, by scope.
    pub(crate) fn active_ramps(&self) -> impl Iterator<Item = (&str, &Run)> {
        let active = |scope: &str| self.is_active(scope);
        let ramps = self.ramps.iter().map(|(scope, run)| (scope.as_str(), run));
        ramps.filter(move |(scope, _)| active(scope))
    }

    /// All methods that anything is known about, by name.
    pub(crate) fn known_methods(&mut self) -> Vec<String> {
        let mut methods: Vec<String> = self.ledger.totals().keys().cloned().collect();
        let targets = self.manifest.rules.iter().flat_map(|rule| &rule.targets);
        methods.extend(targets.filter_map(|(target, _)| match target {
            Target::Method(path) => Some(path.as_str().to_owned()),
            Target::Service(_) | Target::Default => None,
        }));
        let scopes = self.ramps.keys().chain(self.overrides.keys());
        methods.extend(scopes.filter(|scope| *scope != ALL).cloned());
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    /// Puts another manifest in force; every ramp keeps its place.
    pub(crate) fn take_manifest(&mut self, new: Arc<Manifest>, at: Moment) -> Vec<wire::Decision> {
        let weight_before = self.weight_of(ALL);
        let before = std::mem::replace(&mut self.manifest, new);
        self.manifest_error.clear();
        self.bare_table =
            RouteTable::build(self.manifest.clone(), &Weights::default(), 0, self.epoch);
        let fingerprint = fingerprint(&self.manifest);
        let mut moves = Vec::new();
        let why = if fingerprint == self.fingerprint {
            "the manifest was changed; evidence goes on"
        } else {
            self.fingerprint = fingerprint;
            self.begin_epoch(at);
            "the manifest was changed; arms, mirroring or comparing differ: evidence begins anew"
        };
        if let (Some(old), Some(new)) = (&before.ramp, self.manifest.ramp.clone()) {
            let mut moved = Vec::new();
            for (scope, run) in &mut self.ramps {
                let from = run.state.weight(&old.steps);
                run.state.refit(from, &new);
                let to = run.state.weight(&new.steps);
                if old.gates != new.gates {
                    // By these gates it has not been judged yet.
                    run.state.release(&new);
                }
                if from != to {
                    moved.push((scope.clone(), (from.bp().into(), to.bp().into())));
                }
            }
            for (scope, weights) in moved {
                let why = "the ramp's steps were changed";
                moves.push(self.decision(&scope, "manifest", weights, "manifest", why, at));
            }
        }
        self.add_ramps(at);
        self.rebuild();
        let weights = (weight_before, self.weight_of(ALL));
        let mut decisions = vec![self.decision(ALL, "manifest", weights, "manifest", why, at)];
        decisions.append(&mut moves);
        decisions
    }

    /// An arm runs another version than before: what was counted says nothing about it.
    pub(crate) fn deployed(&mut self, deploys: &[Deploy], at: Moment) -> Vec<wire::Decision> {
        self.begin_epoch(at);
        let sentences: Vec<String> = deploys.iter().map(Deploy::sentence).collect();
        let why = format!("{}: evidence begins anew", sentences.join("; "));
        let weight = self.weight_of(ALL);
        vec![self.decision(ALL, "deploy", (weight, weight), "otlp", &why, at)]
    }

    /// Counters start from zero, and with them all windows.
    fn begin_epoch(&mut self, at: Moment) {
        self.epoch += 1;
        self.ledger.restart(self.epoch);
        self.traces.restart();
        self.memory.restart();
        self.rates.restart();
        let totals = self.ledger.totals();
        for run in self.ramps.values_mut() {
            if let Some(ramp) = &self.manifest.ramp {
                run.state.release(ramp);
            }
            run.state.windows = 1;
            run.epoch = self.epoch;
            run.open_window(totals.clone(), at.now);
            // What was judged before says nothing about what comes.
            run.verdict = wire::Verdict::default();
            run.basis = None;
        }
    }

    /// Gives every method that needs one its ramp, at the beginning.
    fn add_ramps(&mut self, at: Moment) {
        let Some(ramp) = &self.manifest.ramp else {
            return;
        };
        let scopes = match ramp.scope {
            RampScope::Service => vec![ALL.to_owned()],
            RampScope::Method => self.known_methods(),
        };
        let totals = self.ledger.totals();
        for scope in scopes {
            if self.is_active(&scope) && !self.ramps.contains_key(&scope) {
                let state = RampState::new(at.unix_ms, &self.latch);
                let run = Run::new(state, totals.clone(), at.now, self.epoch);
                self.ramps.insert(scope, run);
            }
        }
    }

    fn is_active(&self, scope: &str) -> bool {
        match self.manifest.ramp.as_ref().map(|ramp| ramp.scope) {
            None => false,
            Some(RampScope::Service) => scope == ALL,
            Some(RampScope::Method) => scope != ALL && scope != OTHER && !self.is_pinned(scope),
        }
    }

    fn is_pinned(&self, method: &str) -> bool {
        self.bare_table.route(method).owner == WeightOwner::Manifest
    }

    /// What the ramps and the operators want.
    fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        if let Some(ramp) = &self.manifest.ramp {
            for (scope, run) in self.active_ramps() {
                let weight = run.state.weight(&ramp.steps);
                match MethodPath::parse(scope) {
                    Ok(path) => _ = weights.ramp_by_method.insert(path, weight),
                    Err(_) => weights.ramp = weight,
                }
            }
        }
        for (scope, o) in &self.overrides {
            let Some(weight) = Weight::from_bp(o.weight_bp) else {
                continue;
            };
            match MethodPath::parse(scope) {
                Ok(path) => _ = weights.override_by_method.insert(path, weight),
                Err(_) => weights.override_all = Some(weight),
            }
        }
        weights
    }

    fn rebuild(&mut self) {
        let (manifest, weights) = (self.manifest.clone(), self.weights());
        self.table = RouteTable::build(manifest, &weights, self.generation, self.epoch);
    }

    fn ramp_rows(&self) -> Vec<RampRow> {
        let steps = self
            .manifest
            .ramp
            .as_ref()
            .map_or(&[][..], |ramp| &ramp.steps);
        self.ramps
            .iter()
            .map(|(scope, run)| run.state.row(scope, steps))
            .collect()
    }

    fn decision(
        &self,
        scope: &str,
        action: &str,
        (from_bp, to_bp): (u32, u32),
        who: &str,
        why: &str,
        at: Moment,
    ) -> wire::Decision {
        wire::Decision {
            id: 0,
            at_unix_ms: at.unix_ms,
            scope: scope.to_owned(),
            action: action.to_owned(),
            from_bp,
            to_bp,
            who: who.to_owned(),
            why: why.to_owned(),
            epoch: self.epoch,
            revision: self.generation,
            ..wire::Decision::default()
        }
    }

    /// Carries a transition's consequences out, and makes a line for the log of it.
    fn log(&mut self, scope: &str, who: &str, of: Transition, at: Moment) -> wire::Decision {
        let run = self.ramps.get(scope);
        let verdict = run.map(|run| run.verdict.clone());
        let basis = run.and_then(|run| run.basis.as_ref().map(|basis| basis.to_wire(scope)));
        if of.evidence == Evidence::Restart {
            self.begin_epoch(at);
        }
        let weights = (of.from.bp().into(), of.to.bp().into());
        let mut decision = self.decision(scope, of.action, weights, who, &of.why, at);
        let totals = self.ledger.totals();
        if let Some(run) = self.ramps.get_mut(scope) {
            run.open_window(totals, at.now);
            decision.phase = run.state.phase.into();
        }
        wire::Decision {
            verdict,
            basis,
            ..decision
        }
    }
}

impl Run {
    fn new(state: RampState, totals: Arc<Totals>, now: Duration, epoch: u64) -> Run {
        Run {
            state,
            epoch,
            verdict: wire::Verdict::default(),
            basis: None,
            baseline: totals,
            opened: now,
        }
    }

    fn open_window(&mut self, totals: Arc<Totals>, now: Duration) {
        self.baseline = totals;
        self.opened = now;
    }
}
