//! The life of the daemon: start, doors open, signal, end.
//!
//! ```text
//! lock ─▶ key ─▶ meta ─▶ router ─▶ pools ─▶ NBD, API ─▶ greeting
//!                                                │ SIGTERM, SIGINT  (SIGHUP: reload)
//!                         end ◀─ ship ≤ 20 s ◀─ doors close ≤ 5 s
//! ```
//!
//! Owns: that order. Does not own: any of the steps.
//!
//! A second signal ends the shipping at once: what is not shipped stays in the journal, as
//! it does after a kill.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use vpool_api::size;
use vpool_engine::limits::Tuning;
use vpool_engine::router::{Router, RouterParts};
use vpool_host::Host;
use vpool_metadata::{Metadata, PoolEntry};
use vpool_seal::GridKey;

use crate::activity::{Activity, CountedExports};
use crate::api;
use crate::banner;
use crate::checks::Checks;
use crate::config::Settings;
use crate::daemon::{Daemon, Doors};
use crate::data_dir::DataDir;
use crate::databases::{MapCache, Meta};
use crate::door_tls::{DoorTls, NbdTls};
use crate::events::Events;
use crate::first_start;
use crate::key_file;
use crate::notify::{self, Notify};
use crate::reload::Reload;
use crate::tasks::Tasks;
use crate::token::Token;
use crate::watch::watch;
use crate::watchdog;

/// What the service manager shows while all is as it should be.
pub(crate) const SERVING: &str = "serving";

/// How long clients have to take their last answers.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the end may ship what is in the journal.
const SHIP_TIME_MAX: Duration = Duration::from_secs(20);

/// While the end goes on the service manager is told so often that it does.
const END_STEP: Duration = Duration::from_secs(5);

/// How long the start waits for pools whose stores are slow; they go on opening behind it.
const OPEN_TIME_MAX: Duration = Duration::from_secs(10);

/// Memory that the doors hold for data on its way, as a part of the whole.
const NBD_MEMORY_DIVISOR: u64 = 8;

/// Whatever the settings, the engine gets this.
const ENGINE_MEMORY_BYTES_MIN: u64 = 64 << 20;

/// Serves until a signal comes. The directory's locks are the caller's to hold until all
/// tasks have ended.
pub(crate) async fn serve(
    settings: &Settings,
    tls: DoorTls,
    reload: Option<Reload>,
    dir: &DataDir,
    host: Host,
) -> anyhow::Result<()> {
    let notify = Arc::new(Notify::from_environment());
    notify.status("opening the pools");
    let key = key_file::read_or_create(dir, &host)?;
    let objects = dir.lock_objects(&host)?;
    warn_of_little_space(&host, dir, settings);
    let meta = Meta::open(dir, &host)?;
    let metadata = meta.metadata(&host).await?;
    let pools = metadata.pools().await.context("read the pools")?;
    check_key(&key, &pools, dir)?;
    warn_of_unknown_pools(settings, &pools);
    let grid = metadata.grid().await.context("read the grid's id")?;
    let router = router(settings, dir, &host, metadata, key).await?;

    let activity = Arc::new(Activity::default());
    let daemon = Daemon::new(router.clone(), grid, host.clone(), activity.clone());
    let daemon = Arc::new(daemon);
    let (default, others): (Vec<_>, Vec<_>) = pools
        .into_iter()
        .partition(|pool| pool.name == first_start::POOL);
    let objects = text(&objects)?;
    let default = default.into_iter().next();
    first_start::default_pool(&daemon, &meta, default, &others, &objects).await?;
    if settings.demo {
        first_start::demo_disk(&daemon, &meta).await?;
    }
    // Ends with this function, whatever happens.
    let mut background = open_others(&daemon, others).await;

    let mut signals = Signals::listen(reload.is_some())?;
    let nbd = nbd(CountedExports::new(router.clone(), activity), settings);
    let mut doors = open_doors(&nbd, settings, &tls, dir).await?;
    let checks = Arc::new(Checks::new(dir.path().to_owned(), settings.clone()));
    let parts = (settings, tls);
    let api = Api::open(&daemon, &checks, &meta, dir, &mut doors, parts, &host).await?;
    background.spawn(watch(daemon.clone(), api.events.clone()));
    banner::print(&doors, settings.demo);
    notify.ready(SERVING);
    let mut alive = JoinSet::new();
    if let Some(patience) = notify::watchdog_time() {
        alive.spawn(watchdog::run(patience, notify.clone(), daemon));
    }
    until_end(&mut signals, reload, &notify, (&router, &checks)).await;
    end(&mut signals, nbd, api, &router, &notify).await
}

/// The API's doors and what goes on behind them.
struct Api {
    socket: api::Socket,
    tcp: Option<api::Server>,
    tasks: Arc<Tasks>,
    events: Arc<Events>,
}

