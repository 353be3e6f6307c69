//! Statements by name, each with its client span.

use rusqlite::{CachedStatement, Connection, Params, Row};
use tracing::{Span, field};

use super::StoreError;
use crate::telemetry::SPAN_TARGET;

/// A SQL statement and how its span names it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    operation: &'static str,
    collection: &'static str,
    sql: &'static str,
}

impl Statement {
    /// A statement that does `operation` (such as `SELECT`) on the table `collection`.
    pub const fn new(operation: &'static str, collection: &'static str, sql: &'static str) -> Self {
        Self {
            operation,
            collection,
            sql,
        }
    }

    /// The client span of one execution; none below a call that has none.
    fn span(&self, parent: &Span) -> Span {
        if parent.is_disabled() {
            return Span::none();
        }
        let summary = format!("{} {}", self.operation, self.collection);
        tracing::info_span!(
            target: SPAN_TARGET,
            parent: parent,
            "statement",
            otel.name = summary,
            otel.kind = "client",
            otel.status_code = field::Empty,
            error.r#type = field::Empty,
            db.system.name = "sqlite",
            db.operation.name = self.operation,
            db.collection.name = self.collection,
            db.query.summary = summary,
            db.query.text = self.sql,
        )
    }
}

/// A connection and the span that its statements belong to.
#[derive(Debug)]
pub struct Session<'c> {
    connection: &'c Connection,
    parent: Span,
}

impl<'c> Session<'c> {
    pub(super) fn new(connection: &'c Connection, parent: Span) -> Self {
        Self { connection, parent }
    }

    /// All rows of a query.
    pub fn rows<T>(
        &self,
        statement: &Statement,
        parameters: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.each_row(statement, parameters, |row| {
            all.push(read(row)?);
            Ok(true)
        })?;
        Ok(all)
    }

    /// Goes through the rows of a query while `each` says `true`.
    pub(super) fn each_row(
        &self,
        statement: &Statement,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.traced(statement, |prepared| {
            let mut rows = prepared.query(parameters)?;
            while let Some(row) = rows.next()? {
                if !each(row)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Executes a statement that gives no rows.
    pub(super) fn execute(
        &self,
        statement: &Statement,
        parameters: impl Params,
    ) -> Result<usize, StoreError> {
        self.traced(statement, |prepared| Ok(prepared.execute(parameters)?))
    }

    fn traced<T>(
        &self,
        statement: &Statement,
        work: impl FnOnce(&mut CachedStatement<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let span = statement.span(&self.parent);
        let prepared = self.connection.prepare_cached(statement.sql);
        let result = prepared
            .map_err(StoreError::from)
            .and_then(|mut p| work(&mut p));
        if let Err(StoreError::Statement(error)) = &result {
            let code = error.sqlite_error_code();
            span.record(
                "error.type",
                code.map_or("_OTHER".into(), |code| format!("{code:?}")),
            );
            span.record("otel.status_code", "ERROR");
        }
        result
    }
}
