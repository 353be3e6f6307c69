//! A control plane's operator API in this process: answers from a script, keeps what it was asked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use cutover_proto::cutover::v1::operator_service_server::{OperatorService, OperatorServiceServer};
use cutover_proto::cutover::v1::*;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response};

/// What the fake was asked to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// `SetWeight`.
    Weight(SetWeightRequest),
    /// `MoveRamp`.
    Move(MoveRampRequest),
}

/// A running fake; it ends when dropped.
pub(crate) struct Operator {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many changes from now on find that somebody else was faster.
    pub(crate) overtaken: Arc<AtomicU32>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Operator {
    /// Starts a fake that asks for `token` and tells `states`, the first one to `GetStatus`.
    pub(crate) fn start(token: &'static str, states: Vec<Status>) -> Operator {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let overtaken = Arc::new(AtomicU32::new(0));
        let (told, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let fake = Fake {
            token,
            states,
            asked: asked.clone(),
            overtaken: overtaken.clone(),
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                tonic::transport::Server::builder()
                    .add_service(OperatorServiceServer::new(fake))
                    .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                        let _ = stopped.await;
                    })
                    .await
                    .unwrap();
            });
        });
        let address = address.recv().unwrap();
        Operator {
            address,
            asked,
            overtaken,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What it was asked to change so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Fake {
    token: &'static str,
    states: Vec<Status>,
    asked: Arc<Mutex<Vec<Asked>>>,
    overtaken: Arc<AtomicU32>,
}

type Answer<T> = Result<Response<T>, tonic::Status>;

impl Fake {
    fn admit<T>(&self, request: &Request<T>) -> Result<Option<Status>, tonic::Status> {
        let given = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if given == Some(&format!("Bearer {}", self.token)) {
            Ok(self.states.first().cloned())
        } else {
            Err(tonic::Status::unauthenticated(
                "the token is missing or wrong",
            ))
        }
    }
}

impl Fake {
    /// Refuses what is based on another state, as a control plane does.
    fn keep(&self, asked: Asked, revision: Option<u64>) -> Result<(), tonic::Status> {
        self.asked.lock().unwrap().push(asked);
        if self
            .overtaken
            .fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1))
            .is_ok()
            || revision != self.states.first().map(|status| status.generation)
        {
            return Err(tonic::Status::aborted("the state is at another revision"));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl OperatorService for Fake {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Answer<GetStatusResponse> {
        let status = self.admit(&request)?;
        Ok(Response::new(GetStatusResponse { status }))
    }

    type WatchStatusStream =
        Pin<Box<dyn Stream<Item = Result<WatchStatusResponse, tonic::Status>> + Send>>;

    /// Tells all states, then nothing more, without ending.
    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Answer<Self::WatchStatusStream> {
        self.admit(&request)?;
        let states = self.states.clone().into_iter();
        let answers = states.map(|status| {
            Ok(WatchStatusResponse {
                status: Some(status),
            })
        });
        let all = tokio_stream::iter(answers.collect::<Vec<_>>());
        Ok(Response::new(Box::pin(all.chain(tokio_stream::pending()))))
    }

    async fn set_weight(&self, request: Request<SetWeightRequest>) -> Answer<SetWeightResponse> {
        let status = self.admit(&request)?;
        let (revision, asked) = (request.get_ref().revision, request.into_inner());
        self.keep(Asked::Weight(asked), revision)?;
        Ok(Response::new(SetWeightResponse { status }))
    }

    async fn move_ramp(&self, request: Request<MoveRampRequest>) -> Answer<MoveRampResponse> {
        let status = self.admit(&request)?;
        let (revision, asked) = (request.get_ref().revision, request.into_inner());
        self.keep(Asked::Move(asked), revision)?;
        Ok(Response::new(MoveRampResponse { status }))
    }

    async fn list_differences(
        &self,
        _: Request<ListDifferencesRequest>,
    ) -> Answer<ListDifferencesResponse> {
        Err(tonic::Status::unimplemented("the fake has no differences"))
    }

    async fn list_trace_pairs(
        &self,
        _: Request<ListTracePairsRequest>,
    ) -> Answer<ListTracePairsResponse> {
        Err(tonic::Status::unimplemented("the fake has no traces"))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Answer<ListDecisionsResponse> {
        self.admit(&request)?;
        let decision = match request.into_inner().id {
            1 => Decision {
                id: 1,
                scope: "*".to_owned(),
                action: "override".to_owned(),
                to_bp: 2500,
                who: "ada".to_owned(),
                why: "trial".to_owned(),
                ..Decision::default()
            },
            id => {
                let message = format!("there is no decision {id}: the log has 1 to 1");
                return Err(tonic::Status::not_found(message));
            }
        };
        let decisions = vec![decision];
        Ok(Response::new(ListDecisionsResponse { decisions }))
    }

    async fn get_report(&self, request: Request<GetReportRequest>) -> Answer<GetReportResponse> {
        let status = self.admit(&request)?;
        let quantiles = |p50_us| Quantiles {
            count: 9,
            p50_us,
            p90_us: p50_us,
            p99_us: p50_us,
        };
        Ok(Response::new(GetReportResponse {
            status,
            legacy_latency: Some(quantiles(1000.0)),
            candidate_latency: Some(quantiles(200.0)),
            compared: 1000,
            mismatched: 3,
            findings: vec![Finding {
                method: "/gazetteer.v1.GazetteerService/SearchPlaces".to_owned(),
                subject: "field".to_owned(),
                path: "results[].score".to_owned(),
                kind: "value".to_owned(),
                pairs: 3,
                compared: 1000,
                example: "0.5 → 0.25".to_owned(),
            }],
            decisions: Vec::new(),
        }))
    }
}