impl Api {
    async fn open(
        daemon: &Arc<Daemon>,
        checks: &Arc<Checks>,
        meta: &Meta,
        dir: &DataDir,
        doors: &mut Doors,
        (settings, tls): (&Settings, DoorTls),
        host: &Host,
    ) -> anyhow::Result<Api> {
        let bound = match settings.api_tcp {
            Some(address) => Some(api::bind(address).await?),
            None => None,
        };
        doors.api_tcp = bound.as_ref().map(|bound| bound.address().to_string());
        doors.api_tls = bound.is_some() && tls.api.is_some();
        let guard = match (&bound, &tls.api) {
            (None, _) => None,
            (Some(_), Some(tls)) => Some(api::Guard::behind_tls(tls.clone())),
            (Some(bound), None) => {
                let token = Token::read_or_create(dir, host)?;
                Some(api::Guard::new(bound.address(), token))
            }
        };
        let events = Events::new(host.clock.clone());
        let tasks = Tasks::open(meta.store(), host.clone(), events.clone())?;
        let tasks = Arc::new(tasks);
        let repeats = api::Repeats::open(meta.store(), host.clone());
        let routes = api::routes(api::Parts {
            daemon: daemon.clone(),
            checks: checks.clone(),
            doors: doors.clone(),
            tasks: tasks.clone(),
            events: events.clone(),
            repeats: repeats.context("read the answers to requests that may be repeated")?,
            started_ms: host.clock.wall_ms(),
        });
        let socket = api::Socket::listen(Path::new(&doors.api_socket), routes.clone())?;
        let tcp = bound.zip(guard);
        let tcp = tcp.map(|(bound, guard)| bound.serve(api::guarded(routes, guard), tls.api));
        Ok(Api {
            socket,
            tcp,
            tasks,
            events,
        })
    }

    /// Who waits is answered; then the doors close.
    async fn shutdown(self, time_max: Duration) {
        self.tasks.close().await;
        self.events.close();
        let tcp = async {
            if let Some(tcp) = self.tcp {
                tcp.shutdown(time_max).await;
            }
        };
        tokio::join!(self.socket.shutdown(time_max), tcp);
    }
}

async fn router(
    settings: &Settings,
    dir: &DataDir,
    host: &Host,
    metadata: Arc<dyn Metadata>,
    grid_key: GridKey,
) -> anyhow::Result<Arc<Router>> {
    let map = MapCache::open(dir, host, settings.memory_bytes, settings.cache_bytes)?;
    let memory_bytes = settings.memory_bytes.saturating_sub(map.memory_bytes);
    let parts = RouterParts {
        host: host.clone(),
        metadata,
        local: map.store,
        data_dir: dir.path().to_owned(),
        grid_key,
        journal_bytes: settings.journal_bytes,
        memory_bytes: memory_bytes.max(ENGINE_MEMORY_BYTES_MIN),
        cache_bytes: settings.cache_bytes.saturating_sub(map.space_bytes),
        pool_shares: settings.pools.clone(),
        tuning: Tuning::default(),
    };
    dir.private("journal", host)?;
    Router::open(parts)
        .await
        .map_err(|error| anyhow!(error))
        .context("cannot start the router")
}

/// A key that does not open the pools is the wrong file: nothing is touched with it.
fn check_key(key: &GridKey, pools: &[PoolEntry], dir: &DataDir) -> anyhow::Result<()> {
    for pool in pools {
        if let Err(error) = key.unwrap(&pool.wrapped_key, pool.id) {
            bail!(
                "{} is not the key that pool {} was made with ({error}): put the right key file \
                 in its place",
                dir.join("grid.key").display(),
                pool.name
            );
        }
    }
    Ok(())
}

/// Space that is missing now is back-pressure or an error later: better said at the start.
fn warn_of_little_space(host: &Host, dir: &DataDir, settings: &Settings) {
    let wanted = settings.journal_bytes.saturating_add(settings.cache_bytes);
    match host.files.free_bytes(dir.path()) {
        Ok(free) if free < wanted => tracing::warn!(
            free = size::format(free),
            journal = size::format(settings.journal_bytes),
            cache = size::format(settings.cache_bytes),
            "less is free than journal and cache may take: give smaller ones by \
             --journal-size and --cache-size"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "it is not known how much space is free"),
    }
}

/// A name that is misspelt gives nobody anything. A pool may also be made later.
fn warn_of_unknown_pools(settings: &Settings, pools: &[PoolEntry]) {
    for name in settings.pools.keys() {
        if !pools.iter().any(|pool| pool.name == *name) {
            tracing::warn!(
                pool = name,
                "the configuration gives this pool a share, and there is none of this name"
            );
        }
    }
}

