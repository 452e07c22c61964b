//! Every verb of `vpool` against a daemon, good input beside bad.
//!
//! Images have tests of their own (`tests/images.rs`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use vpool_tests::need;

use super::{Done, Place, qemu};

/// What may come late, comes within this time.
const TIME_MAX: Duration = Duration::from_secs(30);

impl Place {
    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.vpool_ok(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Each line: exit code, then the arguments; a word of what is said follows `#`.
    fn check(&self, lines: &[&str]) -> anyhow::Result<()> {
        for line in lines {
            let (command, word) = line.split_once(" # ").unwrap_or((line, ""));
            let mut words = command.split_whitespace();
            let code: i32 = words.next().context("a code")?.parse()?;
            let arguments: Vec<_> = words.collect();
            let done = self.vpool(&arguments)?;
            let said = format!("{}{}", done.stdout, done.stderr);
            let good = done.code == code && said.contains(word);
            anyhow::ensure!(good, "{line}: {done:?}\n{}", self.log());
        }
        Ok(())
    }
}

#[test]
fn pools() -> anyhow::Result<()> {
    let place = Place::new()?;
    let other = place.beside("other");
    std::fs::create_dir(&other)?;
    let _daemon = place.start()?;
    let other = other.to_string_lossy().into_owned();
    place.vpool_ok(&["pool", "create", "second", "--fs", &other, "--dry-run"])?;
    place.check(&["3 pool show second # second"])?;
    place.vpool_ok(&["pool", "create", "second", "--fs", &other])?;
    place.check(&[
        "0 pool list # second",
        "0 pool list --filter name=second -o name # second",
        "2 pool list --filter colour=blue # colour",
        "2 pool list --sort colour # colour",
        "2 pool list --columns colour # not_shipped",
        "0 pool show default second # claim",
        "7 pool show second nothing # nothing",
        "3 pool show nothing none # 2 of 2",
        "0 pool probe second # second",
        "3 pool probe nothing # nothing",
        "0 pool sync default second # in the store",
        "7 pool sync default nothing # nothing",
        "0 pool sync second --dry-run",
        "2 pool delete second # --yes",
        "5 pool delete default --yes # disk",
        "0 pool delete second --dry-run # would",
        "0 pool show second",
        "0 pool delete second --yes # forgotten",
        "3 pool show second",
    ])?;
    let sorted = place.vpool_ok(&["pool", "list", "--sort=-name", "--columns", "name,disks"])?;
    assert!(
        sorted.starts_with("NAME     DISKS\ndefault  1\n"),
        "{sorted}"
    );
    Ok(())
}

#[test]
fn disks() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.check(&[
        "0 disk create a --size 1G --dry-run # would",
        "3 disk show a",
        "0 disk create a --size 1G",
        "0 disk create b --size 2G --encrypt",
        "5 disk create a --size 1G --dry-run # already",
        "0 disk list --filter name=a -o name # default:a",
        "0 disk list --sort=-size_bytes # demo",
        "2 disk list --filter name",
        "0 disk show a b # default",
        "7 disk show a nothing # nothing",
        "0 disk set a --description hello --read-only yes # hello",
        "0 disk set a --read-only no --dry-run # would",
        "2 disk set a # required",
        "3 disk set nothing --read-only yes",
        "0 disk set a --read-only no",
        "0 disk sync a b # in the store",
        "7 disk sync a nothing # nothing",
        "0 disk sync a --timeout 60",
        "0 disk attach a # -blockdev",
        "2 disk repair a # --accept-loss",
        "7 disk delete a nothing --yes # 1 of 2",
        "3 disk delete a --yes",
        "0 disk delete b --yes --dry-run # would",
        "0 disk delete b demo --yes # deleted",
        "0 disk list # no disks yet",
    ])
}

#[test]
fn disks_get_other_sizes_and_names() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.check(&[
        "0 disk create a --size 1G",
        "0 disk create taken --size 1G",
        "0 disk resize a 2G # 2G",
        "2 disk resize a 1G # shrink",
        "2 disk resize a 1G --shrink # --yes",
        "0 disk resize a 1G --shrink --yes # 1G",
        "2 disk resize a 513",
        "3 disk resize nothing 1G",
        "0 disk resize a 3G --dry-run # would",
        "0 disk show a --columns size --bytes # 1073741824",
        "0 disk rename a b/c --dry-run # would",
        "0 disk rename a b/c # b/c",
        "3 disk show a",
        "5 disk rename b/c taken # taken",
        "3 disk rename nothing a",
        "2 disk rename b/c x@y",
        "0 disk show b/c",
    ])
}

