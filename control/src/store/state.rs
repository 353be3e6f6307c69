//! What a restart needs: ramps, overrides, decisions, the epoch, and the evidence so far.

use std::collections::BTreeMap;

use cutover_proto::cutover::v1 as wire;
use prost::Message;
use rusqlite::{Connection, Transaction, params};

use super::decisions::{list_decisions, save_decisions};

/// Decisions among which a restart looks for the verdicts that ramps stand on.
const RECENT_DECISIONS: u32 = 1_000;
/// Key of the versions of the arms that are running.
const VERSIONS: &str = "versions";

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
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) overrides: Vec<wire::Override>,
    /// The versions of the arms that were running.
    pub(crate) versions: String,
    pub(crate) proxies: Vec<ProxyRow>,
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) traces: Vec<(String, wire::TraceStatus)>,
    /// The verdict that led to the newest decision about each scope, of the last decisions.
    pub(crate) verdicts: BTreeMap<String, wire::Verdict>,
}

/// A change of weights or phases, with its reasons: saved whole or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) fingerprint: String,
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) overrides: Vec<wire::Override>,
    pub(crate) versions: String,
    pub(crate) decisions: Vec<wire::Decision>,
}

/// The evidence so far, as far as it changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) epoch: u64,
    pub(crate) ramps: Vec<RampRow>,
    pub(crate) versions: String,
    pub(crate) proxies: Vec<ProxyRow>,
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) traces: Vec<(String, wire::TraceStatus)>,
    /// Instances whose rows are folded into the retired ones.
    pub(crate) folded: Vec<String>,
}

/// Saves a change with its decisions in one transaction; gives these back with their ids.
pub(crate) fn save_change(
    connection: &mut Connection,
    change: &Change,
) -> rusqlite::Result<Vec<wire::Decision>> {
    let transaction = connection.transaction()?;
    let meta = [
        ("generation", change.generation.to_string()),
        ("epoch", change.epoch.to_string()),
        ("fingerprint", change.fingerprint.clone()),
        (VERSIONS, change.versions.clone()),
    ];
    for (key, value) in meta {
        save_meta(&transaction, key, &value)?;
    }
    save_ramps(&transaction, &change.ramps)?;
    transaction.execute("DELETE FROM overrides", [])?;
    for o in &change.overrides {
        transaction.execute(
            "INSERT INTO overrides VALUES (?, ?, ?, ?, ?)",
            params![o.scope, o.weight_bp, o.who, o.why, o.at_unix_ms],
        )?;
    }
    let decisions = save_decisions(&transaction, &change.decisions)?;
    forget_older(&transaction, change.epoch)?;
    transaction.commit()?;
    Ok(decisions)
}

/// Saves the evidence so far.
pub(crate) fn save_snapshot(connection: &mut Connection, new: &Snapshot) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let epoch = new.epoch as i64;
    save_meta(&transaction, VERSIONS, &new.versions)?;
    save_ramps(&transaction, &new.ramps)?;
    for proxy in &new.proxies {
        transaction.execute(
            "INSERT OR REPLACE INTO proxies VALUES (?, ?, ?, ?, ?)",
            params![
                proxy.instance,
                proxy.sequence,
                proxy.host,
                proxy.version,
                proxy.retired
            ],
        )?;
    }
    for instance in &new.folded {
        transaction.execute("DELETE FROM evidence WHERE instance = ?", [instance])?;
    }
    for row in &new.evidence {
        transaction.execute(
            "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?)",
            params![
                epoch,
                row.instance,
                row.report.method,
                row.report.encode_to_vec()
            ],
        )?;
    }
    for (method, traces) in &new.traces {
        transaction.execute(
            "INSERT OR REPLACE INTO trace_evidence VALUES (?, ?, ?)",
            params![epoch, method, traces.encode_to_vec()],
        )?;
    }
    transaction.commit()
}

