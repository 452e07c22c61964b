//! Samples, medians, targets.
//!
//! Owns: the arithmetic, table and JSON. Does not own: measuring.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::fio::Sample;
use super::peers::{NBDKIT, QEMU_NONE, QEMU_WRITEBACK, VPOOL};
use super::rows::{GET, IOPS, MANY_DISKS, ONE_DISK, PUT};
use super::store::Rates;

/// The columns, from left to right.
const COLUMNS: [&str; 5] = [VPOOL, QEMU_NONE, QEMU_WRITEBACK, NBDKIT, Rates::NAME];

/// `memory` of the daemon and what it may use beyond it.
const RSS_BYTES_MAX: u64 = (1 << 30) + (256 << 20);

/// (row, by which it is at least so many times: column and row, the least ratio).
const TARGETS: &[(&str, &str, &str, f64)] = &[
    ("randwrite 4k QD1", QEMU_NONE, "randwrite 4k QD1", 2.0),
    ("randwrite 4k QD32", QEMU_NONE, "randwrite 4k QD32", 2.0),
    ("randwrite 4k QD32", NBDKIT, "randwrite 4k QD32", 0.8),
    (
        "randwrite 4k QD1 fsync=32",
        QEMU_NONE,
        "randwrite 4k QD1 fsync=32",
        1.5,
    ),
    (
        "randwrite 4k QD32 fsync=32",
        QEMU_NONE,
        "randwrite 4k QD32 fsync=32",
        1.5,
    ),
    ("randwrite 4k QD32, steady", Rates::NAME, PUT, 0.9),
    ("randread 4k QD1", QEMU_NONE, "randread 4k QD1", 1.0),
    ("randread 4k QD32", QEMU_NONE, "randread 4k QD32", 1.0),
    (
        "randread 4k QD32 of 128 MiB",
        NBDKIT,
        "randread 4k QD32 of 128 MiB",
        0.8,
    ),
    ("write 128k", QEMU_NONE, "write 128k", 1.0),
    ("write 1M", QEMU_NONE, "write 1M", 1.0),
    ("write 1M, steady", Rates::NAME, PUT, 0.9),
    ("read 1M, cold", Rates::NAME, GET, 0.8),
    (MANY_DISKS, VPOOL, ONE_DISK, 0.8),
];

/// Whether a target is measured by this column of this row.
pub(super) fn is_needed(row: &str, column: &str) -> bool {
    let by = |target: &&(&str, &str, &str, f64)| target.2 == row && target.1 == column;
    column != NBDKIT || TARGETS.iter().any(|target| by(&target))
}

/// All samples.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<(&'static str, Line)>,
    /// The most memory that the daemon had in any burst round, in bytes; 0 if not measured.
    pub(super) rss_bytes_max: u64,
    /// How long all of it took.
    pub(super) seconds: u64,
}

#[derive(Debug)]
struct Line {
    unit: &'static str,
    columns: BTreeMap<&'static str, Vec<Sample>>,
}

impl From<f64> for Sample {
    fn from(mib_s: f64) -> Sample {
        Sample {
            iops: 0.0,
            mib_s,
            p99_us: 0.0,
        }
    }
}

/// The middle of an odd number of values, the mean of the two middles of an even one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Line {
    fn values(&self, column: &str) -> Option<Vec<f64>> {
        let samples = self.columns.get(column)?;
        let value = |sample: &Sample| match self.unit {
            IOPS => sample.iops,
            _ => sample.mib_s,
        };
        Some(samples.iter().map(value).collect())
    }

    fn p99_us(&self, column: &str) -> f64 {
        let samples = self.columns.get(column).into_iter().flatten();
        median(samples.map(|sample| sample.p99_us).collect())
    }
}

/// The least and the greatest.
fn ends(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}

impl Figures {
    pub(super) fn add(
        &mut self,
        row: &'static str,
        unit: &'static str,
        column: &'static str,
        sample: Sample,
    ) {
        let at = self.rows.iter().position(|(name, _)| *name == row);
        let at = at.unwrap_or_else(|| {
            let columns = BTreeMap::new();
            self.rows.push((row, Line { unit, columns }));
            self.rows.len() - 1
        });
        let line = &mut self.rows[at].1;
        line.columns.entry(column).or_default().push(sample);
    }