#[test]
fn names_with_everything_in_them() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    for name in [
        "vm/a b",
        "größe",
        "it's \"x\"",
        "100% #1?&=+",
        "日本/ディスク",
        "-",
    ] {
        place.vpool_ok(&["disk", "create", "--size", "1M", "--", name])?;
        let shown = place.json(&["disk", "show", &format!("default:{name}")])?;
        assert_eq!(shown["name"], json!(name));
        let listed = place.json(&["disk", "list", "--filter", &format!("name={name}")])?;
        assert_eq!(listed["total"], json!(1), "{name}: {listed}");
        place.vpool_ok(&["disk", "sync", &format!("default:{name}")])?;
        place.vpool_ok(&["disk", "attach", &format!("default:{name}")])?;
        place.vpool_ok(&["disk", "delete", "--yes", &format!("default:{name}")])?;
    }
    Ok(())
}

#[test]
fn tasks_events_and_top() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let id = place.vpool_ok(&["disk", "sync", "demo", "--no-wait"])?;
    let id: u64 = id.trim().parse().with_context(|| id.clone())?;
    let task = place.json(&["task", "watch", &id.to_string(), "--timeout", "60"])?;
    assert_eq!((&task["id"], &task["state"]), (&json!(id), &json!("done")));
    place.check(&[
        "0 task list # disk-sync",
        "0 task list --filter state=done -o csv # disk-sync",
        "2 task list --filter mood=good # mood",
        "3 task show 999999",
        "3 task watch 999999",
        "3 task cancel 999999",
    ])?;

    place.check(&[&format!("5 task cancel {id} # has ended")])?;

    place.vpool_ok(&["disk", "create", "seen", "--size", "1M"])?;
    let events = place.vpool_ok(&["events", "-o", "json"])?;
    let events: Vec<Value> = events
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let last = events.last().context("events")?;
    assert_eq!(
        (&last["kind"], &last["object"]),
        (&json!("disk-created"), &json!("default:seen"))
    );
    let before = last["id"].as_u64().context("a number")? - 1;
    let since = place.vpool_ok(&["events", "--since", &before.to_string(), "-o", "name"])?;
    assert_eq!(since, format!("{}\n", before + 1));
    assert_eq!(
        place.vpool_ok(&["events", "--since", &(before + 1).to_string()])?,
        ""
    );

    if qemu::installed() {
        qemu::io_ok(&place.uri("seen"), &["write -P 1 0 64K", "read 0 64K"])?;
    }
    let top = place.json(&["top", "--once", "--interval", "1"])?;
    let loads = top["items"].as_array().context("a list")?;
    assert!(
        loads
            .iter()
            .any(|load| load["disk"] == json!("default:seen")),
        "{top}"
    );
    let refused = place.vpool(&["top"])?;
    assert!(
        refused.code == 2 && refused.stderr.contains("--once"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn events_are_followed_over_a_restart_and_until_interrupted() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let mut following = place
        .world
        .vpool_command()
        .args(["events", "-f", "--since", "0", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(following.stdout.take().context("piped")?).lines();
    let mut until = |object: &str| -> anyhow::Result<()> {
        let begun = Instant::now();
        for line in lines.by_ref() {
            let event: Value = serde_json::from_str(&line?)?;
            if event["kind"] == json!("disk-created") && event["object"] == json!(object) {
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < TIME_MAX, "{object} is not heard of");
        }
        anyhow::bail!("the stream ended before {object}")
    };
    place.vpool_ok(&["disk", "create", "one", "--size", "1M"])?;
    until("default:one")?;
    daemon.kill()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "two", "--size", "1M"])?;
    until("default:two")?;
    let pid = i32::try_from(following.id())?;
    kill_process(Pid::from_raw(pid).context("a process")?, Signal::INT)?;
    assert_eq!(following.wait()?.code(), Some(130));
    Ok(())
}

#[test]
fn bench_never_writes_where_data_is() -> anyhow::Result<()> {
    if !need::programs(&["fio"]) || !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "full", "--size", "16M"])?;
    place.vpool_ok(&["disk", "create", "empty a", "--size", "16M"])?;
    qemu::io_ok(&place.uri("full"), &["write -P 0x5a 0 16M", "flush"])?;
    let bench = |disk: &str, mode: &str| -> anyhow::Result<Done> {
        place.vpool(&[
            "bench",
            disk,
            "--mode",
            mode,
            "--seconds",
            "1",
            "-o",
            "json",
        ])
    };
    for mode in ["write", "randwrite"] {
        let refused = bench("full", mode)?;
        assert!(
            refused.code == 5 && refused.stderr.contains("holds data"),
            "{refused:?}"
        );
    }
    let read = bench("full", "randread")?;
    assert_eq!(read.code, 0, "{read:?}");
    let read: Value = serde_json::from_str(&read.stdout)?;
    assert!(read["requests_per_second"].as_f64() > Some(0.0), "{read}");
    qemu::io_ok(&place.uri("full"), &["read -P 0x5a 0 16M"])?;
    let written = bench("empty a", "write")?;
    assert_eq!(written.code, 0, "{written:?}");
    assert_eq!(bench("empty a", "write")?.code, 5, "it holds data now");
    assert_eq!(bench("nothing", "read")?.code, 3);
    Ok(())
}

