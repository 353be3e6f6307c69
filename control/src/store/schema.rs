//! The tables, and how an older store becomes the newest. Each migration is applied once, in its
//! own transaction with the new version number; migrations are only ever added.

use cutover_proto::cutover::v1 as wire;
use prost::Message;

use super::database::{Database, DatabaseError, Session, values};
use super::decisions;
use super::examples::insert_sample;

/// The newest version.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What leads from one version to the next.
struct Migration {
    /// Statements, with the database's own words in braces.
    before: &'static str,
    /// What SQL alone can't do.
    rewrite: fn(&mut dyn Session) -> Result<(), DatabaseError>,
    after: &'static str,
}

const MIGRATIONS: [Migration; 3] = [
    Migration {
        before: "
    -- generation, epoch, fingerprint of what evidence depends on
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) {table};
    CREATE TABLE ramps (
        scope TEXT PRIMARY KEY, phase {int} NOT NULL, step {int} NOT NULL,
        weight_bp {int} NOT NULL, entered_unix_ms {int} NOT NULL,
        held_ms {int} NOT NULL, windows {int} NOT NULL, reason TEXT NOT NULL) {table};
    CREATE TABLE overrides (
        scope TEXT PRIMARY KEY, weight_bp {int} NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
        at_unix_ms {int} NOT NULL) {table};
    -- body: cutover.v1.Decision without its id
    CREATE TABLE decisions (id {key}, body {bytes} NOT NULL) {table};
    -- one row for each proxy instance of the epoch; retired: its evidence is in instance ''
    CREATE TABLE proxies (
        instance TEXT PRIMARY KEY, sequence {int} NOT NULL, host TEXT NOT NULL,
        version TEXT NOT NULL, retired {int} NOT NULL) {table};
    -- body: cutover.v1.MethodReport
    CREATE TABLE evidence (
        epoch {int} NOT NULL, instance TEXT NOT NULL, method TEXT NOT NULL, body {bytes} NOT NULL,
        PRIMARY KEY (epoch, instance, method)) {ordered};
    -- body: cutover.v1.TraceStatus
    CREATE TABLE trace_evidence (
        epoch {int} NOT NULL, method TEXT NOT NULL, body {bytes} NOT NULL,
        PRIMARY KEY (epoch, method)) {ordered};
    -- body: cutover.v1.Sample; one row for each path that differed
    CREATE TABLE samples (
        id {key}, instance TEXT NOT NULL, sample {int} NOT NULL,
        method TEXT NOT NULL, path TEXT NOT NULL, body {bytes} NOT NULL,
        UNIQUE (instance, sample, path)) {table};
    CREATE INDEX samples_by_path ON samples (method, path, id);
    -- body: cutover.v1.TracePair
    CREATE TABLE trace_pairs (
        id {key}, method TEXT NOT NULL, mismatched {int} NOT NULL,
        body {bytes} NOT NULL) {table};
    CREATE INDEX trace_pairs_by_method ON trace_pairs (method, mismatched, id);
",
        rewrite: |_| Ok(()),
        after: "",
    },
    Migration {
        before: "
    -- one row; writer: the control plane that saved it last
    CREATE TABLE state (
        id {int} PRIMARY KEY CHECK (id = 1), generation {int} NOT NULL, epoch {int} NOT NULL,
        fingerprint TEXT NOT NULL, versions TEXT NOT NULL, latch TEXT NOT NULL,
        writer TEXT NOT NULL) {table};
    INSERT INTO state SELECT 1,
        coalesce((SELECT CAST(value AS {int}) FROM meta WHERE key = 'generation'), 0),
        coalesce((SELECT CAST(value AS {int}) FROM meta WHERE key = 'epoch'), 0),
        coalesce((SELECT value FROM meta WHERE key = 'fingerprint'), ''),
        coalesce((SELECT value FROM meta WHERE key = 'versions'), ''), '', '';
    DROP TABLE meta;

    -- token: the same decision is saved once, however often that is tried
    -- body: cutover.v1.Decision without id, basis and samples; basis: those two, empty where
    -- there are none, or no more
    ALTER TABLE decisions RENAME TO old_decisions;
    CREATE TABLE decisions (
        id {key}, token TEXT NOT NULL UNIQUE, at_unix_ms {int} NOT NULL, body {bytes} NOT NULL,
        basis {bytes} NOT NULL) {table};

    -- what its stream says, for the control planes that it is not connected to
    ALTER TABLE proxies ADD COLUMN connected {int} NOT NULL DEFAULT 0;
    ALTER TABLE proxies ADD COLUMN applied_generation {int} NOT NULL DEFAULT 0;
    ALTER TABLE proxies ADD COLUMN reported_unix_ms {int} NOT NULL DEFAULT 0;

    -- slot: of the control plane that paired the traces
    ALTER TABLE trace_evidence RENAME TO old_trace_evidence;
    CREATE TABLE trace_evidence (
        epoch {int} NOT NULL, slot {int} NOT NULL, method TEXT NOT NULL, body {bytes} NOT NULL,
        PRIMARY KEY (epoch, slot, method)) {ordered};
    INSERT INTO trace_evidence SELECT epoch, 0, method, body FROM old_trace_evidence;
    DROP TABLE old_trace_evidence;

    ALTER TABLE samples RENAME TO old_samples;
    DROP INDEX samples_by_path;
    -- body: cutover.v1.Sample
    CREATE TABLE samples (
        id {key}, instance TEXT NOT NULL, sample {int} NOT NULL, at_unix_ms {int} NOT NULL,
        body {bytes} NOT NULL, UNIQUE (instance, sample)) {table};
    -- one row for each path that differed in a sample
    CREATE TABLE sample_paths (
        method TEXT NOT NULL, path TEXT NOT NULL, id {int} NOT NULL,
        PRIMARY KEY (method, path, id)) {ordered};
    CREATE INDEX sample_paths_by_id ON sample_paths (id);

    ALTER TABLE trace_pairs ADD COLUMN at_unix_ms {int} NOT NULL DEFAULT 0;

    -- who does what only one may do; until: by the database's clock
    CREATE TABLE leases (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, until_unix_ms {int} NOT NULL) {table};
",
        rewrite: split_bodies,
        after: "
    DROP TABLE old_decisions;
    DROP TABLE old_samples;
",
    },
    Migration {
        before: "
    -- body: cutover.v1.MemoryEvidence, by the control plane that runs the ramps
    CREATE TABLE memory_evidence (epoch {int} PRIMARY KEY, body {bytes} NOT NULL) {table};
    -- writer: the control plane that a process of an arm told its memory last
    CREATE TABLE memory_readings (
        arm {int} NOT NULL, instance TEXT NOT NULL, writer TEXT NOT NULL, bytes {int} NOT NULL,
        heard_unix_ms {int} NOT NULL, PRIMARY KEY (arm, instance)) {ordered};
",
        rewrite: |_| Ok(()),
        after: "",
    },
];

