//! The key of an operation: the same words for the same outbound call, whatever language and
//! generation of the semantic conventions its span was written in. One file, a third of it tests,
//! because all generations have to meet in the same words.

use super::{SpanKind, sql};

/// Longest key, in characters.
const MAX_KEY_CHARS: usize = 200;

/// The attributes that are looked at; no other one ever changes what a span is compared as.
pub const ATTRIBUTES: [&str; 37] = [
    "db.cassandra.table",
    "db.collection.name",
    "db.mongodb.collection",
    "db.operation",
    "db.operation.name",
    "db.query.summary",
    "db.query.text",
    "db.sql.table",
    "db.statement",
    "db.system",
    "db.system.name",
    "error.type",
    "http.method",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "http.status_code",
    "http.target",
    "http.url",
    "messaging.destination",
    "messaging.destination.name",
    "messaging.destination.template",
    "messaging.operation",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "rpc.grpc.status_code",
    "rpc.method",
    "rpc.method_original",
    "rpc.response.status_code",
    "rpc.service",
    "rpc.status_code",
    "rpc.system",
    "rpc.system.name",
    "url.full",
    "url.path",
    "url.template",
];

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
pub struct Operation {
    /// Its key: the same for the same call in every language.
    pub key: String,
    /// Whether it changes something elsewhere.
    pub effect: Effect,
    /// Whether it goes to a database.
    pub(super) database: bool,
    /// Of a read whose statement is known, the key without what only the statement tells; another
    /// arm that doesn't export statements can only have this one.
    pub(super) without_statement: Option<String>,
}

/// What an operation does to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reads, or can't be told.
    Read,
    /// Writes.
    Write,
}

/// A span's attributes, as far as they are looked at.
struct Seen<'a> {
    kind: SpanKind,
    name: &'a str,
    attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Seen<'a> {
    /// The first of these attributes that is there and not empty.
    fn attribute(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| {
            debug_assert!(ATTRIBUTES.contains(name), "{name} is not in ATTRIBUTES");
            let named = |(key, value): &&(&str, &str)| key == name && !value.is_empty();
            self.attributes.iter().find(named).map(|(_, value)| *value)
        })
    }
}

pub(super) fn operation(
    kind: SpanKind,
    name: &str,
    attributes: &[(&str, &str)],
) -> Option<Operation> {
    if !matches!(kind, SpanKind::Client | SpanKind::Producer) {
        return None;
    }
    let span = Seen {
        kind,
        name,
        attributes,
    };
    let found = if let Some(system) = span.attribute(&["db.system.name", "db.system"]) {
        return database(&span, system);
    } else if let Some(system) = span.attribute(&["rpc.system.name", "rpc.system"]) {
        plain(format!("rpc {} {}", system_name(system), rpc_method(&span)))
    } else if let Some(system) = span.attribute(&["messaging.system"]) {
        messaging(&span, system)
    } else if let Some(method) = span.attribute(&["http.request.method", "http.method"]) {
        http(&span, method)
    } else {
        let word = if kind == SpanKind::Client {
            "client"
        } else {
            "producer"
        };
        plain(format!("{word} {name}"))
    };
    Some(found)
}

