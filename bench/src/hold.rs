//! Connections and streams that are opened and kept, so that one can look at the memory they take.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use crate::args::Hold;
use crate::calls::message_of;
use crate::connection::{Connection, Target, request};
use crate::stream::send;

/// A flood in which nothing moved for so long has stalled.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Opens what `args` asks for, prints a line, and keeps it until the process is ended. A flood
/// prints another line when nothing more is taken.
pub(crate) fn run(args: &Hold) -> anyhow::Result<()> {
    let target = Target::read(&args.target)?;
    let uri = target.uri(&args.path)?;
    let message = message_of(args.message_bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let mut connections = Vec::new();
        for number in 1..=args.connections {
            let opened = Connection::open(target.address).await;
            connections.push(opened.with_context(|| format!("connection {number}"))?);
        }
        // All at once, as callers come back after an interruption.
        let opening: Vec<_> = connections
            .iter()
            .flat_map(|connection| std::iter::repeat_n(connection, args.streams))
            .map(|connection| spawn_local(open(connection.clone(), uri.clone(), message.clone())))
            .collect();
        let mut held = Vec::with_capacity(opening.len());
        for opened in opening {
            held.push(opened.await??);
        }
        println!(
            "holding {} connections and {} streams",
            connections.len(),
            held.len()
        );
        if args.flood {
            let sent = flood(held, &message).await;
            println!("stalled after {sent} bytes");
        }
        pending::<()>().await;
        Ok(())
    }))
}

/// Both halves of a stream.
type Held = (SendStream<Bytes>, RecvStream);

/// Opens a stream, sends a message and waits until the answer has begun.
async fn open(connection: Connection, uri: http::Uri, message: Bytes) -> anyhow::Result<Held> {
    let mut sender = connection.0.ready().await?;
    let (response, mut stream) = sender.send_request(request(uri, None), false)?;
    send(&mut stream, message, false).await?;
    let (head, body) = response.await?.into_parts();
    ensure!(head.status.is_success(), "HTTP status {}", head.status);
    Ok((stream, body))
}

/// Sends on every stream until none takes any more for a while; returns the bytes that were taken.
/// The senders go on, and the answers stay unread.
async fn flood(held: Vec<Held>, message: &Bytes) -> u64 {
    let sent = Rc::new(Cell::new(0));
    for (mut stream, unread) in held {
        let (message, sent) = (message.clone(), Rc::clone(&sent));
        spawn_local(async move {
            while send(&mut stream, message.clone(), false).await.is_ok() {
                sent.set(sent.get() + message.len() as u64);
            }
            drop(unread);
        });
    }
    loop {
        let before = sent.get();
        sleep(STALLED_AFTER).await;
        if sent.get() == before {
            return before;
        }
    }
}
