//! The decision log: each line with what its verdict was drawn from, and where to find examples.

use cutover_proto::cutover::v1 as wire;
use prost::Message;
use rusqlite::{Connection, Transaction, params};

use super::examples::list_samples;
use crate::words::ALL;

/// Most decisions kept; the oldest go first.
const MAX_DECISIONS: i64 = 10_000;
/// Most examples named in a decision.
const MAX_SAMPLES: u32 = 3;

/// One decision, or where to look instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sought {
    Found(Box<wire::Decision>),
    /// The first and the last id that there are; `None` where the log is empty.
    Unknown(Option<(i64, i64)>),
}

/// Saves decisions; gives them back with their ids and examples.
pub(super) fn save_decisions(
    transaction: &Transaction<'_>,
    decisions: &[wire::Decision],
) -> rusqlite::Result<Vec<wire::Decision>> {
    let mut saved = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let mut decision = decision.clone();
        if decision.basis.is_some() {
            decision.samples = samples(transaction, &decision.scope)?;
        }
        let body = decision.encode_to_vec();
        transaction.execute("INSERT INTO decisions (body) VALUES (?)", [body])?;
        decision.id = transaction.last_insert_rowid() as u64;
        saved.push(decision);
    }
    transaction.execute(
        "DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ?",
        [MAX_DECISIONS],
    )?;
    Ok(saved)
}

/// The decision log, newest first, without what the verdicts were drawn from.
pub(crate) fn list_decisions(
    connection: &Connection,
    limit: u32,
) -> rusqlite::Result<Vec<wire::Decision>> {
    let mut statement =
        connection.prepare_cached("SELECT id, body FROM decisions ORDER BY id DESC LIMIT ?")?;
    let rows = statement.query_map([limit], |row| {
        let mut decision = read(row)?;
        decision.basis = None;
        Ok(decision)
    })?;
    rows.collect()
}

/// One decision, whole.
pub(crate) fn find_decision(connection: &Connection, id: u64) -> rusqlite::Result<Sought> {
    let mut statement = connection.prepare_cached("SELECT id, body FROM decisions WHERE id = ?")?;
    // No id is above the largest that SQLite has.
    let mut rows = statement.query(params![i64::try_from(id).unwrap_or(i64::MAX)])?;
    if let Some(row) = rows.next()? {
        return Ok(Sought::Found(Box::new(read(row)?)));
    }
    let range = connection.query_row("SELECT min(id), max(id) FROM decisions", [], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    Ok(Sought::Unknown(range.0.zip(range.1)))
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<wire::Decision> {
    let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let mut decision = wire::Decision::decode(body.as_slice()).unwrap_or_default();
    decision.id = id as u64;
    Ok(decision)
}

fn samples(connection: &Connection, scope: &str) -> rusqlite::Result<Vec<wire::SamplePair>> {
    let method = if scope == ALL { "" } else { scope };
    let pair = |sample: wire::Sample| {
        let first = sample.differences.into_iter().next().unwrap_or_default();
        wire::SamplePair {
            trace_id: sample.trace_id,
            method: sample.method,
            at_unix_ms: sample.at_unix_ms,
            path: first.path,
            kind: first.kind,
        }
    };
    let samples = list_samples(connection, method, "", MAX_SAMPLES)?;
    Ok(samples.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Store, save_change, save_sample};

    #[tokio::test]
    async fn a_decision_is_found_whole_and_an_unknown_one_says_which_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, _) = Store::open(&folder.path().join("cutover.db"), 1).unwrap();
        let find = |id| store.call(move |c| find_decision(c, id));
        assert_eq!(find(1).await.unwrap(), Sought::Unknown(None));
        let sample = wire::Sample {
            id: 1,
            method: "/a.B/C".into(),
            trace_id: "f".repeat(32),
            differences: vec![wire::Difference {
                path: "x".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        store
            .call(move |c| save_sample(c, "proxy", &sample))
            .await
            .unwrap();
        let decision = |scope: &str| wire::Decision {
            scope: scope.into(),
            basis: Some(wire::Basis::default()),
            ..Default::default()
        };
        let change = Change {
            decisions: vec![decision("/a.B/C"), decision("/a.B/Other")],
            ..Change::default()
        };
        let saved = store.call(move |c| save_change(c, &change)).await.unwrap();
        assert_eq!((saved[0].id, saved[0].samples.len()), (1, 1));
        assert!(saved[1].samples.is_empty(), "another method's sample");
        let Sought::Found(found) = find(1).await.unwrap() else {
            panic!("it was just saved")
        };
        assert_eq!(*found, saved[0]);
        assert_eq!(found.samples[0].path, "x");
        assert_eq!(find(3).await.unwrap(), Sought::Unknown(Some((1, 2))));
        let listed = store.call(|c| list_decisions(c, 10)).await.unwrap();
        assert!(listed.iter().all(|decision| decision.basis.is_none()));
    }
}
