//! `vpoold run` as a service: its file, what it tells the service manager, reload, the unit.
//!
//! Owns: what is expected of each. Does not own: the manager that listens
//! (`vpool_tests::service`).

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use vpool_test_certificates::{Authority, Certified};
use vpool_test_stores::{CephRgw, Mode, Proxy};
use vpool_tests::nbd::Client;
use vpool_tests::need;
use vpool_tests::service::{Service, says};

/// For what takes its time on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the tests' manager waits for a sign of life.
const WATCHDOG: Duration = Duration::from_secs(2);

/// Of the unit under `systemd-analyze security`, in tenths: 0 is shut, 100 is open.
const EXPOSURE_MAX: &str = "20";

fn lines_with(service: &Service, part: &str) -> anyhow::Result<usize> {
    let log = std::fs::read_to_string(service.world.log()).context("read the log")?;
    Ok(log.lines().filter(|line| line.contains(part)).count())
}

#[test]
fn a_life_as_the_service_manager_hears_it() -> anyhow::Result<()> {
    let service = Service::new("service", "")?;
    let daemon = service.world.start_as(service.command(WATCHDOG))?;
    let first = service.hear(PATIENCE, |_| true)?;
    ensure!(says(&first, "STATUS", "opening the pools"), "{first:?}");
    let ready = service.hear(PATIENCE, |message| message.contains_key("READY"))?;
    ensure!(
        says(&ready, "READY", "1") && says(&ready, "STATUS", "serving"),
        "{ready:?}"
    );
    // Ready means that the doors are open: no attempt fails.
    service
        .world
        .vpool(&["disk", "create", "one", "--size", "64M"])?;
    let mut client = Client::connect(&service.world.door("one"), 1)?;
    client.write(0, &[7; 4096])?;

    let alive = service.listen(2 * WATCHDOG)?;
    let alive = alive
        .iter()
        .filter(|message| says(message, "WATCHDOG", "1"));
    ensure!(alive.count() >= 4, "twice within the time, at the least");

    // A reload: the log filter changes, the rest is named.
    ensure!(
        lines_with(&service, "DEBUG")? == 0,
        "nobody asked for these"
    );
    let before = Instant::now();
    service.configure("log = \"debug\"\nnbd.tcp = \"127.0.0.1:0\"")?;
    daemon.signal(Signal::HUP)?;
    let reloading = service.hear(PATIENCE, |message| message.contains_key("RELOADING"))?;
    let us: u64 = reloading["MONOTONIC_USEC"].parse().context("a number")?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now_us = u64::try_from(now.tv_sec)? * 1_000_000 + u64::try_from(now.tv_nsec)? / 1000;
    let age = Duration::from_micros(now_us.checked_sub(us).context("it is past")?);
    ensure!(
        age <= before.elapsed() + Duration::from_millis(1),
        "{age:?} ago"
    );
    let ready = service.hear(PATIENCE, |message| message.contains_key("READY"))?;
    ensure!(ready["STATUS"].contains("nbd.tcp"), "{ready:?}");
    ensure!(!ready["STATUS"].contains("log"), "{ready:?}");
    ensure!(
        lines_with(&service, "need a restart")? == 1,
        "it is said once"
    );
    client.write(4096, &[8; 4096])?;
    client.flush()?;
    service.world.vpool(&["disk", "sync", "one"])?;
    ensure!(lines_with(&service, "DEBUG")? > 0, "the filter has changed");

    // An invalid file changes nothing and says so.
    service.configure("log = \"error\"\nmemroy = \"1G\"")?;
    daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| message.contains_key("READY"))?;
    ensure!(ready["STATUS"].contains("vpoold.toml:9"), "{ready:?}");
    ensure!(
        lines_with(&service, "the configuration is not valid")? == 1,
        "it is logged"
    );
    // Shares of pools are taken at once, but for caches; more than there is is refused.
    let shares = "[pool.default]\njournal_percent = 60\ncache_size = \"0\"\n[pool.other]";
    for (percent, said, not_said) in [
        (41, "vpoold.toml:12: pool.other.journal_percent", "needs"),
        (40, "change of pool.default.cache_size", "journal_percent"),
    ] {
        service.configure(&format!("{shares}\njournal_percent = {percent}"))?;
        daemon.signal(Signal::HUP)?;
        let ready = service.hear(PATIENCE, |message| message.contains_key("READY"))?;
        let status = &ready["STATUS"];
        ensure!(
            status.contains(said) && !status.contains(not_said),
            "{status}"
        );
    }
    // A valid one again: what is back as it was needs no restart.
    service.configure("log = \"info\"")?;
    daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| message.contains_key("READY"))?;
    ensure!(says(&ready, "STATUS", "serving"), "{ready:?}");
    ensure!(
        client.read(0, 4096)? == [7; 4096],
        "clients have noticed nothing"
    );

    drop(client);
    daemon.terminate()?;
    let stopping = service.hear(PATIENCE, |message| message.contains_key("STOPPING"))?;
    ensure!(says(&stopping, "STOPPING", "1"), "{stopping:?}");
    let extended = service.hear(PATIENCE, |message| {
        message.contains_key("EXTEND_TIMEOUT_USEC")
    })?;
    ensure!(
        says(&extended, "EXTEND_TIMEOUT_USEC", "15000000"),
        "{extended:?}"
    );
    Ok(())
}

