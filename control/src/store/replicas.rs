//! What control planes on one store share: leases, and what each has counted.

use std::collections::BTreeMap;

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{DatabaseError, Row, Session, values};
use super::state::{EvidenceRow, ProxyRow};

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

/// What has been counted in an epoch, of instances only what is newer than `known` by sequence.
pub(crate) fn load_others(
    session: &mut dyn Session,
    epoch: u64,
    known: &BTreeMap<String, i64>,
) -> Result<Others, DatabaseError> {
    let mut others = Others {
        proxies: load_proxies(session)?,
        traces: load_traces(session, epoch)?,
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

fn unreadable(what: &str) {
    tracing::warn!(what, "a row of the store can't be read: left out");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, on_both};

    on_both!(a_lease_has_one_holder_until_it_runs_out_or_is_left);

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
