//! One arm as a client sees it: any method, messages as bytes.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use cutover_compare::{Message, Observation};
use cutover_manifest::{Arm, Manifest, Role};
use cutover_proxy::journal::RecordedCall;
use tokio::time::{error::Elapsed, timeout};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{
    AsciiMetadataValue, BinaryMetadataValue, KeyAndValueRef, MetadataKey, MetadataMap,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, TimeoutExpired};

use crate::failure::Failure;

/// What belongs to one call's trace, or is ours: not sent again.
const NOT_SENT: [&str; 5] = [
    "baggage",
    "grpc-trace-bin",
    "traceparent",
    "tracestate",
    "x-cutover-arm",
];
/// Marks copies, as the proxy does, so that a service can refuse writes.
const ROLE_MEMBER: &str = "cutover.role";
/// The largest number that `grpc-timeout` holds.
const MAX_TIMEOUT: u128 = 99_999_999;
/// An arm counts the time a little sooner than we do.
const MOSTLY: f64 = 0.95;
/// How tonic begins to say that a message is larger than it may be.
const TOO_LARGE: &str = "Error, decoded message length too large";
/// Longest text kept of a lost call.
const MAX_REASON_CHARS: usize = 200;

/// Why a call has no pair of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The connection or the stream broke.
    Broke(Arm, String),
    /// Neither arm answered in time: that is no agreement.
    BothLate,
    /// An answer was larger than `limits.maxComparedMessageBytes`.
    OverBound,
}

/// A connection to one arm.
#[derive(Clone, Debug)]
pub(super) struct ArmClient {
    arm: Arm,
    channel: Channel,
    /// Longest wait for an answer's end.
    deadline: Duration,
    /// Bytes of an answer.
    limit: usize,
    metadata: Vec<(String, String)>,
}

/// An answer in time, or none.
pub(super) enum Answered {
    InTime(Observation),
    Late(Observation),
}

impl Answered {
    /// What there was of it.
    pub(super) fn seen(&self) -> &Observation {
        match self {
            Answered::InTime(seen) | Answered::Late(seen) => seen,
        }
    }
}

