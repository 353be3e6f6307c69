//! Looks at one arm: does it take connections, does it speak HTTP/2, does reflection answer?

use std::time::Duration;

use cutover_manifest::{Arm, ArmConfig};
use prost_reflect::DescriptorPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::list::List;

/// Longest wait for a connection, and then for the first frame.
const TIMEOUT: Duration = Duration::from_secs(3);
/// What an HTTP/2 client says first (RFC 9113, section 3.4): the preface and an empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Length of a frame's head.
const FRAME_HEAD_BYTES: usize = 9;
/// Type of a SETTINGS frame.
const SETTINGS: u8 = 4;

/// Looks at the arm; its descriptors if it tells them.
pub(super) async fn look(arm: Arm, config: &ArmConfig, list: &mut List) -> Option<DescriptorPool> {
    let name = arm.as_str();
    if let Err(error) = speaks_http2(&config.authority).await {
        let hint = format!("start the {arm}, or mend spec.{arm}.url");
        list.failed(
            name,
            format!("{}: {error}\n  help: {hint}", config.authority),
        );
        return None;
    }
    list.good(name, format!("{} speaks HTTP/2", config.authority));
    match describe(config).await {
        Ok(pool) => {
            list.good(
                name,
                format!("reflection tells {} files", pool.files().len()),
            );
            Some(pool)
        }
        Err(error) => {
            list.failed(
                name,
                format!(
                    "reflection doesn't answer: {error}\n  help: serve \
                     grpc.reflection.v1 on the {arm}, or name a file in spec.descriptors.file"
                ),
            );
            None
        }
    }
}

async fn speaks_http2(authority: &str) -> Result<(), String> {
    let connecting = timeout(TIMEOUT, TcpStream::connect(authority)).await;
    let mut stream = connecting
        .map_err(|_| format!("no connection within {} s", TIMEOUT.as_secs()))?
        .map_err(|error| format!("can't connect: {error}"))?;
    let mut head = [0; FRAME_HEAD_BYTES];
    let talk = async {
        stream.write_all(PREFACE).await?;
        stream.read_exact(&mut head).await
    };
    match timeout(TIMEOUT, talk).await {
        Ok(Ok(_)) if head[3] == SETTINGS => Ok(()),
        Ok(Ok(_)) => Err("answers, but not with HTTP/2: is this a gRPC port?".to_owned()),
        Ok(Err(error)) => Err(format!("takes connections, but not HTTP/2: {error}")),
        Err(_) => Err("takes connections, but says nothing to HTTP/2".to_owned()),
    }
}

async fn describe(config: &ArmConfig) -> Result<DescriptorPool, String> {
    let url = format!("http://{}", config.authority);
    // It has a bound of its own on the time.
    let set = cutover_proxy::reflection::fetch(&url)
        .await
        .map_err(|error| error.to_string())?;
    DescriptorPool::decode(set.as_slice())
        .map_err(|error| format!("its descriptors don't fit together: {error}"))
}
