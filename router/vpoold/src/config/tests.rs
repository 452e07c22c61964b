//! Sources in their order, files good and bad, the sample.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::keys::{KEYS, POOL_KEYS};
use super::{Effective, Settings, SettingsFile, Sources, keys, sample, show};

/// The file in the repository.
/// The sample in the repository. Asked for when the test runs: the program may have been built in
/// another checkout.
fn sample_there() -> String {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    fs::read_to_string(format!("{package}/vpoold.toml.sample")).expect("it is in the repository")
}

struct Given {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Given {
    fn file(text: &str) -> Given {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("vpoold.toml");
        fs::write(&path, text).expect("it can be written");
        let sources = Sources {
            file: SettingsFile::Named(path),
            environment: BTreeMap::new(),
            flags: BTreeMap::new(),
        };
        Given { dir, sources }
    }

    fn variable(mut self, name: &str, value: &str) -> Given {
        let pair = (name.to_owned(), value.to_owned());
        self.sources.environment.extend([pair]);
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Given {
        self.sources.flags.insert(name, value.to_owned());
        self
    }

    fn read(&self) -> Effective {
        self.sources.read().expect("it is good")
    }

    fn error(&self) -> String {
        format!("{:#}", self.sources.read().expect_err("it is bad"))
    }
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let given = Given::file("memory = \"2G\"\njournal_size = \"2G\"\ncache_size = 2147483648\n")
        .variable("VPOOLD_MEMORY", "3G")
        .variable("VPOOLD_JOURNAL_SIZE", "3G")
        .flag(keys::MEMORY, "4G");
    let effective = given.read();
    let settings = Settings::new(&effective, false).expect("they go together");
    assert_eq!(settings.memory_bytes, 4 << 30);
    assert_eq!(settings.journal_bytes, 3 << 30);
    assert_eq!(settings.cache_bytes, 2 << 30);
    assert_eq!(settings.data_dir, PathBuf::from("/var/lib/vpool"));
    let origin = |name| effective.entry(name).origin.to_string();
    let file = given.dir.path().join("vpoold.toml");
    assert_eq!(origin(keys::MEMORY), "--memory");
    assert_eq!(
        origin(keys::JOURNAL_SIZE),
        "environment VPOOLD_JOURNAL_SIZE"
    );
    assert_eq!(origin(keys::CACHE_SIZE), format!("{}:3", file.display()));
    assert_eq!(origin(keys::DATA_DIR), "default");
}

#[test]
fn the_log_filter_has_a_second_variable() {
    let given = Given::file("log = \"warn\"").variable("RUST_LOG", "debug");
    assert_eq!(given.read().filter(keys::LOG), "debug");
    let given = given.variable("VPOOLD_LOG", "trace");
    assert_eq!(given.read().filter(keys::LOG), "trace");
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let table = [
        ("\n\nmemroy = 1\n", 3, "there is no key memroy"),
        ("memroy = 1\n", 1, "data_dir, memory, journal_size"),
        (
            "[nbd]\nsocket = \"/a\"\ntpc = \"off\"",
            3,
            "there is no key nbd.tpc",
        ),
        ("[nbd]\ntpc = \"off\"", 2, "in [nbd] are known socket, tcp"),
        ("nbd.tpc = 1", 1, "there is no key nbd.tpc"),
        ("[ndb]\ntcp = \"off\"", 1, "there is no key ndb"),
        ("nbd = 1", 1, "nbd is a table"),
        ("[memory]\nbytes = 1", 1, "write a string"),
        ("memory = \"lots\"", 1, "\"lots\" is no size"),
        (
            "log = \"info\"\nmemory = \"1M\"",
            2,
            "at least 128M is needed",
        ),
        ("memory = -1", 1, "is no size"),
        ("memory = 0x10000000", 1, "is no size"),
        ("memory = 1.5", 1, "no float"),
        ("memory = true", 1, "no boolean"),
        ("memory = [1]", 1, "no array"),
        (
            "data_dir = 7",
            1,
            "write a string, \"PATH\", and no integer",
        ),
        ("data_dir = \"data\"", 1, "is not absolute"),
        ("data_dir = \"\"", 1, "is no path"),
        ("log = \"a=b=c\"", 1, "log: "),
        (
            "[nbd.tls]\nrequired = 1",
            2,
            "write true or false, and no integer",
        ),
        (
            "[nbd.tls]\nrequired = \"true\"",
            2,
            "write true or false, and no string",
        ),
        (
            "[nbd.tls]\nca = \"/a\"",
            2,
            "in [nbd.tls] are known certificate, key, client_ca",
        ),
        ("[nbd]\ntcp = \"10809\"", 2, "write ADDRESS:PORT, or off"),
        ("pool = 1", 1, "write [pool.NAME]"),
        ("[pool]\ncloud = 1", 2, "write [pool.cloud]"),
        ("[pool.\"a/b\"]\njournal_percent = 1", 1, "pool.a/b: "),
        (
            "[pool.cloud]\njournal = 1",
            2,
            "in [pool.cloud] are known journal_percent, memory_percent, cache_size",
        ),
        ("[pool.cloud]\njournal_percent = 0", 2, "from 1 to 100"),
        ("[pool.cloud]\nmemory_percent = 101", 2, "from 1 to 100"),
        (
            "[pool.cloud]\nmemory_percent = \"30\"",
            2,
            "write a whole number from 1 to 100, and no string",
        ),
        (
            "[pool.cloud]\ncache_size = \"big\"",
            2,
            "\"big\" is no size",
        ),
        ("memory = \"1G\"\nmemory = \"2G\"", 2, "duplicate key"),
        ("memory = \"1G\"\n= 2", 2, ""),
        ("memory = \"1G", 1, ""),
    ];
    for (text, line, why) in table {
        let given = Given::file(text);
        let error = given.error();
        let place = format!(
            "{}:{line}: ",
            given.dir.path().join("vpoold.toml").display()
        );
        assert!(error.starts_with(&place), "{text:?}: {error}");
        assert!(error.contains(why), "{text:?}: {error}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let mut given = Given::file(&format!("# {}", "x".repeat(1 << 20)));
    assert!(given.error().contains("no file of settings"));
    let path = given.dir.path().join("vpoold.toml");
    fs::write(&path, b"log = \"\xff\"").expect("it can be written");
    assert!(given.error().contains("UTF-8"), "{}", given.error());
    given.sources.file = SettingsFile::Named(given.dir.path().join("nowhere.toml"));
    let error = given.error();
    assert!(
        error.contains("cannot read") && error.contains("nowhere.toml"),
        "{error}"
    );
}

#[test]
fn bad_variables_are_refused_by_name() {
    let given = Given::file("").variable("VPOOLD_MEMROY", "1G");
    let error = given.error();
    assert!(error.starts_with("environment VPOOLD_MEMROY: "), "{error}");
    assert!(error.contains("VPOOLD_MEMORY"), "{error}");
    let error = Given::file("").variable("VPOOLD_NBD_TCP", "x").error();
    assert!(
        error.starts_with("environment VPOOLD_NBD_TCP: nbd.tcp: "),
        "{error}"
    );
}

#[test]
fn every_key_is_whole() {
    for key in KEYS {
        // Of doors only the API's may be insecure: NBD's has TLS or loopback.
        let flag = match key.name {
            keys::API_INSECURE_LISTEN => "insecure-listen".to_owned(),
            name => name.replace(['.', '_'], "-"),
        };
        assert_eq!(key.flag, flag, "the flag of {}", key.name);
        assert!(key.about.ends_with('.'), "{} ends in the middle", key.name);
        assert!(
            key.about.lines().all(|line| line.len() <= 96),
            "{} is long",
            key.name
        );
        let names = KEYS.iter().filter(|other| other.name == key.name);
        assert_eq!(names.count(), 1);
        if let Some(value) = key.default_value() {
            // What is written is read again.
            let text = format!("{} = {}", key.name, value.toml());
            let given = Given::file(&text);
            assert_eq!(given.read().entry(key.name).value, Some(value), "{text}");
        }
    }
}

#[test]
fn the_sample_is_up_to_date() {
    let there = sample_there();
    assert!(
        there == sample::text(),
        "it is old: vpoold config -o sample > router/vpoold/vpoold.toml.sample"
    );
}

#[test]
fn the_sample_says_the_defaults() {
    let nothing = Given::file("").read();
    let sample = sample_there();
    let as_it_is = Given::file(&sample).read();
    assert!(as_it_is.changes(&nothing).is_empty());
    // With every key uncommented only those differ that have no default of their own.
    let all: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(set) if !set.starts_with(' ') => format!("{set}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let set = Given::file(&all).read();
    for (name, key) in set.changes(&nothing) {
        assert_eq!(key.default_value(), None, "{name}");
    }
    let from_file = set
        .0
        .iter()
        .filter(|entry| entry.origin != super::Origin::Default);
    assert_eq!(from_file.count(), KEYS.len() + POOL_KEYS.len(), "{all}");
}

#[test]
fn settings_are_shown_with_their_origin() {
    let given =
        Given::file("memory = \"300M\"\ncache_size = 1000000007\n").flag(keys::LOG, "debug");
    let effective = given.read();
    let table = show::text(show::Format::Text, &given.sources, &effective);
    let file = given.dir.path().join("vpoold.toml");
    let file = file.display();
    let rows: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "KEY VALUE FROM".to_owned(),
        "data_dir \"/var/lib/vpool\" default".to_owned(),
        format!("memory \"300M\" {file}:1"),
        format!("cache_size 1000000007 {file}:2"),
        "log \"debug\" --log".to_owned(),
        "nbd.socket (nbd.sock in data_dir) default".to_owned(),
    ] {
        assert!(rows.contains(&row), "{row:?} is not in\n{table}");
    }
    let json = show::text(show::Format::Json, &given.sources, &effective);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["file"], file.to_string());
    assert_eq!(json["settings"].as_array().map(Vec::len), Some(KEYS.len()));
    let memory = &json["settings"][1];
    assert_eq!(memory["key"], "memory");
    assert_eq!(memory["value"], 300 << 20);
    assert_eq!(memory["origin"]["line"], 1);
}

#[test]
fn pools_have_shares_by_name() {
    let given = Given::file(
        "[pool.b]\njournal_percent = 60\n[pool.\"a 1\"]\njournal_percent = 40\ncache_size = 0\n",
    );
    let effective = given.read();
    let settings = Settings::new(&effective, false).expect("they go together");
    let [a, b] = ["a 1", "b"].map(|pool| settings.pools[pool]);
    assert_eq!((a.journal_percent, a.memory_percent), (Some(40), None));
    assert_eq!((a.cache_bytes, b.cache_bytes), (Some(0), None));
    assert_eq!(b.journal_percent, Some(60));
    let table = show::text(show::Format::Text, &given.sources, &effective);
    assert!(table.contains("pool.b.journal_percent "), "{table}");
    assert!(table.contains("vpoold.toml:2\n"), "{table}");

    let after = Given::file("[pool.b]\njournal_percent = 61\n").read();
    let changed: Vec<_> = effective.changes(&after).into_keys().collect();
    let all = [
        "pool.a 1.cache_size",
        "pool.a 1.journal_percent",
        "pool.b.journal_percent",
    ];
    assert_eq!(changed, all);
    let mut running = effective.clone();
    running.take(&after, |key| key.live);
    let later: Vec<_> = running.changes(&after).into_keys().collect();
    assert_eq!(later, ["pool.a 1.cache_size"], "it waits for a restart");
}

#[test]
fn more_than_there_is_cannot_be_given() {
    for key in ["journal_percent", "memory_percent"] {
        let text = format!("[pool.b]\n{key} = 60\n[pool.a]\n\n{key} = 41\n");
        let given = Given::file(&text);
        let error = Settings::new(&given.read(), false).expect_err("101 percent");
        let error = format!("{error:#}");
        assert!(
            error.contains("vpoold.toml:5: ") && error.contains("101 percent"),
            "{error}"
        );
    }
}

#[test]
fn changes_are_found_by_value() {
    let before = Given::file("memory = \"1G\"").read();
    let after = Given::file("\n\nmemory = 1073741824\nlog = \"debug\"").read();
    let changed: Vec<_> = before.changes(&after).into_keys().collect();
    assert_eq!(changed, [keys::LOG]);
}
