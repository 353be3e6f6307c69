use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn manifest(listener: &TcpListener, events: &str) -> Manifest {
    let address = listener.local_addr().unwrap();
    let text = format!(
        "
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: {{ name: gazetteer }}
spec:
  legacy: {{ url: \"http://127.0.0.1:1\" }}
  candidate: {{ url: \"http://127.0.0.1:2\" }}
  notify: [{{ url: \"http://{address}/hook\"{events} }}]
"
    );
    Manifest::parse("test", &text).unwrap()
}

fn decision(id: u64, action: &str) -> wire::Decision {
    wire::Decision {
        id,
        action: action.into(),
        basis: Some(wire::Basis::default()),
        ..wire::Decision::default()
    }
}

fn notifier() -> Notifier {
    Notifier::new(TaskTracker::new(), CancellationToken::new())
}

/// Takes one request and answers it; gives back its head and its body.
async fn take(listener: &TcpListener, answer: &str) -> (String, serde_json::Value) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = format!("content-length: {}", body.len());
        if head.to_ascii_lowercase().contains(&length) {
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return (head.to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

#[tokio::test]
async fn a_decision_is_posted_and_tried_again_until_it_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = notifier();
    notifier.tell(&manifest(&listener, ""), &[decision(7, "advance")]);
    let (_, first) = take(&listener, "503 Service Unavailable").await;
    let (head, second) = take(&listener, "204 No Content").await;
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(first, second);
    assert_eq!(second["manifest"], "gazetteer");
    assert_eq!(second["events"], serde_json::json!(["advance"]));
    assert_eq!(second["decision"]["id"], "7");
    assert!(second["decision"].get("basis").is_none());
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_and_others_still_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = notifier();
    let decisions = [decision(1, "rollback"), decision(2, "abort")];
    notifier.tell(&manifest(&listener, ""), &decisions);
    let (_, first) = take(&listener, "400 Bad Request").await;
    let (_, second) = take(&listener, "200 OK").await;
    assert_eq!(
        (&first["decision"]["id"], &second["decision"]["id"]),
        (&"1".into(), &"2".into())
    );
    assert_eq!(notifier.counters().failed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn only_the_events_that_were_asked_for_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = notifier();
    let last = wire::Decision {
        phase: wire::Phase::Healthy.into(),
        ..decision(3, "advance")
    };
    let decisions = [decision(1, "advance"), decision(2, "manifest"), last];
    let manifest = manifest(&listener, ", events: [healthy]");
    notifier.tell(&manifest, &decisions);
    let (_, told) = take(&listener, "200 OK").await;
    assert_eq!(told["decision"]["id"], "3");
    assert_eq!(told["events"], serde_json::json!(["advance", "healthy"]));
}

#[tokio::test]
async fn an_address_that_never_answers_delays_nobody_and_drops_are_counted() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = notifier();
    let flood: Vec<_> = (0..QUEUE as u64 + 10)
        .map(|id| decision(id, "pause"))
        .collect();
    // Nothing here awaits, so the task takes none of them yet.
    notifier.tell(&manifest(&silent, ""), &flood);
    assert_eq!(notifier.counters().queue_full.load(Ordering::Relaxed), 10);

    notifier.shutdown.cancel();
    notifier.tasks.close();
    notifier.tasks.wait().await;
    let lost = notifier.counters().shutdown.load(Ordering::Relaxed);
    assert_eq!(
        lost, QUEUE as u64,
        "the end is not delayed, and says what it costs"
    );
}
