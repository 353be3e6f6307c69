//! Both kinds of store for tests. One Postgres serves a whole run of tests, with a database for
//! each.

#[path = "../../tests/control/postgres.rs"]
pub(crate) mod server;

use server::Server;

use super::{Found, Location, OpenError, Saved, Store};
use crate::clock::Clock;

/// A place for a store, with nothing in it yet.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) url: String,
    /// Of the file; removed with this.
    folder: Option<tempfile::TempDir>,
}

impl Place {
    /// For an SQLite file.
    pub(crate) fn sqlite() -> Option<Place> {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("cutover.db").display().to_string();
        Some(Place {
            location: Location::parse(&url).unwrap(),
            url,
            folder: Some(folder),
        })
    }

    /// In a Postgres; nothing where none is installed, which CI doesn't allow.
    pub(crate) fn postgres() -> Option<Place> {
        let url = Server::of_this_run()?.make_database();
        Some(Place {
            location: Location::parse(&url).unwrap(),
            url,
            folder: None,
        })
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<(Store, Saved, Found), OpenError> {
        Store::open(&self.location, Clock::start())
    }

    /// Notes another version of the schema.
    pub(crate) fn set_version(&self, version: i64) {
        if self.folder.is_some() {
            let connection = rusqlite::Connection::open(&self.url).unwrap();
            connection
                .pragma_update(None, "user_version", version)
                .unwrap();
        } else {
            let sql = format!("UPDATE cutover.store_version SET version = {version}");
            Server::of_this_run().unwrap().sql(&self.url, &sql);
        }
    }

    /// How much room it takes on the disk, bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        if self.folder.is_some() {
            let of = |suffix| std::fs::metadata(format!("{}{suffix}", self.url));
            return of("").unwrap().len() + of("-wal").map_or(0, |file| file.len());
        }
        let sql = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                   WHERE relnamespace = 'cutover'::regnamespace AND relkind = 'r'";
        let size = Server::of_this_run().unwrap().sql(&self.url, sql);
        size.parse().unwrap()
    }

    /// Opens it, with what it holds.
    pub(crate) fn store(&self) -> (Store, Saved) {
        let (store, saved, _) = self.open().unwrap();
        (store, saved)
    }
}

/// Runs each check against both kinds of store.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let place = $crate::store::testing::Place::sqlite().unwrap();
                super::$name(place).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(place) = $crate::store::testing::Place::postgres() {
                    super::$name(place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;