/// One file, for its owner alone, with all parts or why they are missing; never over another file.
#[test]
fn a_support_bundle_is_whole_also_without_a_daemon() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bundle.json");
    let name = file.to_string_lossy().into_owned();
    let said = place.vpool(&["support-bundle", &name])?;
    assert_eq!(said.code, 0, "{said:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    let bundle: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    assert_eq!(bundle["bundle"], 1);
    assert_eq!(bundle["pools"][0]["name"], "default");
    assert_eq!(bundle["disks"][0]["name"], "demo");
    let metrics = bundle["metrics"].as_str().unwrap_or_default();
    assert!(metrics.contains("vpool_"), "{metrics}");
    for list in ["checks", "tasks", "events"] {
        assert!(bundle[list].is_array(), "{list}: {}", bundle[list]);
    }
    let again = place.vpool(&["support-bundle", &name])?;
    assert_eq!(again.code, 5, "{again:?}");
    daemon.kill()?;
    let without = place.vpool(&["support-bundle", "-"])?;
    assert_eq!(without.code, 0, "{without:?}");
    let bundle: Value = serde_json::from_str(&without.stdout)?;
    assert!(bundle["pools"]["error"].is_string(), "{bundle}");
    assert!(bundle["checks"].is_array(), "{bundle}");
    Ok(())
}

#[test]
fn doctor_names_what_is_wrong() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let checks = |done: &Done| -> anyhow::Result<Vec<(String, String)>> {
        let list: Value =
            serde_json::from_str(&done.stdout).with_context(|| format!("{done:?}"))?;
        let items = list["items"].as_array().context("a list")?.clone();
        let words = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        Ok(items
            .iter()
            .map(|check| (words(check, "code"), words(check, "state")))
            .collect())
    };
    let well = place.vpool(&["doctor", "-o", "json"])?;
    let found = checks(&well)?;
    for code in ["daemon", "version", "health", "store", "nbd", "open_files"] {
        let ok = found
            .iter()
            .any(|check| check.0 == code && check.1 != "wrong");
        assert!(ok, "{code}: {well:?}");
    }
    // Whatever the machine is like, it was looked at.
    for code in [
        "journal_file_system",
        "journal_sync",
        "direct_io",
        "journal_space",
        "memory",
    ] {
        assert!(
            found.iter().any(|check| check.0 == code),
            "{code}: {well:?}"
        );
    }
    let left = std::fs::read_dir(place.data().join("journal"))?.flatten();
    let left: Vec<_> = left.map(|file| file.file_name()).collect();
    assert!(!left.iter().any(|name| name == "doctor.tmp"), "{left:?}");
    let wrong = found.iter().filter(|check| check.1 == "wrong").count();
    assert_eq!(well.code, i32::from(wrong > 0), "{well:?}");
    place.vpool_ok(&["disk", "create", "a.importing-0123abcd", "--size", "1M"])?;
    let draft = place.vpool(&["doctor", "-o", "csv"])?;
    assert!(draft.stdout.contains("half an import"), "{draft:?}");

    // A pool whose place is gone.
    let other = place.beside("other");
    std::fs::create_dir(&other)?;
    place.vpool_ok(&["pool", "create", "gone", "--fs", &other.to_string_lossy()])?;
    daemon.terminate()?;
    std::fs::remove_dir_all(&other)?;
    let daemon = place.start()?;
    let ill = place.vpool(&["doctor"])?;
    assert!(ill.code == 1 && ill.stdout.contains("pool gone"), "{ill:?}");
    daemon.kill()?;
    let dead = place.vpool(&["doctor", "-o", "json"])?;
    assert_eq!(dead.code, 1, "{dead:?}");
    assert!(
        checks(&dead)?.contains(&("daemon".into(), "wrong".into())),
        "{dead:?}"
    );
    Ok(())
}

#[test]
fn completions_and_manual_pages() -> anyhow::Result<()> {
    let place = Place::new()?;
    let directory = place.beside("man");
    std::fs::create_dir(&directory)?;
    for shell in ["bash", "zsh", "fish"] {
        let script = place.vpool_ok(&["completion", shell])?;
        assert!(script.contains("import"), "{script}");
    }
    let script = place.vpool_ok(&["completion", "bash"])?;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()?;
    bash.stdin
        .take()
        .context("piped")?
        .write_all(script.as_bytes())?;
    assert!(bash.wait()?.success());
    place.vpool_ok(&["man", &directory.to_string_lossy()])?;
    let page = std::fs::read_to_string(directory.join("vpool-disk-import.1"))?;
    assert!(
        page.contains(".TH vpool-disk-import 1") && page.contains("\\-\\-compare"),
        "{page}"
    );
    assert_eq!(place.vpool(&["man", "/nowhere"])?.code, 1);
    Ok(())
}