/// Loads what a restart needs.
pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Saved> {
    let meta = |key: &str| -> rusqlite::Result<String> {
        let mut statement = connection.prepare("SELECT value FROM meta WHERE key = ?")?;
        let mut rows = statement.query([key])?;
        rows.next()?.map_or(Ok(String::new()), |row| row.get(0))
    };
    let epoch: u64 = meta("epoch")?.parse().unwrap_or(0);
    let mut saved = Saved {
        generation: meta("generation")?.parse().unwrap_or(0),
        epoch,
        fingerprint: meta("fingerprint")?,
        versions: meta(VERSIONS)?,
        ..Saved::default()
    };
    let mut ramps = connection.prepare("SELECT * FROM ramps")?;
    let rows = ramps.query_map([], |row| {
        Ok(RampRow {
            scope: row.get(0)?,
            phase: row.get(1)?,
            step: row.get(2)?,
            weight_bp: row.get(3)?,
            entered_unix_ms: row.get(4)?,
            held_ms: row.get(5)?,
            windows: row.get(6)?,
            reason: row.get(7)?,
        })
    })?;
    saved.ramps = rows.collect::<rusqlite::Result<_>>()?;
    let mut overrides = connection.prepare("SELECT * FROM overrides")?;
    let rows = overrides.query_map([], |row| {
        Ok(wire::Override {
            scope: row.get(0)?,
            weight_bp: row.get(1)?,
            who: row.get(2)?,
            why: row.get(3)?,
            at_unix_ms: row.get(4)?,
        })
    })?;
    saved.overrides = rows.collect::<rusqlite::Result<_>>()?;
    let mut proxies = connection.prepare("SELECT * FROM proxies")?;
    let rows = proxies.query_map([], |row| {
        Ok(ProxyRow {
            instance: row.get(0)?,
            sequence: row.get(1)?,
            host: row.get(2)?,
            version: row.get(3)?,
            retired: row.get(4)?,
        })
    })?;
    saved.proxies = rows.collect::<rusqlite::Result<_>>()?;
    load_evidence(connection, epoch as i64, &mut saved)?;
    for decision in list_decisions(connection, RECENT_DECISIONS)? {
        if let Some(verdict) = decision.verdict {
            saved.verdicts.entry(decision.scope).or_insert(verdict);
        }
    }
    Ok(saved)
}

fn load_evidence(connection: &Connection, epoch: i64, saved: &mut Saved) -> rusqlite::Result<()> {
    let unreadable =
        |what: &str| tracing::warn!(what, "a row of the store can't be read: left out");
    let mut evidence = connection.prepare("SELECT instance, body FROM evidence WHERE epoch = ?")?;
    let mut rows = evidence.query([epoch])?;
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(1)?;
        match wire::MethodReport::decode(body.as_slice()) {
            Ok(report) => saved.evidence.push(EvidenceRow {
                instance: row.get(0)?,
                report,
            }),
            Err(_) => unreadable("evidence"),
        }
    }
    let mut traces =
        connection.prepare("SELECT method, body FROM trace_evidence WHERE epoch = ?")?;
    let mut rows = traces.query([epoch])?;
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(1)?;
        match wire::TraceStatus::decode(body.as_slice()) {
            Ok(status) => saved.traces.push((row.get(0)?, status)),
            Err(_) => unreadable("trace evidence"),
        }
    }
    Ok(())
}

fn save_meta(transaction: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        params![key, value],
    )?;
    Ok(())
}

fn save_ramps(transaction: &Transaction<'_>, ramps: &[RampRow]) -> rusqlite::Result<()> {
    for ramp in ramps {
        transaction.execute(
            "INSERT OR REPLACE INTO ramps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                ramp.scope,
                ramp.phase,
                ramp.step,
                ramp.weight_bp,
                ramp.entered_unix_ms,
                ramp.held_ms,
                ramp.windows,
                ramp.reason
            ],
        )?;
    }
    Ok(())
}

/// Evidence of older epochs is never asked for again.
fn forget_older(transaction: &Transaction<'_>, epoch: u64) -> rusqlite::Result<()> {
    let epoch = epoch as i64;
    let old = transaction.execute("DELETE FROM evidence WHERE epoch < ?", [epoch])?;
    transaction.execute("DELETE FROM trace_evidence WHERE epoch < ?", [epoch])?;
    if old > 0 {
        transaction.execute("DELETE FROM proxies WHERE retired", [])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn state_evidence_and_decisions_are_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cutover.db");
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
            versions: "w".into(),
            evidence: vec![row.clone()],
            ..Snapshot::default()
        };

        let (store, _, _) = Store::open(&path, 1).unwrap();
        store.call(move |c| save_change(c, &change)).await.unwrap();
        store
            .call(move |c| save_snapshot(c, &snapshot))
            .await
            .unwrap();
        drop(store);

        let (store, saved, _) = Store::open(&path, 2).unwrap();
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
