//! One HTTP/2 connection and one call over it. On `h2` itself rather than on a gRPC library: the
//! load shares its cores with the server it measures, so it does no more than it must. Nothing is
//! decoded but the status.

use std::net::{SocketAddr, ToSocketAddrs};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use tokio::net::TcpStream;

use crate::args::Mistake;

/// Windows wide enough that the load never holds a server back.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Small frames that wait unread may be as many as the windows let through.
const DATA_FRAME_BUDGET_BYTES: usize = 1 << 30;
/// gRPC's UNKNOWN, which stands for an answer without a status.
const UNKNOWN: u32 = 2;

/// How a call ended.
pub(crate) struct Outcome {
    /// The gRPC status code, or `None` where the connection failed.
    pub(crate) status: Option<u32>,
    /// The value of the metadata that is counted.
    pub(crate) tally: Option<HeaderValue>,
}

/// Where calls go.
#[derive(Clone)]
pub(crate) struct Target {
    authority: String,
    /// Where to connect.
    pub(crate) address: SocketAddr,
}

impl Target {
    /// Reads http://HOST:PORT.
    pub(crate) fn read(text: &str) -> Result<Target, Mistake> {
        let wrong = || Mistake::Target(text.to_owned());
        let authority = text.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = authority.trim_end_matches('/');
        let mut found = authority.to_socket_addrs().map_err(|_| wrong())?;
        Ok(Target {
            authority: authority.to_owned(),
            address: found.next().ok_or_else(wrong)?,
        })
    }

    /// The URI of a method, given as /package.Service/Method.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, Mistake> {
        let right = path.starts_with('/') && path.matches('/').count() == 2;
        let uri = format!("http://{}{path}", self.authority).parse();
        uri.ok()
            .filter(|_| right)
            .ok_or_else(|| Mistake::Path(path.to_owned()))
    }
}

/// A connection that takes calls.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) SendRequest<Bytes>);

impl Connection {
    /// Connects; the connection's own task runs on the current thread.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .data_frame_budget(DATA_FRAME_BUDGET_BYTES)
            .handshake(stream)
            .await?;
        // The task ends with the connection; each call reports the failure that ends it.
        tokio::task::spawn_local(async move { connection.await.ok() });
        Ok(Connection(send))
    }

    /// Makes one call and reads its answer to the end.
    pub(crate) async fn call(
        &self,
        request: Request<()>,
        body: Bytes,
        tally: Option<&HeaderName>,
    ) -> Outcome {
        let (status, tally) = match self.answer(request, body, tally).await {
            Ok((status, tally)) => (Some(status), tally),
            Err(_) => (None, None),
        };
        Outcome { status, tally }
    }

    async fn answer(
        &self,
        request: Request<()>,
        body: Bytes,
        tally: Option<&HeaderName>,
    ) -> Result<(u32, Option<HeaderValue>), h2::Error> {
        let mut send = self.0.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, false)?;
        stream.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            let _ = body.flow_control().release_capacity(data?.len());
        }
        let trailers = body.trailers().await?;
        let status = status(trailers.as_ref().unwrap_or(&head.headers));
        Ok((
            status,
            tally.and_then(|name| head.headers.get(name).cloned()),
        ))
    }
}

/// The request of a call.
pub(crate) fn request(uri: Uri, key: Option<(HeaderName, HeaderValue)>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some((name, value)) = key {
        headers.insert(name, value);
    }
    request
}

/// The status that the trailers, or the headers of an answer without a body, give.
pub(crate) fn status(headers: &HeaderMap) -> u32 {
    let text = headers
        .get("grpc-status")
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN)
}
