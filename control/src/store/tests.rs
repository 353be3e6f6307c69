use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::testing::{Place, on_both};
use super::*;

on_both!(
    a_fresh_store_is_kept_when_opened_again,
    a_store_of_a_newer_version_is_refused_and_left_alone,
    a_closed_store_says_so,
    a_job_that_fails_has_changed_nothing,
);

async fn a_fresh_store_is_kept_when_opened_again(place: Place) {
    assert_eq!(place.open().unwrap().2, Found::Fresh);
    assert_eq!(place.open().unwrap().2, Found::Kept);
}

async fn a_store_of_a_newer_version_is_refused_and_left_alone(place: Place) {
    drop(place.open().unwrap());
    place.set_version(999);
    let error = place.open().err().unwrap();
    assert!(
        matches!(error, OpenError::Newer { found: 999, .. }),
        "{error}"
    );
    place.set_version(schema::VERSION);
    assert_eq!(place.open().unwrap().2, Found::Kept);
}

async fn a_closed_store_says_so(place: Place) {
    let (store, _) = place.store();
    store.close();
    let answer = store.call(|_| Ok(())).await;
    assert!(matches!(answer, Err(StoreError::Closed)));
    assert_eq!(place.open().unwrap().2, Found::Kept);
}

async fn a_job_that_fails_has_changed_nothing(place: Place) {
    let (store, _) = place.store();
    let half = store.call(|session| {
        session.execute("UPDATE state SET epoch = 7", &[])?;
        session.execute("UPDATE state SET no_such_column = 7", &[])
    });
    assert!(matches!(half.await, Err(StoreError::Failed(_))));
    assert!(store.outage().is_some());
    let saved = store.call(load).await.unwrap();
    assert_eq!(saved.epoch, 0);
    let change = Change::default();
    store.call(move |c| save_change(c, &change)).await.unwrap();
    assert_eq!(store.outage(), None, "it was written to");
}

fn file() -> Place {
    Place::sqlite().unwrap()
}

#[test]
fn a_corrupt_file_is_put_aside_and_a_fresh_store_begins() {
    let place = file();
    std::fs::write(&place.url, vec![0x5a; 8_192]).unwrap();
    let (_store, saved, found) = place.open().unwrap();
    let Found::Quarantined(aside) = found else {
        panic!("{found:?}")
    };
    assert_eq!(std::fs::read(aside).unwrap(), vec![0x5a; 8_192]);
    assert!(saved.ramps.is_empty());
}

#[test]
fn flipped_bytes_in_a_page_are_found_at_the_start() {
    let place = file();
    drop(place.open().unwrap());
    let mut bytes = std::fs::read(&place.url).unwrap();
    for byte in bytes.iter_mut().skip(4_096).take(8_192) {
        *byte ^= 0xff;
    }
    std::fs::write(&place.url, bytes).unwrap();
    let found = place.open().unwrap().2;
    assert!(matches!(found, Found::Quarantined(_)), "{found:?}");
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let place = file();
    let connection = rusqlite::Connection::open(&place.url).unwrap();
    connection
        .execute_batch("CREATE TABLE places (id INTEGER)")
        .unwrap();
    drop(connection);
    let error = place.open().err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[test]
fn two_processes_cannot_have_a_file_open() {
    let place = file();
    let _first = place.open().unwrap();
    let error = place.open().err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}

#[test]
fn a_postgres_that_is_not_there_is_named_without_its_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://ada:secret@127.0.0.1:{port}/cutover");
    let location = Location::parse(&url).unwrap();
    let error = Store::open(&location, Clock::start()).err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains(&format!("postgres://127.0.0.1:{port}/cutover")),
        "{text}"
    );
    assert!(
        text.contains("start it") && !text.contains("secret"),
        "{text}"
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (place, copy) = (file(), file());
    let (store, _) = place.store();
    for generation in 1..=20 {
        let change = Change {
            generation,
            epoch: 1,
            ..Change::default()
        };
        store.call(move |c| save_change(c, &change)).await.unwrap();
        // The files as they are at this moment are all that a killed process leaves behind.
        for suffix in ["", "-wal"] {
            let named = |base: &str| format!("{base}{suffix}");
            std::fs::copy(named(&place.url), named(&copy.url)).unwrap();
        }
        let (_, saved, found) = copy.open().unwrap();
        assert_eq!((saved.generation, found), (generation, Found::Kept));
    }
}

