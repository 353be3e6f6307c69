//! Examples for people: samples of differences and pairs of traces, a bounded number of each, so
//! that a flood of one kind can't push out the others.

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{DatabaseError, Row, Session, values};

/// Most samples kept for each method and path; the newest stay.
const SAMPLES_PER_PATH: u32 = 20;
/// Most samples kept in all.
const MAX_SAMPLES: u32 = 20_000;
/// Most pairs of traces that differ kept for each method; the newest stay.
const MISMATCHED_PER_METHOD: u32 = 40;
/// Most pairs of traces that agree kept for each method; the newest stay.
const MATCHED_PER_METHOD: u32 = 10;

/// Keeps a sample under each path that differed in it. The same sample again changes nothing.
pub(crate) fn save_sample(
    session: &mut dyn Session,
    instance: &str,
    sample: &wire::Sample,
) -> Result<(), DatabaseError> {
    for path in insert_sample(session, instance, sample)? {
        let over = session.query(
            "DELETE FROM sample_paths WHERE method = $1 AND path = $2 AND id < (
                 SELECT id FROM sample_paths WHERE method = $1 AND path = $2
                 ORDER BY id DESC LIMIT 1 OFFSET $3)
             RETURNING id",
            values![&sample.method, path, SAMPLES_PER_PATH - 1],
        )?;
        for row in over {
            session.execute(
                "DELETE FROM samples WHERE id = $1
                 AND NOT EXISTS (SELECT 1 FROM sample_paths WHERE id = $1)",
                values![row.int(0)?],
            )?;
        }
    }
    session.execute(
        "DELETE FROM sample_paths WHERE id <= (SELECT max(id) FROM samples) - $1",
        values![MAX_SAMPLES],
    )?;
    session.execute(
        "DELETE FROM samples WHERE id <= (SELECT max(id) FROM samples) - $1",
        values![MAX_SAMPLES],
    )?;
    Ok(())
}

/// Inserts a sample, unless it is there; says under which paths it is new.
pub(super) fn insert_sample<'a>(
    session: &mut dyn Session,
    instance: &str,
    sample: &'a wire::Sample,
) -> Result<Vec<&'a str>, DatabaseError> {
    let inserted = session.query(
        "INSERT INTO samples (instance, sample, at_unix_ms, body) VALUES ($1, $2, $3, $4)
         ON CONFLICT (instance, sample) DO NOTHING RETURNING id",
        values![
            instance,
            sample.id,
            sample.at_unix_ms,
            sample.encode_to_vec()
        ],
    )?;
    let Some(row) = inserted.first() else {
        return Ok(Vec::new());
    };
    let id = row.int(0)?;
    let mut paths: Vec<&str> = sample.differences.iter().map(|d| d.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in &paths {
        session.execute(
            "INSERT INTO sample_paths (method, path, id) VALUES ($1, $2, $3)",
            values![&sample.method, *path, id],
        )?;
    }
    Ok(paths)
}

/// Samples, newest first; an empty method or path means all.
pub(crate) fn list_samples(
    session: &mut dyn Session,
    method: &str,
    path: &str,
    limit: u32,
) -> Result<Vec<wire::Sample>, DatabaseError> {
    let rows = session.query(
        "SELECT body FROM samples WHERE id IN (
             SELECT DISTINCT id FROM sample_paths
             WHERE ($1 = '' OR method = $1) AND ($2 = '' OR path = $2)
             ORDER BY id DESC LIMIT $3)
         ORDER BY id DESC",
        values![method, path, limit],
    )?;
    decoded(rows)
}

