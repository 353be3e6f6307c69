//! What a restart needs: ramps, overrides, decisions, the epoch, and the evidence so far.

use std::collections::{BTreeMap, BTreeSet};

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{DatabaseError, Session, values};
use super::decisions::{list_decisions, save_decisions};
use super::replicas::{
    TraceRow, has_ramps, has_slot, load_memory, load_proxies, load_traces, read_evidence,
    save_readings,
};
use crate::process::ProcessKey;

/// Decisions among which a restart looks for the verdicts that ramps stand on.
const RECENT_DECISIONS: u32 = 1_000;

/// A ramp's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RampRow {
    pub(crate) scope: String,
    pub(crate) phase: i32,
    pub(crate) step: i32,
    /// The weight of that step when it was saved; the steps may be others by now.
    pub(crate) weight_bp: u32,
    pub(crate) entered_unix_ms: i64,
    pub(crate) held_ms: i64,
    pub(crate) windows: i64,
    pub(crate) reason: String,
}

/// A proxy instance that has reported in this epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyRow {
    pub(crate) instance: String,
    pub(crate) sequence: i64,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) retired: bool,
    /// Whether its stream was open when it was saved.
    pub(crate) connected: bool,
    pub(crate) applied_generation: u64,
    pub(crate) reported_unix_ms: i64,
}

/// The counters of one method by one instance ("" for the retired ones together).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EvidenceRow {
    pub(crate) instance: String,
    pub(crate) report: wire::MethodReport,
}

/// What the file held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saved {
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) fingerprint: String,
    /// Why ramps that are new begin paused; empty where they don't.
    pub(crate) latch: String,
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) overrides: Vec<wire::Override>,
    /// The versions of the arms that were running.
    pub(crate) versions: String,
    pub(crate) proxies: Vec<ProxyRow>,
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) traces: Vec<TraceRow>,
    pub(crate) memory: Option<wire::MemoryEvidence>,
    /// The verdict that led to the newest decision about each scope, of the last decisions.
    pub(crate) verdicts: BTreeMap<String, wire::Verdict>,
}

/// A change of weights or phases, with its reasons: saved whole or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// The generation in the store that this change was decided on.
    pub(crate) base: u64,
    /// The control plane that saves it: it may go on from whatever it saved itself.
    pub(crate) writer: String,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) fingerprint: String,
    pub(crate) latch: String,
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) overrides: Vec<wire::Override>,
    pub(crate) versions: String,
    pub(crate) decisions: Vec<wire::Decision>,
}

/// The evidence so far, as far as it changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) epoch: u64,
    /// The state that `ramps` and `versions` belong to; of another one they are not saved.
    pub(crate) generation: u64,
    /// The control plane that saves it; empty where it is alone.
    pub(crate) writer: String,
    /// Under which it keeps its trace evidence.
    pub(crate) slot: Option<u32>,
    /// Empty where another one runs them.
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) versions: String,
    pub(crate) proxies: Vec<ProxyRow>,
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) traces: Vec<(String, wire::TraceStatus)>,
    /// Nothing where it has not changed, or where another one counts.
    pub(crate) memory: Option<wire::MemoryEvidence>,
    /// What the arms' processes told of their memory, bytes; only one of several saves it.
    pub(crate) readings: Vec<(ProcessKey, u64)>,
    /// Instances whose rows are folded into the retired ones.
    pub(crate) folded: Vec<String>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Committed {
    /// It is saved; its decisions have their ids.
    Saved(Vec<wire::Decision>),
    /// Another control plane has changed the state since `base`: nothing was saved.
    Overtaken,
}

/// Saves a change with its decisions in one transaction.
pub(crate) fn save_change(
    session: &mut dyn Session,
    change: &Change,
) -> Result<Committed, DatabaseError> {
    // One row, so that of two who change it at the same time the second sees what the first did.
    let ours = session.execute(
        "UPDATE state SET generation = $1, epoch = $2, fingerprint = $3, versions = $4, latch = $5,
             writer = $6
         WHERE generation = $7 OR writer = $6",
        values![
            change.generation,
            change.epoch,
            &change.fingerprint,
            &change.versions,
            &change.latch,
            &change.writer,
            change.base,
        ],
    )?;
    if ours == 0 {
        return Ok(Committed::Overtaken);
    }
    save_ramps(session, &change.ramps)?;
    session.execute("DELETE FROM overrides", &[])?;
    for o in &change.overrides {
        session.execute(
            "INSERT INTO overrides (scope, weight_bp, who, why, at_unix_ms)
             VALUES ($1, $2, $3, $4, $5)",
            values![&o.scope, o.weight_bp, &o.who, &o.why, o.at_unix_ms],
        )?;
    }
    let decisions = save_decisions(session, &change.decisions)?;
    forget_older(session, change.epoch)?;
    Ok(Committed::Saved(decisions))
}