/// Opens the other pools, all at once; waits for them, but not for a store that is slow.
async fn open_others(daemon: &Arc<Daemon>, pools: Vec<PoolEntry>) -> JoinSet<()> {
    let mut opening = JoinSet::new();
    for pool in pools {
        let daemon = daemon.clone();
        opening.spawn(async move {
            // What went wrong is kept, shown and tried again.
            let _kept = daemon.open_pool(pool).await;
        });
    }
    let all = async { while opening.join_next().await.is_some() {} };
    if tokio::time::timeout(OPEN_TIME_MAX, all).await.is_err() {
        tracing::warn!("not all pools are open yet; their disks come when they are");
    }
    let daemon = daemon.clone();
    opening.spawn(async move { daemon.reopen_pools().await });
    opening
}

fn nbd(exports: CountedExports, settings: &Settings) -> vpool_nbd::Server {
    let limits = vpool_nbd::Limits::default();
    let share = usize::try_from(settings.memory_bytes / NBD_MEMORY_DIVISOR).unwrap_or(usize::MAX);
    let in_flight_bytes_max = limits.in_flight_bytes_max.min(share);
    vpool_nbd::Server::new(
        Arc::new(exports),
        vpool_nbd::Limits {
            in_flight_bytes_max,
            ..limits
        },
    )
}

/// Listens for NBD clients; the answer is where.
async fn open_doors(
    nbd: &vpool_nbd::Server,
    settings: &Settings,
    tls: &DoorTls,
    dir: &DataDir,
) -> anyhow::Result<Doors> {
    let socket = |given: &Option<PathBuf>, name: &str| match given {
        Some(path) => std::path::absolute(path).map_err(anyhow::Error::from),
        None => Ok(dir.join(name)),
    };
    let nbd_socket = socket(&settings.nbd_socket, "nbd.sock")?;
    let api_socket = socket(&settings.api_socket, "api.sock")?;
    nbd.listen_unix(&nbd_socket)
        .context("is the path too long (108 bytes at most)? --nbd-socket PATH chooses another")?;
    let nbd_tls = tls.nbd.is_some();
    let nbd_tcp = match settings.nbd_tcp {
        None => None,
        Some(address) => {
            let bound = match &tls.nbd {
                Some(tls) => {
                    let secure = Arc::new(NbdTls(tls.clone()));
                    nbd.listen_tls(address, secure, settings.nbd_tls_required)
                        .await
                }
                None => nbd.listen_tcp(address).await,
            };
            let bound = bound.context(
                "is another daemon there? --nbd-tcp ADDRESS:PORT chooses another, --nbd-tcp off none",
            )?;
            Some(bound.to_string())
        }
    };
    Ok(Doors {
        data_dir: text(dir.path())?,
        nbd_socket: text(&nbd_socket)?,
        nbd_tcp,
        nbd_tls,
        api_socket: text(&api_socket)?,
        api_tcp: None,
        api_tls: false,
    })
}

/// Reloads whenever a signal asks for it, until one asks for the end.
async fn until_end(
    signals: &mut Signals,
    mut reload: Option<Reload>,
    notify: &Notify,
    (router, checks): (&Router, &Checks),
) {
    while signals.next().await == Told::Reload {
        if let Some(reload) = &mut reload {
            notify.reloading();
            notify.ready(&reload.reload(router, checks));
        }
    }
}

/// Ends in order, or at once when asked again.
async fn end(
    signals: &mut Signals,
    nbd: vpool_nbd::Server,
    api: Api,
    router: &Router,
    notify: &Notify,
) -> anyhow::Result<()> {
    notify.stopping("shipping what is in the journal");
    tracing::info!(
        "stopping: what was accepted is completed, then shipped for at most {SHIP_TIME_MAX:?}"
    );
    let in_order = async {
        tokio::join!(nbd.shutdown(DRAIN_TIME_MAX), api.shutdown(DRAIN_TIME_MAX));
        router.shutdown(SHIP_TIME_MAX).await
    };
    tokio::select! {
        biased;
        () = signals.end() => {
            tracing::warn!("stopping at once: what is not shipped stays in the journal");
            Ok(())
        }
        ended = in_order => ended.map_err(|error| anyhow!(error)).context("not all was closed in order"),
        never = still_ending(notify) => match never {},
    }
}

/// Keeps the service manager from losing patience.
async fn still_ending(notify: &Notify) -> Infallible {
    loop {
        notify.extend(3 * END_STEP);
        tokio::time::sleep(END_STEP).await;
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

/// SIGTERM, SIGINT, and SIGHUP where it is not left to end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    fn listen(hangup: bool) -> anyhow::Result<Signals> {
        let listen = |kind, name| signal(kind).with_context(|| format!("listen for {name}"));
        Ok(Signals {
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
            hangup: match hangup {
                true => Some(listen(SignalKind::hangup(), "SIGHUP")?),
                false => None,
            },
        })
    }

    async fn next(&mut self) -> Told {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = hangup => Told::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}
