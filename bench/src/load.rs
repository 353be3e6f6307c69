//! A run: opens the connections, starts the calls at their time or when a caller is free, and
//! records how they end. One thread, so that a second core is the server's.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use http::{HeaderName, HeaderValue, Uri};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::args::{Load, Mistake, Mode};
use crate::calls::Calls;
use crate::connection::{Connection, Outcome, Target, request};
use crate::pace::{Schedule, Timer};
use crate::report::{Recorder, Report};
use crate::usage::{self, ProcessUse, Usage};
use crate::world;

/// Calls of an open loop that may wait for their answers; those beyond it are not started.
const MAX_IN_FLIGHT: usize = 20_000;
/// How long answers are waited for behind the end.
const DRAIN: Duration = Duration::from_secs(5);
/// How often memory is looked at for its peak.
const MEMORY_INTERVAL: Duration = Duration::from_millis(250);

/// Makes the calls that `args` asks for.
pub(crate) fn run(args: &Load) -> anyhow::Result<Report> {
    let plan = Plan::new(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(plan.run(args)))
}

/// What is called, checked and complete before the first connection.
struct Plan {
    address: SocketAddr,
    uris: Vec<Uri>,
    calls: Calls,
    key_metadata: HeaderName,
    tally: Option<HeaderName>,
}

impl Plan {
    fn new(args: &Load) -> anyhow::Result<Plan> {
        for (name, value) in [
            ("--rate", args.rate),
            ("--duration", args.duration),
            ("--concurrency", args.concurrency as f64),
            ("--connections", args.connections as f64),
        ] {
            if value.is_nan() || value <= 0.0 {
                return Err(Mistake::NotPositive(name).into());
            }
        }
        let target = Target::read(&args.target)?;
        let calls = calls(args)?;
        let uris = calls.paths.iter().map(|path| target.uri(path));
        let uris = uris.collect::<Result<_, _>>()?;
        let name = |text: &String| text.parse().map_err(|_| Mistake::Metadata(text.clone()));
        let key_metadata = name(&args.key_metadata)?;
        Ok(Plan {
            address: target.address,
            uris,
            calls,
            key_metadata,
            tally: args.tally.as_ref().map(name).transpose()?,
        })
    }

    async fn run(self, args: &Load) -> anyhow::Result<Report> {
        let mut connections = Vec::with_capacity(args.connections);
        for _ in 0..args.connections {
            let opened = Connection::open(self.address).await;
            connections.push(opened.with_context(|| format!("connect to {}", args.target))?);
        }
        let start = Instant::now();
        let begin = start + Duration::from_secs_f64(args.warmup);
        let end = begin + Duration::from_secs_f64(args.duration);
        let run = Rc::new(Run {
            recorder: RefCell::new(Recorder::new(self.calls.paths.clone())),
            plan: self,
            connections,
            next: Cell::new(0),
            keys: args.keys,
            begin,
            end,
        });
        // A bounded number of calls ends when they do: CPU is measured around them then.
        let meter = spawn_local(meter(
            args.pid.clone(),
            begin,
            (args.calls == 0).then_some(end),
        ));
        match args.mode {
            Mode::Open => open(&run, args, start).await?,
            Mode::Closed => closed(&run, args).await,
        }
        let measured = if args.calls > 0 { Instant::now() } else { end } - begin;
        let processes = if args.calls > 0 {
            meter.abort();
            Vec::new()
        } else {
            meter.await??
        };
        let recorder = run.recorder.borrow();
        Ok(recorder.report(
            args,
            measured,
            processes,
            usage::of(std::process::id())?.cpu_seconds,
        ))
    }
}

fn calls(args: &Load) -> anyhow::Result<Calls> {
    let Some(path) = &args.path else {
        let database = args.database.as_deref().ok_or(Mistake::NoDatabase)?;
        return Ok(Calls::of(
            &args.mix.0,
            &world::read(database)?,
            args.pool,
            args.seed,
        ));
    };
    let digits: Option<Vec<u32>> = args.body_hex.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits
        .filter(|digits| digits.len() % 2 == 0)
        .ok_or(Mistake::Body)?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect();
    Ok(Calls::one(path, &bytes))
}

/// What all callers of a run share.
struct Run {
    plan: Plan,
    connections: Vec<Connection>,
    recorder: RefCell<Recorder>,
    next: Cell<u64>,
    keys: u64,
    begin: Instant,
    end: Instant,
}