/// Why a database can't become a store.
pub(super) enum Unfit {
    /// It holds something else.
    Foreign,
    /// A newer version has written it.
    Newer(i64),
    /// There is no connection to it.
    Unreachable(DatabaseError),
    /// The thread's runtime can't be started.
    Thread(std::io::Error),
    Database(DatabaseError),
}

impl From<DatabaseError> for Unfit {
    fn from(error: DatabaseError) -> Unfit {
        Unfit::Database(error)
    }
}

/// Brings the tables to the newest version.
pub(super) fn migrate(database: &mut dyn Database) -> Result<(), Unfit> {
    migrate_to(database, VERSION)
}

fn migrate_to(database: &mut dyn Database, newest: i64) -> Result<(), Unfit> {
    let found = database.version()?;
    if found > VERSION {
        return Err(Unfit::Newer(found));
    }
    let dialect = database.dialect();
    for (migration, version) in MIGRATIONS.iter().zip(1..=newest) {
        if version <= found {
            continue;
        }
        database.begin()?;
        database.batch(&dialect.render(migration.before))?;
        (migration.rewrite)(database)?;
        database.batch(&dialect.render(migration.after))?;
        database.set_version(version)?;
        database.commit()?;
    }
    Ok(())
}

/// Takes the bulk out of decisions, samples out of the rows of their paths, and notes when pairs
/// of traces were taken. Only SQLite was
/// there before; a Postgres has none of either yet.
fn split_bodies(session: &mut dyn Session) -> Result<(), DatabaseError> {
    for mut row in session.query("SELECT id, body FROM old_decisions ORDER BY id", &[])? {
        let id = row.int(0)?;
        let decision = wire::Decision::decode(row.bytes(1)?.as_slice()).unwrap_or_default();
        let at_unix_ms = decision.at_unix_ms;
        let (body, basis) = decisions::split(decision);
        session.execute(
            "INSERT INTO decisions (id, token, at_unix_ms, body, basis)
             VALUES ($1, $2, $3, $4, $5)",
            values![id, &format!("old-{id}"), at_unix_ms, body, basis],
        )?;
    }
    for mut row in session.query("SELECT instance, body FROM old_samples ORDER BY id", &[])? {
        let instance = row.text(0)?;
        let sample = wire::Sample::decode(row.bytes(1)?.as_slice()).unwrap_or_default();
        insert_sample(session, &instance, &sample)?;
    }
    for mut row in session.query("SELECT id, body FROM trace_pairs", &[])? {
        let pair = wire::TracePair::decode(row.bytes(1)?.as_slice()).unwrap_or_default();
        session.execute(
            "UPDATE trace_pairs SET at_unix_ms = $1 WHERE id = $2",
            values![pair.at_unix_ms, row.int(0)?],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::database::Value;
    use super::super::sqlite::Sqlite;
    use super::*;
    use crate::store::testing::Place;
    use crate::store::{Found, Sought, find_decision, list_samples, list_trace_pairs};

    /// A store of version 1 with something of everything in it.
    fn fill_version_1(database: &mut dyn Database) -> Result<(), DatabaseError> {
        let basis = wire::Basis {
            weight_bp: 7,
            ..Default::default()
        };
        let decision = wire::Decision {
            action: "advance".into(),
            at_unix_ms: 5,
            basis: Some(basis),
            ..Default::default()
        };
        let difference = |path: &str| wire::Difference {
            path: path.into(),
            ..Default::default()
        };
        let sample = wire::Sample {
            id: 3,
            method: "/a.B/C".into(),
            differences: vec![difference("x"), difference("y")],
            ..Default::default()
        };
        let method = "/a.B/C";
        let traces = wire::TraceStatus {
            compared: 9,
            ..Default::default()
        };
        let pair = wire::TracePair {
            method: method.into(),
            ..Default::default()
        };
        let report = wire::MethodReport {
            method: method.into(),
            ..Default::default()
        };
        let rows: [(&'static str, &[Value]); 11] = [
            ("INSERT INTO meta VALUES ('generation', '41')", &[]),
            ("INSERT INTO meta VALUES ('epoch', '4')", &[]),
            ("INSERT INTO meta VALUES ('fingerprint', 'f')", &[]),
            (
                "INSERT INTO ramps VALUES ('*', 1, 0, 100, 5, 6, 7, 'r')",
                &[],
            ),
            (
                "INSERT INTO overrides VALUES ('*', 100, 'ada', 'why', 5)",
                &[],
            ),
            ("INSERT INTO proxies VALUES ('p', 8, 'h', 'v', 0)", &[]),
            (
                "INSERT INTO decisions (id, body) VALUES (12, $1)",
                values![decision.encode_to_vec()],
            ),
            (
                "INSERT INTO evidence VALUES (4, 'p', $1, $2)",
                values![method, report.encode_to_vec()],
            ),
            (
                "INSERT INTO trace_evidence VALUES (4, $1, $2)",
                values![method, traces.encode_to_vec()],
            ),
            (
                "INSERT INTO samples (instance, sample, method, path, body)
                 VALUES ('p', 3, $1, 'x', $2), ('p', 3, $1, 'y', $2)",
                values![method, sample.encode_to_vec()],
            ),
            (
                "INSERT INTO trace_pairs (method, mismatched, body) VALUES ($1, 0, $2)",
                values![method, pair.encode_to_vec()],
            ),
        ];
        for (sql, values) in rows {
            database.execute(sql, values)?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_store_of_version_1_is_migrated_with_all_that_it_holds() {
        let place = Place::sqlite().unwrap();
        let mut old = Sqlite::raw(std::path::Path::new(&place.url)).unwrap();
        assert!(migrate_to(&mut old, 1).is_ok());
        fill_version_1(&mut old).unwrap();
        drop(old);

        let (store, saved, found) = place.open().unwrap();
        assert_eq!(found, Found::Kept);
        assert_eq!(
            (saved.generation, saved.epoch, saved.fingerprint.as_str()),
            (41, 4, "f")
        );
        assert_eq!((saved.ramps.len(), saved.ramps[0].held_ms), (1, 6));
        assert_eq!(
            (saved.overrides[0].who.as_str(), saved.proxies[0].sequence),
            ("ada", 8)
        );
        assert_eq!(
            (saved.evidence.len(), saved.traces[0].status.compared),
            (1, 9)
        );
        let (decision, samples, pairs) = store
            .call(|c| {
                let samples = list_samples(c, "/a.B/C", "y", 10)?;
                let pairs = list_trace_pairs(c, "", crate::store::Which::All, 10)?;
                Ok((find_decision(c, 12)?, samples, pairs))
            })
            .await
            .unwrap();
        let Sought::Found(decision) = decision else {
            panic!("it was there")
        };
        assert_eq!(
            (decision.at_unix_ms, decision.basis.unwrap().weight_bp),
            (5, 7)
        );
        assert_eq!((samples.len(), samples[0].id, pairs.len()), (1, 3, 1));
        drop(store);
        assert_eq!(place.open().unwrap().2, Found::Kept, "once is enough");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let place = Place::sqlite().unwrap();
        let mut old = Sqlite::raw(std::path::Path::new(&place.url)).unwrap();
        assert!(migrate_to(&mut old, 1).is_ok());
        fill_version_1(&mut old).unwrap();
        // What the second one makes is there already.
        old.execute("CREATE TABLE leases (name TEXT)", &[]).unwrap();
        assert!(migrate(&mut old).is_err());
        old.rollback();
        assert_eq!(old.version().unwrap(), 1);
        assert_eq!(old.query("SELECT id FROM decisions", &[]).unwrap().len(), 1);
    }
}
