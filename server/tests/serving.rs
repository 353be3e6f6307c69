//! How the server serves, over a real loopback connection: bad messages, limits, health,
//! reflection and shutdown. The answers themselves are the corpus's matter.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "support/arm.rs"]
mod arm;
#[path = "support/codec.rs"]
mod codec;
#[path = "support/database.rs"]
mod database;

use std::time::Duration;

use arm::{Arm, serve_database};
use bytes::Bytes;
use codec::BytesCodec;
use cutover_proto::gazetteer::v1 as pb;
use cutover_proto::gazetteer::v1::gazetteer_service_client::GazetteerServiceClient;
use cutover_proto::gazetteer::v1::gazetteer_service_server::SERVICE_NAME;
use database::database;
use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

async fn serve(places: i64, flags: &[&str]) -> (TempDir, Arm) {
    let directory = database(places);
    let arm = serve_database(&directory.path().join("gazetteer.db"), flags).await;
    (directory, arm)
}

fn client(arm: &Arm) -> GazetteerServiceClient<Channel> {
    GazetteerServiceClient::new(arm.endpoint.connect_lazy())
}

async fn call_raw(arm: &Arm, path: &'static str, messages: Vec<Bytes>) -> Status {
    let mut grpc = Grpc::new(arm.endpoint.connect_lazy());
    grpc.ready().await.unwrap();
    let requests = Request::new(stream::iter(messages));
    let answer = grpc
        .streaming(requests, PathAndQuery::from_static(path), BytesCodec)
        .await;
    match answer {
        Err(status) => status,
        Ok(response) => {
            let mut messages = response.into_inner();
            loop {
                match messages.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok(""),
                    Err(status) => return status,
                }
            }
        }
    }
}

#[tokio::test]
async fn an_undecodable_message_is_internal_and_says_no_more() {
    let (_directory, arm) = serve(1, &[]).await;
    let invalid_utf8 = Bytes::from_static(b"\x0a\x02\xff\xfe");
    for path in [
        "/gazetteer.v1.GazetteerService/SearchPlaces",
        "/gazetteer.v1.GazetteerService/Suggest",
        "/gazetteer.v1.GazetteerService/MeasureRoute",
        "/gazetteer.v1.GazetteerService/ListPlaces",
    ] {
        let status = call_raw(&arm, path, vec![invalid_utf8.clone()]).await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, "malformed request")
        );
        assert!(status.details().is_empty());
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_and_one_at_the_limit_is_not() {
    let (_directory, arm) = serve(1, &["--max-message-bytes", "103"]).await;
    let path = "/gazetteer.v1.GazetteerService/SearchPlaces";
    let with_query_of = |bytes: usize| {
        let query = "x".repeat(bytes);
        vec![Bytes::from(
            [&[0x0a, u8::try_from(bytes).unwrap()], query.as_bytes()].concat(),
        )]
    };
    assert_eq!(
        call_raw(&arm, path, with_query_of(101)).await.code(),
        Code::Ok
    );
    let status = call_raw(&arm, path, with_query_of(102)).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "SERVER: Received message larger than max (104 vs. 103)"
    );
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let (_directory, arm) = serve(1, &[]).await;
    let status = call_raw(&arm, "/gazetteer.v1.GazetteerService/Nothing", vec![]).await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unimplemented, "Method not found!")
    );
}

#[tokio::test]
async fn a_call_too_many_is_refused_until_a_stream_has_ended() {
    let (_directory, arm) = serve(1, &["--max-concurrent-calls", "1"]).await;
    let (requests, receiver) = mpsc::channel(1);
    let answers = client(&arm)
        .suggest(ReceiverStream::new(receiver))
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    requests.send(pb::SuggestRequest::default()).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());

    let get_place = || async { client(&arm).get_place(pb::GetPlaceRequest { id: 1 }).await };
    assert_eq!(
        get_place().await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    assert_eq!(health(&arm, "").await, ServingStatus::Serving);

    drop(requests);
    assert!(answers.message().await.unwrap().is_none());
    assert!(get_place().await.is_ok());
}

