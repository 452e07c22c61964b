//! schemathesis: requests made from the OpenAPI document, good ones and bad ones.
//!
//! Owns: what is expected of the answers. Does not own: what it is told beside the document
//! (`tests/openapi/hooks.py`), installing it (`tests/openapi/install.sh`).
//!
//! No answer is a 5xx, and each is what the document says: its status, type and body. What the
//! document forbids is refused, also without a token and with a method that is not there. It cannot
//! say all that makes a request good (a name that is there, a place in a list): that those are taken
//! is not expected of single requests, but of each operation once.
//!
//! `VPOOL_OPENAPI_EXAMPLES` (15) requests of each operation and kind, `VPOOL_SEED` (1) what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use vpool_tests::daemon::target_dir;
use vpool_tests::{need, report};

use super::Place;
use super::http::Door;
use super::routes::operations;

/// Statuses and how often each was answered, by operation.
type Tally = BTreeMap<String, BTreeMap<u16, u64>>;

/// Its answer has no end.
const ENDLESS: &str = "/api/v1/events";

/// The document cannot say all that makes a request good; and the hooks put other names than that
/// of what was just made or deleted.
const NOT_CHECKED: &str = "positive_data_acceptance,ensure_resource_availability,use_after_free";

/// What is needed for these is hardly there by chance: a task that goes on (`tasks.rs` has one), a
/// location that somebody has left (`routes.rs`), a pool on S3 or Swift, as one on a directory has
/// nothing to set (`rotation.rs` of the command's tests).
const BY_CHANCE: [&str; 3] = [
    "POST /api/v1/tasks/{id}/cancel",
    "POST /api/v1/adoptions",
    "PATCH /api/v1/pools/{pool}",
];

#[test]
fn schemathesis_finds_nothing() -> anyhow::Result<()> {
    let venv = target_dir()?.join("openapi/venv");
    let program = venv.join("bin/schemathesis");
    if !need::file(&program, "tests/openapi/install.sh") {
        return Ok(());
    }
    let place = Place::new()?;
    let daemon = place.start()?;
    let document = place.unix().get("/api/v1/openapi.json")?;
    let Door::Tcp(address, token) = place.tcp()? else {
        bail!("it is another door");
    };
    for name in ["box/one", "box/two", "box/three", "work"] {
        fs::create_dir_all(place.beside.path().join(name))?;
    }
    let path = |name: &str| place.beside.path().join(name);
    fs::write(path("schemathesis.toml"), "hooks = \"hooks\"\n")?;
    fs::write(path("openapi.json"), document.to_string())?;

    let package = std::env::var("CARGO_MANIFEST_DIR").context("cargo runs the tests")?;
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let (seed, examples) = (
        variable("VPOOL_SEED", "1"),
        variable("VPOOL_OPENAPI_EXAMPLES", "15"),
    );
    let output = File::create(path("output"))?;
    let status = Command::new(&program)
        .arg("--config-file")
        .arg(path("schemathesis.toml"))
        .arg("run")
        .arg(path("openapi.json"))
        .args(["--url", &format!("http://{address}")])
        .args(["--exclude-path", ENDLESS])
        .args(["--checks", "all"])
        .args(["--exclude-checks", NOT_CHECKED])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--seed", &seed, "--max-examples", &examples])
        .args(["--generation-database", "none", "--request-timeout", "45"])
        .args(["--continue-on-failure", "--no-color"])
        .current_dir(path("work"))
        .env("PYTHONPATH", format!("{package}/openapi"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("VPOOL_OPENAPI_BOX", path("box"))
        .env("VPOOL_OPENAPI_TALLY", path("tally"))
        .env("VPOOL_OPENAPI_SEED", &seed)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("start schemathesis")?;
    let output = fs::read_to_string(path("output"))?;
    ensure!(status.success(), "seed {seed}: {output}");

    let tally: Tally = serde_json::from_slice(&fs::read(path("tally"))?).context("the tally")?;
    check(&document, &tally)?;
    let complaints = place.world.log_complaints()?;
    ensure!(complaints.is_empty(), "the daemon's log: {complaints:#?}");
    let requests: u64 = tally.values().flat_map(BTreeMap::values).sum();
    report::add(
        "openapi",
        "schemathesis",
        json!({"operations": tally.len(), "requests": requests, "server_errors": 0}),
    )?;
    daemon.terminate().map(drop)
}

/// Every operation was answered well once, and none with a 5xx.
fn check(document: &Value, tally: &Tally) -> anyhow::Result<()> {
    let mut unheard = BTreeSet::new();
    for (method, path) in operations(document) {
        let operation = format!("{method} {path}");
        let answers = tally.get(&operation).cloned().unwrap_or_default();
        if let Some((status, _)) = answers.range(500..).next() {
            bail!("{operation} was answered with {status}");
        }
        let well = answers.range(200..300).next().is_some();
        if !well && path != ENDLESS && !BY_CHANCE.contains(&&*operation) {
            unheard.insert(format!("{operation}: {answers:?}"));
        }
    }
    ensure!(unheard.is_empty(), "never answered well: {unheard:#?}");
    Ok(())
}
