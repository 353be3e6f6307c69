//! Mirrored calls in which the client streams: what the copy's handler got, and what came of it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover_manifest::Manifest;
use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
use cutover_proto::gazetteer::v1 as pb;
use cutover_proto::gazetteer::v1::gazetteer_service_client::GazetteerServiceClient;
use cutover_proto::gazetteer::v1::gazetteer_service_server::{
    GazetteerService, GazetteerServiceServer,
};
use cutover_proxy::{Proxy, ProxyOptions};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

/// How a handler's request stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    HalfClosed,
    /// The handler answered before the stream's end.
    Answered,
    /// The stream was reset.
    Reset,
}

/// One call of `MeasureRoute` as a handler saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    role: String,
    timeout: String,
    latitudes: Vec<f64>,
    end: End,
}

/// When an arm complains about a bad point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Complains {
    AtOnce,
    /// Only when the client has said all: a porting bug.
    AtTheEnd,
}

/// An arm that remembers its calls.
#[derive(Clone)]
struct Arm {
    complains: Complains,
    seen: Arc<Mutex<Vec<Seen>>>,
    looked_up: Arc<AtomicU32>,
    points: Arc<AtomicU32>,
}

/// Remembers a call that ends without an answer.
struct Remember {
    arm: Arm,
    seen: Option<Seen>,
}

impl Drop for Remember {
    fn drop(&mut self) {
        self.arm.seen.lock().unwrap().extend(self.seen.take());
    }
}

impl Arm {
    fn new(complains: Complains) -> Arm {
        Arm {
            complains,
            seen: Arc::default(),
            looked_up: Arc::default(),
            points: Arc::default(),
        }
    }

    async fn serve(&self) -> SocketAddr {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .build_v1()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(GazetteerServiceServer::new(self.clone()))
            .add_service(reflection);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    /// Waits for the first call of `MeasureRoute` to end.
    async fn first(&self) -> Seen {
        let seen = || self.seen.lock().unwrap().first().cloned();
        until(|| async { seen() }, "the handler never ran").await
    }
}

/// Polls until there is something.
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F, what: &str) -> T {
    let latest = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < latest, "{what}");
        tokio::task::yield_now().await;
    }
}

fn text<T>(request: &Request<T>, name: &str) -> String {
    let value = request.metadata().get(name);
    value.map_or(String::new(), |v| v.to_str().unwrap().to_owned())
}

#[async_trait]
impl GazetteerService for Arm {
    type ListPlacesStream = BoxStream<'static, Result<pb::ListPlacesResponse, Status>>;
    type SuggestStream = BoxStream<'static, Result<pb::SuggestResponse, Status>>;

    async fn get_place(
        &self,
        _: Request<pb::GetPlaceRequest>,
    ) -> Result<Response<pb::GetPlaceResponse>, Status> {
        self.looked_up.fetch_add(1, Relaxed);
        Ok(Response::new(pb::GetPlaceResponse::default()))
    }

    async fn search_places(
        &self,
        _: Request<pb::SearchPlacesRequest>,
    ) -> Result<Response<pb::SearchPlacesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn find_nearest(
        &self,
        _: Request<pb::FindNearestRequest>,
    ) -> Result<Response<pb::FindNearestResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_places(
        &self,
        _: Request<pb::ListPlacesRequest>,
    ) -> Result<Response<Self::ListPlacesStream>, Status> {
        Err(Status::unimplemented(""))
    }

    /// Answers with the number of points; latitudes above 90 are bad.
    async fn measure_route(
        &self,
        request: Request<Streaming<pb::MeasureRouteRequest>>,
    ) -> Result<Response<pb::MeasureRouteResponse>, Status> {
        let mut remember = Remember {
            arm: self.clone(),
            seen: Some(Seen {
                role: text(&request, "baggage"),
                timeout: text(&request, "grpc-timeout"),
                latitudes: Vec::new(),
                end: End::Reset,
            }),
        };
        let seen = remember.seen.as_mut().unwrap();
        let mut points = request.into_inner();
        while let Some(point) = points.message().await? {
            let latitude = point.point.unwrap_or_default().latitude;
            seen.latitudes.push(latitude);
            self.points.fetch_add(1, Relaxed);
            if latitude > 90.0 && self.complains == Complains::AtOnce {
                seen.end = End::Answered;
                return Err(Status::invalid_argument("a bad point"));
            }
        }
        seen.end = End::HalfClosed;
        match seen.latitudes.iter().any(|latitude| *latitude > 90.0) {
            true => Err(Status::invalid_argument("a bad point")),
            false => Ok(Response::new(pb::MeasureRouteResponse {
                distance_m: seen.latitudes.len() as f64,
                ..pb::MeasureRouteResponse::default()
            })),
        }
    }

