//! Calls through a whole proxy into a journal: what is in the file, and what never is.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_manifest::{Manifest, Percent};
use cutover_proto::grpc::binarylog::v1::grpc_log_entry::{EventType, Logger, Payload};
use cutover_proto::grpc::binarylog::v1::{GrpcLogEntry, Metadata};
use cutover_proxy::journal::{Entries, Entry, Journal, JournalError, JournalOptions};
use cutover_proxy::{Proxy, ProxyOptions, reflection};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A server with health and reflection; `name` is the one service it knows.
async fn arm(name: &str) -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(name, tonic_health::ServingStatus::Serving)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(health)
        .add_service(reflection);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// A proxy that records, with its journal's file in a directory of its own.
struct Recording {
    proxy: Proxy,
    journal: Journal,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

async fn record(rules: &str, share: Percent, max_bytes: u64) -> Recording {
    let legacy = arm("known").await;
    let text = format!(
        "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
         listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n  legacy: {{ url: \"http://{legacy}\" }}\n  \
         candidate: {{ url: \"http://127.0.0.1:1\" }}\n{rules}"
    );
    let manifest = Arc::new(Manifest::parse("t.yaml", &text).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.binlog");
    let journal = Journal::create(JournalOptions {
        file: file.clone(),
        share,
        max_bytes,
        descriptors: reflection::descriptors(&manifest).await.unwrap(),
        manifest: manifest.clone(),
    })
    .unwrap();
    let proxy = Proxy::start(ProxyOptions {
        bootstrap: Some(manifest),
        threads: 1,
        journal: Some(journal.clone()),
        ..ProxyOptions::default()
    })
    .await
    .unwrap();
    Recording {
        proxy,
        journal,
        file,
        _directory: directory,
    }
}

async fn client(proxy: &Proxy) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", proxy.listen_address())).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn read(file: &Path) -> Vec<GrpcLogEntry> {
    let mut entries = Entries::new(File::open(file).unwrap());
    std::iter::from_fn(|| match entries.read().unwrap()? {
        Entry::Good(entry) => Some(*entry),
        Entry::Undecodable => panic!("an entry that doesn't decode"),
    })
    .collect()
}

fn names(metadata: Option<&Metadata>) -> Vec<&str> {
    let entries = metadata.map_or(&[][..], |metadata| &metadata.entry);
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

const EVERYTHING: u64 = u64::MAX;

#[tokio::test]
async fn a_unary_call_is_written_event_by_event() {
    let recording = record("", Percent::FULL, EVERYTHING).await;
    let mut request = Request::new(ask("known"));
    let metadata = request.metadata_mut();
    for (name, value) in [
        ("x-user-id", "u7"),
        ("authorization", "Bearer s3cret"),
        ("cookie", "session=s3cret"),
        ("grpc-timeout", "5S"),
    ] {
        metadata.insert(name, value.parse().unwrap());
    }
    metadata.insert_bin(
        "x-blob-bin",
        tonic::metadata::BinaryMetadataValue::from_bytes(b"b"),
    );
    client(&recording.proxy).await.check(request).await.unwrap();
    recording.proxy.shutdown().await;
    let counts = recording.journal.finish().unwrap();
    assert_eq!((counts.calls, counts.messages_dropped), (1, 0));

    let bytes = std::fs::read(&recording.file).unwrap();
    assert_eq!(counts.bytes, bytes.len() as u64);
    let secret = b"s3cret";
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    let entries = read(&recording.file);
    let events: Vec<EventType> = entries.iter().map(GrpcLogEntry::r#type).collect();
    assert_eq!(
        events,
        [
            EventType::ClientHeader,
            EventType::ClientMessage,
            EventType::ClientHalfClose,
            EventType::ServerHeader,
            EventType::ServerMessage,
            EventType::ServerTrailer,
        ]
    );
    let sequence: Vec<u64> = entries.iter().map(|e| e.sequence_id_within_call).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5, 6]);
    let mut times = entries.iter().map(|entry| {
        let at = entry.timestamp.unwrap();
        (at.seconds, at.nanos)
    });
    assert!(times.clone().is_sorted() && times.next().unwrap().0 > 1_700_000_000);
    for entry in &entries {
        assert!(entry.peer.is_none() && entry.call_id == 1);
        assert_eq!(entry.logger(), Logger::Server);
    }
    let Some(Payload::ClientHeader(header)) = &entries[0].payload else {
        panic!("{:?}", entries[0]);
    };
    assert_eq!(header.method_name, "/grpc.health.v1.Health/Check");
    assert!(header.authority.starts_with("127.0.0.1:"));
    assert_eq!(header.timeout.unwrap().seconds, 5);
    assert_eq!(names(header.metadata.as_ref()), ["x-user-id"]);
    let Some(Payload::Message(message)) = &entries[1].payload else {
        panic!("{:?}", entries[1]);
    };
    assert_eq!(&message.data[..], b"\x0a\x05known");
    let Some(Payload::Trailer(trailer)) = &entries[5].payload else {
        panic!("{:?}", entries[5]);
    };
    assert_eq!(trailer.status_code, 0);
}

#[tokio::test]
async fn a_compressed_message_is_written_without_compression() {
    let recording = record("", Percent::FULL, EVERYTHING).await;
    let client = client(&recording.proxy).await;
    let mut client = client.send_compressed(tonic::codec::CompressionEncoding::Gzip);
    // The server may not know gzip; what was sent is written all the same.
    let _ = client.check(ask("known")).await;
    drop(client);
    recording.proxy.shutdown().await;
    assert_eq!(recording.journal.finish().unwrap().messages_dropped, 0);
    let entries = read(&recording.file);
    let Some(Payload::Message(message)) = &entries[1].payload else {
        panic!("{:?}", entries[1]);
    };
    assert_eq!(&message.data[..], b"\x0a\x05known");
}

#[tokio::test]
async fn a_message_that_does_not_decode_is_left_out_and_counted() {
    let recording = record("", Percent::FULL, EVERYTHING).await;
    let url = format!("http://{}", recording.proxy.listen_address());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Vec<u8>, ()>::default();
    let path = "/grpc.health.v1.Health/Check".parse().unwrap();
    // As a message of one `bytes` field 1, which is no text: not UTF-8.
    let request = Request::new(b"hidden \xff".to_vec());
    client.unary(request, path, codec).await.unwrap_err();
    drop(client);
    recording.proxy.shutdown().await;
    assert_eq!(recording.journal.finish().unwrap().messages_dropped, 1);
    let entries = read(&recording.file);
    assert!(entries[1].payload_truncated);
    let Some(Payload::Message(message)) = &entries[1].payload else {
        panic!("{:?}", entries[1]);
    };
    assert_eq!((message.length, message.data.len()), (10, 0));
    let bytes = std::fs::read(&recording.file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"hidden"));
}

#[tokio::test]
async fn an_error_has_its_status_and_message_and_no_header() {
    let recording = record("", Percent::FULL, EVERYTHING).await;
    let mut client = client(&recording.proxy).await;
    client.check(ask("unknown")).await.unwrap_err();
    recording.proxy.shutdown().await;
    recording.journal.finish().unwrap();
    let entries = read(&recording.file);
    let events: Vec<EventType> = entries.iter().map(GrpcLogEntry::r#type).collect();
    assert!(!events.contains(&EventType::ServerHeader), "{events:?}");
    let Some(Payload::Trailer(trailer)) = &entries.last().unwrap().payload else {
        panic!("{entries:?}");
    };
    assert_eq!(trailer.status_code, 5);
    assert_eq!(trailer.status_message, "service not registered");
}

#[tokio::test]
async fn listed_fields_are_cleared_and_a_client_that_goes_away_is_a_cancel() {
    let rules = "  rules: [{ compare: { redact: [service, grpc_message] } }]\n";
    let recording = record(rules, Percent::FULL, EVERYTHING).await;
    let mut client = client(&recording.proxy).await;
    client.check(ask("hidden-name")).await.unwrap_err();
    let mut watch = client.watch(ask("known")).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    drop((watch, client));
    recording.proxy.shutdown().await;
    let counts = recording.journal.finish().unwrap();
    assert_eq!((counts.calls, counts.fields_cleared), (2, 2));
    let bytes = std::fs::read(&recording.file).unwrap();
    for hidden in [b"hidden-name".as_slice(), b"not registered"] {
        assert!(!bytes.windows(hidden.len()).any(|window| window == hidden));
    }
    let entries = read(&recording.file);
    let last = entries.last().unwrap();
    assert_eq!((last.call_id, last.r#type()), (2, EventType::Cancel));
}

#[tokio::test]
async fn a_share_of_none_records_nothing() {
    let recording = record("", Percent::ZERO, EVERYTHING).await;
    client(&recording.proxy)
        .await
        .check(ask("known"))
        .await
        .unwrap();
    recording.proxy.shutdown().await;
    assert_eq!(recording.journal.finish().unwrap().calls, 0);
    assert!(read(&recording.file).is_empty());
}

#[tokio::test]
async fn a_full_file_ends_the_recording_and_no_call() {
    let recording = record("", Percent::FULL, 1_000).await;
    let mut client = client(&recording.proxy).await;
    for _ in 0..20 {
        client.check(ask("known")).await.unwrap();
    }
    drop(client);
    recording.proxy.shutdown().await;
    let counts = recording.journal.finish().unwrap();
    assert!(counts.bytes <= 1_000 && counts.calls > 0, "{counts:?}");
    assert_eq!(counts.calls + counts.calls_dropped_full, 20);
    assert_eq!(read(&recording.file).len() as u64, counts.entries);
}

#[tokio::test]
async fn a_file_that_is_there_is_left_alone() {
    let recording = record("", Percent::FULL, EVERYTHING).await;
    let text = "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: { name: t }\nspec:\n  \
                legacy: { url: \"http://a:1\" }\n  candidate: { url: \"http://a:2\" }\n";
    let again = Journal::create(JournalOptions {
        file: recording.file.clone(),
        share: Percent::FULL,
        max_bytes: 1,
        descriptors: cutover_compare::Descriptors::decode(b"").unwrap(),
        manifest: Arc::new(Manifest::parse("t.yaml", text).unwrap()),
    });
    assert!(matches!(again, Err(JournalError::Create { .. })));
    recording.proxy.shutdown().await;
}
