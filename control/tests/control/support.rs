//! The played proxy and operator, and a control plane in a folder of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_control::{Control, ControlOptions};
use cutover_proto::cutover::v1 as wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use wire::control_plane_service_client::ControlPlaneServiceClient;
use wire::operator_service_client::OperatorServiceClient;
use wire::sync_request::Kind;

pub(crate) const METHOD: &str = "/gazetteer.v1.GazetteerService/GetPlace";
pub(crate) const MANIFEST: &str = r#"
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: gazetteer }
spec:
  legacy: { url: "http://127.0.0.1:1" }
  candidate: { url: "http://127.0.0.1:2" }
  rules:
    - matches: [{ method: { service: gazetteer.v1.GazetteerService, method: GetPlace } }]
      mirror: { percent: 100 }
    - matches: [{ method: { service: gazetteer.v1.GazetteerService, method: RecordVisit } }]
      weight: 0
  ramp:
    interval: 20ms
    steps: [{ weight: 1 }, { weight: 50 }, { weight: 100 }]
    gates: { minCalls: 100, errorRateMargin: 10%, mismatchBelow: 10%, confidence: 0.9 }
"#;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane and its folder.
pub(crate) struct Plane {
    pub(crate) control: Control,
    store: String,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn options(folder: &tempfile::TempDir) -> ControlOptions {
    options_on(folder, file(folder))
}

fn file(folder: &tempfile::TempDir) -> String {
    folder.path().join("cutover.db").display().to_string()
}

fn options_on(folder: &tempfile::TempDir, store: String) -> ControlOptions {
    ControlOptions {
        manifest_path: folder.path().join("cutover.yaml"),
        listen: Some("127.0.0.1:0".into()),
        operator: Some("127.0.0.1:0".into()),
        store: Some(store),
    }
}

impl Plane {
    pub(crate) async fn start(manifest: &str) -> Plane {
        let folder = tempfile::tempdir().unwrap();
        let store = file(&folder);
        Plane::start_in(manifest, folder, store).await
    }

    /// Around one that was started with [`options`].
    pub(crate) fn of(control: Control, folder: tempfile::TempDir) -> Plane {
        Plane {
            control,
            store: file(&folder),
            folder,
        }
    }

    /// With its state in a Postgres.
    pub(crate) async fn start_on(manifest: &str, url: &str) -> Plane {
        Plane::start_in(manifest, tempfile::tempdir().unwrap(), url.to_owned()).await
    }

    async fn start_in(manifest: &str, folder: tempfile::TempDir, store: String) -> Plane {
        std::fs::write(folder.path().join("cutover.yaml"), manifest).unwrap();
        let options = options_on(&folder, store.clone());
        Plane {
            control: Control::start(options).await.unwrap(),
            store,
            folder,
        }
    }

    pub(crate) async fn restart(self) -> Plane {
        self.restart_after(|_| ()).await
    }

    /// Does something to its folder while it is down.
    pub(crate) async fn restart_after(self, damage: impl FnOnce(&Path)) -> Plane {
        self.control.shutdown().await;
        damage(self.folder.path());
        let options = options_on(&self.folder, self.store.clone());
        Plane {
            control: Control::start(options).await.unwrap(),
            ..self
        }
    }

    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.folder.path().join("cutover.yaml")
    }

    pub(crate) async fn channel(&self) -> Channel {
        connect(&self.control.listen_address().to_string()).await
    }

    pub(crate) async fn operator(&self) -> OperatorServiceClient<Channel> {
        let channel = connect(&self.control.operator_address().to_string()).await;
        OperatorServiceClient::new(channel).max_decoding_message_size(usize::MAX)
    }

    pub(crate) async fn status(&self) -> wire::Status {
        let answer = self
            .operator()
            .await
            .get_status(wire::GetStatusRequest {})
            .await;
        answer.unwrap().into_inner().status.unwrap()
    }