#[test]
fn a_store_that_hangs_is_no_reason_for_a_restart() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    ceph.create_bucket("service")?;
    let runtime = Runtime::new().context("start a runtime for the proxy")?;
    let proxy = runtime.block_on(Proxy::start(ceph.port()))?;
    let mode = |mode| runtime.block_on(proxy.set_mode(mode));
    let url = format!("{}/service/one", proxy.endpoint());
    let keys = ceph.credentials_file().to_string_lossy().into_owned();
    let service = Service::new("service-store", "")?;

    // It hangs while the daemon runs, with writes that wait for it.
    let daemon = service.world.start_as(service.command(WATCHDOG))?;
    let create = [
        "pool",
        "create",
        "cloud",
        "--s3",
        &url,
        "--credentials-file",
        &keys,
    ];
    service.world.vpool(&create)?;
    service
        .world
        .vpool(&["disk", "create", "cloud:one", "--size", "256M"])?;
    mode(Mode::Hang)?;
    let mut client = Client::connect(&service.world.door("cloud:one"), 1)?;
    client.write(0, &vec![7; 20 << 20])?;
    client.flush()?;
    stays_alive(&service, 10 * WATCHDOG)?;
    client.write(0, &[8; 4096])?;
    drop(client);
    daemon.kill()?;

    // It hangs when the daemon starts.
    let begun = Instant::now();
    let daemon = service.world.start_as(service.command(WATCHDOG))?;
    service.hear(PATIENCE, |message| message.contains_key("READY"))?;
    ensure!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    stays_alive(&service, 5 * WATCHDOG)?;

    // The end ships what it can, and says that it takes its time.
    daemon.terminate()?;
    service.hear(PATIENCE, |message| message.contains_key("STOPPING"))?;
    mode(Mode::Pass)?;
    let daemon = service.world.start_as(service.command(WATCHDOG))?;
    let mut client = Client::connect(&service.world.door("cloud:one"), 1)?;
    ensure!(
        client.read(0, 4096)? == [8; 4096],
        "what was acknowledged is there"
    );
    ensure!(
        client.read(4096, 4096)? == [7; 4096],
        "what was acknowledged is there"
    );
    drop(client);
    daemon.terminate()?;
    Ok(())
}

/// Whether every sign of life comes in time.
fn stays_alive(service: &Service, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        service.hear(WATCHDOG, |message| says(message, "WATCHDOG", "1"))?;
    }
    Ok(())
}

