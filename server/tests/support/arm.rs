//! The gazetteer served in process, over a real loopback connection.

use std::path::Path;

use clap::{Args, FromArgMatches};
use gazetteer_server::config::Config;
use gazetteer_server::server::{ServeError, serve};
use gazetteer_server::service::Gazetteer;
use gazetteer_server::store::Store;
use gazetteer_server::telemetry::CallTracing;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

/// A running arm; it drains when `stop` is used or dropped.
pub(crate) struct Arm {
    pub(crate) endpoint: Endpoint,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
}

/// Serves the database with `flags`.
pub(crate) async fn serve_database(database: &Path, flags: &[&str]) -> Arm {
    let command = Config::augment_args(clap::Command::new("test"));
    let matches = command.get_matches_from([&["test"], flags].concat());
    let config = Config::from_arg_matches(&matches).unwrap();
    let (store, index) = Store::open(database).unwrap();
    let gazetteer = Gazetteer::new(index, store, std::time::SystemTime::now);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        serve(listener, &config, gazetteer, CallTracing::Off, shutdown).await
    });
    let endpoint = Endpoint::from_shared(url).unwrap();
    Arm {
        endpoint,
        stop,
        served,
    }
}