impl ArmClient {
    /// Connects, so that an arm that is away is told before anything is sent.
    pub(super) async fn connect(
        arm: Arm,
        manifest: &Manifest,
        metadata: &[(String, String)],
    ) -> Result<ArmClient, Failure> {
        let url = &manifest.arm(arm).url;
        let away = |reason: String| {
            Failure::failed(format!("can't connect to the {arm} at {url}"))
                .at(reason)
                .help(format!("start the {arm}, or mend spec.{arm}.url"))
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|e| away(e.to_string()))?;
        let endpoint = endpoint.connect_timeout(manifest.limits.connect_timeout);
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            away(cause.unwrap_or_else(|| error.to_string()))
        })?;
        Ok(ArmClient {
            arm,
            channel,
            deadline: manifest.limits.mirror_deadline,
            limit: manifest.limits.max_compared_message_bytes,
            metadata: metadata.to_vec(),
        })
    }

    /// Sends a recorded request and collects the whole answer.
    pub(super) async fn send(
        &self,
        call: &RecordedCall,
        role: Role,
    ) -> Result<Answered, Unanswered> {
        let started = Instant::now();
        let mut seen = Observation::default();
        let exchanged = timeout(self.deadline, self.exchange(call, role, &mut seen)).await;
        seen.duration = started.elapsed();
        let status = match exchanged {
            Ok(Ok(())) => None,
            Ok(Err(Broken::OverBound)) => return Err(Unanswered::OverBound),
            Ok(Err(Broken::Status(status))) if !is_late(&status, &seen, self.deadline) => {
                Some(status)
            }
            Ok(Err(Broken::Status(_))) | Err(Elapsed { .. }) => {
                seen.status = Code::DeadlineExceeded as u32;
                return Ok(Answered::Late(seen));
            }
        };
        if let Some(status) = status {
            // An arm's own status has no source; a broken connection or stream has.
            if let Some(cause) = std::error::Error::source(&*status) {
                let reason = format!("{}: {cause}", status.message());
                let reason = reason.chars().take(MAX_REASON_CHARS).collect();
                return Err(Unanswered::Broke(self.arm, reason));
            }
            seen.status = status.code() as u32;
            seen.status_message = status.message().to_owned();
            seen.details = Bytes::copy_from_slice(status.details());
            seen.trailers = trailers(status.metadata());
        }
        Ok(Answered::InTime(seen))
    }

    async fn exchange(
        &self,
        call: &RecordedCall,
        role: Role,
        seen: &mut Observation,
    ) -> Result<(), Broken> {
        let mut request = Request::new(tokio_stream::iter(call.messages.clone()));
        self.fill(request.metadata_mut(), call, role);
        let path = PathAndQuery::try_from(call.method.as_str())
            .map_err(|_| Status::unimplemented("the method's name is no path"))?;
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.limit)
            .max_encoding_message_size(usize::MAX);
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(Box::new(error)))?;
        let answer = client.streaming(request, path, Raw).await?;
        let mut messages = answer.into_inner();
        let mut bytes = 0;
        while let Some(message) = messages.message().await? {
            bytes += message.len();
            if bytes > self.limit {
                return Err(Broken::OverBound);
            }
            seen.messages.push(Message {
                compressed: false,
                bytes: message,
            });
        }
        if let Some(metadata) = messages.trailers().await? {
            seen.trailers = trailers(&metadata);
        }
        Ok(())
    }

    /// The deadline is ours, not the caller's: on another machine that would only add noise.
    fn fill(&self, metadata: &mut MetadataMap, call: &RecordedCall, role: Role) {
        for (name, value) in &call.metadata {
            let given = self.metadata.iter().any(|(known, _)| known == name);
            if given || NOT_SENT.contains(&name.as_str()) || name.starts_with("grpc-") {
                continue;
            }
            // What is no metadata now was none then either.
            if name.ends_with("-bin") {
                if let Ok(name) = MetadataKey::from_bytes(name.as_bytes()) {
                    metadata.append_bin(name, BinaryMetadataValue::from_bytes(value));
                }
            } else if let Ok(name) = MetadataKey::from_bytes(name.as_bytes())
                && let Ok(value) = AsciiMetadataValue::try_from(value.clone())
            {
                metadata.append(name, value);
            }
        }
        for (name, value) in &self.metadata {
            if let Ok(name) = MetadataKey::from_bytes(name.as_bytes())
                && let Ok(value) = AsciiMetadataValue::try_from(value.as_str())
            {
                metadata.append(name, value);
            }
        }
        let copy = format!("{ROLE_MEMBER}={}", role.as_str());
        if let Ok(value) = AsciiMetadataValue::try_from(copy) {
            metadata.append("baggage", value);
        }
        let millis = self.deadline.as_millis().clamp(1, MAX_TIMEOUT);
        if let Ok(value) = AsciiMetadataValue::try_from(format!("{millis}m")) {
            metadata.insert("grpc-timeout", value);
        }
    }
}

/// Both answers, unless neither came in time.
pub(super) fn both(legacy: Answered, candidate: Answered) -> Result<[Observation; 2], Unanswered> {
    use Answered::{InTime, Late};
    match (legacy, candidate) {
        (Late(_), Late(_)) => Err(Unanswered::BothLate),
        (InTime(legacy) | Late(legacy), InTime(candidate) | Late(candidate)) => {
            Ok([legacy, candidate])
        }
    }
}

/// What ends an exchange early.
enum Broken {
    /// Boxed, for it is large.
    Status(Box<Status>),
    OverBound,
}

impl From<Status> for Broken {
    fn from(status: Status) -> Broken {
        match status.code() {
            Code::OutOfRange if status.message().starts_with(TOO_LARGE) => Broken::OverBound,
            _ => Broken::Status(Box::new(status)),
        }
    }
}

/// Whether a status only says that the time is over: from tonic's own timer, or from the arm's.
fn is_late(status: &Status, seen: &Observation, deadline: Duration) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            return true;
        }
        source = cause.source();
    }
    status.code() == Code::DeadlineExceeded && seen.duration >= deadline.mul_f64(MOSTLY)
}

/// The trailers that may be compared: text that is the application's.
fn trailers(metadata: &MetadataMap) -> Vec<(String, String)> {
    let text = |pair| match pair {
        KeyAndValueRef::Ascii(name, value) if !name.as_str().starts_with("grpc-") => {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        }
        _ => None,
    };
    metadata.iter().filter_map(text).collect()
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
