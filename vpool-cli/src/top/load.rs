//! What clients did with one disk between two samples.
//!
//! Owns: the rates. Does not own: when samples are taken.

use serde::Serialize;
use vpool_api::{DiskStatistics, Latency};

use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;

/// Rates of one disk. Times are the upper bounds of the daemon's buckets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Load {
    /// `POOL:NAME`.
    pub(super) disk: String,
    attached: u64,
    reads_per_second: f64,
    writes_per_second: f64,
    flushes_per_second: f64,
    read_bytes_per_second: f64,
    written_bytes_per_second: f64,
    read_p99_seconds: Option<f64>,
    write_p99_seconds: Option<f64>,
    flush_p99_seconds: Option<f64>,
    /// Of all reads, those answered from memory; `None` without reads.
    cache_hit_percent: Option<f64>,
    errors_per_second: f64,
    backlog_bytes: u64,
}

impl Load {
    /// What came between `before` and `now`, `seconds` later. A disk that is new, or whose
    /// counters an earlier daemon had counted further, begins with nothing.
    pub(super) fn between(
        before: Option<&DiskStatistics>,
        now: &DiskStatistics,
        seconds: f64,
    ) -> Load {
        let grown = |counter: fn(&DiskStatistics) -> u64| {
            let then = before.map_or(0, counter);
            counter(now).checked_sub(then).unwrap_or(counter(now))
        };
        let rate = |counter| grown(counter) as f64 / seconds.max(1e-3);
        let p99 = |latency: fn(&DiskStatistics) -> &Latency| {
            let came = match before {
                Some(before) => latency(now).since(latency(before)),
                None => latency(now).clone(),
            };
            came.percentile_seconds(99.0)
        };
        let (hits, misses) = (
            grown(|disk| disk.cache_hits),
            grown(|disk| disk.cache_misses),
        );
        let reads = hits.saturating_add(misses);
        Load {
            disk: format!("{}:{}", now.pool, now.name),
            attached: now.attached,
            reads_per_second: rate(|disk| disk.reads),
            writes_per_second: rate(|disk| disk.writes),
            flushes_per_second: rate(|disk| disk.flushes),
            read_bytes_per_second: rate(|disk| disk.read_bytes),
            written_bytes_per_second: rate(|disk| disk.written_bytes),
            read_p99_seconds: p99(|disk| &disk.read_latency),
            write_p99_seconds: p99(|disk| &disk.write_latency),
            flush_p99_seconds: p99(|disk| &disk.flush_latency),
            cache_hit_percent: (reads > 0).then(|| hits as f64 * 100.0 / reads as f64),
            errors_per_second: rate(|disk| disk.errors),
            backlog_bytes: now.backlog_bytes,
        }
    }

    /// What disks are put in order by.
    pub(super) fn busy(&self) -> f64 {
        self.reads_per_second + self.writes_per_second + self.flushes_per_second
    }
}

/// A column of loads.
const fn column(name: &'static str, place: Place, value: fn(&Load) -> Value) -> Column<Load> {
    Column { name, place, value }
}

impl Listed for Load {
    const COLUMNS: &'static [Column<Load>] = &[
        column("disk", Place::List, |load| load.disk.as_str().into()),
        column("clients", Place::List, |load| Value::Count(load.attached)),
        column("read_iops", Place::List, |load| {
            Value::Number(load.reads_per_second)
        }),
        column("read", Place::List, |load| {
            Value::Rate(load.read_bytes_per_second)
        }),
        column("read_p99_ms", Place::List, |load| ms(load.read_p99_seconds)),
        column("write_iops", Place::List, |load| {
            Value::Number(load.writes_per_second)
        }),
        column("written", Place::List, |load| {
            Value::Rate(load.written_bytes_per_second)
        }),
        column("write_p99_ms", Place::List, |load| {
            ms(load.write_p99_seconds)
        }),
        column("flush_iops", Place::Wide, |load| {
            Value::Number(load.flushes_per_second)
        }),
        column("flush_p99_ms", Place::Wide, |load| {
            ms(load.flush_p99_seconds)
        }),
        column("hit_percent", Place::List, |load| {
            load.cache_hit_percent.map_or(Value::None, Value::Number)
        }),
        column("errors", Place::Wide, |load| {
            Value::Number(load.errors_per_second)
        }),
        column("backlog", Place::List, |load| {
            Value::Bytes(load.backlog_bytes)
        }),
    ];

    fn name(&self) -> String {
        self.disk.clone()
    }
}

fn ms(seconds: Option<f64>) -> Value {
    seconds.map_or(Value::None, |seconds| {
        // Buckets begin at 16 us: two digits behind the point would hide them.
        Value::Text(format!("{:.3}", seconds * 1000.0))
    })
}

#[cfg(test)]
mod tests {
    //! Rates, also over the start of another daemon.

    use super::Load;
    use vpool_api::{DiskStatistics, Latency};

    fn counters(reads: u64, hits: u64) -> DiskStatistics {
        let latency = Latency {
            total_seconds: 0.0,
            buckets: vec![reads, 0],
        };
        DiskStatistics {
            id: "1".into(),
            pool: "p".into(),
            name: "a".into(),
            attached: 1,
            reads,
            writes: 0,
            flushes: 0,
            discards: 0,
            errors: 0,
            read_bytes: reads * 4096,
            written_bytes: 0,
            cache_hits: hits,
            cache_misses: reads - hits,
            backlog_bytes: 5,
            read_latency: latency.clone(),
            write_latency: Latency::default(),
            flush_latency: latency,
        }
    }

    #[test]
    fn rates_between_two_samples() {
        let load = Load::between(Some(&counters(100, 50)), &counters(300, 200), 2.0);
        assert!((load.reads_per_second - 100.0).abs() < 1e-9);
        assert!((load.read_bytes_per_second - 409_600.0).abs() < 1e-6);
        assert_eq!(load.cache_hit_percent, Some(75.0));
        assert_eq!(load.read_p99_seconds, Some(16e-6));
        assert_eq!(load.write_p99_seconds, None);
        assert_eq!((load.disk.as_str(), load.backlog_bytes), ("p:a", 5));
    }

    #[test]
    fn a_daemon_that_counts_anew() {
        let load = Load::between(Some(&counters(1000, 0)), &counters(10, 0), 1.0);
        assert!((load.reads_per_second - 10.0).abs() < 1e-9);
        let idle = Load::between(Some(&counters(10, 0)), &counters(10, 0), 1.0);
        assert_eq!(idle.cache_hit_percent, None);
        assert!(idle.busy().abs() < 1e-9);
    }
}