/// Keeps a pair of traces.
pub(crate) fn save_trace_pair(
    session: &mut dyn Session,
    pair: &wire::TracePair,
) -> Result<(), DatabaseError> {
    let mismatched = !pair.differences.is_empty();
    let most = if mismatched {
        MISMATCHED_PER_METHOD
    } else {
        MATCHED_PER_METHOD
    };
    session.execute(
        "INSERT INTO trace_pairs (method, mismatched, at_unix_ms, body) VALUES ($1, $2, $3, $4)",
        values![
            &pair.method,
            mismatched,
            pair.at_unix_ms,
            pair.encode_to_vec()
        ],
    )?;
    session.execute(
        "DELETE FROM trace_pairs WHERE method = $1 AND mismatched = $2 AND id < (
             SELECT id FROM trace_pairs WHERE method = $1 AND mismatched = $2
             ORDER BY id DESC LIMIT 1 OFFSET $3)",
        values![&pair.method, mismatched, most - 1],
    )?;
    Ok(())
}

/// Which pairs of traces are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that are kept.
    All,
    /// Those that differ.
    Mismatched,
}

/// Pairs of traces, newest first; an empty method means all.
pub(crate) fn list_trace_pairs(
    session: &mut dyn Session,
    method: &str,
    which: Which,
    limit: u32,
) -> Result<Vec<wire::TracePair>, DatabaseError> {
    let least = which == Which::Mismatched;
    let rows = session.query(
        "SELECT body FROM trace_pairs
         WHERE ($1 = '' OR method = $1) AND mismatched >= $2 ORDER BY id DESC LIMIT $3",
        values![method, least, limit],
    )?;
    decoded(rows)
}

fn decoded<M: Message + Default>(rows: Vec<Row>) -> Result<Vec<M>, DatabaseError> {
    rows.into_iter()
        .map(|mut row| Ok(M::decode(row.bytes(0)?.as_slice()).unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, on_both};

    on_both!(
        a_flood_of_one_path_does_not_push_out_another,
        keeps_more_of_the_pairs_that_differ,
    );

    fn sample(id: u64, method: &str, paths: &[&str]) -> wire::Sample {
        let difference = |path: &&str| wire::Difference {
            path: (*path).to_owned(),
            ..Default::default()
        };
        wire::Sample {
            id,
            method: method.to_owned(),
            differences: paths.iter().map(difference).collect(),
            ..Default::default()
        }
    }

    async fn a_flood_of_one_path_does_not_push_out_another(place: Place) {
        let (store, _) = place.store();
        store
            .call(|c| {
                save_sample(c, "i", &sample(1, "/a.B/C", &["rare", "common"]))?;
                for id in 2..100 {
                    save_sample(c, "i", &sample(id, "/a.B/C", &["common"]))?;
                }
                save_sample(c, "i", &sample(99, "/a.B/C", &["common"]))
            })
            .await
            .unwrap();
        let list = |path: &'static str| store.call(move |c| list_samples(c, "", path, 500));
        let rare = list("rare").await.unwrap();
        assert_eq!(rare.iter().map(|s| s.id).collect::<Vec<_>>(), [1]);
        let common = list("common").await.unwrap();
        assert_eq!(common.len(), SAMPLES_PER_PATH as usize);
        assert_eq!(common[0].id, 99);
        assert_eq!(list("").await.unwrap().len(), SAMPLES_PER_PATH as usize + 1);
    }

    async fn keeps_more_of_the_pairs_that_differ(place: Place) {
        let (store, _) = place.store();
        let pair = |differences: &[&str]| wire::TracePair {
            method: "/a.B/C".into(),
            differences: differences.iter().map(|d| (*d).to_owned()).collect(),
            ..Default::default()
        };
        let (same, differs) = (pair(&[]), pair(&["more statements"]));
        let (all, mismatched) = store
            .call(move |c| {
                for _ in 0..60 {
                    save_trace_pair(c, &same)?;
                    save_trace_pair(c, &differs)?;
                }
                let all = list_trace_pairs(c, "/a.B/C", Which::All, 200)?;
                Ok((all, list_trace_pairs(c, "", Which::Mismatched, 200)?))
            })
            .await
            .unwrap();
        assert_eq!((all.len(), mismatched.len()), (50, 40));
    }
}
