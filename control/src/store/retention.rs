//! What goes when it is old, or when there is too much: examples, and the counters that decisions
//! were drawn from. The ramps' places, the evidence and the lines of the log stay, and the newest
//! decisions stay whole.

use cutover_manifest::Retention;

use super::database::{DatabaseError, Session, values};

/// Decisions that keep what they were drawn from, however old or large they are.
const WHOLE_DECISIONS: u32 = 100;
/// Rows looked at in one go, oldest first; the next go takes what is left.
const AT_ONCE: u32 = 2_000;

/// The oldest of what may go: what it is, its id, and its bytes.
const OLDEST: &str = "
    SELECT kind, id, bytes FROM (
        SELECT 1 AS kind, id, at_unix_ms, length(body) AS bytes FROM samples
        UNION ALL
        SELECT 2, id, at_unix_ms, length(body) FROM trace_pairs
        UNION ALL
        SELECT 3, id, at_unix_ms, length(basis) FROM decisions
        WHERE length(basis) > 0 AND id <= (SELECT max(id) FROM decisions) - $1
    ) AS bulk ORDER BY at_unix_ms, id LIMIT $2";

/// Drops what is too old or too much; says whether anything went.
pub(crate) fn prune(
    session: &mut dyn Session,
    retention: Retention,
    unix_ms: i64,
) -> Result<bool, DatabaseError> {
    let age_ms = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    let oldest_ms = unix_ms.saturating_sub(age_ms);
    let mut gone = session.execute(
        "DELETE FROM sample_paths WHERE id IN (SELECT id FROM samples WHERE at_unix_ms < $1)",
        values![oldest_ms],
    )?;
    gone += session.execute(
        "DELETE FROM samples WHERE at_unix_ms < $1",
        values![oldest_ms],
    )?;
    gone += session.execute(
        "DELETE FROM trace_pairs WHERE at_unix_ms < $1",
        values![oldest_ms],
    )?;
    gone += session.execute(
        "UPDATE decisions SET basis = $1 WHERE at_unix_ms < $2 AND length(basis) > 0
         AND id <= (SELECT max(id) FROM decisions) - $3",
        values![Vec::new(), oldest_ms, WHOLE_DECISIONS],
    )?;
    let most = u64::try_from(retention.size_bytes).unwrap_or(u64::MAX);
    let mut over = size_bytes(session)?.saturating_sub(most);
    if over > 0 {
        for row in session.query(OLDEST, values![WHOLE_DECISIONS, AT_ONCE])? {
            if over == 0 {
                break;
            }
            let id = row.int(1)?;
            match row.int(0)? {
                1 => {
                    session.execute("DELETE FROM sample_paths WHERE id = $1", values![id])?;
                    session.execute("DELETE FROM samples WHERE id = $1", values![id])?;
                }
                2 => _ = session.execute("DELETE FROM trace_pairs WHERE id = $1", values![id])?,
                _ => {
                    let sql = "UPDATE decisions SET basis = $1 WHERE id = $2";
                    session.execute(sql, values![Vec::new(), id])?;
                }
            }
            over = over.saturating_sub(row.number(2)?);
            gone += 1;
        }
    }
    Ok(gone > 0)
}

/// The size of all that is kept, bytes, without what the database itself needs around it.
pub(crate) fn size_bytes(session: &mut dyn Session) -> Result<u64, DatabaseError> {
    let sum = session.query(
        "SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM (
             SELECT length(body) AS bytes FROM samples
             UNION ALL SELECT length(method) + length(path) FROM sample_paths
             UNION ALL SELECT length(body) FROM trace_pairs
             UNION ALL SELECT length(body) + length(basis) FROM decisions
             UNION ALL SELECT length(body) FROM evidence
             UNION ALL SELECT length(body) FROM trace_evidence) AS bodies",
        &[],
    )?;
    sum.first().map_or(Ok(0), |row| row.number(0))
}

#[cfg(test)]
mod tests;
