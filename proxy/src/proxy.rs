//! A whole proxy: binds, starts its threads, and stops them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, ArcSwapOption};
use cutover_compare::Redaction;
use cutover_manifest::{Limits, Manifest, RouteTable, Weights};
use cutover_proto::cutover::v1::Hello;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::forward::Core;
use crate::journal::Journal;
use crate::mirror::{Comparer, MirrorCall, Misfits, Samples, Shadow};
use crate::observe::Labels;
use crate::report::{
    Control, Runtimes, Snapshot, SnapshotRequest, Tables, TakeSamples, describe, sync,
};
use crate::shared::{Budget, Shared};
use crate::spans::Spans;
use crate::{accept, admin, forward, mirror};

/// Snapshots that wait for one runtime.
const SNAPSHOT_QUEUE: usize = 4;

/// How a proxy is started. What is absent comes from the bootstrap manifest, or its defaults.
#[derive(Clone, Debug, Default)]
pub struct ProxyOptions {
    /// The manifest to route by until the control plane has sent a table.
    pub bootstrap: Option<Arc<Manifest>>,
    /// `http://HOST:PORT` of the control plane; without it the bootstrap stays in force.
    pub control: Option<String>,
    /// `HOST:PORT` to take calls on; default the manifest's `spec.listen`.
    pub listen: Option<String>,
    /// `HOST:PORT` for `/metrics`, `/livez`, `/readyz`; default the manifest's `spec.admin`.
    pub admin: Option<String>,
    /// Threads that carry calls; 0 means one per core.
    pub threads: usize,
    /// `http://HOST:PORT` of an OTLP/gRPC receiver for the proxy's spans; default the control
    /// plane.
    pub otlp: Option<String>,
    /// Where calls are recorded; default nowhere. It is finished by whoever made it, after the
    /// proxy's shutdown.
    pub journal: Option<Journal>,
    /// How copies are compared.
    pub comparer: Comparer,
}

/// Why a proxy didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that can't be read or has no host.
    #[error("{what} address {address:?} is not HOST:PORT: {reason}")]
    Address {
        /// "listen" or "admin".
        what: &'static str,
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A URL that can't be read.
    #[error("{what} {url:?} is not a URL such as http://HOST:PORT")]
    Url {
        /// "control plane" or "OTLP endpoint".
        what: &'static str,
        /// As given.
        url: String,
    },
    /// Neither a bootstrap manifest nor a control plane.
    #[error("a proxy needs a manifest to route by: give a control plane, a bootstrap, or both")]
    NothingToRouteBy,
    /// A listener that couldn't be bound.
    #[error("cannot listen on {address} ({what}): {source}")]
    Bind {
        /// "listen" or "admin".
        what: &'static str,
        /// As given.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or runtime that couldn't be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// Whether the user wrote something wrong (exit code 2), rather than something failing (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, StartError::Bind { .. } | StartError::Thread(_))
    }
}

/// A running proxy. Dropping it leaves its threads running; call [`Proxy::shutdown`].
#[derive(Debug)]
pub struct Proxy {
    listen: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    /// One for each core: ends when its last connection has.
    drained: Vec<oneshot::Receiver<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// The two steps of stopping: first no new calls, then everything.
#[derive(Clone)]
struct Shutdown {
    shared: Arc<Shared>,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shutdown")
            .field("drain", &self.drain.is_cancelled())
            .finish()
    }
}

