//! What control planes on one store share: leases, and what each has counted.

use std::collections::BTreeMap;

use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{DatabaseError, Row, Session, values};
use super::state::{EvidenceRow, ProxyRow};
use crate::process::{FORGET_AFTER, ProcessKey};

/// Most control planes on one store.
const MAX_REPLICAS: u32 = 16;
/// The lease of the one that runs the ramps.
const RAMPS: &str = "ramps";

/// The trace evidence of one method by one control plane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TraceRow {
    pub(crate) slot: u32,
    pub(crate) method: String,
    pub(crate) status: wire::TraceStatus,
}

/// The memory of a process, as another control plane was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadingRow {
    pub(crate) arm: Arm,
    pub(crate) instance: String,
    pub(crate) bytes: u64,
    /// By the store's clock.
    pub(crate) heard_unix_ms: i64,
}

/// How things stand between the control planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    /// Who runs the ramps.
    pub(crate) leader: String,
    /// Under which the one that asks keeps its trace evidence; none where all are taken.
    pub(crate) slot: Option<u32>,
    /// Of the state as it is saved.
    pub(crate) generation: u64,
}

/// What the others have counted since it was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    /// All instances of proxies that are not retired.
    pub(crate) proxies: Vec<ProxyRow>,
    /// Of the instances that are newer than known, and of the retired ones ("").
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) traces: Vec<TraceRow>,
    /// What the one that runs the ramps has counted.
    pub(crate) memory: Option<wire::MemoryEvidence>,
    pub(crate) readings: Vec<ReadingRow>,
}

/// Renews the leases of `holder`, or takes those that have run out.
pub(crate) fn poll(
    session: &mut dyn Session,
    holder: &str,
    slot: Option<u32>,
    lease_ms: i64,
) -> Result<Polled, DatabaseError> {
    let now_ms = session.now_ms()?;
    let take = |session: &mut dyn Session, name: &str| {
        session.execute(
            "INSERT INTO leases (name, holder, until_unix_ms) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE
             SET holder = excluded.holder, until_unix_ms = excluded.until_unix_ms
             WHERE leases.holder = excluded.holder OR leases.until_unix_ms < $4",
            values![name, holder, now_ms.saturating_add(lease_ms), now_ms],
        )
    };
    take(session, RAMPS)?;
    let mut ours = None;
    for slot in slot.into_iter().chain(0..MAX_REPLICAS) {
        if take(session, &slot_name(slot))? > 0 {
            ours = Some(slot);
            break;
        }
    }
    let generation = session.query("SELECT generation FROM state", &[])?;
    Ok(Polled {
        leader: holder_of(session, RAMPS)?,
        slot: ours,
        generation: generation.first().map_or(Ok(0), |row| row.number(0))?,
    })
}

/// Lets go of all leases of `holder`.
pub(crate) fn leave(session: &mut dyn Session, holder: &str) -> Result<(), DatabaseError> {
    let sql = "UPDATE leases SET until_unix_ms = 0 WHERE holder = $1";
    session.execute(sql, values![holder])?;
    Ok(())
}

/// Whether `holder` was the last one to run the ramps.
pub(super) fn has_ramps(session: &mut dyn Session, holder: &str) -> Result<bool, DatabaseError> {
    Ok(holder_of(session, RAMPS)? == holder)
}

/// Whether a slot is `holder`'s.
pub(super) fn has_slot(
    session: &mut dyn Session,
    holder: &str,
    slot: u32,
) -> Result<bool, DatabaseError> {
    Ok(holder_of(session, &slot_name(slot))? == holder)
}

fn slot_name(slot: u32) -> String {
    format!("slot {slot}")
}

fn holder_of(session: &mut dyn Session, name: &str) -> Result<String, DatabaseError> {
    let holder = session.query("SELECT holder FROM leases WHERE name = $1", values![name])?;
    let row = holder.into_iter().next();
    row.map_or(Ok(String::new()), |mut row| row.text(0))
}

