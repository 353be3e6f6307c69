//! OTLP over gRPC. tonic does the framing, the compression and the limit of a message; the message
//! itself stays bytes, which the reader walks.

use std::future::{Ready, ready};

use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::body::Metered;
use super::{MAX_MESSAGE_BYTES, PATIENCE, RETRY_AFTER, Receiver, Refused, Signal};

/// Answers an export.
pub(super) async fn export(receiver: Receiver, signal: Signal, request: Request) -> Response {
    let budget = receiver.counters.bodies.clone();
    let request = request.map(|body| Metered::new(body, budget));
    let counters = receiver.counters.clone();
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let answer = grpc.unary(Export { receiver, signal }, request);
    let mut response = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(_) => Status::from(Refused::Slow).into_http(),
    };
    // A message that is too large is OUT_OF_RANGE for tonic, which exporters send again; gRPC says
    // RESOURCE_EXHAUSTED. Nothing here uses OUT_OF_RANGE for anything else.
    let status = response.headers_mut().get_mut("grpc-status");
    if let Some(status) = status.filter(|status| status.as_bytes() == b"11") {
        *status = http::HeaderValue::from_static("8");
    }
    let code = response.headers().get("grpc-status");
    counters.answered(code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes())));
    response
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let message = refused.to_string();
        match refused {
            Refused::Busy | Refused::Closing => {
                let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
                Status::with_error_details(Code::Unavailable, message, details)
            }
            Refused::TooLarge => Status::resource_exhausted(message),
            Refused::Malformed(_) => Status::invalid_argument(message),
            Refused::Slow => Status::deadline_exceeded(message),
            Refused::Broken => Status::cancelled(message),
        }
    }
}

/// The one method of each of OTLP's services.
struct Export {
    receiver: Receiver,
    signal: Signal,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let taken = self.receiver.take(self.signal, &request.into_inner());
        ready(taken.map(tonic::Response::new).map_err(Status::from))
    }
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Debug)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
