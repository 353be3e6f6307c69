use super::super::testing::server::Server;
use super::super::{Location, Store};
use super::*;
use crate::clock::Clock;

#[test]
fn reads_what_a_url_asks_for() {
    let check = |url: &str, expected: Result<(&str, SslMode, Trust), &str>| {
        let found = split(url);
        let found = found.as_ref().map_err(String::as_str);
        let expected = expected.map(|(rest, mode, trust)| (rest.to_owned(), mode, trust));
        assert_eq!(found, expected.as_ref().map_err(|error| *error), "{url}");
    };
    use SslMode::{Disable, Prefer, Require};
    check(
        "postgres://h/d",
        Ok(("postgres://h/d", Prefer, Trust::Anyone)),
    );
    check(
        "postgres://h/d?sslmode=disable&connect_timeout=3",
        Ok(("postgres://h/d?connect_timeout=3", Disable, Trust::Anyone)),
    );
    check(
        "postgres://h/d?sslmode=require",
        Ok(("postgres://h/d", Require, Trust::Anyone)),
    );
    let file = Trust::Authorities("/a b/ca.pem".into());
    check(
        "postgres://h/d?sslrootcert=/a%20b/ca.pem&sslmode=verify-full",
        Ok(("postgres://h/d", Require, file)),
    );
    check(
        "postgres://h/d?sslmode=verify-ca",
        Err("sslmode=verify-ca: write disable, prefer, require or verify-full"),
    );
    check(
        "postgres://h/d?sslmode=verify-full",
        Err("sslmode=verify-full wants sslrootcert=FILE, the authority (PEM)"),
    );
    check(
        "postgres://h/d?sslmode=require&sslrootcert=ca.pem",
        Err("sslrootcert goes with sslmode=verify-full"),
    );
}

/// Opens a store; says whether its connection is encrypted, or why there is none.
fn encrypted(server: &Server, url: &str, asked: &str) -> Result<bool, String> {
    let location = Location::parse(&format!("{url}?{asked}"))?;
    let (store, ..) = Store::open(&location, Clock::start()).map_err(|e| chain(&e))?;
    let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE application_name = 'cutover' AND datname = current_database()";
    let answer = server.sql(url, sql);
    store.close();
    Ok(answer == "t")
}

fn chain(error: &dyn std::error::Error) -> String {
    super::super::database::chain(error)
}

#[test]
fn speaks_tls_as_the_url_asks_and_only_to_whom_the_authority_names() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.make_database();
    assert_eq!(encrypted(&server, &url, "sslmode=prefer"), Ok(false));
    let refused = encrypted(&server, &url, "sslmode=require").unwrap_err();
    assert!(refused.contains("does not support TLS"), "{refused}");

    let authority = server.speak_tls(&url);
    let verify = format!("sslmode=verify-full&sslrootcert={}", authority.display());
    assert_eq!(encrypted(&server, &url, "sslmode=disable"), Ok(false));
    for asked in ["sslmode=prefer", "sslmode=require", &verify] {
        assert_eq!(encrypted(&server, &url, asked), Ok(true), "{asked}");
    }
    // The certificate is for the address only.
    let other = url.replace("127.0.0.1", "localhost");
    let refused = encrypted(&server, &other, &verify).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    // And by this authority only.
    let stranger = authority.with_file_name("stranger.crt");
    let by_stranger = format!("sslmode=verify-full&sslrootcert={}", stranger.display());
    let refused = encrypted(&server, &url, &by_stranger).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let refused = encrypted(&server, &url, "sslmode=verify-full&sslrootcert=none.pem").unwrap_err();
    assert!(refused.contains("none.pem"), "{refused}");
}
