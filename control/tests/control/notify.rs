//! Webhooks of a running control plane: who is told, and that nobody can delay a weight.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{MANIFEST, PATIENCE, Plane, Proxy};

async fn taken(listener: &TcpListener) -> serde_json::Value {
    let take = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 4_096];
        loop {
            let read = stream.read(&mut buffer).await.unwrap();
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
            if let Some(told) = body.and_then(|body| serde_json::from_str(body).ok()) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, take)
        .await
        .expect("nobody was told")
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_and_an_address_that_is_silent_delays_no_weight() {
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (told, never) = (hook.local_addr().unwrap(), silent.local_addr().unwrap());
    let notify = format!(
        "  notify:\n    - {{ url: \"http://{never}\" }}\n    \
         - {{ url: \"http://{told}/hook\", events: [advance, rollback] }}\n  ramp:\n"
    );
    let manifest = MANIFEST.replace("  ramp:\n", &notify);
    let plane = Plane::start(&manifest).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    proxy.count(100, 1_000, 900).await;
    proxy.next_table().await;
    assert_eq!(proxy.weight_bp(), 0, "the silent address delayed nothing");

    let (advance, rollback) = (taken(&hook).await, taken(&hook).await);
    assert_eq!(advance["manifest"], "gazetteer");
    assert_eq!(advance["decision"]["toBp"], 100);
    assert_eq!(advance["decision"]["id"], "1");
    assert_eq!(rollback["events"], serde_json::json!(["rollback"]));
    assert_eq!(rollback["decision"]["phase"], "PHASE_DEGRADED");
    assert!(rollback["decision"]["verdict"]["gates"].is_array());
    let (_, metrics) = plane.http("GET", "/metrics").await;
    assert!(metrics.contains("cutover_notifications_dropped_total{reason=\"failed\"} 0"));
    // The silent one still waits: the end does not wait for it.
    plane.control.shutdown().await;
}