#[test]
fn settings_are_shown_and_refused() -> anyhow::Result<()> {
    let service = Service::new("service-config", "log = \"warn\"")?;
    let config = |arguments: &[&str]| {
        let mut command = service.world.vpoold_command();
        let file = service.file();
        command
            .arg("config")
            .arg("--config")
            .arg(file)
            .args(arguments);
        command.env_remove("RUST_LOG").env("VPOOLD_MEMORY", "300M");
        command.output().context("run vpoold config")
    };
    let shown = config(&["-o", "json", "--cache-size", "0"])?;
    ensure!(shown.status.success(), "{shown:?}");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    let of = |key: &str| {
        let all = shown["settings"].as_array().expect("a list");
        let found = all.iter().find(|one| one["key"] == key);
        found.expect("every key is there").clone()
    };
    for (key, value, kind) in [
        ("memory", serde_json::json!(300 << 20), "environment"),
        ("cache_size", serde_json::json!(0), "flag"),
        ("log", serde_json::json!("warn"), "file"),
        ("nbd.tcp", serde_json::json!("off"), "default"),
    ] {
        let found = of(key);
        ensure!(
            found["value"] == value && found["origin"]["kind"] == kind,
            "{found}"
        );
    }
    let table = String::from_utf8(config(&[])?.stdout)?;
    ensure!(table.contains("environment VPOOLD_MEMORY"), "{table}");

    service.configure("\nlog = 7")?;
    let refused = config(&[])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(said.contains("vpoold.toml:9: log: "), "{said}");
    // Nor does a daemon start with it.
    let error = service.world.start_as(service.command(WATCHDOG));
    let error = error.expect_err("it should not start").to_string();
    ensure!(error.contains("vpoold.toml:9: log: "), "{error}");
    Ok(())
}

/// The files of the server's TLS, as the configuration names them.
fn write_tls(service: &Service, clients: &Authority, server: &Certified) -> anyhow::Result<String> {
    let mut keys = String::new();
    for (key, text) in [
        ("certificate", &*server.certificate),
        ("key", &*server.key),
        ("client_ca", clients.pem()),
    ] {
        let path = service.beside(&format!("{key}.pem"));
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        keys.push_str(&format!("nbd.tls.{key} = {path:?}\n"));
    }
    Ok(keys)
}

