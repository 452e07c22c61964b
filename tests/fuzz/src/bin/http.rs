//! What the API's clients write: names, sizes, and bodies in JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vpool_api::names::{DiskPath, check_disk, check_pool};
use vpool_api::{
    AdoptPool, CreateDisk, CreatePool, Event, Problem, RenameDisk, RepairDisk, ResizeDisk, SetDisk,
    Task, size,
};

/// What is read is written as something that reads as the same.
fn body<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let text = serde_json::to_vec(&value).expect("keys are texts");
        let again = serde_json::from_slice::<T>(&text).expect("its own form");
        assert_eq!(again, value);
    }
}

fn text(text: &str) {
    match text.parse::<DiskPath>() {
        Ok(path) => assert_eq!(path.to_string(), text, "two spellings of one name"),
        // It may be a megabyte of anything, and goes into an answer.
        Err(error) => assert!(error.to_string().len() < 1024, "{error}"),
    }
    for checked in [check_disk(text), check_pool(text)] {
        if let Err(error) = checked {
            assert!(error.to_string().len() < 1024, "{error}");
        }
    }
    match size::parse(text) {
        Ok(bytes) => {
            let shown = size::format(bytes);
            if !shown.contains('.') {
                assert_eq!(size::parse(&shown).ok(), Some(bytes), "{shown}");
            }
            let _may_be_none = size::check_disk(bytes);
        }
        Err(error) => assert!(error.to_string().len() < 1024, "{error}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bytes) = std::str::from_utf8(bytes) {
        text(bytes);
    }
    body::<CreateDisk>(bytes);
    body::<ResizeDisk>(bytes);
    body::<RenameDisk>(bytes);
    body::<SetDisk>(bytes);
    body::<RepairDisk>(bytes);
    body::<CreatePool>(bytes);
    body::<AdoptPool>(bytes);
    // And what the command reads of a daemon's answers.
    body::<Problem>(bytes);
    body::<Task>(bytes);
    body::<Event>(bytes);
});
