//! `/metrics`: the counters for Prometheus.
//!
//! Owns: their names. Does not own: the text format (`text.rs`), counting.
//!
//! Units are base units. Labels hold ids and words of ours, never what users wrote; with `disks=true` there
//! are series of each disk too, and those name pools and disks: they may be many.

mod caches;
mod text;

use std::sync::Arc;

use axum::extract::State as Known;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use vpool_api::{DiskStatistics, Health, HealthStatus, Latency, TaskState, bound_seconds};
use vpool_object::metrics::{
    ERROR_KINDS, LATENCY_BUCKETS, MetricsSnapshot, OperationMetrics, latency_bound,
};

use super::State;
use super::query::Query;
use super::request::Failed;
use crate::daemon::PoolFigures;
use caches::of_caches;
use text::{Kind, Text};

/// The form of the text.
const FORM: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "daemon",
    params(("disks" = Option<bool>, Query, description = "Series of each disk too")),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(in crate::api) async fn metrics(
    Known(api): Known<Arc<State>>,
    mut query: Query,
) -> Result<Response, Failed> {
    let disks = query.flag("disks")?;
    query.end()?;
    let mut text = Text::default();
    of_daemon(&mut text, &api);
    let pools = api.daemon.pool_figures();
    of_pools(&mut text, &pools);
    of_clients(&mut text, &pools);
    of_stores(&mut text, &pools);
    of_caches(&mut text, &pools);
    if disks {
        of_disks(&mut text, &pools, &api.daemon.all_disk_statistics()?);
    }
    let mut response = text.end().into_response();
    let form = HeaderValue::from_static(FORM);
    response.headers_mut().insert(CONTENT_TYPE, form);
    Ok(response)
}

fn of_daemon(text: &mut Text, api: &State) {
    text.family(
        "build_info",
        Kind::Gauge,
        "Always 1; the version of the daemon",
    );
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family(
        "start_time_seconds",
        Kind::Gauge,
        "When it was started, since 1970",
    );
    text.sample(&[], api.started_ms as f64 / 1e3);
    let Health { status, reasons } = api.daemon.health();
    text.family(
        "healthy",
        Kind::Gauge,
        "1 if nothing is wrong, as /healthz says",
    );
    text.sample(&[], u8::from(status == HealthStatus::Ok));
    text.family("health_reasons", Kind::Gauge, "Things that are wrong now");
    text.sample(&[], reasons.len());
    let tasks = api.tasks.all();
    text.family("tasks", Kind::Gauge, "Tasks that are kept, by state");
    for state in TaskState::ALL {
        let count = tasks.iter().filter(|task| task.state == state).count();
        text.sample(&[("state", state.name())], count);
    }
}

/// One sample a pool.
fn each(
    text: &mut Text,
    pools: &[PoolFigures],
    name: &str,
    kind: Kind,
    help: &str,
    value: impl Fn(&PoolFigures) -> u64,
) {
    text.family(name, kind, help);
    for pool in pools {
        let id = pool.pool.entry.id.to_string();
        text.sample(&[("pool", &id)], value(pool));
    }
}

fn of_pools(text: &mut Text, pools: &[PoolFigures]) {
    each(
        text,
        pools,
        "pool_disks",
        Kind::Gauge,
        "Disks of an open pool",
        |one| one.pool.disks as u64,
    );
    each(
        text,
        pools,
        "journal_healthy",
        Kind::Gauge,
        "1 if the journal takes writes",
        |one| u64::from(one.pool.error.is_none()),
    );
    each(
        text,
        pools,
        "journal_used_bytes",
        Kind::Gauge,
        "Bytes of the journal in use",
        |one| one.pool.journal_used_bytes,
    );
    each(
        text,
        pools,
        "journal_max_bytes",
        Kind::Gauge,
        "Bytes that it may use",
        |one| one.pool.journal_max_bytes,
    );
    let help = "Bytes acknowledged that are not in the store yet";
    each(text, pools, "unshipped_bytes", Kind::Gauge, help, |one| {
        one.pool.unshipped_bytes
    });
}

fn of_clients(text: &mut Text, pools: &[PoolFigures]) {
    let counter = Kind::Counter;
    each(
        text,
        pools,
        "read_bytes_total",
        counter,
        "Bytes that clients read",
        |one| one.counts.read_bytes,
    );
    each(
        text,
        pools,
        "written_bytes_total",
        counter,
        "Bytes that clients wrote",
        |one| one.counts.written_bytes,
    );
    each(
        text,
        pools,
        "discards_total",
        counter,
        "Trims and writes of zeroes",
        |one| one.counts.discards,
    );
    each(
        text,
        pools,
        "failures_total",
        counter,
        "Requests of clients that failed",
        |one| one.counts.errors,
    );
    let help = "Reads answered from memory, without waiting";
    each(text, pools, "memory_reads_total", counter, help, |one| {
        one.counts.hits
    });
    let help = "How long requests of clients took";
    text.family("request_duration_seconds", Kind::Histogram, help);
    for pool in pools {
        let id = pool.pool.entry.id.to_string();
        for (operation, latency) in [
            ("read", &pool.counts.reads),
            ("write", &pool.counts.writes),
            ("flush", &pool.counts.flushes),
        ] {
            histogram(text, &[("pool", &id), ("operation", operation)], latency);
        }
    }
}