#[test]
fn certificates_are_read_again_on_reload() -> anyhow::Result<()> {
    if !need::programs(&["nbdinfo"]) {
        return Ok(());
    }
    let service = Service::new("service-tls", "")?;
    let (old, new) = (Authority::new("old")?, Authority::new("new")?);
    let keys = write_tls(&service, &old, &old.server()?)?;
    let configuration = format!("nbd.tcp = \"127.0.0.1:0\"\n{keys}");
    service.configure(&configuration)?;
    let daemon = service.world.start_as(service.command(WATCHDOG))?;
    service
        .world
        .vpool(&["disk", "create", "one", "--size", "64M"])?;
    let attach = service.world.vpool(&["disk", "attach", "one"])?;
    let uri = attach.split('\'').find(|word| word.starts_with("nbds://"));
    let uri = uri.context("attach names the door with TLS")?.to_owned();
    let opens = |authority: &Authority, name: &str| -> anyhow::Result<bool> {
        let directory = service.beside(name);
        authority.write_client(&directory, &authority.client()?)?;
        let uri = format!("{uri}?tls-certificates={}", directory.display());
        let output = Command::new("nbdinfo").args(["--size", &uri]).output();
        let output = output.context("run nbdinfo")?;
        let size = String::from_utf8_lossy(&output.stdout).trim() == "67108864";
        ensure!(size == output.status.success(), "{output:?}");
        Ok(size)
    };
    ensure!(
        opens(&old, "old")? && !opens(&new, "new")?,
        "the old one alone"
    );
    let plain = Command::new("nbdinfo")
        .arg(uri.replace("nbds:", "nbd:"))
        .output();
    ensure!(
        !plain.context("run nbdinfo")?.status.success(),
        "TLS comes first"
    );

    // Half of a change is refused, and changes nothing.
    std::fs::write(service.beside("key.pem"), &new.server()?.key)?;
    daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| says(message, "READY", "1"))?;
    let ready = match ready["STATUS"].as_str() {
        // The one of the start, if nobody has heard it yet.
        "serving" => service.hear(PATIENCE, |message| says(message, "READY", "1"))?,
        _ => ready,
    };
    ensure!(ready["STATUS"].contains("certificate.pem"), "{ready:?}");
    ensure!(
        opens(&old, "old")? && !opens(&new, "new")?,
        "nothing was changed"
    );

    write_tls(&service, &new, &new.server()?)?;
    daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| says(message, "READY", "1"))?;
    ensure!(says(&ready, "STATUS", "serving"), "{ready:?}");
    ensure!(
        opens(&new, "new")? && !opens(&old, "old")?,
        "the new one alone"
    );

    // A door does not lose its lock while it is open.
    service.configure("nbd.tcp = \"127.0.0.1:0\"")?;
    daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| says(message, "READY", "1"))?;
    ensure!(ready["STATUS"].contains("nbd.tls.certificate"), "{ready:?}");
    ensure!(opens(&new, "new")? && !opens(&old, "old")?, "as it was");
    daemon.terminate()?;

    // What cannot be used is named at the start.
    service.configure(&configuration)?;
    std::fs::write(service.beside("client_ca.pem"), "nothing")?;
    let error = service.world.start_as(service.command(WATCHDOG));
    let error = error.expect_err("it should not start").to_string();
    ensure!(error.contains("client_ca.pem"), "{error}");
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() -> anyhow::Result<()> {
    if !need::programs(&["systemd-analyze"]) {
        return Ok(());
    }
    let service = Service::new("service-unit", "")?;
    let unit = std::fs::read_to_string(dist("vpoold.service")?).context("read the unit")?;
    let program = service.world.vpoold_command();
    let program = program.get_program().to_str().context("a path in UTF-8")?;
    ensure!(unit.contains("=/usr/bin/vpoold run"), "{unit}");
    let here = service.beside("vpoold.service");
    // The program that the package brings is not on this machine.
    let unit = unit.replace("=/usr/bin/vpoold", &format!("={program}"));
    std::fs::write(&here, unit).context("write the unit")?;
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).arg(&here).output();
        output.context("run systemd-analyze")
    };
    let verified = analyze(&["verify", "--man=no"])?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("vpoold"))
        .collect();
    ensure!(verified.status.success() && ours.is_empty(), "{verified:?}");
    let exposed = analyze(&["security", "--offline=true", "--threshold", EXPOSURE_MAX])?;
    let table = String::from_utf8_lossy(&exposed.stdout).into_owned();
    ensure!(exposed.status.success(), "{table}");
    Ok(())
}

/// A file of the package. Asked for when the test runs: the program may have been built in another
/// checkout.
fn dist(name: &str) -> anyhow::Result<String> {
    let package = std::env::var("CARGO_MANIFEST_DIR").context("cargo says where the package is")?;
    Ok(format!("{package}/../dist/{name}"))
}

#[test]
fn the_package_s_settings_are_good() -> anyhow::Result<()> {
    let service = Service::new("service-package", "")?;
    let file = dist("vpoold.toml")?;
    let mut command = service.world.vpoold_command();
    command
        .args(["config", "--config", &file])
        .env_remove("RUST_LOG");
    let shown = command.output().context("run vpoold config")?;
    let table = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        shown.status.success() && table.contains("/run/vpool/api.sock"),
        "{shown:?}"
    );
    Ok(())
}
