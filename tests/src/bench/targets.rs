//! What vPool must reach, each by cells of the table.
//!
//! Owns: the targets and whether they are met. Does not own: the cells (`figures`).

use serde_json::{Value, json};

use super::columns::{
    NBDKIT, QEMU_IMG, QEMU_NONE, RBD, STORE, STORE_RGW, STORE_SWIFT, VPOOL, VPOOL_RGW, VPOOL_SLOW,
    VPOOL_SWIFT,
};
use super::figures::{Figures, short};
use super::rows::{self, ROWS, Row};

/// A cell, and what of it.
#[derive(Debug, Clone)]
enum Of {
    Median(String, &'static str),
    Max(String, &'static str),
    P99(String, &'static str),
}

impl Of {
    fn value(&self, figures: &Figures) -> Option<f64> {
        match self {
            Of::Median(row, column) => Some(figures.spread(row, column)?.median),
            Of::Max(row, column) => Some(figures.spread(row, column)?.max),
            Of::P99(row, column) => Some(figures.p99_us(row, column)?.median),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// How a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    Miss,
    NotRun,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Miss => "MISS",
            Outcome::NotRun => "-",
        }
    }
}

/// A value, or the ratio of two, and its bound.
#[derive(Debug, Clone)]
pub(super) struct Target {
    name: String,
    ours: Of,
    theirs: Option<Of>,
    bound: Bound,
}

impl Target {
    /// The ratio, and what it means.
    pub(super) fn outcome(&self, figures: &Figures) -> (Option<f64>, Outcome) {
        let theirs = match &self.theirs {
            Some(theirs) => theirs.value(figures),
            None => Some(1.0),
        };
        let Some((ours, theirs)) = self.ours.value(figures).zip(theirs) else {
            return (None, Outcome::NotRun);
        };
        let ratio = ours / theirs;
        let pass = match self.bound {
            Bound::AtLeast(least) => ratio >= least,
            Bound::AtMost(most) => ratio <= most,
        };
        let outcome = if pass { Outcome::Pass } else { Outcome::Miss };
        (Some(ratio), outcome)
    }

    /// Its line below the table.
    pub(super) fn line(&self, figures: &Figures) -> String {
        let (ratio, outcome) = self.outcome(figures);
        let ratio = ratio.map_or("not measured".to_owned(), short);
        let bound = match self.bound {
            Bound::AtLeast(least) => format!(">= {}", short(least)),
            Bound::AtMost(most) => format!("<= {}", short(most)),
        };
        format!("{:<4} {ratio:>12} {bound:<9} {}", outcome.name(), self.name)
    }

    /// The same as JSON.
    pub(super) fn json(&self, figures: &Figures) -> Value {
        let (ratio, outcome) = self.outcome(figures);
        let (least, most) = match self.bound {
            Bound::AtLeast(least) => (Some(least), None),
            Bound::AtMost(most) => (None, Some(most)),
        };
        let pass = (outcome != Outcome::NotRun).then_some(outcome == Outcome::Pass);
        json!({"target": self.name, "ratio": ratio, "least": least, "most": most, "pass": pass})
    }
}

/// A row of ours against the same of another column, at least.
fn against(row: &str, ours: &'static str, theirs: &'static str, least: f64) -> Target {
    Target {
        name: format!("{row}: {ours} / {theirs}"),
        ours: Of::Median(row.to_owned(), ours),
        theirs: Some(Of::Median(row.to_owned(), theirs)),
        bound: Bound::AtLeast(least),
    }
}

/// A row of ours against another row, at least.
fn of_rate(
    row: &str,
    ours: &'static str,
    rate: &'static str,
    store: &'static str,
    least: f64,
) -> Target {
    Target {
        name: format!("{row}: {ours} / {rate} of {store}"),
        ours: Of::Median(row.to_owned(), ours),
        theirs: Some(Of::Median(rate.to_owned(), store)),
        bound: Bound::AtLeast(least),
    }
}

/// A figure by itself, at most.
fn at_most(row: &str, unit: &str, most: f64) -> Target {
    Target {
        name: format!("{row}, {unit}"),
        ours: Of::Median(row.to_owned(), VPOOL),
        theirs: None,
        bound: Bound::AtMost(most),
    }
}

/// Time of requests with a slow store against the same with a near one.
fn slow(row: &Row) -> Target {
    Target {
        name: format!("{} p99: {VPOOL_SLOW} / {VPOOL_RGW}", row.name),
        ours: Of::P99(row.name.to_owned(), VPOOL_SLOW),
        theirs: Some(Of::P99(row.name.to_owned(), VPOOL_RGW)),
        bound: Bound::AtMost(1.2),
    }
}

/// The 4 KiB rows that RBD runs too.
const SMALL: [&str; 6] = [
    "randread 4k QD1",
    "randread 4k QD32",
    "randwrite 4k QD1",
    "randwrite 4k QD32",
    "randwrite 4k QD1 fsync=32",
    "randwrite 4k QD32 fsync=32",
];

/// All of them.
pub(super) fn all() -> Vec<Target> {
    let mut all = vec![
        against("randwrite 4k QD1", VPOOL, QEMU_NONE, 2.0),
        against("randwrite 4k QD32", VPOOL, QEMU_NONE, 2.0),
        against("randwrite 4k QD32", VPOOL, NBDKIT, 0.8),
        against("randwrite 4k QD1 fsync=32", VPOOL, QEMU_NONE, 1.5),
        against("randwrite 4k QD32 fsync=32", VPOOL, QEMU_NONE, 1.5),
        against("randread 4k QD1", VPOOL, QEMU_NONE, 1.0),
        against("randread 4k QD32", VPOOL, QEMU_NONE, 1.0),
        against("randread 4k QD32 of 128 MiB", VPOOL, NBDKIT, 0.8),
        against("write 128k", VPOOL, QEMU_NONE, 1.0),
        against("write 1M", VPOOL, QEMU_NONE, 1.0),
    ];
    for (ours, store) in [(VPOOL, STORE), (VPOOL_RGW, STORE_RGW)] {
        for row in ["randwrite 4k QD32", "write 128k", "write 1M"] {
            all.push(of_rate(&rows::steady(row), ours, rows::PUT, store, 0.9));
        }
        for row in rows::COLD_ROWS {
            all.push(of_rate(&rows::cold(row), ours, rows::GET, store, 0.8));
        }
    }
    for row in rows::COLD_ROWS {
        let cold = rows::cold(row);
        all.push(of_rate(&cold, VPOOL_SWIFT, rows::GET, STORE_SWIFT, 0.8));
    }
    for (ours, store) in [(VPOOL_RGW, STORE_RGW), (VPOOL_SWIFT, STORE_SWIFT)] {
        all.push(of_rate(rows::DRAIN, ours, rows::PUT, store, 0.9));
    }
    all.push(of_rate(rows::MANY_DISKS, VPOOL, rows::ONE_DISK, VPOOL, 0.8));
    all.extend(ROWS.iter().map(slow));
    all.push(at_most(rows::IMPORTS, "bytes/byte", 1.1 / 5.0));
    all.push(of_rate(
        rows::NEIGHBOUR_DOWN,
        VPOOL,
        rows::NEIGHBOUR_UP,
        VPOOL,
        0.9,
    ));
    all.push(of_rate(
        rows::NEIGHBOUR_DOWN,
        VPOOL_RGW,
        rows::NEIGHBOUR_UP,
        VPOOL_RGW,
        0.9,
    ));
    all.extend(SMALL.map(|row| against(row, VPOOL_RGW, RBD, 10.0)));
    all.push(at_most(rows::STORED, "bytes/byte", 1.1));
    all.push(at_most(rows::MAP, "bytes/byte", 0.1));
    all.push(at_most(rows::IDLE_REQUESTS, "in all", 0.0));
    all.push(at_most(rows::IDLE_MEMORY, "KiB", 256.0));
    all.push(at_most(rows::WIDE_OPEN, "s", 1.0));
    all.push(at_most(rows::WIDE_OPEN_COLD, "s", 1.0));
    for row in [rows::IMPORT_QCOW2, rows::IMPORT_VMDK, rows::IMPORT_PLAIN] {
        all.push(against(row, VPOOL, QEMU_IMG, 0.5));
    }
    all.push(at_most(rows::LIST_ALL, "ms", 1000.0));
    all.push(at_most(rows::LIST_COMMAND, "ms", 1000.0));
    all.push(at_most(rows::START, "ms", 50.0));
    all.push(at_most(rows::START_LIST, "ms", 50.0));
    all.push(Target {
        ours: Of::Max(rows::RSS.to_owned(), VPOOL),
        ..at_most(rows::RSS, "MiB, the most of all runs", 256.0)
    });
    all
}

/// Whether a target is measured by this column of this row.
pub(super) fn is_needed(row: &str, column: &str) -> bool {
    let is_it = |of: &Of| matches!(of, Of::Median(name, by) if name == row && *by == column);
    let mut theirs = all().into_iter().filter_map(|target| target.theirs);
    column != NBDKIT || theirs.any(|of| is_it(&of))
}

#[cfg(test)]
mod tests {
    //! Ratios, bounds, and cells that exist.

    use super::super::columns;
    use super::super::figures::{Figures, Sample};
    use super::super::rows::{self, ROWS};
    use super::{Bound, Of, Outcome, all, is_needed};

    fn cells() -> Vec<Of> {
        let targets = all().into_iter();
        targets
            .flat_map(|target| [Some(target.ours), target.theirs])
            .flatten()
            .collect()
    }

    fn put(figures: &mut Figures, of: &Of, value: f64) {
        let (Of::Median(row, column) | Of::Max(row, column) | Of::P99(row, column)) = of;
        let (value, p99_us) = match of {
            Of::P99(..) => (0.0, Some(value)),
            _ => (value, None),
        };
        figures.add(row, "", column, Sample { value, p99_us });
    }

    #[test]
    fn each_target_is_met_missed_and_not_run() {
        for target in all() {
            let (good, bad) = match target.bound {
                Bound::AtLeast(least) => (least * 1.01, least * 0.99),
                Bound::AtMost(most) => (most * 0.99, most * 1.01 + 1e-6),
            };
            let mut empty = Figures::default();
            assert_eq!(
                target.outcome(&empty),
                (None, Outcome::NotRun),
                "{target:?}"
            );
            assert!(target.line(&empty).contains("not measured"));
            if let Some(theirs) = &target.theirs {
                put(&mut empty, theirs, 2.0);
                assert_eq!(target.outcome(&empty).1, Outcome::NotRun, "{target:?}");
            }
            let theirs = if target.theirs.is_some() { 2.0 } else { 1.0 };
            for (ours, expected) in [(good, Outcome::Pass), (bad, Outcome::Miss)] {
                let mut figures = Figures::default();
                put(&mut figures, &target.ours, ours * theirs);
                if let Some(of) = &target.theirs {
                    put(&mut figures, of, theirs);
                }
                assert_eq!(target.outcome(&figures).1, expected, "{target:?}");
                assert!(target.line(&figures).starts_with(expected.name()));
                let pass = &target.json(&figures)["pass"];
                assert_eq!(*pass, (expected == Outcome::Pass), "{target:?}");
            }
        }
    }

    #[test]
    fn memory_is_judged_by_the_worst_run() {
        let mut figures = Figures::default();
        for value in [1.0, 2.0, 300.0] {
            figures.add(rows::RSS, "MiB", columns::VPOOL, value);
        }
        let of_rss = |target: &super::Target| matches!(&target.ours, Of::Max(..));
        let target = all().into_iter().find(of_rss).expect("it is a target");
        assert_eq!(target.outcome(&figures).1, Outcome::Miss);
    }

    #[test]
    fn the_ceiling_is_run_where_it_is_compared() {
        assert!(is_needed("randwrite 4k QD32", columns::NBDKIT));
        assert!(!is_needed("read 1M", columns::NBDKIT));
        assert!(is_needed("read 1M", columns::QEMU_NONE));
    }

    #[test]
    fn every_cell_is_of_a_known_row_and_column() {
        let others = [
            rows::PUT,
            rows::GET,
            rows::ONE_DISK,
            rows::MANY_DISKS,
            rows::STORED,
            rows::IMPORTS,
            rows::NEIGHBOUR_UP,
            rows::NEIGHBOUR_DOWN,
            rows::WIDE_OPEN,
            rows::WIDE_OPEN_COLD,
            rows::MAP,
            rows::IDLE_REQUESTS,
            rows::IDLE_MEMORY,
            rows::RSS,
            rows::DRAIN,
            rows::IMPORT_QCOW2,
            rows::IMPORT_VMDK,
            rows::IMPORT_PLAIN,
            rows::LIST_ALL,
            rows::LIST_COMMAND,
            rows::START,
            rows::START_LIST,
        ];
        for of in cells() {
            let (Of::Median(row, column) | Of::Max(row, column) | Of::P99(row, column)) = of;
            let of_fio = |known: &rows::Row| {
                row == known.name || row == known.steady() || row == known.cold()
            };
            let known = ROWS.iter().any(of_fio) || others.contains(&row.as_str());
            assert!(known, "{row}");
            assert!(columns::ALL.contains(&column), "{column}");
        }
    }
}