/// What has been counted in an epoch by others than `asker`, of instances only what is newer than
/// `known` by sequence.
pub(crate) fn load_others(
    session: &mut dyn Session,
    asker: &str,
    epoch: u64,
    known: &BTreeMap<String, i64>,
) -> Result<Others, DatabaseError> {
    let mut others = Others {
        proxies: load_proxies(session)?,
        traces: load_traces(session, epoch)?,
        memory: load_memory(session, epoch)?,
        readings: load_readings(session, asker)?,
        ..Others::default()
    };
    others.proxies.retain(|row| !row.retired);
    let newer = |row: &&ProxyRow| known.get(&row.instance) != Some(&row.sequence);
    let instances = others.proxies.iter().filter(newer);
    let mut names: Vec<String> = instances.map(|row| row.instance.clone()).collect();
    names.push(String::new());
    for name in names {
        let rows = session.query(
            "SELECT instance, body FROM evidence WHERE epoch = $1 AND instance = $2",
            values![epoch, &name],
        )?;
        read_evidence(rows, &mut others.evidence)?;
    }
    Ok(others)
}

/// All instances of proxies that are known.
pub(super) fn load_proxies(session: &mut dyn Session) -> Result<Vec<ProxyRow>, DatabaseError> {
    let rows = session.query(
        "SELECT instance, sequence, host, version, retired, connected, applied_generation,
             reported_unix_ms FROM proxies",
        &[],
    )?;
    let read = |mut row: Row| {
        Ok(ProxyRow {
            instance: row.text(0)?,
            sequence: row.int(1)?,
            host: row.text(2)?,
            version: row.text(3)?,
            retired: row.int(4)? != 0,
            connected: row.int(5)? != 0,
            applied_generation: row.number(6)?,
            reported_unix_ms: row.int(7)?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Reads rows of `instance, body`.
pub(super) fn read_evidence(
    rows: Vec<Row>,
    to: &mut Vec<EvidenceRow>,
) -> Result<(), DatabaseError> {
    for mut row in rows {
        match wire::MethodReport::decode(row.bytes(1)?.as_slice()) {
            Ok(report) => to.push(EvidenceRow {
                instance: row.text(0)?,
                report,
            }),
            Err(_) => unreadable("evidence"),
        }
    }
    Ok(())
}

/// The trace evidence of an epoch.
pub(super) fn load_traces(
    session: &mut dyn Session,
    epoch: u64,
) -> Result<Vec<TraceRow>, DatabaseError> {
    let rows = session.query(
        "SELECT slot, method, body FROM trace_evidence WHERE epoch = $1",
        values![epoch],
    )?;
    let mut found = Vec::with_capacity(rows.len());
    for mut row in rows {
        match wire::TraceStatus::decode(row.bytes(2)?.as_slice()) {
            Ok(status) => found.push(TraceRow {
                slot: row.number(0)?,
                method: row.text(1)?,
                status,
            }),
            Err(_) => unreadable("trace evidence"),
        }
    }
    Ok(found)
}

/// The evidence about memory of an epoch.
pub(super) fn load_memory(
    session: &mut dyn Session,
    epoch: u64,
) -> Result<Option<wire::MemoryEvidence>, DatabaseError> {
    let sql = "SELECT body FROM memory_evidence WHERE epoch = $1";
    let Some(mut row) = session.query(sql, values![epoch])?.into_iter().next() else {
        return Ok(None);
    };
    let memory = wire::MemoryEvidence::decode(row.bytes(0)?.as_slice());
    if memory.is_err() {
        unreadable("evidence about memory");
    }
    Ok(memory.ok())
}

/// What other control planes than `asker` were told about memory lately.
fn load_readings(session: &mut dyn Session, asker: &str) -> Result<Vec<ReadingRow>, DatabaseError> {
    let since_ms = session.now_ms()?.saturating_sub(forget_after_ms());
    let rows = session.query(
        "SELECT arm, instance, bytes, heard_unix_ms FROM memory_readings
         WHERE writer <> $1 AND heard_unix_ms > $2",
        values![asker, since_ms],
    )?;
    let read = |mut row: Row| {
        let candidate = row.int(0)? == Arm::Candidate.index() as i64;
        Ok(ReadingRow {
            arm: if candidate {
                Arm::Candidate
            } else {
                Arm::Legacy
            },
            instance: row.text(1)?,
            bytes: row.number(2)?,
            heard_unix_ms: row.int(3)?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Saves what `writer` was told about memory; a process that told another one before is its own now.
pub(super) fn save_readings(
    session: &mut dyn Session,
    writer: &str,
    readings: &[(ProcessKey, u64)],
) -> Result<(), DatabaseError> {
    if readings.is_empty() {
        return Ok(());
    }
    let now_ms = session.now_ms()?;
    for ((arm, instance), bytes) in readings {
        session.execute(
            "INSERT INTO memory_readings (arm, instance, writer, bytes, heard_unix_ms)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (arm, instance) DO UPDATE SET writer = excluded.writer,
                 bytes = excluded.bytes, heard_unix_ms = excluded.heard_unix_ms",
            values![arm.index() as u64, instance, writer, *bytes, now_ms],
        )?;
    }
    let until_ms = now_ms.saturating_sub(forget_after_ms());
    session.execute(
        "DELETE FROM memory_readings WHERE heard_unix_ms <= $1",
        values![until_ms],
    )?;
    Ok(())
}

fn forget_after_ms() -> i64 {
    FORGET_AFTER.as_millis() as i64
}

fn unreadable(what: &str) {
    tracing::warn!(what, "a row of the store can't be read: left out");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::{Snapshot, save_snapshot};
    use crate::store::testing::{Place, on_both};

    on_both!(
        a_lease_has_one_holder_until_it_runs_out_or_is_left,
        readings_of_memory_reach_the_others_and_who_leads_counts,
    );

    async fn readings_of_memory_reach_the_others_and_who_leads_counts(place: Place) {
        let (store, _) = place.store();
        let memory = |candidate_bytes| wire::MemoryEvidence {
            spells: vec![wire::SpellCount {
                spells: 9,
                grew: 8,
                risen_bytes: 7,
                calls: 6,
            }],
            candidate_bytes,
            ..wire::MemoryEvidence::default()
        };
        let save = |writer: &'static str, memory, readings: Vec<(ProcessKey, u64)>| {
            let snapshot = Snapshot {
                epoch: 4,
                writer: writer.to_owned(),
                memory,
                readings,
                ..Snapshot::default()
            };
            store.call(move |c| save_snapshot(c, &snapshot))
        };
        let others = |asker: &'static str| {
            let known = BTreeMap::new();
            store.call(move |c| load_others(c, asker, 4, &known))
        };
        let process = |arm, instance: &str| (arm, instance.to_owned());
        store.call(|c| poll(c, "a", None, 60_000)).await.unwrap();
        let of_a = vec![
            (process(Arm::Legacy, "x"), 50),
            (process(Arm::Candidate, "x"), 20),
        ];
        save("a", Some(memory(20)), of_a).await.unwrap();
        // Who does not lead is not believed; its readings are.
        let of_b = vec![(process(Arm::Candidate, "x"), 21)];
        save("b", Some(memory(99)), of_b).await.unwrap();
        let seen = others("a").await.unwrap();
        assert_eq!(seen.memory, Some(memory(20)));
        let told = |row: &ReadingRow| (row.arm, row.instance.clone(), row.bytes);
        let at_a: Vec<_> = seen.readings.iter().map(told).collect();
        assert_eq!(at_a, [(Arm::Candidate, "x".to_owned(), 21)]);
        let at_b: Vec<_> = others("b")
            .await
            .unwrap()
            .readings
            .iter()
            .map(told)
            .collect();
        assert_eq!(
            at_b,
            [(Arm::Legacy, "x".to_owned(), 50)],
            "the process moved to b"
        );
        store.call(|c| leave(c, "a")).await.unwrap();
        store.call(|c| poll(c, "b", None, 60_000)).await.unwrap();
        save("a", Some(memory(98)), Vec::new()).await.unwrap();
        save("b", Some(memory(22)), Vec::new()).await.unwrap();
        assert_eq!(others("a").await.unwrap().memory, Some(memory(22)));
    }

    async fn a_lease_has_one_holder_until_it_runs_out_or_is_left(place: Place) {
        let (store, _) = place.store();
        let poll = |holder: &'static str, slot, lease_ms| {
            store.call(move |c| poll(c, holder, slot, lease_ms))
        };
        let first = poll("a", None, 60_000).await.unwrap();
        assert_eq!((first.leader.as_str(), first.slot), ("a", Some(0)));
        let second = poll("b", None, 60_000).await.unwrap();
        assert_eq!((second.leader.as_str(), second.slot), ("a", Some(1)));
        assert_eq!(poll("b", Some(1), 60_000).await.unwrap(), second);
        store.call(|c| leave(c, "a")).await.unwrap();
        let third = poll("b", Some(1), -1).await.unwrap();
        assert_eq!((third.leader.as_str(), third.slot), ("b", Some(1)));
        // It has run out at once, and so has the slot, which the next one goes on with.
        let fourth = poll("c", Some(1), 60_000).await.unwrap();
        assert_eq!((fourth.leader.as_str(), fourth.slot), ("c", Some(1)));
        assert_eq!(poll("b", Some(1), 60_000).await.unwrap().slot, Some(0));
    }
}