/// Whether the attributes say that a request failed, seen from its client.
pub(super) fn failed(kind: SpanKind, attributes: &[(&str, &str)]) -> bool {
    if kind != SpanKind::Client {
        return false;
    }
    let span = Seen {
        kind,
        name: "",
        attributes,
    };
    let rpc = span.attribute(&[
        "rpc.response.status_code",
        "rpc.status_code",
        "rpc.grpc.status_code",
    ]);
    let http = span.attribute(&["http.response.status_code", "http.status_code"]);
    let http_failed = |code: &str| code.parse().is_ok_and(|code: u32| code >= 400);
    rpc.is_some_and(|code| !matches!(code, "0" | "OK"))
        || http.is_some_and(http_failed)
        || span.attribute(&["error.type"]).is_some()
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

fn database(span: &Seen<'_>, system: &str) -> Option<Operation> {
    let operation = span.attribute(&["db.operation.name", "db.operation"]);
    let collection = span.attribute(&[
        "db.collection.name",
        "db.sql.table",
        "db.mongodb.collection",
        "db.cassandra.table",
    ]);
    // A statement comes first: what is read out of it is the same whoever wrote the span.
    let statement = span.attribute(&["db.query.text", "db.statement"]);
    let text = statement.and_then(sql::summary);
    let named = text.clone().filter(|text| text.contains(' '));
    let given = || span.attribute(&["db.query.summary"]).map(str::to_owned);
    let parts = || {
        let collection = collection?;
        let table = collection.rsplit('.').next().unwrap_or(collection);
        Some(format!("{} {table}", operation?))
    };
    let told_apart = given().or_else(parts);
    let summary = named.or_else(|| told_apart.clone()).or(text);
    let summary = summary.unwrap_or_else(|| operation.unwrap_or(span.name).to_owned());
    let (verb, rest) = verb_and_rest(&summary);
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
    let without_statement = told.map(|_| match &told_apart {
        Some(summary) => {
            let (verb, rest) = verb_and_rest(summary);
            written(format!("db {system} {verb} {rest}"), effect).key
        }
        None => plain.key.clone(),
    });
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

/// The verb of a summary in capitals, and what follows.
fn verb_and_rest(summary: &str) -> (String, &str) {
    let summary = summary.trim();
    let (verb, rest) = summary
        .split_once(char::is_whitespace)
        .unwrap_or((summary, ""));
    (verb.to_ascii_uppercase(), rest)
}

/// Today's name of a system.
fn system_name(system: &str) -> &str {
    match system {
        "sqlite3" => "sqlite",
        "postgres" => "postgresql",
        "mssql" => "microsoft.sql_server",
        "oracle" => "oracle.db",
        "cosmosdb" => "azure.cosmosdb",
        "dynamodb" => "aws.dynamodb",
        "connect_rpc" => "connectrpc",
        "apache_dubbo" => "dubbo",
        other => other,
    }
}

/// `package.Service/Method`: new conventions have it whole in `rpc.method`, or beside it where the
/// instrumentation doesn't know the method, older ones in two attributes, and some instrumentations
/// only in the span's name.
fn rpc_method(span: &Seen<'_>) -> String {
    let method = match span.attribute(&["rpc.method"]) {
        Some("_OTHER") => span.attribute(&["rpc.method_original"]),
        known => known,
    };
    let method = method.map(|method| method.trim_start_matches('/'));
    match (method, span.attribute(&["rpc.service"])) {
        (Some(method), _) if method.contains('/') => method.to_owned(),
        (Some(method), Some(service)) => format!("{service}/{method}"),
        _ => span.name.trim_start_matches('/').to_owned(),
    }
}

fn messaging(span: &Seen<'_>, system: &str) -> Operation {
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

fn http(span: &Seen<'_>, method: &str) -> Operation {
    let method = method.to_ascii_uppercase();
    let names = [
        "url.template",
        "http.route",
        "url.full",
        "http.url",
        "url.path",
        "http.target",
    ];
    let route = folded_path(span.attribute(&names).unwrap_or_default());
    written(format!("http {method} {route}"), http_effect(&method))
}

fn http_effect(method: &str) -> Effect {
    match method {
        "POST" | "PUT" | "PATCH" | "DELETE" => Effect::Write,
        _ => Effect::Read,
    }
}

/// The path of a URL or of its template. Segments that hold a digit are taken for ids and become
/// `{}`, and so do a template's own places, so that both give the same.
fn folded_path(url: &str) -> String {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find('/').map_or("/", |slash| &rest[slash..])
    });
    let path = behind_scheme.split(['?', '#']).next().unwrap_or_default();
    let varies = |segment: &str| {
        segment.starts_with([':', '<', '{']) || segment.contains(|c: char| c.is_ascii_digit())
    };
    let fold = |segment| if varies(segment) { "{}" } else { segment };
    path.split('/').map(fold).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, attributes: &[(&str, &str)], expected: Option<&str>) {
        let found = operation(SpanKind::Client, name, attributes);
        let key = found.as_ref().map(|of| of.key.as_str());
        assert_eq!(key, expected, "{name} {attributes:?}");
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
    fn an_arm_without_statements_is_met_by_what_it_can_know() {
        let join = "select * from places p join names n on n.place_id = p.id";
        let parts = [
            ("db.system.name", "sqlite"),
            ("db.operation.name", "select"),
            ("db.collection.name", "places"),
        ];
        let told = [&parts[..], &[("db.query.text", join)]].concat();
        let told = operation(SpanKind::Client, "x", &told).unwrap();
        let untold = operation(SpanKind::Client, "x", &parts).unwrap();
        assert_eq!(told.key, "db sqlite SELECT places names");
        assert_eq!(told.without_statement, Some(untold.key));
        assert_eq!(untold.without_statement, None);
    }

    #[test]
    fn a_client_span_failed_where_any_generation_says_so() {
        let check = |name, value, expected| {
            let attributes = [(name, value)];
            assert_eq!(
                failed(SpanKind::Client, &attributes),
                expected,
                "{name} {value}"
            );
            assert!(!failed(SpanKind::Server, &attributes), "{name}");
        };
        check("rpc.grpc.status_code", "5", true);
        check("rpc.grpc.status_code", "0", false);
        check("rpc.response.status_code", "NOT_FOUND", true);
        check("rpc.status_code", "OK", false);
        check("http.status_code", "404", true);
        check("http.response.status_code", "302", false);
        check("error.type", "TimeoutError", true);
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
        let unknown = [
            ("rpc.system.name", "grpc"),
            ("rpc.method", "_OTHER"),
            ("rpc.method_original", "/a.v1.Service/Do"),
        ];
        check("_OTHER", &unknown, expected);
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
        check("POST", &route, Some("http POST /users/{}"));
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
            assert_eq!(operation(kind, "x", &[("db.system", "sqlite")]), None);
        }
        check("fetch", &[], Some("client fetch"));
    }
}