    fn value(&self, row: &str, column: &str) -> Option<f64> {
        let (_, line) = self.rows.iter().find(|(name, _)| *name == row)?;
        Some(median(line.values(column)?))
    }

    /// Each target: what, its ratio, the least ratio.
    fn targets(&self) -> Vec<(String, f64, f64)> {
        let mut targets = Vec::new();
        for (row, column, by, least) in TARGETS {
            let found = self.value(row, VPOOL).zip(self.value(by, column));
            let Some((ours, theirs)) = found else {
                continue;
            };
            let name = match row == by {
                true => format!("{row} / {column}"),
                false => format!("{row} / {by}"),
            };
            targets.push((name, ours / theirs, *least));
        }
        targets
    }

    /// The table, and one line for each target.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let used = |column: &&&str| {
            let mut lines = self.rows.iter().map(|(_, line)| line);
            lines.any(|line| line.columns.contains_key(**column))
        };
        let columns: Vec<_> = COLUMNS.iter().filter(used).collect();
        let mut line = format!("{:<28} {:>6}", "median (min to max)", "");
        for column in &columns {
            line += &format!(" {column:>24}");
        }
        text += &(line + "\n");
        for (name, row) in &self.rows {
            let mut line = format!("{name:<28} {:>6}", row.unit);
            for column in &columns {
                let cell = row.values(column).map_or(String::new(), |values| {
                    let (least, greatest) = ends(&values);
                    format!("{:.0} ({least:.0} to {greatest:.0})", median(values))
                });
                line += &format!(" {cell:>24}");
            }
            text += &(line + "\n");
        }
        text += "\n";
        for (name, ratio, least) in self.targets() {
            let verdict = if ratio >= least { "pass" } else { "MISS" };
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{verdict}  {ratio:>5.2} of {least:.1}  {name}");
        }
        if self.rss_bytes_max > 0 {
            let verdict = if self.rss_ok() { "pass" } else { "MISS" };
            let mib = self.rss_bytes_max >> 20;
            let most = RSS_BYTES_MAX >> 20;
            let _written = writeln!(text, "{verdict}  {mib} of at most {most} MiB of memory");
        }
        text
    }

    fn rss_ok(&self) -> bool {
        self.rss_bytes_max <= RSS_BYTES_MAX
    }

    /// The same with all samples.
    pub fn json(&self) -> Value {
        let column = |line: &Line, column: &'static str| {
            let values = line.values(column).unwrap_or_default();
            let (least, greatest) = ends(&values);
            json!({
                "median": median(values.clone()), "min": least, "max": greatest,
                "p99_us": line.p99_us(column), "samples": values,
            })
        };
        let row = |(name, line): &(&str, Line)| {
            let columns = line.columns.keys().map(|name| (*name, column(line, name)));
            let columns: BTreeMap<_, _> = columns.collect();
            json!({"row": name, "unit": line.unit, "peers": columns})
        };
        let target = |(name, ratio, least): (String, f64, f64)| json!({"target": name, "ratio": ratio, "least": least, "pass": ratio >= least});
        json!({
            "seconds": self.seconds,
            "rss_bytes_max": self.rss_bytes_max,
            "rss_pass": self.rss_ok(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "targets": self.targets().into_iter().map(target).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    //! Medians, ratios, and rows that exist.

    use super::super::rows::{COLD, ROWS, STEADY};
    use super::{Figures, MANY_DISKS, TARGETS, VPOOL, median};

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn targets_name_rows() {
        for (row, ..) in TARGETS {
            let mut rows = ROWS.iter().chain(STEADY).chain(COLD);
            assert!(
                *row == MANY_DISKS || rows.any(|known| known.name == *row),
                "{row}"
            );
        }
    }

    #[test]
    fn ratios() {
        let mut figures = Figures::default();
        for (row, column, by, least) in TARGETS {
            figures.add(row, super::super::rows::MIB_S, VPOOL, (2.0 * least).into());
            if row != by || *column != VPOOL {
                figures.add(by, super::super::rows::MIB_S, column, 1.0.into());
            }
        }
        assert_eq!(figures.targets().len(), TARGETS.len());
        assert!(figures.table().contains("pass"));
    }
}