/// Saves the evidence so far. Of a proxy that several control planes have heard, the newest stays.
pub(crate) fn save_snapshot(
    session: &mut dyn Session,
    new: &Snapshot,
) -> Result<(), DatabaseError> {
    let same = session.execute(
        "UPDATE state SET versions = $1 WHERE generation = $2",
        values![&new.versions, new.generation],
    )?;
    if same > 0 {
        save_ramps(session, &new.ramps)?;
    }
    let mut older = BTreeSet::new();
    for proxy in &new.proxies {
        if save_proxy(session, proxy)? == 0 {
            older.insert(proxy.instance.as_str());
        }
    }
    for instance in &new.folded {
        session.execute(
            "DELETE FROM evidence WHERE instance = $1",
            values![instance],
        )?;
    }
    let newer = |row: &&EvidenceRow| !older.contains(row.instance.as_str());
    for row in new.evidence.iter().filter(newer) {
        session.execute(
            "INSERT INTO evidence (epoch, instance, method, body) VALUES ($1, $2, $3, $4)
             ON CONFLICT (epoch, instance, method) DO UPDATE SET body = excluded.body",
            values![
                new.epoch,
                &row.instance,
                &row.report.method,
                row.report.encode_to_vec(),
            ],
        )?;
    }
    save_memory(session, new)?;
    let Some(slot) = new.slot else {
        return Ok(());
    };
    if !new.writer.is_empty() && !has_slot(session, &new.writer, slot)? {
        return Ok(());
    }
    for (method, traces) in &new.traces {
        session.execute(
            "INSERT INTO trace_evidence (epoch, slot, method, body) VALUES ($1, $2, $3, $4)
             ON CONFLICT (epoch, slot, method) DO UPDATE SET body = excluded.body",
            values![new.epoch, slot, method, traces.encode_to_vec()],
        )?;
    }
    Ok(())
}

/// Saves what is known of memory. Who has lost the ramps has left the counting to another one.
fn save_memory(session: &mut dyn Session, new: &Snapshot) -> Result<(), DatabaseError> {
    let alone = new.writer.is_empty();
    if !alone {
        save_readings(session, &new.writer, &new.readings)?;
    }
    let Some(memory) = &new.memory else {
        return Ok(());
    };
    if alone || has_ramps(session, &new.writer)? {
        session.execute(
            "INSERT INTO memory_evidence (epoch, body) VALUES ($1, $2)
             ON CONFLICT (epoch) DO UPDATE SET body = excluded.body",
            values![new.epoch, memory.encode_to_vec()],
        )?;
    }
    Ok(())
}

/// Saves an instance, unless what is there is newer or retired; gives the number of rows.
fn save_proxy(session: &mut dyn Session, proxy: &ProxyRow) -> Result<u64, DatabaseError> {
    session.execute(
        "INSERT INTO proxies (instance, sequence, host, version, retired, connected,
             applied_generation, reported_unix_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence,
             host = excluded.host, version = excluded.version, retired = excluded.retired,
             connected = excluded.connected, applied_generation = excluded.applied_generation,
             reported_unix_ms = excluded.reported_unix_ms
         WHERE excluded.retired = 1
             OR (proxies.retired = 0 AND proxies.sequence <= excluded.sequence)",
        values![
            &proxy.instance,
            proxy.sequence,
            &proxy.host,
            &proxy.version,
            proxy.retired,
            proxy.connected,
            proxy.applied_generation,
            proxy.reported_unix_ms,
        ],
    )
}

