//! The key of an operation: the same words for the same outbound call, whatever language and
//! generation of the semantic conventions its span was written in.

use super::{Span, SpanKind, sql};

/// Longest key, in characters.
const MAX_KEY_CHARS: usize = 200;

/// The key of a span's operation, such as `db sqlite SELECT places`, `rpc grpc pkg.Service/Method`,
/// `http GET /users/{}` or `messaging kafka send orders`. `None` where the span is no outbound
/// operation: INTERNAL, SERVER and CONSUMER spans, and statements that only frame a transaction.
#[must_use]
pub fn operation_key(span: &Span) -> Option<String> {
    operation(span).map(|operation| operation.key)
}

/// Whether a key's operation changes something elsewhere.
#[must_use]
pub fn is_write_key(key: &str) -> bool {
    let mut words = key.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("db"), _, Some(verb)) => sql::is_write(verb),
        (Some("http"), Some(method), _) => http_effect(method) == Effect::Write,
        (Some("messaging"), _, Some(operation)) => operation == "send",
        _ => false,
    }
}

/// Whether a key's operation certainly changes nothing; what another service does is not known.
#[must_use]
pub fn is_read_key(key: &str) -> bool {
    (key.starts_with("db ") || key.starts_with("http ")) && !is_write_key(key)
}

/// An outbound operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// Its key.
    pub(super) key: String,
    /// Whether it changes something elsewhere.
    pub(super) effect: Effect,
    /// Whether it goes to a database.
    pub(super) database: bool,
    /// Of a read whose statement is known, the key without what only the statement tells; another
    /// arm that doesn't export statements can only have this one.
    pub(super) without_statement: Option<String>,
}

/// What an operation does to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Reads, or can't be told.
    Read,
    /// Writes.
    Write,
}

pub(super) fn operation(span: &Span) -> Option<Operation> {
    if !matches!(span.kind, SpanKind::Client | SpanKind::Producer) {
        return None;
    }
    let found = if let Some(system) = span.attribute(&["db.system.name", "db.system"]) {
        return database(span, system);
    } else if let Some(system) = span.attribute(&["rpc.system.name", "rpc.system"]) {
        plain(format!("rpc {system} {}", rpc_method(span)))
    } else if let Some(system) = span.attribute(&["messaging.system"]) {
        messaging(span, system)
    } else if let Some(method) = span.attribute(&["http.request.method", "http.method"]) {
        http(span, method)
    } else {
        plain(format!(
            "{} {}",
            if span.kind == SpanKind::Client {
                "client"
            } else {
                "producer"
            },
            span.name
        ))
    };
    Some(found)
}

fn plain(key: String) -> Operation {
    written(key, Effect::Read)
}

fn written(key: String, effect: Effect) -> Operation {
    let key = key.split_whitespace().collect::<Vec<_>>().join(" ");
    let key = key.chars().take(MAX_KEY_CHARS).collect();
    Operation {
        key,
        effect,
        database: false,
        without_statement: None,
    }
}

fn database(span: &Span, system: &str) -> Option<Operation> {
    let operation = span.attribute(&["db.operation.name", "db.operation"]);
    let collection = span.attribute(&[
        "db.collection.name",
        "db.sql.table",
        "db.mongodb.collection",
        "db.cassandra.table",
    ]);
    let statement = span.attribute(&["db.query.text", "db.statement"]);
    let text = || statement.and_then(sql::summary);
    let summary = match (span.attribute(&["db.query.summary"]), operation, collection) {
        (Some(summary), _, _) => summary.to_owned(),
        (None, Some(operation), Some(collection)) => {
            let table = collection.rsplit('.').next().unwrap_or(collection);
            format!("{operation} {table}")
        }
        (None, operation, _) => {
            text().unwrap_or_else(|| operation.unwrap_or(&span.name).to_owned())
        }
    };
    let (verb, rest) = summary
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((&summary, ""));
    let verb = verb.trim().to_ascii_uppercase();
    if sql::is_framing(&verb) {
        return None;
    }
    let effect = if sql::is_write(&verb) {
        Effect::Write
    } else {
        Effect::Read
    };
    let system = system_name(system);
    let plain = written(format!("db {system} {verb} {rest}"), effect);
    let told = statement.filter(|_| verb == "SELECT");
    let without_statement = told.map(|_| plain.key.clone());
    let found = match told.and_then(sql::aggregate) {
        Some(function) => written(format!("db {system} {verb} {function} {rest}"), effect),
        None => plain,
    };
    Some(Operation {
        database: true,
        without_statement,
        ..found
    })
}

