//! The gate that other tools ask.

use crate::support::{MANIFEST, METHOD, Plane, Proxy};

async fn codes(plane: &Plane, path: &str) -> [String; 2] {
    let code = async |method: &str| {
        let (head, _) = plane.http(method, path).await;
        head.split(' ').nth(1).unwrap().to_owned()
    };
    [code("GET").await, code("POST").await]
}

async fn gate(plane: &Plane, query: &str) -> serde_json::Value {
    let (head, body) = plane.http("GET", &format!("/api/gate{query}")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains("application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_waits_opens_and_tells_to_roll_back() {
    // One step of weight 0: judged, but moved by others.
    let steps = "steps: [{ weight: 1 }, { weight: 50 }, { weight: 100 }]";
    let manifest = MANIFEST.replace(steps, "steps: [{ weight: 0 }]");
    let plane = Plane::start(&manifest).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    assert_eq!(gate(&plane, "").await["verdict"], "wait");
    assert_eq!(codes(&plane, "/gate/flagger").await, ["409", "409"]);

    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let advance = gate(&plane, "?scope=*").await;
    assert_eq!(
        (&advance["verdict"], &advance["phase"]),
        (&"advance".into(), &"healthy".into())
    );
    assert_eq!(advance["weight"], 0.0);
    assert!(
        advance["reason"].as_str().unwrap().contains("1000000"),
        "{advance}"
    );
    assert_eq!(codes(&plane, "/gate/flagger").await, ["200", "200"]);
    assert_eq!(
        codes(&plane, "/gate/flagger/rollback").await,
        ["409", "409"]
    );

    // Of another weight, for one cell is counted once.
    proxy.count(1, 1_000_000, 900_000).await;
    proxy.next_table().await;
    let one = format!("?scope={METHOD}");
    let rollback = gate(&plane, &one).await;
    assert_eq!(
        (&rollback["verdict"], &rollback["phase"]),
        (&"rollback".into(), &"progressing".into())
    );
    assert_eq!(codes(&plane, "/gate/flagger").await, ["409", "409"]);
    assert_eq!(
        codes(&plane, "/gate/flagger/rollback").await,
        ["200", "200"]
    );

    let (head, body) = plane.http("GET", "/api/gate?scope=/a.B/C").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(body.contains(METHOD), "{body}");
}