    /// Watches the state until it is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&wire::Status) -> bool) -> wire::Status {
        let watch = async {
            let mut operator = self.operator().await;
            let states = operator.watch_status(wire::WatchStatusRequest {}).await;
            let mut states = states.unwrap().into_inner();
            loop {
                let status = states.message().await.unwrap().unwrap().status.unwrap();
                if wanted(&status) {
                    return status;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, watch).await {
            Ok(status) => status,
            Err(_) => panic!(
                "the state never became as wanted: {:#?}",
                self.status().await
            ),
        }
    }

    pub(crate) async fn decisions(&self) -> Vec<wire::Decision> {
        let request = wire::ListDecisionsRequest::default();
        self.operator()
            .await
            .list_decisions(request)
            .await
            .unwrap()
            .into_inner()
            .decisions
    }

    /// The answer to a plain HTTP/1.1 request, head and body.
    pub(crate) async fn http(&self, method: &str, path: &str) -> (String, String) {
        let address = self.control.operator_address();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

pub(crate) async fn connect(address: &str) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// A played proxy instance.
pub(crate) struct Proxy {
    requests: mpsc::Sender<wire::SyncRequest>,
    tables: Streaming<wire::SyncResponse>,
    pub(crate) table: wire::RouteTable,
    sequence: u64,
    counters: wire::MethodReport,
}

impl Proxy {
    /// Connects, says hello, and waits for the first table.
    pub(crate) async fn connect(plane: &Plane, digit: char) -> Proxy {
        let (requests, waiting) = mpsc::channel(16);
        let mut client = ControlPlaneServiceClient::new(plane.channel().await);
        let hello = wire::Hello {
            instance: digit.to_string().repeat(32),
            version: "test".into(),
            host: "here".into(),
        };
        requests
            .send(wire::SyncRequest {
                kind: Some(Kind::Hello(hello)),
            })
            .await
            .unwrap();
        let tables = client
            .sync(ReceiverStream::new(waiting))
            .await
            .unwrap()
            .into_inner();
        let counters = wire::MethodReport {
            method: METHOD.into(),
            calls: Vec::new(),
            pairs: Some(wire::PairCounters::default()),
        };
        let table = wire::RouteTable::default();
        let mut proxy = Proxy {
            requests,
            tables,
            table,
            sequence: 0,
            counters,
        };
        proxy.next_table().await;
        proxy
    }

    pub(crate) async fn next_table(&mut self) -> &wire::RouteTable {
        let message = tokio::time::timeout(PATIENCE, self.tables.message());
        let message = message.await.expect("no table came").unwrap().unwrap();
        self.table = message.table.unwrap();
        let ack = wire::Ack {
            generation: self.table.generation,
            error: String::new(),
        };
        self.say(Kind::Ack(ack)).await;
        &self.table
    }

    /// The ramp's weight of the method in the newest table, basis points.
    pub(crate) fn weight_bp(&self) -> u32 {
        self.table.weights.as_ref().unwrap().ramp_by_method_bp[METHOD]
    }

    pub(crate) async fn say(&self, kind: Kind) {
        self.requests
            .send(wire::SyncRequest { kind: Some(kind) })
            .await
            .unwrap();
    }

    /// Counts calls at a weight, all of them mirrored; `bad` of the pairs differ and fail in the
    /// candidate only. Sends the report.
    pub(crate) async fn count(&mut self, weight_bp: u32, calls: u64, bad: u64) {
        let candidate_primary = calls * u64::from(weight_bp) / 10_000;
        let cells = [
            (
                wire::Arm::Legacy,
                wire::Role::Primary,
                calls - candidate_primary,
                0,
            ),
            (
                wire::Arm::Candidate,
                wire::Role::Shadow,
                calls - candidate_primary,
                0,
            ),
            (
                wire::Arm::Candidate,
                wire::Role::Primary,
                candidate_primary,
                bad,
            ),
            (wire::Arm::Legacy, wire::Role::Shadow, candidate_primary, 0),
        ];
        for (arm, role, calls, bad) in cells.into_iter().filter(|cell| cell.2 > 0) {
            let failures = bad.min(calls);
            self.counters.calls.push(wire::CallCounters {
                weight_bp,
                arm: arm.into(),
                role: role.into(),
                by_status: HashMap::from([(0, calls - failures), (13, failures)]),
                failures,
                latency: Some(wire::Histogram {
                    buckets: HashMap::from([(80, calls)]),
                    sum_us: calls * 1_000,
                }),
            });
        }
        let pairs = self.counters.pairs.as_mut().unwrap();
        pairs.compared += calls;
        pairs.mismatched += bad;
        pairs.only_candidate_failed += bad;
        if bad > 0 {
            pairs.fields = vec![wire::FieldCounters {
                path: "place.name".into(),
                kind: "value".into(),
                pairs: pairs.mismatched,
                ..Default::default()
            }];
        }
        self.report(Vec::new()).await;
    }

    pub(crate) async fn report(&mut self, samples: Vec<wire::Sample>) {
        self.sequence += 1;
        self.say(Kind::Report(wire::Report {
            epoch: self.table.epoch,
            sequence: self.sequence,
            methods: vec![self.counters.clone()],
            samples,
            ..Default::default()
        }))
        .await;
    }

    /// Starts counting from zero, as a proxy does in a new epoch.
    pub(crate) fn forget(&mut self) {
        self.counters.calls.clear();
        self.counters.pairs = Some(wire::PairCounters::default());
    }

    /// What the stream ends with.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match tokio::time::timeout(PATIENCE, self.tables.message())
                .await
                .unwrap()
            {
                Err(status) => return status,
                Ok(None) => return Status::ok("ended"),
                Ok(Some(_)) => {}
            }
        }
    }
}
