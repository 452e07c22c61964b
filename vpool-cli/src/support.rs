//! `vpool support-bundle`: what somebody who helps from afar wants to see, in one file.
//!
//! Owns: what is in it. Does not own: what the daemon says of itself (the API, which never says a
//! secret), what its log holds.
//!
//! One JSON document, so that who sends it can read it first. What cannot be had stands there as its
//! error: a bundle is wanted most when much does not answer.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use vpool_api::{Disk, List, Pool, Task};

use crate::client::Client;
use crate::doctor;
use crate::events;
use crate::failure::{Exit, Failure, say};
use crate::output::write_bytes;
use crate::version::OWN;

/// The form of the document.
const BUNDLE_VERSION: u32 = 1;

/// How long a command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);

/// What is taken of a command's output at most.
const COMMAND_BYTES_MAX: u64 = 8 << 20;

/// What is asked of the host: name, program, arguments.
const COMMANDS: [(&str, &str, &[&str]); 5] = [
    ("system", "uname", &["-srvm"]),
    ("configuration", "vpoold", &["config"]),
    (
        "unit",
        "systemctl",
        &["status", "--no-pager", "--lines=0", "vpoold"],
    ),
    (
        "log",
        "journalctl",
        &[
            "--no-pager",
            "--output=short-iso-precise",
            "--lines=5000",
            "--unit=vpoold",
        ],
    ),
    ("space", "df", &["-k", "-T"]),
];

/// Writes it to a file that is not there yet, or with `-` to the standard output.
pub(crate) async fn run(client: &Client, file: &Path) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec_pretty(&collect(client).await)
        .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    bytes.push(b'\n');
    let fail = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::AlreadyExists => Exit::Conflict,
            std::io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("cannot write {}: {error}", file.display()))
            .with_hint("name a file that is not there yet, or - for the standard output")
    };
    if file == Path::new("-") {
        return write_bytes(&bytes).map_err(fail);
    }
    // Names of disks and addresses of stores are nobody else's business on this host.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let mut opened = opened.map_err(fail)?;
    opened
        .write_all(&bytes)
        .and_then(|()| opened.sync_all())
        .map_err(fail)?;
    say(&format!(
        "{} holds names, sizes, addresses and the log, and no keys, passwords or data: read it \
         before you send it",
        file.display()
    ));
    Ok(())
}

async fn collect(client: &Client) -> Value {
    let mut bundle = Map::new();
    let mut put = |name: &str, part: Result<Value, Failure>| {
        let part = part.unwrap_or_else(|failure| json!({ "error": failure.message() }));
        bundle.insert(name.to_owned(), part);
    };
    put("bundle", Ok(json!(BUNDLE_VERSION)));
    put("vpool", Ok(json!(OWN)));
    put("version", client.get("/api/v1/version").await);
    put("health", client.health().await.and_then(value));
    put("checks", value(doctor::checks(client).await.0));
    put(
        "pools",
        client
            .list::<Pool>("/api/v1/pools", "")
            .await
            .and_then(items),
    );
    put(
        "disks",
        client
            .list::<Disk>("/api/v1/disks", "")
            .await
            .and_then(items),
    );
    put(
        "tasks",
        client
            .list::<Task>("/api/v1/tasks", "")
            .await
            .and_then(items),
    );
    put("events", events::kept(client).await.and_then(value));
    put(
        "metrics",
        client.text("/metrics?disks=true").await.map(Value::String),
    );
    for (name, program, arguments) in COMMANDS {
        let output = match client.is_here() {
            true => output_of(program, arguments).await.map(Value::String),
            false => Err(Failure::failed(
                "the daemon may be another host's: make the bundle there",
            )),
        };
        put(name, output);
    }
    Value::Object(bundle)
}

fn value(part: impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(part).map_err(|error| Failure::failed(error.to_string()))
}

fn items<T: serde::Serialize>(list: List<T>) -> Result<Value, Failure> {
    value(list.items)
}

/// What a program of this host says, errors behind it.
async fn output_of(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::failed(format!("{program}: {why}"));
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(&error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return Err(fail(&"its output is not there"));
    };
    let read = async move {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        // Beyond the bound the program is cut off: nobody reads on.
        let mut stdout = stdout.take(COMMAND_BYTES_MAX);
        let mut stderr = stderr.take(COMMAND_BYTES_MAX);
        tokio::try_join!(
            stdout.read_to_end(&mut out),
            stderr.read_to_end(&mut errors)
        )?;
        out.extend_from_slice(&errors);
        Ok::<_, std::io::Error>(out)
    };
    let read = tokio::time::timeout(COMMAND_TIME_MAX, read).await;
    let bytes = read
        .map_err(|_| {
            fail(&format_args!(
                "no end within {} s",
                COMMAND_TIME_MAX.as_secs()
            ))
        })?
        .map_err(|error| fail(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
