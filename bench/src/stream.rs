//! Calls that stream many small messages, as fast as the server and what is between take them.

use std::future::poll_fn;
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::SendStream;
use serde_json::json;
use tokio::task::{LocalSet, spawn_local};

use crate::args::Stream;
use crate::calls::message_of;
use crate::connection::{Connection, Target, request, status};

/// Makes all calls at once and prints, as JSON, how long they took. Each of them must be echoed
/// whole and end well.
pub(crate) fn run(args: &Stream) -> anyhow::Result<()> {
    ensure!(args.messages > 0, "--messages must be above 0");
    let target = Target::read(&args.target)?;
    let uri = target.uri(&args.path)?;
    let message = message_of(args.message_bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let mut connections = Vec::new();
        for _ in 0..args.connections.max(1) {
            let opened = Connection::open(target.address).await;
            connections.push(opened.with_context(|| format!("connect to {}", args.target))?);
        }
        let start = Instant::now();
        let calls: Vec<_> = (0..args.calls)
            .map(|index| {
                let connection = connections[index % connections.len()].clone();
                let (uri, message, messages) = (uri.clone(), message.clone(), args.messages);
                spawn_local(async move { call(connection, uri, message, messages).await })
            })
            .collect();
        for call in calls {
            call.await??;
        }
        let seconds = start.elapsed().as_secs_f64();
        let messages = args.messages * args.calls as u64;
        println!("{}", json!({ "messages": messages, "seconds": seconds }));
        Ok(())
    }))
}

async fn call(
    connection: Connection,
    uri: http::Uri,
    message: Bytes,
    messages: u64,
) -> anyhow::Result<()> {
    let mut sender = connection.0.ready().await?;
    let (response, mut stream) = sender.send_request(request(uri, None), false)?;
    let length = message.len() as u64;
    let write = async {
        for left in (0..messages).rev() {
            send(&mut stream, message.clone(), left == 0).await?;
        }
        anyhow::Ok(())
    };
    let read = async {
        let (head, mut body) = response.await?.into_parts();
        let mut received = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            received += data.len() as u64;
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?;
        let status = status(trailers.as_ref().unwrap_or(&head.headers));
        ensure!(status == 0, "a call ended with status {status}");
        ensure!(
            received == messages * length,
            "of {} bytes sent, {received} came back",
            messages * length
        );
        Ok(())
    };
    tokio::try_join!(write, read).map(|_| ())
}

/// Sends a message once there is room for all of it, so that each is a frame of its own.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    message: Bytes,
    last: bool,
) -> anyhow::Result<()> {
    stream.reserve_capacity(message.len());
    while stream.capacity() < message.len() {
        let more = poll_fn(|context| stream.poll_capacity(context)).await;
        more.context("the stream was closed")??;
    }
    Ok(stream.send_data(message, last)?)
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one call with what it is sent, but for so many messages at its end.
    async fn echo(listener: TcpListener, swallowed: u64) {
        let (socket, _) = listener.accept().await.unwrap();
        let mut server = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        spawn_local(async move {
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            let mut body = request.into_body();
            let mut received = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                received.push(data);
            }
            for data in &received[swallowed as usize..] {
                answer.send_data(data.clone(), false).unwrap();
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            answer.send_trailers(trailers).unwrap();
        });
        while server.accept().await.is_some() {}
    }

    async fn call_with(swallowed: u64) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::read(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        spawn_local(echo(listener, swallowed));
        let connection = Connection::open(target.address).await.unwrap();
        call(connection, target.uri("/a.B/C").unwrap(), message_of(50), 9).await
    }

    #[tokio::test]
    async fn every_message_must_come_back() {
        let local = LocalSet::new();
        local.run_until(call_with(0)).await.unwrap();
        let error = local.run_until(call_with(1)).await.unwrap_err();
        assert!(
            error.to_string().starts_with("of 495 bytes sent, 440 came"),
            "{error}"
        );
    }
}
