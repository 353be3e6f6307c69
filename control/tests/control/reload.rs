//! The manifest's file changes under a running control plane.

use cutover_control::Control;

use crate::support::{MANIFEST, Plane, Proxy, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_proxies_and_the_ramp_keeps_its_place() {
    let plane = Plane::start(MANIFEST).await;
    let mut proxy = Proxy::connect(&plane, 'a').await;
    proxy.count(0, 1_000_000, 0).await;
    proxy.next_table().await;
    let epoch = proxy.table.epoch;

    let more_steps = MANIFEST.replace("{ weight: 1 }, ", "{ weight: 0.5 }, { weight: 1 }, ");
    std::fs::write(plane.manifest_path(), &more_steps).unwrap();
    proxy.next_table().await;
    assert_eq!((proxy.weight_bp(), proxy.table.epoch), (100, epoch));
    assert_eq!(proxy.table.manifest, more_steps);

    let ignoring = more_steps.replace("mirror: {", "compare: { ignore: [x] }\n      mirror: {");
    std::fs::write(plane.manifest_path(), &ignoring).unwrap();
    proxy.next_table().await;
    assert_eq!((proxy.weight_bp(), proxy.table.epoch), (100, epoch + 1));
    assert_eq!(
        plane.status().await.methods[0]
            .pairs
            .as_ref()
            .unwrap()
            .compared,
        0
    );
    let decisions = plane.decisions().await;
    let actions: Vec<&str> = decisions.iter().map(|d| d.action.as_str()).collect();
    assert_eq!(actions, ["manifest", "manifest", "advance"]);
    let weights: Vec<_> = decisions.iter().map(|d| (d.from_bp, d.to_bp)).collect();
    let expected = [(100, 100), (100, 100), (0, 100)];
    assert_eq!(weights, expected, "a reload logs the weight in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_stays_out_and_is_shown() {
    let plane = Plane::start(MANIFEST).await;
    let before = plane.status().await;
    let wrong = MANIFEST.replace("weight: 1 }", "weight: 101 }");
    std::fs::write(plane.manifest_path(), wrong).unwrap();
    let status = plane
        .until(|status| !status.manifest_error.is_empty())
        .await;
    assert!(
        status.manifest_error.contains("cutover.yaml:"),
        "{}",
        status.manifest_error
    );
    assert!(
        status.manifest_error.contains("101"),
        "{}",
        status.manifest_error
    );
    assert_eq!(
        (status.generation, status.steps_bp),
        (before.generation, before.steps_bp)
    );
    std::fs::write(plane.manifest_path(), MANIFEST).unwrap();
    let status = plane.until(|status| status.manifest_error.is_empty()).await;
    assert_eq!(
        status.generation, before.generation,
        "the same manifest is no change"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn follows_the_swap_of_a_link_as_kubernetes_does_it() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (version, text) in [
        ("one", MANIFEST.to_owned()),
        ("two", MANIFEST.replace("50", "60")),
    ] {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("cutover.yaml"), text).unwrap();
    }
    symlink("one", path("..data")).unwrap();
    symlink("..data/cutover.yaml", path("cutover.yaml")).unwrap();
    let control = Control::start(options(&folder)).await.unwrap();
    let plane = Plane::of(control, folder);
    assert_eq!(plane.status().await.steps_bp, [100, 5_000, 10_000]);
    let path = |name: &str| plane.folder.path().join(name);
    symlink("two", path("..data_tmp")).unwrap();
    std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
    let status = plane
        .until(|status| status.steps_bp == [100, 6_000, 10_000])
        .await;
    assert!(status.manifest_error.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_found_before_a_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Control::start(options(&folder));
    let error = start().await.err().unwrap();
    assert!(
        error.is_usage() && error.to_string().contains("cutover.yaml"),
        "{error}"
    );
    std::fs::write(folder.path().join("cutover.yaml"), "kind: Pod").unwrap();
    let error = start().await.err().unwrap();
    assert!(error.is_usage(), "{error}");

    std::fs::write(folder.path().join("cutover.yaml"), MANIFEST).unwrap();
    let mut open = options(&folder);
    open.operator = Some("0.0.0.0:0".into());
    let error = Control::start(open).await.err().unwrap();
    assert!(
        error.is_usage() && error.to_string().contains("CUTOVER_OPERATOR_TOKEN"),
        "{error}"
    );
    let mut odd = options(&folder);
    odd.listen = Some("4317".into());
    assert!(Control::start(odd).await.err().unwrap().is_usage());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut busy = options(&folder);
    busy.listen = Some(taken.local_addr().unwrap().to_string());
    let error = Control::start(busy).await.err().unwrap();
    assert!(
        !error.is_usage() && error.to_string().contains("cannot listen on"),
        "{error}"
    );

    let control = Control::start(options(&folder)).await.unwrap();
    assert_ne!(control.listen_address(), control.operator_address());
    control.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_store_is_put_aside_and_routing_goes_on() {
    let plane = Plane::start(MANIFEST).await;
    let epoch = plane.status().await.epoch;
    let Plane {
        control, folder, ..
    } = plane;
    control.shutdown().await;
    damage_store(&folder);
    let control = Control::start(options(&folder)).await.unwrap();
    let plane = Plane::of(control, folder);
    let proxy = Proxy::connect(&plane, 'a').await;
    assert_eq!(proxy.weight_bp(), 0);
    assert!(
        proxy.table.epoch > epoch,
        "no proxy may add old counters to new ones"
    );
    let names = std::fs::read_dir(plane.folder.path()).unwrap();
    let aside = names.filter(|n| {
        n.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("corrupt")
    });
    assert_eq!(aside.count(), 1);
}

/// Cuts the store in half, and overwrites a part of what is left.
fn damage_store(folder: &tempfile::TempDir) {
    let path = folder.path().join("cutover.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    let middle = bytes.len() / 2;
    bytes[100..middle].fill(0xaa);
    std::fs::write(path, bytes).unwrap();
}
