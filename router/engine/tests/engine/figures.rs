//! Figures of the tests: printed always, and with `VPOOL_REPORTS=1` summed in `tests/reports/`.
//!
//! Owns: [`Figures`], what a test counted and whether it held; which seeds are played. Does not
//! own: what is counted, how it is summed.
//!
//! A report grows: what a run counted is added to what is there. A test that fails adds a
//! violation.

use std::cell::Cell;
use std::path::Path;

use serde_json::{Map, Value};

#[path = "../../../../tests/src/sums.rs"]
mod sums;

/// The figures of one run of a test.
#[must_use = "a test that holds tells its figures"]
pub struct Figures {
    test: &'static str,
    cases: Cell<u64>,
    told: bool,
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable} is a number, not {text:?}")))
}

/// How many to play of what is played `default` times: so many times `VPOOL_TIMES`, where that is
/// said.
pub fn times(default: u64) -> u64 {
    default * number("VPOOL_TIMES").unwrap_or(1)
}

/// The seeds to play: `VPOOL_SEED` is the first, `VPOOL_SEEDS` their number.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = number("VPOOL_SEED").unwrap_or(1);
    first..first + number("VPOOL_SEEDS").unwrap_or_else(|| times(default))
}

impl Figures {
    /// The figures of a test, by the name that it keeps for ever.
    pub fn of(test: &'static str) -> Figures {
        Figures {
            test,
            cases: Cell::new(0),
            told: false,
        }
    }

    /// The same of a test that is one case and counts nothing else; told when it is dropped.
    pub fn one(test: &'static str) -> Figures {
        let figures = Figures::of(test);
        figures.cases.set(1);
        figures
    }

    /// The [`seeds`] to play. Each is printed as its turn comes: the last one is the one that
    /// failed.
    pub fn seeds(&self, default: u64) -> impl Iterator<Item = u64> {
        seeds(default).inspect(|seed| {
            println!("seed {seed}");
            self.cases.set(self.cases.get() + 1);
        })
    }

    /// Tells what was counted by a test that held. Its cases are the seeds that were played,
    /// unless it counts others.
    pub fn tell(mut self, counted: &[(&str, u64)]) {
        self.told = true;
        self.add(counted, 0);
    }

    fn add(&self, counted: &[(&str, u64)], violations: u64) {
        let mut run = Map::new();
        run.insert("cases".to_owned(), self.cases.get().into());
        for (name, value) in counted {
            run.insert((*name).to_owned(), (*value).into());
        }
        run.insert("violations".to_owned(), violations.into());
        println!("{}: {}", self.test, Value::from(run.clone()));
        if std::env::var("VPOOL_REPORTS").is_ok_and(|value| value == "1") {
            // Where the program was built says nothing: builds are shared between checkouts.
            let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
            let report = Path::new(&package).join("../../tests/reports/engine.json");
            sums::add(&report, self.test, &run).expect("the report");
        }
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        if !self.told {
            self.add(&[], u64::from(std::thread::panicking()));
        }
    }
}