    /// Answers each prefix with its number; the empty one ends the answer.
    async fn suggest(
        &self,
        request: Request<Streaming<pb::SuggestRequest>>,
    ) -> Result<Response<Self::SuggestStream>, Status> {
        let prefixes = request.into_inner().map(Result::unwrap);
        let open = prefixes.take_while(|prefix| std::future::ready(!prefix.prefix.is_empty()));
        let answer = |(sequence, _)| {
            Ok(pb::SuggestResponse {
                sequence: sequence as i32,
                ..pb::SuggestResponse::default()
            })
        };
        Ok(Response::new(open.enumerate().map(answer).boxed()))
    }

    async fn record_visit(
        &self,
        _: Request<pb::RecordVisitRequest>,
    ) -> Result<Response<pb::RecordVisitResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A proxy at weight 0 that mirrors everything and knows the descriptors already.
struct Mirrored {
    proxy: Proxy,
    client: GazetteerServiceClient<Channel>,
    legacy: Arm,
    candidate: Arm,
}

async fn mirrored(candidate: Complains, limits: &str) -> Mirrored {
    let [legacy, candidate] = [Complains::AtOnce, candidate].map(Arm::new);
    let (old, new) = (legacy.serve().await, candidate.serve().await);
    let text = format!(
        "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
         listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n  legacy: {{ url: \"http://{old}\" }}\n  \
         candidate: {{ url: \"http://{new}\" }}\n  rules: [{{ mirror: {{ percent: 100 }} }}]\n  \
         limits: {{ {limits} }}\n"
    );
    let bootstrap = Some(Arc::new(Manifest::parse("t.yaml", &text).unwrap()));
    let options = ProxyOptions {
        bootstrap,
        threads: 1,
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start(options).await.unwrap();
    let url = format!("http://{}", proxy.listen_address());
    let client = GazetteerServiceClient::connect(url).await.unwrap();
    // The first copy of a unary call says that the descriptors are there.
    let probe = || async {
        let request = pb::GetPlaceRequest::default();
        client.clone().get_place(request).await.unwrap();
        (candidate.looked_up.load(Relaxed) > 0).then_some(())
    };
    until(probe, "the descriptors never came").await;
    Mirrored {
        proxy,
        client,
        legacy,
        candidate,
    }
}

impl Mirrored {
    /// Waits until the metric of a method has come to a value.
    async fn counts(&self, name: &str, method: &str, more: &str, value: u64) {
        let line =
            format!("{name}{{method=\"/gazetteer.v1.GazetteerService/{method}\"{more}}} {value}");
        let found = || async {
            let text = get(self.proxy.admin_address(), "/metrics").await;
            text.lines().any(|l| l == line).then_some(())
        };
        until(found, &line).await;
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn point(latitude: f64) -> pb::MeasureRouteRequest {
    let longitude = 0.0;
    pb::MeasureRouteRequest {
        point: Some(pb::LatLng {
            latitude,
            longitude,
        }),
    }
}

const SHADOW: &str = "cutover.role=shadow";

#[tokio::test]
async fn a_copy_has_the_same_messages_in_order_and_their_half_close() {
    let mut on = mirrored(Complains::AtOnce, "").await;
    let route = stream::iter((0..200).map(|i| point(f64::from(i) / 10.0)));
    let mut request = Request::new(route);
    request.set_timeout(Duration::from_secs(20));
    let answer = on.client.measure_route(request).await.unwrap();
    assert_eq!(answer.into_inner().distance_m, 200.0);
    let copy = on.candidate.first().await;
    assert_eq!(copy.latitudes, on.legacy.first().await.latitudes);
    assert_eq!((copy.latitudes.len(), copy.end), (200, End::HalfClosed));
    assert_eq!(copy.role, SHADOW);
    on.counts("cutover_pairs_compared_total", "MeasureRoute", "", 1)
        .await;
    on.counts("cutover_pairs_mismatched_total", "MeasureRoute", "", 0)
        .await;
    // Its time says how fast a copy is sent, not how fast the arm is.
    let shadow = ",arm=\"candidate\",role=\"shadow\"";
    let durations = "cutover_call_duration_seconds_count";
    on.counts(durations, "MeasureRoute", shadow, 0).await;
    let primary = ",arm=\"legacy\",role=\"primary\"";
    on.counts(durations, "MeasureRoute", primary, 1).await;
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn an_early_error_cuts_the_copy_which_stays_open_until_it_is_answered() {
    let mut on = mirrored(Complains::AtOnce, "").await;
    let (client, points) = mpsc::channel(4);
    client.send(point(1.0)).await.unwrap();
    client.send(point(91.0)).await.unwrap();
    // The client would go on, had the arm not answered.
    let status = on.client.measure_route(ReceiverStream::new(points)).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    let copy = on.candidate.first().await;
    assert_eq!((copy.latitudes, copy.end), (vec![1.0, 91.0], End::Answered));
    on.counts("cutover_pairs_compared_total", "MeasureRoute", "", 1)
        .await;
    on.counts("cutover_pairs_mismatched_total", "MeasureRoute", "", 0)
        .await;
    drop(client);
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn an_arm_that_complains_only_at_the_end_is_caught() {
    let mut on = mirrored(Complains::AtTheEnd, "mirrorDeadline: 1s").await;
    let (client, points) = mpsc::channel(4);
    client.send(point(91.0)).await.unwrap();
    let status = on.client.measure_route(ReceiverStream::new(points)).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(on.candidate.first().await.latitudes, [91.0]);
    // With a half-close right away, it would have answered like the legacy.
    on.counts("cutover_pairs_mismatched_total", "MeasureRoute", "", 1)
        .await;
    drop(client);
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_the_client_cancels_is_not_compared() {
    let mut on = mirrored(Complains::AtOnce, "").await;
    let (client, points) = mpsc::channel(4);
    client.send(point(1.0)).await.unwrap();
    let mut calls = on.client.clone();
    let call = tokio::spawn(async move { calls.measure_route(ReceiverStream::new(points)).await });
    // The arm has the first point, and then the client is gone.
    let points = || async { (on.legacy.points.load(Relaxed) > 0).then_some(()) };
    until(points, "the point never came").await;
    call.abort();
    let cancelled = ",reason=\"cancelled\"";
    on.counts(
        "cutover_pairs_not_compared_total",
        "MeasureRoute",
        cancelled,
        1,
    )
    .await;
    assert!(on.candidate.seen.lock().unwrap().is_empty());
    on.client
        .measure_route(stream::iter([point(2.0)]))
        .await
        .unwrap();
    assert_eq!(on.candidate.first().await.latitudes, [2.0]);
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn a_long_stream_gives_its_copy_the_whole_time_out() {
    let on = mirrored(Complains::AtOnce, "mirrorDeadline: 10m").await;
    let (client, points) = mpsc::channel(4);
    let mut calls = on.client.clone();
    let call = tokio::spawn(async move {
        let mut request = Request::new(ReceiverStream::new(points));
        request
            .metadata_mut()
            .insert("grpc-timeout", "60S".parse().unwrap());
        calls.measure_route(request).await
    });
    client.send(point(1.0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(client);
    call.await.unwrap().unwrap();
    let micros = on.candidate.first().await.timeout;
    let micros: u64 = micros.strip_suffix('u').unwrap().parse().unwrap();
    assert!(
        micros > 58_500_000,
        "{micros} of 60 s, after a stream of 2 s"
    );
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn a_stream_beyond_the_bound_on_its_size_is_counted_and_passes() {
    let mut on = mirrored(Complains::AtOnce, "maxComparedMessageBytes: 4KiB").await;
    let route = stream::iter((0..2_000).map(|_| point(1.0)));
    let answer = on.client.measure_route(route).await.unwrap();
    assert_eq!(answer.into_inner().distance_m, 2_000.0);
    let reason = ",reason=\"over_bound\"";
    on.counts(
        "cutover_pairs_not_compared_total",
        "MeasureRoute",
        reason,
        1,
    )
    .await;
    assert!(on.candidate.seen.lock().unwrap().is_empty());
    on.proxy.shutdown().await;
}

#[tokio::test]
async fn both_ways_at_once_is_compared_message_by_message() {
    let mut on = mirrored(Complains::AtOnce, "").await;
    for last in ["", "x"] {
        let (client, prefixes) = mpsc::channel(4);
        let request = ReceiverStream::new(prefixes);
        let mut answers = on.client.suggest(request).await.unwrap().into_inner();
        for (sequence, prefix) in ["a", "ab", "abc"].into_iter().enumerate() {
            let prefix = prefix.to_owned();
            client
                .send(pb::SuggestRequest { prefix, limit: 1 })
                .await
                .unwrap();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!(answer.sequence, sequence as i32);
        }
        // The arm ends the answer at an empty prefix, else after the client has ended.
        let prefix = last.to_owned();
        client
            .send(pb::SuggestRequest { prefix, limit: 1 })
            .await
            .unwrap();
        if !last.is_empty() {
            assert!(answers.message().await.unwrap().is_some());
            drop(client);
        }
        assert!(answers.message().await.unwrap().is_none());
    }
    on.counts("cutover_pairs_compared_total", "Suggest", "", 2)
        .await;
    on.counts("cutover_pairs_mismatched_total", "Suggest", "", 0)
        .await;
    on.proxy.shutdown().await;
}
