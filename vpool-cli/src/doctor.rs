//! `vpool doctor`: what is wrong here, and what to do about it.
//!
//! Owns: which checks there are, and the sum of them. Does not own: looking at this host
//! (`host.rs`), what the daemon finds out about itself (`/healthz`) and what it stands on
//! (`/api/v1/checks`).

mod host;

use hyper::Method;
use vpool_api::{
    Check, CheckState as State, Connection, Disk, HealthStatus, List, Pool, StoreState, Version,
};

use crate::client::{Client, part};
use crate::disks::DISKS;
use crate::failure::{Exit, Failure};
use crate::images;
use crate::output::Output;
use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;
use crate::version::OWN;

/// Looks at everything; fails if something is wrong.
pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let (checks, reached) = checks(client).await;
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (wrong, warnings) = (count(State::Wrong), count(State::Warning));
    let total = u64::try_from(checks.len()).unwrap_or(u64::MAX);
    let list = List {
        items: checks,
        total,
        next: None,
    };
    output.list(&list, "")?;
    match (wrong, reached) {
        (0, _) => output.done(&match warnings {
            0 => "\nall is well".to_owned(),
            _ => format!("\nnothing is wrong; {warnings} warning(s)"),
        }),
        (1, Err(failure)) if failure.exit() == Exit::Permission => Err(failure),
        (wrong, _) => Err(Failure::failed(format!("{wrong} thing(s) are wrong"))),
    }
}

/// What is found, and whether the daemon answers.
pub(crate) async fn checks(client: &Client) -> (Vec<Check>, Result<Version, Failure>) {
    let mut checks = Vec::new();
    let reached = client.get::<Version>("/api/v1/version").await;
    match &reached {
        Ok(version) => {
            let detail = format!("vpoold {} (pid {}) answers", version.version, version.pid);
            checks.push(Check::ok("daemon", detail));
            checks.push(versions(version));
            checks.extend(health(client).await);
            checks.extend(stores(client).await);
            checks.extend(disk_checks(client).await);
            checks.extend(foundations(client).await);
            if client.is_here() {
                checks.push(host::free_space(&version.data_dir));
                checks.push(host::open_files(version.pid));
            }
            if let Some(address) = &version.api_tcp {
                checks.push(host::port("api_tcp", address).await);
            }
        }
        Err(failure) => {
            let check = Check::new("daemon", State::Wrong, failure.message());
            checks.push(check.with_remedy(failure.hint().unwrap_or("see its log")));
        }
    }
    checks.push(host::clock());
    checks.push(host::program("qemu-img", "qemu-utils", "disk import and disk export").await);
    checks.push(host::program("fio", "fio", "vpool bench").await);
    (checks, reached)
}

fn versions(daemon: &Version) -> Check {
    match daemon.version == OWN {
        true => Check::ok("version", format!("vpool and vpoold are {OWN}")),
        false => {
            let detail = format!("vpool is {OWN}, vpoold is {}", daemon.version);
            let check = Check::new("version", State::Warning, detail);
            check.with_remedy("install the same version of both, and start vpoold anew")
        }
    }
}

/// What the daemon says of itself.
async fn health(client: &Client) -> Vec<Check> {
    let health = match client.health().await {
        Ok(health) => health,
        Err(failure) => return vec![Check::new("health", State::Wrong, failure.message())],
    };
    let state = match health.status {
        HealthStatus::Ok => return vec![Check::ok("health", "the daemon finds nothing wrong")],
        HealthStatus::Degraded | HealthStatus::Failing => State::Wrong,
    };
    let reasons = health.reasons.into_iter().map(|reason| {
        let detail = format!("{}: {}", reason.object, reason.detail);
        Check::new(&reason.code, state, detail)
    });
    reasons.collect()
}

/// What the daemon finds where this user may not look: its device, its files.
async fn foundations(client: &Client) -> Vec<Check> {
    let looked = client.make::<List<Check>>(Method::POST, "/api/v1/checks", &());
    match looked.await {
        Ok(checks) => checks.items,
        Err(failure) => vec![Check::new(
            "journal_sync",
            State::Skipped,
            failure.message(),
        )],
    }
}