/// Loads what a restart needs.
pub(crate) fn load(session: &mut dyn Session) -> Result<Saved, DatabaseError> {
    let state = session.query(
        "SELECT generation, epoch, fingerprint, versions, latch FROM state",
        &[],
    )?;
    let mut saved = Saved::default();
    if let Some(mut row) = state.into_iter().next() {
        saved.generation = row.number(0)?;
        saved.epoch = row.number(1)?;
        saved.fingerprint = row.text(2)?;
        saved.versions = row.text(3)?;
        saved.latch = row.text(4)?;
    }
    let ramps = session.query(
        "SELECT scope, phase, step, weight_bp, entered_unix_ms, held_ms, windows, reason
         FROM ramps",
        &[],
    )?;
    for mut row in ramps {
        saved.ramps.push(RampRow {
            scope: row.text(0)?,
            phase: row.number(1)?,
            step: row.number(2)?,
            weight_bp: row.number(3)?,
            entered_unix_ms: row.int(4)?,
            held_ms: row.int(5)?,
            windows: row.int(6)?,
            reason: row.text(7)?,
        });
    }
    let overrides = session.query(
        "SELECT scope, weight_bp, who, why, at_unix_ms FROM overrides",
        &[],
    )?;
    for mut row in overrides {
        saved.overrides.push(wire::Override {
            scope: row.text(0)?,
            weight_bp: row.number(1)?,
            who: row.text(2)?,
            why: row.text(3)?,
            at_unix_ms: row.int(4)?,
        });
    }
    saved.proxies = load_proxies(session)?;
    let evidence = session.query(
        "SELECT instance, body FROM evidence WHERE epoch = $1",
        values![saved.epoch],
    )?;
    read_evidence(evidence, &mut saved.evidence)?;
    saved.traces = load_traces(session, saved.epoch)?;
    saved.memory = load_memory(session, saved.epoch)?;
    for decision in list_decisions(session, RECENT_DECISIONS)? {
        if let Some(verdict) = decision.verdict {
            saved.verdicts.entry(decision.scope).or_insert(verdict);
        }
    }
    Ok(saved)
}

fn save_ramps(session: &mut dyn Session, ramps: &[RampRow]) -> Result<(), DatabaseError> {
    for ramp in ramps {
        session.execute(
            "INSERT INTO ramps (scope, phase, step, weight_bp, entered_unix_ms, held_ms, windows,
                 reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (scope) DO UPDATE SET phase = excluded.phase, step = excluded.step,
                 weight_bp = excluded.weight_bp, entered_unix_ms = excluded.entered_unix_ms,
                 held_ms = excluded.held_ms, windows = excluded.windows,
                 reason = excluded.reason",
            values![
                &ramp.scope,
                ramp.phase,
                ramp.step,
                ramp.weight_bp,
                ramp.entered_unix_ms,
                ramp.held_ms,
                ramp.windows,
                &ramp.reason,
            ],
        )?;
    }
    Ok(())
}

/// Evidence of older epochs is never asked for again.
fn forget_older(session: &mut dyn Session, epoch: u64) -> Result<(), DatabaseError> {
    let old = session.execute("DELETE FROM evidence WHERE epoch < $1", values![epoch])?;
    for sql in [
        "DELETE FROM trace_evidence WHERE epoch < $1",
        "DELETE FROM memory_evidence WHERE epoch < $1",
    ] {
        session.execute(sql, values![epoch])?;
    }
    if old > 0 {
        session.execute("DELETE FROM proxies WHERE retired <> 0", &[])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, on_both};

    on_both!(state_evidence_and_decisions_are_there_after_reopening);

    async fn state_evidence_and_decisions_are_there_after_reopening(place: Place) {
        let ramp = RampRow {
            scope: "*".into(),
            phase: 1,
            step: 2,
            weight_bp: 5_000,
            entered_unix_ms: 5,
            held_ms: 7,
            windows: 3,
            reason: "because".into(),
        };
        let change = Change {
            generation: 9,
            epoch: 4,
            fingerprint: "f".into(),
            versions: "v".into(),
            ramps: vec![ramp.clone()],
            overrides: vec![wire::Override {
                scope: "/a.B/C".into(),
                ..Default::default()
            }],
            decisions: vec![wire::Decision {
                action: "advance".into(),
                ..Default::default()
            }],
            ..Change::default()
        };
        let report = wire::MethodReport {
            method: "/a.B/C".into(),
            ..Default::default()
        };
        let row = EvidenceRow {
            instance: "x".into(),
            report,
        };
        let snapshot = Snapshot {
            epoch: 4,
            generation: 9,
            versions: "w".into(),
            evidence: vec![row.clone()],
            ..Snapshot::default()
        };

        let (store, _) = place.store();
        store.call(move |c| save_change(c, &change)).await.unwrap();
        store
            .call(move |c| save_snapshot(c, &snapshot))
            .await
            .unwrap();
        drop(store);

        let (store, saved) = place.store();
        assert_eq!((saved.generation, saved.epoch), (9, 4));
        assert_eq!((saved.ramps, saved.versions.as_str()), (vec![ramp], "w"));
        assert_eq!(saved.overrides.len(), 1);
        assert_eq!(saved.evidence, [row]);
        let decisions = store.call(|c| list_decisions(c, 10)).await.unwrap();
        assert_eq!(
            (decisions[0].id, decisions[0].action.as_str()),
            (1, "advance")
        );
    }
}