/// What a child process does until it is killed: changes, each told when it is acknowledged.
#[test]
#[ignore = "a part of another test, which runs it in a process of its own"]
fn writes_until_it_is_killed() {
    let Ok(url) = std::env::var("CUTOVER_TEST_STORE") else {
        return;
    };
    let location = Location::parse(&url).unwrap();
    let (store, saved, _) = Store::open(&location, Clock::start()).unwrap();
    for generation in saved.generation + 1.. {
        let change = Change {
            generation,
            decisions: vec![cutover_proto::cutover::v1::Decision {
                at_unix_ms: generation as i64,
                ..Default::default()
            }],
            ..Change::default()
        };
        let answer = store.submit(move |c| save_change(c, &change)).unwrap();
        answer.blocking_recv().unwrap().unwrap();
        println!("acknowledged {generation}");
    }
}

#[tokio::test]
async fn a_store_is_whole_after_each_of_200_kills_and_has_all_that_was_acknowledged() {
    let place = file();
    let mut acknowledged = 0;
    for kill in 0..200_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::writes_until_it_is_killed"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env("CUTOVER_TEST_STORE", &place.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed in the middle of one of its first writes.
        let mut left = kill % 5;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, generation)) = line.split_once("acknowledged ") {
                acknowledged = generation.parse().unwrap();
                if left == 0 {
                    break;
                }
                left -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some((_, generation)) = line.split_once("acknowledged ") {
                acknowledged = generation.parse().unwrap();
            }
        }
    }
    let (store, saved, found) = place.open().unwrap();
    assert_eq!(found, Found::Kept);
    assert!(acknowledged >= 200, "{acknowledged}");
    assert!(
        saved.generation >= acknowledged,
        "{} of {acknowledged}",
        saved.generation
    );
    let decisions = store.call(|c| list_decisions(c, 10_000)).await.unwrap();
    assert_eq!(
        decisions.len() as u64,
        saved.generation,
        "each whole, with its decision"
    );
    assert_eq!(decisions[0].at_unix_ms as u64, saved.generation);
}

#[tokio::test]
async fn whatever_is_damaged_it_opens_with_a_good_store_or_a_fresh_one() {
    let (good, damaged) = (file(), file());
    let (store, _) = good.store();
    for generation in 1..=50 {
        let change = Change {
            generation,
            decisions: vec![cutover_proto::cutover::v1::Decision {
                at_unix_ms: generation as i64,
                why: "x".repeat(500),
                ..Default::default()
            }],
            ..Change::default()
        };
        store.call(move |c| save_change(c, &change)).await.unwrap();
    }
    drop(store);
    let bytes = std::fs::read(&good.url).unwrap();
    // A generator of numbers that is the same in each run (Knuth's).
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut quarantined = 0;
    for _ in 0..200 {
        let mut bytes = bytes.clone();
        if random(4) == 0 {
            bytes.truncate(random(bytes.len()));
        } else {
            let (at, length) = (random(bytes.len()), 1 + random(256));
            let end = (at + length).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        std::fs::write(&damaged.url, bytes).unwrap();
        let (_store, saved, found) = match damaged.open() {
            Ok(opened) => opened,
            // The mark that it is ours is damaged: it may be anything, so it is left alone.
            Err(OpenError::Foreign { .. } | OpenError::Newer { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        if matches!(found, Found::Quarantined(_)) {
            quarantined += 1;
            assert_eq!(saved.generation, 0);
        }
    }
    assert!(quarantined > 40, "{quarantined}");
}
