//! Examples for people: samples of differences and pairs of traces, a bounded number of each, so
//! that a flood of one kind can't push out the others.

use cutover_proto::cutover::v1 as wire;
use prost::Message;
use rusqlite::{Connection, params};

/// Most samples kept for each method and path; the newest stay.
const SAMPLES_PER_PATH: u32 = 20;
/// Most rows of samples kept in all.
const MAX_SAMPLES: u32 = 20_000;
/// Most pairs of traces that differ kept for each method; the newest stay.
const MISMATCHED_PER_METHOD: u32 = 40;
/// Most pairs of traces that agree kept for each method; the newest stay.
const MATCHED_PER_METHOD: u32 = 10;

/// Keeps a sample under each path that differed in it. The same sample again changes nothing.
pub(crate) fn save_sample(
    connection: &mut Connection,
    instance: &str,
    sample: &wire::Sample,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let body = sample.encode_to_vec();
    let mut paths: Vec<&str> = sample.differences.iter().map(|d| d.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        transaction.execute(
            "INSERT OR IGNORE INTO samples (instance, sample, method, path, body)
             VALUES (?, ?, ?, ?, ?)",
            params![instance, sample.id as i64, sample.method, path, body],
        )?;
        transaction.execute(
            "DELETE FROM samples WHERE id IN (
                 SELECT id FROM samples WHERE method = ?1 AND path = ?2
                 ORDER BY id DESC LIMIT -1 OFFSET ?3)",
            params![sample.method, path, SAMPLES_PER_PATH],
        )?;
    }
    transaction.execute(
        "DELETE FROM samples WHERE id IN (
             SELECT id FROM samples ORDER BY id DESC LIMIT -1 OFFSET ?)",
        [MAX_SAMPLES],
    )?;
    transaction.commit()
}

/// Samples, newest first; an empty method or path means all.
pub(crate) fn list_samples(
    connection: &Connection,
    method: &str,
    path: &str,
    limit: u32,
) -> rusqlite::Result<Vec<wire::Sample>> {
    let mut statement = connection.prepare_cached(
        "SELECT max(id), body FROM samples
         WHERE (?1 = '' OR method = ?1) AND (?2 = '' OR path = ?2)
         GROUP BY instance, sample ORDER BY max(id) DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![method, path, limit], |row| row.get(1))?;
    decoded(rows)
}

/// Keeps a pair of traces.
pub(crate) fn save_trace_pair(
    connection: &mut Connection,
    pair: &wire::TracePair,
) -> rusqlite::Result<()> {
    let mismatched = !pair.differences.is_empty();
    let most = if mismatched {
        MISMATCHED_PER_METHOD
    } else {
        MATCHED_PER_METHOD
    };
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO trace_pairs (method, mismatched, body) VALUES (?, ?, ?)",
        params![pair.method, mismatched, pair.encode_to_vec()],
    )?;
    transaction.execute(
        "DELETE FROM trace_pairs WHERE id IN (
             SELECT id FROM trace_pairs WHERE method = ?1 AND mismatched = ?2
             ORDER BY id DESC LIMIT -1 OFFSET ?3)",
        params![pair.method, mismatched, most],
    )?;
    transaction.commit()
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
    connection: &Connection,
    method: &str,
    which: Which,
    limit: u32,
) -> rusqlite::Result<Vec<wire::TracePair>> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM trace_pairs
         WHERE (?1 = '' OR method = ?1) AND mismatched >= ?2 ORDER BY id DESC LIMIT ?3",
    )?;
    let least = which == Which::Mismatched;
    let rows = statement.query_map(params![method, least, limit], |row| row.get(0))?;
    decoded(rows)
}

fn decoded<M: Message + Default>(
    rows: impl Iterator<Item = rusqlite::Result<Vec<u8>>>,
) -> rusqlite::Result<Vec<M>> {
    rows.map(|body| Ok(M::decode(body?.as_slice()).unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

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

    #[tokio::test]
    async fn a_flood_of_one_path_does_not_push_out_another() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, _) = Store::open(&folder.path().join("cutover.db"), 1).unwrap();
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

    #[tokio::test]
    async fn keeps_more_of_the_pairs_that_differ() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, _) = Store::open(&folder.path().join("cutover.db"), 1).unwrap();
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