fn histogram(text: &mut Text, labels: &[(&str, &str)], latency: &Latency) {
    let last = latency.buckets.len().saturating_sub(1);
    let bounds = latency.buckets.iter().enumerate().map(|(bucket, count)| {
        let bound = (bucket < last).then(|| bound_seconds(bucket));
        (bound, *count)
    });
    text.histogram(labels, bounds, latency.total_seconds);
}

fn of_stores(text: &mut Text, pools: &[PoolFigures]) {
    let stores: Vec<(String, &(MetricsSnapshot, bool, u64))> = pools
        .iter()
        .filter_map(|one| Some((one.pool.entry.id.to_string(), one.store.as_ref()?)))
        .collect();
    text.family(
        "store_up",
        Kind::Gauge,
        "1 if requests reach the store of a pool",
    );
    for (id, (_, up, _)) in &stores {
        text.sample(&[("pool", id)], u8::from(*up));
    }
    let help = "Requests sent again after a failure";
    text.family("store_retries_total", Kind::Counter, help);
    for (id, (_, _, retries)) in &stores {
        text.sample(&[("pool", id)], retries);
    }
    let mut of_operations =
        |name: &str, kind: Kind, help: &str, value: fn(&OperationMetrics) -> u64| {
            text.family(name, kind, help);
            for (id, (metrics, _, _)) in &stores {
                for one in &metrics.operations {
                    let labels = [("pool", id.as_str()), ("operation", one.operation.name())];
                    text.sample(&labels, value(one));
                }
            }
        };
    let counter = Kind::Counter;
    of_operations(
        "store_requests_total",
        counter,
        "Requests to the store",
        |one| one.requests,
    );
    of_operations(
        "store_requests_in_flight",
        Kind::Gauge,
        "Of these, not ended",
        |one| one.in_flight,
    );
    of_operations(
        "store_sent_bytes_total",
        counter,
        "Bytes of objects sent",
        |one| one.sent_bytes,
    );
    of_operations(
        "store_received_bytes_total",
        counter,
        "Bytes of objects received",
        |one| one.received_bytes,
    );
    text.family(
        "store_failures_total",
        counter,
        "Requests that failed, by kind",
    );
    for (id, (metrics, _, _)) in &stores {
        for one in &metrics.operations {
            for kind in ERROR_KINDS {
                let name = format!("{kind:?}").to_ascii_lowercase();
                let operation = one.operation.name();
                let labels = [
                    ("pool", id.as_str()),
                    ("operation", operation),
                    ("kind", &name),
                ];
                text.sample(&labels, one.errors_of(kind));
            }
        }
    }
    let help = "How long requests to the store took";
    text.family("store_request_duration_seconds", Kind::Histogram, help);
    for (id, (metrics, _, _)) in &stores {
        for one in &metrics.operations {
            let labels = [("pool", id.as_str()), ("operation", one.operation.name())];
            let buckets = (0..LATENCY_BUCKETS).map(|bucket| {
                let bound = latency_bound(bucket).map(|bound| bound.as_secs_f64());
                (bound, one.latency[bucket])
            });
            text.histogram(&labels, buckets, one.latency_total.as_secs_f64());
        }
    }
}

fn of_disks(text: &mut Text, pools: &[PoolFigures], disks: &[DiskStatistics]) {
    text.family("pool_info", Kind::Gauge, "Always 1; the name of a pool");
    for pool in pools {
        let id = pool.pool.entry.id.to_string();
        text.sample(&[("pool", &id), ("name", &pool.pool.entry.name)], 1);
    }
    let mut each = |name: &str, kind: Kind, help: &str, value: fn(&DiskStatistics) -> u64| {
        text.family(name, kind, help);
        for disk in disks {
            let labels = [("pool", disk.pool.as_str()), ("disk", disk.name.as_str())];
            text.sample(&labels, value(disk));
        }
    };
    let counter = Kind::Counter;
    each(
        "disk_attached",
        Kind::Gauge,
        "Clients that are attached",
        |one| one.attached,
    );
    each(
        "disk_reads_total",
        counter,
        "Reads that were answered",
        |one| one.reads,
    );
    each(
        "disk_writes_total",
        counter,
        "Writes that were acknowledged",
        |one| one.writes,
    );
    each(
        "disk_flushes_total",
        counter,
        "Flushes that were answered",
        |one| one.flushes,
    );
    each(
        "disk_discards_total",
        counter,
        "Trims and writes of zeroes",
        |one| one.discards,
    );
    each(
        "disk_failures_total",
        counter,
        "Requests that failed",
        |one| one.errors,
    );
    each("disk_read_bytes_total", counter, "Bytes read", |one| {
        one.read_bytes
    });
    each(
        "disk_written_bytes_total",
        counter,
        "Bytes written",
        |one| one.written_bytes,
    );
    let help = "Reads answered from memory, without waiting";
    each("disk_memory_reads_total", counter, help, |one| {
        one.cache_hits
    });
    let help = "Bytes acknowledged that are not in the store yet";
    each("disk_unshipped_bytes", Kind::Gauge, help, |one| {
        one.backlog_bytes
    });
}