impl Proxy {
    /// Starts a proxy on threads of its own; returns when its listeners are bound.
    ///
    /// # Errors
    /// Everything that is wrong with the options, before a port is bound, and what failed.
    pub async fn start(options: ProxyOptions) -> Result<Proxy, StartError> {
        if options.bootstrap.is_none() && options.control.is_none() {
            return Err(StartError::NothingToRouteBy);
        }
        let manifest = options.bootstrap.as_deref();
        let listen = options
            .listen
            .as_deref()
            .or(manifest.map(|m| m.listen.as_str()));
        let listen = address("listen", listen.unwrap_or("127.0.0.1:50050"))?;
        let admin = options
            .admin
            .as_deref()
            .or(manifest.map(|m| m.admin.as_str()));
        let admin = address("admin", admin.unwrap_or("127.0.0.1:50053"))?;
        let limits = manifest.map_or_else(Limits::default, |manifest| manifest.limits);
        let endpoint = options.control.as_deref().map(|url| {
            let what = "control plane";
            Control::endpoint(url).map_err(|_| StartError::Url {
                what,
                url: url.to_owned(),
            })
        });
        let endpoint = endpoint.transpose()?;
        let cores = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let bind = |what, address| {
            move |source| StartError::Bind {
                what,
                address,
                source,
            }
        };
        let listeners = accept::bind(listen, cores).map_err(bind("listen", listen))?;
        let admin_listener = TcpListener::bind(admin).map_err(bind("admin", admin))?;
        admin_listener
            .set_nonblocking(true)
            .map_err(bind("admin", admin))?;
        let bound = |l: &TcpListener| l.local_addr().map_err(StartError::Thread);
        let (listen, admin) = (bound(&listeners[0])?, bound(&admin_listener)?);

        let instance: String = rand::random::<[u8; 16]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (mirror, mirrored) = mpsc::channel(limits.mirror_queue.max(1));
        let background = background()?;
        let otlp = options.otlp.as_deref().or(options.control.as_deref());
        let spans = match otlp {
            None => Spans::default(),
            Some(url) => {
                let _driver = background.enter();
                let what = "OTLP endpoint";
                Spans::export_to(url, &instance).map_err(|_| StartError::Url {
                    what,
                    url: url.to_owned(),
                })?
            }
        };
        let shared = Arc::new(Shared {
            table: ArcSwapOption::empty(),
            descriptors: ArcSwapOption::empty(),
            describe: Notify::new(),
            labels: ArcSwap::from_pointee(Labels::default()),
            mirror,
            mirror_memory: Budget::new(limits.mirror_memory_bytes),
            journal: options.journal,
            spans,
            change: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        });
        let shutdown = Shutdown {
            shared: shared.clone(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        let tables = Tables {
            shared: shared.clone(),
        };
        if let Some(manifest) = &options.bootstrap {
            // Until the control plane says more, everything that isn't pinned is the legacy's.
            tables.apply(RouteTable::build(
                manifest.clone(),
                &Weights::default(),
                0,
                0,
            ));
        }

        let mut runtimes = Vec::new();
        let mut threads = Vec::new();
        let mut drained = Vec::new();
        for (n, listener) in listeners.into_iter().enumerate() {
            let (snapshots, requests) = mpsc::channel(SNAPSHOT_QUEUE);
            runtimes.push(snapshots);
            let (thread, until) = core_thread(n, &shutdown, listener, limits, requests)?;
            threads.push(thread);
            drained.push(until);
        }
        let (snapshots, requests) = mpsc::channel(SNAPSHOT_QUEUE);
        runtimes.push(snapshots);
        let runtimes = Runtimes(runtimes);
        threads.push(shadow_thread(
            &shutdown,
            options.comparer,
            mirrored,
            requests,
        )?);
        let control = endpoint.map(|endpoint| Control {
            endpoint,
            hello: Hello {
                instance,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                    .map_or_else(|_| String::from("unknown"), |name| name.trim().to_owned()),
            },
            tables,
            runtimes: runtimes.clone(),
        });
        let stop = shutdown.stop.clone();
        threads.push(thread("cutover-report", move || {
            background.block_on(async move {
                let describe = tokio::spawn(describe(shared.clone(), stop.clone()));
                let admin = admin::run(admin_listener, shared.clone(), runtimes, stop.clone());
                let admin = tokio::spawn(admin);
                match control {
                    Some(control) => sync(control, stop.clone()).await,
                    None => stop.cancelled().await,
                }
                let spans = shared.spans.clone();
                let _ = tokio::task::spawn_blocking(move || spans.shutdown()).await;
                if let Ok(Err(error)) = admin.await {
                    tracing::error!(%error, "the admin listener failed");
                }
                describe.abort();
            });
        })?);
        Ok(Proxy {
            listen,
            admin,
            shutdown,
            drained,
            threads,
        })
    }

    /// Where calls are taken.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Where `/metrics`, `/livez` and `/readyz` are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Not ready, GOAWAY, the calls in flight end within the grace; then a last report.
    pub async fn shutdown(self) {
        self.shutdown.shared.draining.store(true, Ordering::Relaxed);
        self.shutdown.drain.cancel();
        for drained in self.drained {
            // A core that is gone has drained too.
            let _ = drained.await;
        }
        self.shutdown.stop.cancel();
        join(self.threads).await;
    }
}

async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            let name = thread.thread().name().unwrap_or("a thread").to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a thread of the proxy panicked");
            }
        }
    });
    if joined.await.is_err() {
        tracing::error!("the proxy's threads could not be joined");
    }
}

