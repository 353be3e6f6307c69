//! The stream to the control plane.

use std::time::Duration;

use cutover_proto::cutover::v1::control_plane_service_client::ControlPlaneServiceClient;
use cutover_proto::cutover::v1::sync_request::Kind;
use cutover_proto::cutover::v1::{Ack, Hello, SyncRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use super::encode;
use super::{Runtimes, Tables, TakeSamples};

/// Time between reports.
const INTERVAL: Duration = Duration::from_millis(500);
/// The pause before the stream is opened anew.
const RECONNECT: Duration = Duration::from_millis(500);
/// Messages that wait to be sent.
const QUEUE: usize = 16;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the last report when the proxy stops.
const LAST_REPORT: Duration = Duration::from_secs(1);

/// The control plane, as one proxy instance sees it.
pub(crate) struct Control {
    pub(crate) endpoint: Endpoint,
    pub(crate) hello: Hello,
    pub(crate) tables: Tables,
    pub(crate) runtimes: Runtimes,
}

impl Control {
    pub(crate) fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
        Ok(Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_while_idle(true))
    }
}

/// Keeps the stream open until `stop`.
pub(crate) async fn sync(control: Control, stop: CancellationToken) {
    let mut sequence = 0;
    let mut said = false;
    loop {
        let session = session(&control, &mut sequence, &stop).await;
        if stop.is_cancelled() {
            return;
        }
        if let Err(reason) = session
            && !std::mem::replace(&mut said, true)
        {
            tracing::warn!(
                reason,
                "no control plane: the last route table stays in force"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn session(
    control: &Control,
    sequence: &mut u64,
    stop: &CancellationToken,
) -> Result<(), String> {
    let channel = control
        .endpoint
        .connect()
        .await
        .map_err(|error| error.to_string())?;
    let mut client = ControlPlaneServiceClient::new(channel).max_decoding_message_size(16 << 20);
    let (send, requests) = mpsc::channel(QUEUE);
    let say = async |kind| {
        let request = SyncRequest { kind: Some(kind) };
        send.send(request)
            .await
            .map_err(|_| "the stream is closed".to_owned())
    };
    say(Kind::Hello(control.hello.clone())).await?;
    let opened = client.sync(ReceiverStream::new(requests)).await;
    let mut tables = opened.map_err(|status| status.to_string())?.into_inner();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            table = tables.message() => {
                let message = table.map_err(|status| status.to_string())?;
                let Some(message) = message else { return Err("the stream ended".to_owned()) };
                if let Some(table) = message.table {
                    let error = control.tables.receive(&table).err().unwrap_or_default();
                    if !error.is_empty() {
                        tracing::error!(table.generation, error, "route table refused");
                    }
                    say(Kind::Ack(Ack { generation: table.generation, error })).await?;
                }
            }
            _ = tick.tick() => {
                if let Some(report) = report(control, sequence).await {
                    say(report).await?;
                }
            }
            () = stop.cancelled() => {
                if let Some(report) = report(control, sequence).await {
                    say(report).await?;
                }
                drop(send);
                // The control plane ends the stream when it has read everything.
                let ended = async { while let Ok(Some(_)) = tables.message().await {} };
                let _ = tokio::time::timeout(LAST_REPORT, ended).await;
                return Ok(());
            }
        }
    }
}

async fn report(control: &Control, sequence: &mut u64) -> Option<Kind> {
    let snapshot = control.runtimes.snapshot(TakeSamples::Yes).await?;
    *sequence += 1;
    Some(Kind::Report(encode::report(snapshot, *sequence)))
}