/// The pools, where `/healthz` has nothing to say of them: how much waits for the store.
async fn stores(client: &Client) -> Vec<Check> {
    let pools: List<Pool> = match client.list("/api/v1/pools", "").await {
        Ok(pools) => pools,
        Err(failure) => return vec![Check::new("stores", State::Wrong, failure.message())],
    };
    if pools.items.is_empty() {
        let check = Check::new("stores", State::Warning, "there is no pool");
        return vec![check.with_remedy("vpool pool create NAME --fs DIR")];
    }
    pools.items.iter().map(store).collect()
}

fn store(pool: &Pool) -> Check {
    let name = &pool.name;
    let full = pool.journal_used_bytes as f64 / pool.journal_max_bytes.max(1) as f64;
    let state = match (&pool.error, &pool.store) {
        (Some(error), _) => {
            let check = Check::new("store", State::Wrong, format!("pool {name}: {error}"));
            return check
                .with_remedy("vpool pool show names its place; the daemon's log says more");
        }
        (None, Some(store)) if store.state == StoreState::Down => {
            let why = store.trouble.as_deref().unwrap_or("it does not answer");
            let check = Check::new("store", State::Wrong, format!("pool {name}: {why}"));
            return check.with_remedy("mend the store: writes go on until the journal is full");
        }
        (None, Some(store)) => store.trouble.clone(),
        (None, None) => None,
    };
    match state {
        Some(trouble) => Check::new("store", State::Warning, format!("pool {name}: {trouble}"))
            .with_remedy(format!("vpool pool probe {name}")),
        None if full > 0.9 => {
            let detail = format!("pool {name}: the journal is {:.0} % full", full * 100.0);
            let check = Check::new("store", State::Warning, detail);
            check.with_remedy("writes come faster than the store takes them: --journal-size")
        }
        None => Check::ok("store", format!("pool {name}: its store answers")),
    }
}

/// The door that clients come through, and what interrupted imports left.
async fn disk_checks(client: &Client) -> Vec<Check> {
    let disks: List<Disk> = match client.list(DISKS, "").await {
        Ok(disks) => disks,
        Err(failure) => return vec![Check::new("disks", State::Wrong, failure.message())],
    };
    let mut checks = Vec::new();
    let named = |disk: &Disk| format!("{}:{}", disk.pool, disk.name);
    for draft in &disks.items {
        if images::is_draft(&draft.name) && draft.attached == 0 {
            let name = named(draft);
            let check = Check::new("draft", State::Warning, format!("{name} is half an import"));
            checks.push(check.with_remedy(format!("vpool disk delete '{name}'")));
        }
    }
    if let Some(disk) = disks.items.iter().find(|disk| disk.error.is_none()) {
        let path = format!("{DISKS}/{}/connection", part(&named(disk)));
        let connection: Result<Connection, _> = client.get(&path).await;
        match connection {
            Ok(connection) => {
                if let Some(address) = &connection.nbd_tcp {
                    checks.push(host::port("nbd_tcp", address).await);
                }
                checks.push(host::nbd_socket(&connection.nbd_socket).await);
            }
            Err(failure) => checks.push(Check::new("nbd", State::Wrong, failure.message())),
        }
    }
    checks
}

/// A column of checks.
const fn column(name: &'static str, value: fn(&Check) -> Value) -> Column<Check> {
    let place = Place::List;
    Column { name, place, value }
}

impl Listed for Check {
    const COLUMNS: &'static [Column<Check>] = &[
        column("state", |check| {
            match check.state {
                State::Ok => "ok",
                State::Skipped => "skipped",
                State::Warning => "warning",
                State::Wrong => "WRONG",
            }
            .into()
        }),
        column("code", |check| check.code.as_str().into()),
        column("detail", |check| check.detail.as_str().into()),
        column("remedy", |check| check.remedy.clone().into()),
    ];

    fn name(&self) -> String {
        self.code.clone()
    }
}