#[tokio::test]
async fn health_knows_the_server_and_the_service() {
    let (_directory, arm) = serve(1, &[]).await;
    assert_eq!(health(&arm, "").await, ServingStatus::Serving);
    assert_eq!(health(&arm, SERVICE_NAME).await, ServingStatus::Serving);
}

async fn health(arm: &Arm, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    HealthClient::new(arm.endpoint.connect_lazy())
        .check(request)
        .await
        .unwrap()
        .into_inner()
        .status()
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    use tonic_reflection::pb;
    let (_directory, arm) = serve(1, &[]).await;
    macro_rules! services {
        ($version:ident) => {{
            use pb::$version::server_reflection_client::ServerReflectionClient;
            use pb::$version::server_reflection_request::MessageRequest;
            use pb::$version::server_reflection_response::MessageResponse;
            let message_request = Some(MessageRequest::ListServices(String::new()));
            let request = pb::$version::ServerReflectionRequest {
                host: String::new(),
                message_request,
            };
            let requests = stream::iter([request]);
            let mut client = ServerReflectionClient::new(arm.endpoint.connect_lazy());
            let answers = client.server_reflection_info(requests).await.unwrap();
            let answer = answers.into_inner().message().await.unwrap().unwrap();
            let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
                panic!("no list of services")
            };
            list.service
                .into_iter()
                .map(|service| service.name)
                .collect::<Vec<_>>()
        }};
    }
    for services in [services!(v1), services!(v1alpha)] {
        assert!(
            services.iter().any(|name| name == SERVICE_NAME),
            "{services:?}"
        );
        assert!(
            services.iter().any(|name| name == "grpc.health.v1.Health"),
            "{services:?}"
        );
    }
}

#[tokio::test]
async fn a_slow_reader_of_places_gets_them_all_and_holds_up_nobody() {
    let (_directory, arm) = serve(20_000, &[]).await;
    let request = pb::ListPlacesRequest {
        page_size: 7,
        ..Default::default()
    };
    let pages = client(&arm)
        .list_places(request)
        .await
        .unwrap()
        .into_inner();
    assert!(
        client(&arm)
            .get_place(pb::GetPlaceRequest { id: 5 })
            .await
            .is_ok()
    );
    let pages: Vec<_> = pages.map(Result::unwrap).collect().await;
    let numbers: Vec<_> = pages.iter().map(|page| page.page).collect();
    assert_eq!(numbers, (0..2858).collect::<Vec<_>>());
    let ids = pages
        .iter()
        .flat_map(|page| &page.places)
        .map(|place| place.id);
    assert!(ids.eq(1..=20_000));
}

#[tokio::test]
async fn shutdown_lets_a_running_call_end_and_takes_no_new_one() {
    let (_directory, arm) = serve(1, &["--shutdown-grace", "30"]).await;
    let (requests, receiver) = mpsc::channel(1);
    let mut answers = client(&arm)
        .suggest(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    requests.send(pb::SuggestRequest::default()).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    let watch = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let health = HealthClient::new(arm.endpoint.connect_lazy())
        .watch(watch)
        .await
        .unwrap();
    let mut health = health.into_inner();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );

    arm.stop.send(()).unwrap();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    drop(health);
    requests.send(pb::SuggestRequest::default()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().sequence, 1);
    drop(requests);
    assert!(answers.message().await.unwrap().is_none());
    drop(answers);
    arm.served.await.unwrap().unwrap();
    assert!(arm.endpoint.connect().await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_stream_beyond_the_grace() {
    let (_directory, arm) = serve(1, &["--shutdown-grace", "0.05"]).await;
    let (_requests, receiver) = mpsc::channel(1);
    let _answers = client(&arm)
        .suggest(ReceiverStream::new(receiver))
        .await
        .unwrap();
    arm.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), arm.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_database_that_fails_is_unavailable_and_says_no_more() {
    let (directory, arm) = serve(1, &[]).await;
    let database = directory.path().join("gazetteer.db");
    Connection::open(&database)
        .unwrap()
        .execute_batch("DROP TABLE visits")
        .unwrap();
    let status = client(&arm)
        .get_place(pb::GetPlaceRequest { id: 1 })
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "database unavailable")
    );
    assert!(status.details().is_empty());
}