impl Run {
    /// Makes the next call of the pool; returns its path's index with the outcome.
    async fn call(&self) -> (usize, Outcome) {
        let index = self.next.get();
        self.next.set(index + 1);
        let call = &self.plan.calls.pool[(index % self.plan.calls.pool.len() as u64) as usize];
        let key = (self.keys > 0).then(|| {
            let value = HeaderValue::try_from(format!("key-{}", index % self.keys));
            (
                self.plan.key_metadata.clone(),
                value.expect("a number is a valid value"),
            )
        });
        let connection = &self.connections[(index % self.connections.len() as u64) as usize];
        let request = request(self.plan.uris[call.path].clone(), key);
        let outcome = connection
            .call(request, call.body.clone(), self.plan.tally.as_ref())
            .await;
        (call.path, outcome)
    }
}

/// Starts each call at its time. Its latency counts from then, so a server that falls behind can't
/// hide it by holding the load back (coordinated omission).
async fn open(run: &Rc<Run>, args: &Load, start: Instant) -> anyhow::Result<()> {
    let timer = Timer::new()?;
    let in_flight = Rc::new(Cell::new(0_usize));
    for offset in Schedule::new(args.rate, args.arrivals, args.seed) {
        let intended = start + offset;
        if intended >= run.end {
            break;
        }
        timer.until(intended).await?;
        let measured = intended >= run.begin;
        if in_flight.get() >= MAX_IN_FLIGHT {
            if measured {
                run.recorder.borrow_mut().not_started();
            }
            continue;
        }
        in_flight.set(in_flight.get() + 1);
        let (run, in_flight) = (Rc::clone(run), Rc::clone(&in_flight));
        spawn_local(async move {
            let (path, outcome) = run.call().await;
            if measured {
                run.recorder
                    .borrow_mut()
                    .record(path, intended.elapsed(), &outcome);
            }
            in_flight.set(in_flight.get() - 1);
        });
    }
    sleep_until(run.end).await;
    let drained = Instant::now() + DRAIN;
    while in_flight.get() > 0 && Instant::now() < drained {
        sleep(Duration::from_millis(1)).await;
    }
    run.recorder.borrow_mut().unfinished(in_flight.get() as u64);
    Ok(())
}

/// Callers that each wait for their answer. A call is recorded when it ends within the run.
async fn closed(run: &Rc<Run>, args: &Load) {
    let limit = if args.calls == 0 {
        u64::MAX
    } else {
        args.calls
    };
    let callers: Vec<_> = (0..args.concurrency)
        .map(|_| {
            let run = Rc::clone(run);
            spawn_local(async move {
                let mut started = Instant::now();
                while run.next.get() < limit && started < run.end {
                    let (path, outcome) = run.call().await;
                    let ended = Instant::now();
                    if limit < u64::MAX || (run.begin..run.end).contains(&ended) {
                        run.recorder
                            .borrow_mut()
                            .record(path, ended - started, &outcome);
                    }
                    if outcome.status.is_none() {
                        // A connection that failed fails at once again: this bounds the spin.
                        sleep(Duration::from_millis(10)).await;
                    }
                    started = Instant::now();
                }
            })
        })
        .collect();
    let last = run.end + DRAIN;
    for mut caller in callers {
        if timeout(last.saturating_duration_since(Instant::now()), &mut caller)
            .await
            .is_err()
        {
            caller.abort();
            run.recorder.borrow_mut().unfinished(1);
        }
    }
}

/// What each process uses from `begin` to `end`.
async fn meter(
    pids: Vec<u32>,
    begin: Instant,
    end: Option<Instant>,
) -> anyhow::Result<Vec<ProcessUse>> {
    let Some(end) = end else {
        return Ok(Vec::new());
    };
    let all = || {
        pids.iter()
            .map(|pid| usage::of(*pid))
            .collect::<anyhow::Result<Vec<Usage>>>()
    };
    sleep_until(begin).await;
    let before = all()?;
    let mut peak: Vec<u64> = before.iter().map(|usage| usage.rss_bytes).collect();
    let mut after = before.clone();
    while Instant::now() < end {
        sleep_until(end.min(Instant::now() + MEMORY_INTERVAL)).await;
        after = all()?;
        for (peak, usage) in peak.iter_mut().zip(&after) {
            *peak = usage.rss_bytes.max(*peak);
        }
    }
    let rows = pids.iter().zip(before).zip(after).zip(peak);
    Ok(rows
        .map(|(((pid, before), after), peak_rss_bytes)| ProcessUse {
            pid: *pid,
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            cpu_us_per_call: 0.0,
            rss_bytes: after.rss_bytes,
            peak_rss_bytes,
        })
        .collect())
}
