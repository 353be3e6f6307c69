//! A control plane from its options to its end: everything that can be wrong is found before a
//! port is bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cutover_manifest::Manifest;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::core::{Core, Moment};
use crate::error::StartError;
use crate::manifest_watch::{self, ManifestWatch};
use crate::operator::{self, Token};
use crate::otlp::{self, Receiver};
use crate::replicas::Replica;
use crate::shared::Shared;
use crate::store::{Found, Location, OpenError, Store, leave, save_change};
use crate::{driver, listener};

/// The environment variable that holds the operators' token.
pub const TOKEN_VARIABLE: &str = "CUTOVER_OPERATOR_TOKEN";
/// How long shutting down waits for streams to end and the store to be flushed.
const GRACE: Duration = Duration::from_secs(5);
/// An epoch and generation after a corrupt store was put aside must not be one that proxies know
/// already: they begin at the seconds since 2020.
const EPOCH_ZERO_UNIX_S: i64 = 1_577_836_800;
/// Why ramps stand still after that. The proxies may have been at any weight.
const QUARANTINED: &str = "the store was corrupt and was put aside: the ramp's place, the overrides \
    and the evidence are lost; resume it to begin at weight 0";

/// What a control plane is started with; what is `Some` overrides the manifest.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// The manifest's file; it is followed while the control plane runs.
    pub manifest_path: PathBuf,
    /// `HOST:PORT` for proxies and OTLP; port 0 lets the kernel choose.
    pub listen: Option<String>,
    /// `HOST:PORT` for operators and the dashboard; port 0 lets the kernel choose.
    pub operator: Option<String>,
    /// The SQLite file, or the URL of a Postgres.
    pub store: Option<String>,
}

/// A running control plane. Dropping it ends it without waiting; [`Control::shutdown`] waits.
pub struct Control {
    shared: Arc<Shared>,
    listen_address: SocketAddr,
    operator_address: SocketAddr,
}

impl Control {
    /// Starts a control plane; it serves when this returns.
    pub async fn start(options: ControlOptions) -> Result<Control, StartError> {
        let ControlOptions {
            manifest_path: path,
            listen,
            operator,
            store,
        } = options;
        let text = manifest_watch::read(&path).map_err(|source| StartError::Read {
            path: path.clone(),
            source,
        })?;
        let manifest =
            Manifest::parse(&path.display().to_string(), &text).map_err(StartError::Manifest)?;
        let listen = listen.unwrap_or_else(|| manifest.control.listen.clone());
        let operator = operator.unwrap_or_else(|| manifest.control.operator.clone());
        let store = store.unwrap_or_else(|| manifest.control.store.clone());
        let store = Location::parse(&store).map_err(|why| OpenError::Url { why })?;
        let listen_at = listener::resolve("the control listener", &listen).await?;
        let operator_at = listener::resolve("the operator listener", &operator).await?;
        let token = token(&operator, &operator_at)?;

        let clock = Clock::start();
        let opening = tokio::task::spawn_blocking(move || open(manifest, &store, clock));
        let (shared, first) = opening
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let (control_socket, listen_address) =
            listener::bind("the control listener", &listen, &listen_at).await?;
        let (operator_socket, operator_address) =
            listener::bind("the operator listener", &operator, &operator_at).await?;

        let shared = Arc::new(shared);
        if let Err(error) = first {
            tracing::error!(%error, "the start is not saved");
        }
        let (batches, waiting) = mpsc::channel(otlp::QUEUE);
        let receiver = Receiver::new(batches, shared.otlp.clone(), clock);
        driver::start(&shared, waiting);
        let watch = ManifestWatch::new(&path, &text);
        shared.tasks.spawn(watch.follow(shared.clone()));
        shared
            .tasks
            .spawn(listener::serve(shared.clone(), control_socket, receiver));
        let router = operator::router(shared.clone(), token);
        shared.tasks.spawn(listener::serve_operator(
            shared.clone(),
            operator_socket,
            router,
        ));
        tracing::info!(%listen_address, %operator_address, "the control plane serves");
        Ok(Control {
            shared,
            listen_address,
            operator_address,
        })
    }

    /// Where proxies and exporters connect.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.listen_address
    }

    /// Where operators connect.
    #[must_use]
    pub fn operator_address(&self) -> SocketAddr {
        self.operator_address
    }

    /// Ends all streams, saves the evidence so far, and closes the store; at most 5 s.
    pub async fn shutdown(self) {
        self.shared.shutdown.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(GRACE, self.shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some streams did not end in time");
        }
        let shared = self.shared.clone();
        let save = async move {
            let saved = driver::save(&shared).await;
            let name = shared.core().replica.name.clone();
            if !name.is_empty() {
                // So that another one need not wait until they run out.
                let _ = shared
                    .store
                    .call(move |session| leave(session, &name))
                    .await;
            }
            let closed = tokio::task::spawn_blocking(move || shared.store.close()).await;
            if closed.is_err() {
                tracing::error!("the store did not close well");
            }
            saved
        };
        match tokio::time::timeout(GRACE, save).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last evidence was not saved"),
            Err(_) => tracing::error!("the store did not close in time"),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
    }
}

type FirstSave = Result<(), crate::store::StoreError>;

/// Opens the store and makes the first table from what it holds.
fn open(
    manifest: Manifest,
    location: &Location,
    clock: Clock,
) -> Result<(Shared, FirstSave), StartError> {
    let at = Moment {
        now: clock.elapsed(),
        unix_ms: clock.unix_ms(),
    };
    let (store, mut saved, found) = Store::open(location, clock)?;
    if let Found::Quarantined(_) = found {
        let seconds = u64::try_from(at.unix_ms / 1_000 - EPOCH_ZERO_UNIX_S).unwrap_or(1);
        (saved.epoch, saved.generation) = (seconds, seconds);
        saved.latch = QUARANTINED.to_owned();
    }
    let replica = if location.is_shared() {
        Replica::one_of_several(clock)
    } else {
        Replica::alone()
    };
    let (mut core, decisions) = Core::new(Arc::new(manifest), &saved, replica, at);
    if core.replica.is_shared() && decisions.is_empty() && saved.epoch == core.epoch {
        // One more, that changes nothing.
        let table = core.table_message();
        return Ok((Shared::new(core, table, store, clock), Ok(())));
    }
    let table = core.renew();
    let change = core.change(decisions);
    let first = store
        .submit(move |session| save_change(session, &change))
        .map(|_| ());
    Ok((Shared::new(core, table, store, clock), first))
}

/// The operators' token, where there is one. Without it, only this machine may connect.
fn token(given: &str, addresses: &[SocketAddr]) -> Result<Option<Token>, StartError> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(text) if !text.is_empty() => Token::new(&text).map(Some).ok_or(StartError::BadToken),
        _ if addresses.iter().all(|address| address.ip().is_loopback()) => Ok(None),
        _ => Err(StartError::OpenOperator {
            given: given.to_owned(),
        }),
    }
}