/// A runtime for what isn't on the call's path: reports, descriptors, admin, telemetry.
fn background() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("cutover-background")
        .enable_all()
        .build()
        .map_err(StartError::Thread)
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(StartError::Thread)
}

/// A `current_thread` runtime on a thread of its own, until `run`'s future ends.
fn local_thread<F: Future<Output = ()>>(
    name: &str,
    run: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    thread(name, move || {
        LocalSet::new().block_on(&runtime, async move { run().await })
    })
}

fn core_thread(
    n: usize,
    shutdown: &Shutdown,
    listener: TcpListener,
    limits: Limits,
    requests: mpsc::Receiver<SnapshotRequest>,
) -> Result<(JoinHandle<()>, oneshot::Receiver<()>), StartError> {
    let Shutdown {
        shared,
        drain,
        stop,
    } = shutdown.clone();
    let (drained, until_drained) = oneshot::channel::<()>();
    let thread = local_thread(&format!("cutover-core-{n}"), move || async move {
        let core = Core::new(shared, rand::random());
        let clock = tokio::task::spawn_local(forward::tick(core.clone()));
        let counters = core.clone();
        let snapshots = tokio::task::spawn_local(answer_snapshots(requests, move |_| Snapshot {
            stats: counters.borrow_mut().counted(),
            ..Snapshot::default()
        }));
        if let Err(error) = accept::run(core, listener, limits, drain).await {
            tracing::error!(%error, "a listener failed");
        }
        drop(drained);
        // The counters are asked for once more before the end.
        stop.cancelled().await;
        snapshots.abort();
        clock.abort();
    })?;
    Ok((thread, until_drained))
}

fn shadow_thread(
    shutdown: &Shutdown,
    comparer: Comparer,
    mirrored: mpsc::Receiver<Box<MirrorCall>>,
    requests: mpsc::Receiver<SnapshotRequest>,
) -> Result<JoinHandle<()>, StartError> {
    let Shutdown { shared, stop, .. } = shutdown.clone();
    local_thread("cutover-shadow", move || async move {
        let shadow = Rc::new(Shadow {
            core: Core::new(shared.clone(), rand::random()),
            shared,
            samples: RefCell::new(Samples::default()),
            redaction: Redaction::new(rand::random()),
            comparer,
            misfits: Misfits::default(),
            in_flight: Cell::new(0),
        });
        let clock = tokio::task::spawn_local(forward::tick(shadow.core.clone()));
        let counters = shadow.clone();
        let snapshots = tokio::task::spawn_local(answer_snapshots(requests, move |samples| {
            let (samples, samples_dropped) = match samples {
                TakeSamples::Yes => counters.samples.borrow_mut().take(),
                TakeSamples::No => (Vec::new(), 0),
            };
            Snapshot {
                stats: counters.core.borrow_mut().counted(),
                samples,
                samples_dropped,
            }
        }));
        tokio::select! {
            () = mirror::run(shadow, mirrored) => {}
            () = stop.cancelled() => {}
        }
        snapshots.abort();
        clock.abort();
    })
}

async fn answer_snapshots(
    mut requests: mpsc::Receiver<SnapshotRequest>,
    snapshot: impl Fn(TakeSamples) -> Snapshot,
) {
    while let Some(request) = requests.recv().await {
        // Whoever asked may have given up; then nobody needs the answer.
        let _ = request.reply.send(snapshot(request.samples));
    }
}

fn address(what: &'static str, address: &str) -> Result<SocketAddr, StartError> {
    let error = |reason: String| StartError::Address {
        what,
        address: address.to_owned(),
        reason,
    };
    let mut resolved = address
        .to_socket_addrs()
        .map_err(|e| error(e.to_string()))?;
    resolved
        .next()
        .ok_or_else(|| error("the name has no address".to_owned()))
}
