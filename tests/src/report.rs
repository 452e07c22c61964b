//! Figures of a test as JSON.
//!
//! Owns: where reports go, percentiles. Does not own: what is in them.
//!
//! They go to `reports/` in the target directory; with `VPOOL_REPORTS=1` to
//! `tests/reports/`, which is committed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::daemon::{lock, target_dir};
use crate::sums;

/// Where reports are written.
pub fn directory() -> anyhow::Result<PathBuf> {
    let committed = std::env::var_os("VPOOL_REPORTS").is_some_and(|value| value == "1");
    let path = match committed {
        // Where the program was built says nothing: builds are shared between checkouts.
        true => match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(package) => PathBuf::from(package).join("reports"),
            None => PathBuf::from("tests/reports"),
        },
        false => target_dir()?.join("reports"),
    };
    fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// Puts `figures` under `part` of the report `name`; other parts stay. The answer is the
/// report's path.
pub fn add(name: &str, part: &str, figures: Value) -> anyhow::Result<PathBuf> {
    // Tests of one file may run at the same time, in processes of their own.
    let _alone = lock("reports")?;
    let path = directory()?.join(format!("{name}.json"));
    let mut parts: Map<String, Value> = match fs::read(&path) {
        // What an older version wrote in another form is replaced.
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    parts.insert(part.to_owned(), figures);
    let text = serde_json::to_string_pretty(&parts).context("write JSON")? + "\n";
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Adds the figures of one run of a test to the report `name`. The answer is the report's path.
pub fn sum(name: &str, test: &str, run: &Value) -> anyhow::Result<PathBuf> {
    let path = directory()?.join(format!("{name}.json"));
    let run = run.as_object().context("figures are a JSON object")?;
    sums::add(&path, test, run).with_context(|| format!("add to {}", path.display()))?;
    Ok(path)
}

/// The smallest value that `percent` (0–100) of `values` do not exceed, in milliseconds;
/// `None` of nothing.
pub fn percentile_ms(values: &[Duration], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let value = sorted.get(rank - 1)?;
    Some((value.as_secs_f64() * 10_000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    //! Percentiles by nearest rank; what two runs of a test leave.

    use std::time::Duration;

    use serde_json::{Map, Value, json};

    use super::percentile_ms;
    use crate::sums;

    fn figures(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn figures_of_runs_are_summed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.json");
        let first = figures(json!({"cases": 5, "ms_max": 2.5, "room_min": 3}));
        let second = figures(json!({"cases": 7, "ms_max": 1.5, "room_min": 2, "more": 1}));
        sums::add(&path, "a", &first).expect("a new report");
        sums::add(&path, "b", &first).expect("another test");
        sums::add(&path, "a", &second).expect("another run");
        let bytes = std::fs::read(&path).expect("the report");
        let found: Value = serde_json::from_slice(&bytes).expect("JSON");
        let all = json!({"runs": 2, "cases": 12, "ms_max": 2.5, "room_min": 2, "more": 1});
        assert_eq!(found["a"], all);
        assert_eq!(found["b"]["runs"], 1);
        let words = figures(json!({"cases": "many"}));
        assert!(sums::add(&path, "a", &words).is_err());
    }

    #[test]
    fn nearest_rank() {
        let ms: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&ms, 50), Some(50.0));
        assert_eq!(percentile_ms(&ms, 99), Some(99.0));
        assert_eq!(percentile_ms(&ms, 100), Some(100.0));
        assert_eq!(percentile_ms(&ms[..1], 50), Some(100.0));
        assert_eq!(percentile_ms(&[], 50), None);
    }
}