/// Today's name of a database system.
fn system_name(system: &str) -> &str {
    match system {
        "sqlite3" => "sqlite",
        "postgres" => "postgresql",
        "mssql" => "microsoft.sql_server",
        "oracle" => "oracle.db",
        "cosmosdb" => "azure.cosmosdb",
        "dynamodb" => "aws.dynamodb",
        other => other,
    }
}

/// `package.Service/Method`: new conventions have it whole in `rpc.method`, older ones in two
/// attributes, and some instrumentations only in the span's name.
fn rpc_method(span: &Span) -> String {
    let method = span
        .attribute(&["rpc.method"])
        .map(|method| method.trim_start_matches('/'));
    match (method, span.attribute(&["rpc.service"])) {
        (Some(method), _) if method.contains('/') => method.to_owned(),
        (Some(method), Some(service)) => format!("{service}/{method}"),
        _ => span.name.trim_start_matches('/').to_owned(),
    }
}

fn messaging(span: &Span, system: &str) -> Operation {
    let operation = span.attribute(&[
        "messaging.operation.type",
        "messaging.operation",
        "messaging.operation.name",
    ]);
    let operation = match operation {
        // "publish" is what "send" was called before.
        Some("publish") => "send",
        Some(operation) => operation,
        None if span.kind == SpanKind::Producer => "send",
        None => "receive",
    };
    let destination = span.attribute(&[
        "messaging.destination.template",
        "messaging.destination.name",
        "messaging.destination",
    ]);
    let effect = if operation == "send" {
        Effect::Write
    } else {
        Effect::Read
    };
    written(
        format!(
            "messaging {system} {operation} {}",
            destination.unwrap_or("?")
        ),
        effect,
    )
}

fn http(span: &Span, method: &str) -> Operation {
    let method = method.to_ascii_uppercase();
    let route = span
        .attribute(&["url.template", "http.route"])
        .map(str::to_owned);
    let route = route.unwrap_or_else(|| {
        let url = span.attribute(&["url.full", "http.url", "url.path", "http.target"]);
        folded_path(url.unwrap_or_default())
    });
    written(format!("http {method} {route}"), http_effect(&method))
}

fn http_effect(method: &str) -> Effect {
    match method {
        "POST" | "PUT" | "PATCH" | "DELETE" => Effect::Write,
        _ => Effect::Read,
    }
}

