//! Golden files: what version 1 wrote is read for ever, and still written the same.
//!
//! `VPOOL_WRITE_GOLDEN=1` writes the files that do not exist yet; one that exists is never
//! written again: a changed layout is a new version with a new file.

use std::path::PathBuf;

use crate::samples;

/// Asked for when the test runs: the program may have been built in another checkout.
fn directory() -> PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    PathBuf::from(package).join("golden")
}

fn path(name: &str) -> PathBuf {
    directory().join(format!("{name}.v1.bin"))
}

#[test]
fn golden_files_decode_for_ever() {
    let write = std::env::var_os("VPOOL_WRITE_GOLDEN").is_some_and(|value| value == "1");
    for sample in samples::all() {
        let path = path(sample.name);
        if write && !path.exists() {
            std::fs::write(&path, &sample.bytes).expect("the golden directory can be written");
        }
        let golden =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!((sample.is_value)(&golden), "{}: another value", sample.name);
        assert_eq!(
            (sample.recode)(&golden),
            Ok(golden.clone()),
            "{}",
            sample.name
        );
        assert_eq!(golden, sample.bytes, "{}: written differently", sample.name);
    }
}

/// A golden file without its sample would be a format that nothing reads any more.
#[test]
fn every_golden_file_has_its_sample() {
    let names: Vec<PathBuf> = samples::all()
        .iter()
        .map(|sample| path(sample.name))
        .collect();
    for entry in std::fs::read_dir(directory()).expect("the golden directory can be read") {
        let found = entry.expect("the golden directory can be read").path();
        assert!(names.contains(&found), "{}", found.display());
    }
}
