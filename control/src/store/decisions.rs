//! The decision log: each line with what its verdict was drawn from, and where to find examples.

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{DatabaseError, Row, Session, values};
use super::examples::list_samples;
use crate::fingerprint::content_hash;
use crate::words::{ALL, hex};

/// Most decisions kept; the oldest go first.
const MAX_DECISIONS: u32 = 10_000;
/// Most examples named in a decision.
const MAX_SAMPLES: u32 = 3;

/// One decision, or where to look instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sought {
    Found(Box<wire::Decision>),
    /// The first and the last id that there are; `None` where the log is empty.
    Unknown(Option<(i64, i64)>),
}

/// Saves decisions; gives them back with their ids and examples. One that is there already is
/// not saved again: whoever lost the connection while it was saved may safely try again.
pub(crate) fn save_decisions(
    session: &mut dyn Session,
    decisions: &[wire::Decision],
) -> Result<Vec<wire::Decision>, DatabaseError> {
    let mut saved = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let mut decision = decision.clone();
        let basis = decision.basis.take();
        // Of the line without the counters, whose maps have no order.
        let token = hex(&content_hash(&decision.encode_to_vec()));
        if basis.is_some() {
            decision.samples = samples(session, &decision.scope)?;
        }
        let body = decision.encode_to_vec();
        decision.basis = basis;
        let basis = decision.basis.as_ref().map(Message::encode_to_vec);
        session.execute(
            "INSERT INTO decisions (token, at_unix_ms, body, basis) VALUES ($1, $2, $3, $4)
             ON CONFLICT (token) DO NOTHING",
            values![&token, decision.at_unix_ms, body, basis.unwrap_or_default()],
        )?;
        let id = session.query("SELECT id FROM decisions WHERE token = $1", values![&token])?;
        decision.id = id.first().map_or(Ok(0), |row| row.number(0))?;
        saved.push(decision);
    }
    session.execute(
        "DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - $1",
        values![MAX_DECISIONS],
    )?;
    Ok(saved)
}

/// A decision as it is stored: its line, and what its verdict was drawn from.
pub(super) fn split(mut decision: wire::Decision) -> (Vec<u8>, Vec<u8>) {
    let basis = decision.basis.take();
    decision.id = 0;
    let basis = basis.map(|basis| basis.encode_to_vec());
    (decision.encode_to_vec(), basis.unwrap_or_default())
}

/// The decision log, newest first, without what the verdicts were drawn from.
pub(crate) fn list_decisions(
    session: &mut dyn Session,
    limit: u32,
) -> Result<Vec<wire::Decision>, DatabaseError> {
    let rows = session.query(
        "SELECT id, body FROM decisions ORDER BY id DESC LIMIT $1",
        values![limit],
    )?;
    rows.into_iter().map(read).collect()
}

/// One decision, whole.
pub(crate) fn find_decision(session: &mut dyn Session, id: u64) -> Result<Sought, DatabaseError> {
    let found = session.query(
        "SELECT id, body, basis FROM decisions WHERE id = $1",
        values![id],
    )?;
    if let Some(mut row) = found.into_iter().next() {
        let basis = row.bytes(2)?;
        let mut decision = read(row)?;
        if !basis.is_empty() {
            decision.basis = wire::Basis::decode(basis.as_slice()).ok();
        }
        return Ok(Sought::Found(Box::new(decision)));
    }
    let range = session.query(
        "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM decisions",
        &[],
    )?;
    let ends = match range.first() {
        Some(row) => (row.int(0)?, row.int(1)?),
        None => (0, 0),
    };
    Ok(Sought::Unknown(Some(ends).filter(|(_, last)| *last > 0)))
}

fn read(mut row: Row) -> Result<wire::Decision, DatabaseError> {
    let mut decision = wire::Decision::decode(row.bytes(1)?.as_slice()).unwrap_or_default();
    decision.id = row.number(0)?;
    Ok(decision)
}

fn samples(session: &mut dyn Session, scope: &str) -> Result<Vec<wire::SamplePair>, DatabaseError> {
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
    let samples = list_samples(session, method, "", MAX_SAMPLES)?;
    Ok(samples.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, on_both};
    use crate::store::{Change, Committed, save_change, save_sample};

    on_both!(
        a_decision_is_found_whole_and_an_unknown_one_says_which_there_are,
        a_decision_that_is_saved_again_is_there_once,
    );

    async fn a_decision_is_found_whole_and_an_unknown_one_says_which_there_are(place: Place) {
        let (store, _) = place.store();
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
            basis: Some(wire::Basis {
                weight_bp: 100,
                ..Default::default()
            }),
            ..Default::default()
        };
        let change = Change {
            decisions: vec![decision("/a.B/C"), decision("/a.B/Other")],
            ..Change::default()
        };
        let saved = store.call(move |c| save_change(c, &change)).await.unwrap();
        let Committed::Saved(saved) = saved else {
            panic!("nobody else is there")
        };
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
    async fn a_decision_that_is_saved_again_is_there_once(place: Place) {
        let (store, _) = place.store();
        let change = Change {
            decisions: vec![wire::Decision::default()],
            ..Change::default()
        };
        let again = change.clone();
        let first = store.call(move |c| save_change(c, &change)).await.unwrap();
        let second = store.call(move |c| save_change(c, &again)).await.unwrap();
        assert_eq!(first, second);
        let listed = store.call(|c| list_decisions(c, 10)).await.unwrap();
        assert_eq!(listed.len(), 1);
    }
}
