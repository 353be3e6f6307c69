//! One POST over a connection of its own.

use std::pin::pin;

use bytes::Bytes;
use cutover_manifest::Notify;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Who we say we are.
const USER_AGENT: &str = concat!("cutover/", env!("CARGO_PKG_VERSION"));

/// Why a notification was not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("can't connect")]
    Connect(#[source] std::io::Error),
    #[error("the request can't be made")]
    Request(#[source] http::Error),
    #[error("the connection broke off")]
    Broken(#[source] hyper::Error),
    #[error("no answer in time")]
    Late,
    #[error("it was answered with {0}")]
    Answered(StatusCode),
}

impl PostError {
    /// Whether another attempt may do better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            PostError::Connect(_) | PostError::Broken(_) | PostError::Late => true,
            PostError::Request(_) => false,
            PostError::Answered(status) => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
        }
    }
}

/// Sends `body`; delivered is what is answered with 2xx.
pub(super) async fn post(notify: &Notify, body: Bytes) -> Result<(), PostError> {
    let request = Request::post(&notify.path)
        .header(header::HOST, &notify.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(PostError::Request)?;
    let stream = TcpStream::connect((notify.host.as_str(), notify.port))
        .await
        .map_err(PostError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(PostError::Broken)?;
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The answer may have come with the connection's end, and says why it ended.
        _ = connection => answer.await,
    };
    let status = answer.map_err(PostError::Broken)?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(PostError::Answered(status))
    }
}
