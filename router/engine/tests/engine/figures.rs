//! Figures of the tests: printed always, and with `VPOOL_REPORTS=1` summed in `tests/reports/`.
//!
//! Owns: [`Figures`], what a test counted and whether it held; which seeds are played. Does not
//! own: what is counted.
//!
//! A report grows: what a run counted is added to what is there, except that names in `_max` and
//! `_min` keep the larger and the smaller. A test that fails adds a violation.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Map, Value};

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
        run.insert("runs".to_owned(), 1.into());
        run.insert("cases".to_owned(), self.cases.get().into());
        for (name, value) in counted {
            run.insert((*name).to_owned(), (*value).into());
        }
        run.insert("violations".to_owned(), violations.into());
        println!("{}: {}", self.test, Value::from(run.clone()));
        if std::env::var("VPOOL_REPORTS").is_ok_and(|value| value == "1") {
            add_to_report(self.test, &run);
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

/// Adds the figures of a run to the report; its lock lets tests run at the same time.
fn add_to_report(test: &str, run: &Map<String, Value>) {
    // Where the program was built says nothing: builds are shared between checkouts.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let path = Path::new(&package).join("../../tests/reports/engine.json");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .expect("the report");
    file.lock().expect("the report's lock");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("the report");
    let mut tests: Map<String, Value> = match text.is_empty() {
        true => Map::new(),
        false => serde_json::from_str(&text).expect("a report is a JSON object"),
    };
    let sums = tests
        .entry(test)
        .or_insert_with(|| Map::new().into())
        .as_object_mut()
        .expect("a test's figures are an object");
    for (name, value) in run {
        let new = value.as_u64().expect("figures are whole numbers");
        let sum = match sums.get(name).and_then(Value::as_u64) {
            None => new,
            Some(old) if name.ends_with("_max") => old.max(new),
            Some(old) if name.ends_with("_min") => old.min(new),
            Some(old) => old + new,
        };
        sums.insert(name.clone(), sum.into());
    }
    let text = serde_json::to_string_pretty(&tests).expect("JSON of numbers") + "\n";
    file.seek(SeekFrom::Start(0)).expect("the report");
    file.write_all(text.as_bytes()).expect("the report");
    file.set_len(text.len() as u64).expect("the report");
}
