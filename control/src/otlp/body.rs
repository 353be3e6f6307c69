//! The bodies of exports as they come in: within one budget of bytes, however many exporters send
//! at a time, and unpacked within the bound of one message.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as Inner;
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MAX_MESSAGE_BYTES, Refused};

/// How long the rest of a body that was refused is read.
const LINGER: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body whose bytes are taken from a budget as they come, and given back when it is dropped.
/// Where nothing is left it fails with a `tonic::Status`, which tonic gives to the exporter.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Inner,
    budget: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Metered {
    /// Around `inner`.
    pub(super) fn new(inner: Inner, budget: Arc<Semaphore>) -> Metered {
        Metered {
            inner,
            budget,
            taken: None,
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        let bytes = u32::try_from(bytes).map_err(|_| Refused::Busy)?;
        let permit = self.budget.clone().try_acquire_many_owned(bytes);
        let permit = permit.map_err(|_| Refused::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        Ok(())
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(match this.take(bytes) {
            Ok(()) => Ok(frame),
            Err(refused) => Err(tonic::Status::from(refused).into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a whole body of at most [`MAX_MESSAGE_BYTES`].
pub(super) async fn whole(mut body: Metered) -> Result<Bytes, Refused> {
    let refused = match Limited::new(&mut body, MAX_MESSAGE_BYTES).collect().await {
        Ok(whole) => return Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Refused::TooLarge,
        Err(error) if error.is::<tonic::Status>() => Refused::Busy,
        Err(_) => return Err(Refused::Broken),
    };
    body.taken = None;
    // A connection that is closed before all of a body was read is reset, and the exporter would
    // never see the answer. What is read here is kept nowhere.
    let rest = async {
        let mut left = MAX_MESSAGE_BYTES;
        while let (1.., Some(Ok(frame))) = (left, body.inner.frame().await) {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
    Err(refused)
}

/// Unpacks what came with `Content-Encoding: gzip`.
pub(super) fn gunzip(packed: &[u8]) -> Result<Bytes, Refused> {
    let mut unpacked = Vec::new();
    let limit = MAX_MESSAGE_BYTES as u64 + 1;
    let read = GzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut unpacked);
    read.map_err(|_| Refused::Malformed("the body is not gzip, as its Content-Encoding says"))?;
    if unpacked.len() > MAX_MESSAGE_BYTES {
        return Err(Refused::TooLarge);
    }
    Ok(unpacked.into())
}