/// The path of a URL; segments that hold a digit are taken for ids and become `{}`.
fn folded_path(url: &str) -> String {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find('/').map_or("/", |slash| &rest[slash..])
    });
    let path = behind_scheme.split(['?', '#']).next().unwrap_or_default();
    let fold = |segment: &str| match segment.contains(|c: char| c.is_ascii_digit()) {
        true => "{}".to_owned(),
        false => segment.to_owned(),
    };
    path.split('/').map(fold).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, attributes: &[(&str, &str)], expected: Option<&str>) {
        let attributes = attributes
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let kind = SpanKind::Client;
        let span = Span {
            name: name.to_owned(),
            kind,
            attributes: attributes.collect(),
            ..Span::default()
        };
        assert_eq!(operation_key(&span).as_deref(), expected, "{span:?}");
    }

    #[test]
    fn one_key_for_all_generations_of_a_database_span() {
        let expected = Some("db sqlite SELECT places");
        let text = "SELECT id, name FROM places WHERE id = ?";
        check(
            "SELECT",
            &[("db.system", "sqlite"), ("db.statement", text)],
            expected,
        );
        check(
            "x",
            &[("db.system.name", "sqlite"), ("db.query.text", text)],
            expected,
        );
        check(
            "x",
            &[
                ("db.system.name", "sqlite"),
                ("db.query.summary", "SELECT places"),
            ],
            expected,
        );
        let parts = [
            ("db.operation.name", "select"),
            ("db.collection.name", "main.places"),
        ];
        check(
            "x",
            &[&[("db.system.name", "sqlite")][..], &parts].concat(),
            expected,
        );
        let parts = [("db.operation", "SELECT"), ("db.sql.table", "places")];
        check(
            "x",
            &[&[("db.system", "sqlite3")][..], &parts].concat(),
            expected,
        );
        check("SELECT places", &[("db.system", "sqlite")], expected);
    }

    #[test]
    fn a_count_is_told_from_the_rows_where_the_statement_is_there() {
        let count = ("db.query.text", "SELECT count(*) FROM visits");
        let attributes = [
            ("db.system.name", "sqlite"),
            ("db.operation.name", "SELECT"),
            ("db.collection.name", "visits"),
            count,
        ];
        check("x", &attributes, Some("db sqlite SELECT count visits"));
        check("x", &attributes[..3], Some("db sqlite SELECT visits"));
        let old = [("db.system", "sqlite"), ("db.statement", count.1)];
        check("x", &old, Some("db sqlite SELECT count visits"));
    }

    #[test]
    fn one_key_for_all_generations_of_an_rpc_span() {
        let expected = Some("rpc grpc a.v1.Service/Do");
        let old = [
            ("rpc.system", "grpc"),
            ("rpc.service", "a.v1.Service"),
            ("rpc.method", "Do"),
        ];
        check("/a.v1.Service/Do", &old, expected);
        let new = [
            ("rpc.system.name", "grpc"),
            ("rpc.method", "a.v1.Service/Do"),
        ];
        check("a.v1.Service/Do", &new, expected);
        check(
            "/a.v1.Service/Do",
            &[("rpc.system", "grpc"), ("rpc.service", "a")],
            expected,
        );
    }

    #[test]
    fn http_and_messaging() {
        let expected = Some("http GET /users/{}/name");
        let new = [
            ("http.request.method", "GET"),
            ("url.full", "http://h:8/users/42/name?x=1"),
        ];
        check("GET", &new, expected);
        check(
            "GET",
            &[("http.method", "GET"), ("http.target", "/users/7/name")],
            expected,
        );
        let route = [
            ("http.request.method", "post"),
            ("url.template", "/users/{id}"),
        ];
        check("POST", &route, Some("http POST /users/{id}"));
        check(
            "GET",
            &[("http.method", "GET"), ("http.url", "https://host")],
            Some("http GET /"),
        );
        let expected = Some("messaging kafka send orders");
        let old = [
            ("messaging.system", "kafka"),
            ("messaging.operation", "publish"),
        ];
        check(
            "x",
            &[&old[..], &[("messaging.destination", "orders")]].concat(),
            expected,
        );
        let new = [
            ("messaging.system", "kafka"),
            ("messaging.operation.type", "send"),
        ];
        check(
            "x",
            &[&new[..], &[("messaging.destination.name", "orders")]].concat(),
            expected,
        );
    }

    #[test]
    fn a_key_tells_reads_from_writes() {
        let effects = [
            "db sqlite INSERT visits",
            "http POST /users/{}",
            "messaging kafka send orders",
            "db sqlite SELECT visits",
            "http GET /users/{}",
            "rpc grpc a.v1.Service/Do",
            "client fetch",
        ]
        .map(|key| (is_write_key(key), is_read_key(key)));
        let (write, read, unknown) = ((true, false), (false, true), (false, false));
        assert_eq!(effects, [write, write, write, read, read, unknown, unknown]);
    }

    #[test]
    fn what_is_no_operation_has_no_key() {
        check(
            "BEGIN",
            &[("db.system", "sqlite"), ("db.statement", "BEGIN IMMEDIATE")],
            None,
        );
        for kind in [SpanKind::Internal, SpanKind::Server, SpanKind::Consumer] {
            let attributes = vec![("db.system".to_owned(), "sqlite".to_owned())];
            assert_eq!(
                operation_key(&Span {
                    kind,
                    attributes,
                    ..Span::default()
                }),
                None
            );
        }
        check("fetch", &[], Some("client fetch"));
    }
}
