//! Samples, medians, the table.
//!
//! Owns: the arithmetic, table and JSON. Does not own: measuring, what is good (`targets`).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::columns;
use super::targets::{Outcome, Target};

/// One measurement of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// In the row's unit.
    pub(super) value: f64,
    /// Time of completion that 99 of 100 requests keep, in microseconds, where requests
    /// were timed.
    pub(super) p99_us: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Sample {
        Sample {
            value,
            p99_us: None,
        }
    }
}

/// All samples.
#[derive(Debug, Default)]
pub(super) struct Figures {
    rows: Vec<Line>,
    absent: Vec<(String, String)>,
    /// How long all of it took.
    pub(super) seconds: u64,
}

#[derive(Debug)]
struct Line {
    name: String,
    unit: &'static str,
    columns: BTreeMap<&'static str, Vec<Sample>>,
}

/// Least, middle and greatest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing. The median of an even number is the mean of the two middles.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(*values.get(middle.checked_sub(1)?)?, values[middle]),
        };
        Some(Spread {
            min: *values.first()?,
            median,
            max: *values.last()?,
        })
    }
}

impl Line {
    fn spread(&self, column: &str) -> Option<Spread> {
        let samples = self.columns.get(column)?;
        Spread::of(samples.iter().map(|sample| sample.value).collect())
    }

    fn p99_us(&self, column: &str) -> Option<Spread> {
        let samples = self.columns.get(column)?;
        Spread::of(samples.iter().filter_map(|sample| sample.p99_us).collect())
    }

    fn json(&self) -> Value {
        let column = |column: &'static str, samples: &Vec<Sample>| {
            let spread = self.spread(column);
            json!({
                "median": spread.map(|spread| spread.median),
                "min": spread.map(|spread| spread.min),
                "max": spread.map(|spread| spread.max),
                "p99_us": self.p99_us(column).map(|spread| spread.median),
                "samples": samples.iter().map(|sample| sample.value).collect::<Vec<_>>(),
            })
        };
        let columns = self.columns.iter();
        let columns: BTreeMap<_, _> = columns
            .map(|(name, all)| (name, column(name, all)))
            .collect();
        json!({"row": self.name, "unit": self.unit, "columns": columns})
    }
}

impl Figures {
    /// Puts a sample into its row, which is made where it is missing.
    pub(super) fn add(
        &mut self,
        row: &str,
        unit: &'static str,
        column: &'static str,
        sample: impl Into<Sample>,
    ) {
        let at = self.rows.iter().position(|line| line.name == row);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Line {
                name: row.to_owned(),
                unit,
                columns: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        let columns = &mut self.rows[at].columns;
        columns.entry(column).or_default().push(sample.into());
    }

    /// Says once why something of the table was not run.
    pub(super) fn absent(&mut self, what: &str, why: &str) {
        if self.absent.iter().all(|(known, _)| known != what) {
            self.absent.push((what.to_owned(), why.to_owned()));
        }
    }

    /// The values of a cell.
    pub(super) fn spread(&self, row: &str, column: &str) -> Option<Spread> {
        let line = self.rows.iter().find(|line| line.name == row)?;
        line.spread(column)
    }

    /// The times of a cell.
    pub(super) fn p99_us(&self, row: &str, column: &str) -> Option<Spread> {
        let line = self.rows.iter().find(|line| line.name == row)?;
        line.p99_us(column)
    }

    /// The table, what was not run, and one line for each target.
    pub(super) fn table(&self, targets: &[Target]) -> String {
        let mut text = self.cells();
        text += "\nnot run:\n";
        for (what, why) in &self.absent {
            // Writing to a string cannot fail, here and below.
            let _written = writeln!(text, "  {what}: {why}");
        }
        text += "\ntargets:\n";
        for target in targets {
            let _written = writeln!(text, "{}", target.line(self));
        }
        let counts = [Outcome::Pass, Outcome::Miss, Outcome::NotRun].map(|outcome| {
            let same = |target: &&Target| target.outcome(self).1 == outcome;
            targets.iter().filter(same).count()
        });
        let [pass, miss, absent] = counts;
        let seconds = self.seconds;
        let _written = writeln!(
            text,
            "\n{pass} pass, {miss} miss, {absent} not measured; {seconds} s in all"
        );
        text
    }

    fn cells(&self) -> String {
        let used = |column: &&&str| {
            self.rows
                .iter()
                .any(|line| line.columns.contains_key(**column))
        };
        let columns: Vec<_> = columns::ALL.iter().filter(used).collect();
        let name_width = self.rows.iter().map(|line| line.name.chars().count());
        let name_width = name_width.max().unwrap_or(0).max(18);
        let mut text = format!("{:<name_width$} {:>8}", "median [min max]", "unit");
        for column in &columns {
            let _written = write!(text, " {column:>22}");
        }
        text.push('\n');
        for line in &self.rows {
            let _written = write!(text, "{:<name_width$} {:>8}", line.name, line.unit);
            for column in &columns {
                let cell = line.spread(column).map_or(String::new(), cell);
                let _written = write!(text, " {cell:>22}");
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// The same with all samples.
    pub(super) fn json(&self, targets: &[Target]) -> Value {
        let absent = |(what, why): &(String, String)| json!({"what": what, "why": why});
        json!({
            "seconds": self.seconds,
            "rows": self.rows.iter().map(Line::json).collect::<Vec<_>>(),
            "not_run": self.absent.iter().map(absent).collect::<Vec<_>>(),
            "targets": targets.iter().map(|target| target.json(self)).collect::<Vec<_>>(),
        })
    }
}

fn cell(spread: Spread) -> String {
    let Spread { min, median, max } = spread;
    format!("{} [{} {}]", short(median), short(min), short(max))
}

/// Three digits that count.
pub(super) fn short(value: f64) -> String {
    match value {
        value if value < 0.0 => format!("-{}", short(-value)),
        value if value >= 99_950.0 => format!("{:.0}k", value / 1000.0),
        value if value >= 9_995.0 => format!("{:.1}k", value / 1000.0),
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        value => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    //! Medians, digits, and a table that names what it lacks.

    use super::super::columns::{QEMU_NONE, VPOOL};
    use super::{Figures, Spread, short};

    #[test]
    fn medians() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(
            spread(&[3.0, 1.0, 2.0]),
            Some(Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            })
        );
        assert_eq!(spread(&[4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (-493.2, "-493"),
            (9.994, "9.994"),
            (12.34, "12.3"),
            (99.97, "100"),
            (1234.5, "1234"),
            (41_250.0, "41.2k"),
            (412_500.0, "412k"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn the_table_has_its_cells_and_its_gaps() {
        let mut figures = Figures::default();
        for value in [10.0, 30.0, 20.0] {
            figures.add("a row", "IOPS", VPOOL, value);
        }
        figures.add("a row", "IOPS", QEMU_NONE, 40.0);
        figures.absent("a column", "its program is missing");
        figures.absent("a column", "said already");
        let table = figures.table(&[]);
        assert!(table.contains("20.0 [10.0 30.0]"), "{table}");
        assert!(table.contains(QEMU_NONE), "{table}");
        assert!(
            table.contains("a column: its program is missing"),
            "{table}"
        );
        assert!(!table.contains("said already"), "{table}");
        let json = figures.json(&[]);
        assert_eq!(json["rows"][0]["columns"][VPOOL]["median"], 20.0);
        assert_eq!(json["rows"][0]["columns"][VPOOL]["samples"][1], 30.0);
    }
}
