//! The command: what it accepts and refuses, what it prints, what it exits with.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::{Value, json};
use vpool_api::limits::DISK_BYTES_MAX;

use super::{Place, run};

/// One request over the API's socket, as any program might send it.
fn ask(place: &Place, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(place.api_socket())?;
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or_default().parse()?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

#[test]
fn the_api_checks_names_and_sizes_itself() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let long = "x".repeat(256);
    let refused = [
        (json!({"name": "", "size_bytes": 512}), "empty"),
        (json!({"name": "a:b", "size_bytes": 512}), "':'"),
        (json!({"name": "a@b", "size_bytes": 512}), "'@'"),
        (json!({"name": "a/../b", "size_bytes": 512}), ".."),
        (json!({"name": "a\nb", "size_bytes": 512}), "control"),
        (json!({"name": long, "size_bytes": 512}), "255"),
        (json!({"name": "a", "size_bytes": 0}), "0"),
        (json!({"name": "a", "size_bytes": 511}), "512"),
        (
            json!({"name": "a", "size_bytes": DISK_BYTES_MAX + 512}),
            "64T",
        ),
        (json!({"name": "a", "size_bytes": u64::MAX}), "64T"),
        (json!({"name": "a", "size_bytes": 512, "sice": 1}), "sice"),
        (json!({"name": "a"}), "size_bytes"),
    ];
    for (body, why) in refused {
        let (status, problem) = ask(&place, "POST", "/api/v1/disks", &body)?;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid")),
            "{body}: {problem}"
        );
        assert!(
            problem["detail"].as_str().unwrap_or_default().contains(why),
            "{problem}"
        );
    }
    let (status, problem) = ask(&place, "GET", "/api/v1/nothing", &Value::Null)?;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    let (status, disk) = ask(
        &place,
        "POST",
        "/api/v1/disks",
        &json!({"name": "big", "size_bytes": DISK_BYTES_MAX}),
    )?;
    assert_eq!(
        (status, &disk["size_bytes"]),
        (200, &json!(DISK_BYTES_MAX)),
        "{disk}"
    );
    Ok(())
}

#[test]
fn exit_codes_and_texts() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    for (arguments, code, text) in [
        (&["disk", "create", "a", "--size", "0"][..], 2, "size 0"),
        (&["disk", "create", "a", "--size", "65T"], 2, "64T"),
        (&["disk", "create", "a@b", "--size", "1G"], 2, "'@'"),
        (&["disk", "create", "vm1", "--size", "1G"], 0, ""),
        (&["disk", "create", "vm1", "--size", "1G"], 5, "already"),
        (
            &["disk", "create", "a", "--size", "1G", "--pool", "other"],
            3,
            "other",
        ),
        (&["disk", "show", "nothing"], 3, "nothing"),
        (&["disk", "show", "other:demo"], 3, "other"),
        (&["disk", "delete", "nothing", "--yes"], 3, "nothing"),
        (&["disk", "delete", "vm1"], 2, "--yes"),
        (&["disk", "show", "vm1"], 0, ""),
        (&["disk", "repair", "vm1"], 2, "--accept-loss"),
        (&["disk", "repair", "vm1", "--accept-loss"], 2, "--yes"),
        (&["disk", "delete", "default:vm1", "--yes"], 0, ""),
        (&["disk", "show", "vm1"], 3, "vm1"),
        (&["pool", "show", "nothing"], 3, "nothing"),
        (&["pool", "sync", "nothing"], 3, "nothing"),
        (&["pool", "create", "default", "--fs", "/tmp"], 5, "default"),
        (
            &["pool", "create", "p", "--fs", "/nowhere/at/all"],
            3,
            "/nowhere/at/all",
        ),
        (
            &[
                "pool",
                "create",
                "p",
                "--s3",
                "ftp://h/b",
                "--credentials-file",
                "k",
            ],
            2,
            "http",
        ),
        (
            &[
                "pool",
                "create",
                "p",
                "--s3",
                "http://127.0.0.1:9/bucket",
                "--credentials-file",
                "/nowhere",
            ],
            2,
            "/nowhere",
        ),
        (&["version"], 0, ""),
    ] {
        let done = place.vpool(arguments)?;
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(text), "{arguments:?}: {done:?}");
    }
    let program = place.world.vpool_command().get_program().to_owned();
    for (api, code, text) in [
        ("unix:/nowhere", 8, "/nowhere"),
        ("tcp:1", 2, "unix:PATH"),
        ("unix:", 2, "unix:PATH"),
    ] {
        let mut by_flag = Command::new(&program);
        by_flag.args(["--api", api, "disk", "list"]);
        let mut by_variable = Command::new(&program);
        by_variable.args(["disk", "list"]).env("VPOOL_API", api);
        for command in [&mut by_flag, &mut by_variable] {
            let done = run(command)?;
            assert_eq!(done.code, code, "{command:?}: {done:?}");
            assert!(done.stderr.contains(text), "{command:?}: {done:?}");
        }
    }
    daemon.kill()?;
    assert_eq!(place.vpool(&["disk", "list"])?.code, 8);
    Ok(())
}

#[test]
fn tables_json_and_attach() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "vm/größe 1", "--size", "40G", "--encrypt"])?;
    let table = place.vpool_ok(&["disk", "list"])?;
    assert!(table.starts_with("POOL "), "{table}");
    assert!(
        table.contains("vm/größe 1") && table.contains("40G"),
        "{table}"
    );
    let json: Value =
        serde_json::from_str(&place.vpool_ok(&["disk", "show", "vm/größe 1", "-o", "json"])?)?;
    assert_eq!(json["size_bytes"], json!(40_u64 << 30));
    assert_eq!(json["encrypted"], json!(true));
    let pools: Value = serde_json::from_str(&place.vpool_ok(&["-o", "json", "pool", "list"])?)?;
    assert_eq!(pools["items"][0]["name"], json!("default"));
    assert_eq!(pools["items"][0]["store"]["state"], json!("up"));
    let attach = place.vpool_ok(&["disk", "attach", "demo"])?;
    let socket = place.nbd_socket();
    for piece in [
        "-blockdev",
        "reconnect-delay",
        "<disk type='network'",
        &socket.to_string_lossy(),
    ] {
        assert!(attach.contains(piece), "{piece}: {attach}");
    }
    Ok(())
}

#[test]
fn two_pools_and_names_in_both() -> anyhow::Result<()> {
    let place = Place::new()?;
    let other = place.beside("other");
    std::fs::create_dir(&other)?;
    let other = other.to_string_lossy().into_owned();
    let daemon = place.start()?;
    place.vpool_ok(&["pool", "create", "second", "--fs", &other])?;
    place.vpool_ok(&["disk", "create", "second:demo", "--size", "1G"])?;
    let done = place.vpool(&["disk", "show", "demo"])?;
    assert!(
        done.code == 2 && done.stderr.contains("POOL:demo"),
        "{done:?}"
    );
    place.vpool_ok(&["disk", "show", "default:demo"])?;
    place.vpool_ok(&["disk", "show", "second:demo"])?;
    let taken = place.vpool(&["pool", "create", "third", "--fs", &other])?;
    assert!(
        taken.code == 5 && taken.stderr.contains("pool adopt"),
        "{taken:?}"
    );
    let list = place.vpool_ok(&["disk", "list", "--pool", "second"])?;
    assert!(
        list.contains("second") && !list.contains("default"),
        "{list}"
    );

    // A restart finds both; where the place of one is gone, the other serves, and why is said.
    daemon.terminate()?;
    std::fs::rename(&other, format!("{other}.away"))?;
    let daemon = place.start()?;
    place.vpool_ok(&["disk", "show", "demo"])?;
    let pool = place.vpool_ok(&["pool", "show", "second"])?;
    assert!(pool.contains("FAILED") && pool.contains(&other), "{pool}");
    let done = place.vpool(&["disk", "show", "second:demo"])?;
    assert!(
        done.code == 1 && done.stderr.contains("not open"),
        "{done:?}"
    );
    let taken = place.vpool(&["pool", "create", "second", "--fs", "/tmp"])?;
    assert_eq!(taken.code, 5, "{taken:?}");
    daemon.terminate()?;
    std::fs::rename(format!("{other}.away"), &other)?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "show", "second:demo"])?;
    Ok(())
}

#[test]
fn a_pool_moves_to_another_daemon_by_adoption() -> anyhow::Result<()> {
    let (owner, stranger, heir) = (Place::new()?, Place::new()?, Place::new()?);
    let shared = owner.beside("shared");
    std::fs::create_dir(&shared)?;
    let shared = shared.to_string_lossy().into_owned();
    let daemon = owner.start()?;
    owner.vpool_ok(&["pool", "create", "move", "--fs", &shared])?;
    owner.vpool_ok(&["disk", "create", "move:a", "--size", "1G"])?;
    daemon.terminate()?;

    // Another grid with another key cannot.
    let _stranger = stranger.start()?;
    let done = stranger.vpool(&["pool", "adopt", "--fs", &shared, "--yes", "--take-over"])?;
    assert!(done.code == 5 && done.stderr.contains("key"), "{done:?}");
    // With the key it can, if it says twice that it means it.
    std::fs::copy(owner.data().join("grid.key"), heir.data().join("grid.key"))?;
    let _heir = heir.start()?;
    let unsure = heir.vpool(&["pool", "adopt", "--fs", &shared])?;
    assert!(
        unsure.code == 2 && unsure.stderr.contains("--yes"),
        "{unsure:?}"
    );
    let young = heir.vpool(&["pool", "adopt", "--fs", &shared, "--yes"])?;
    assert!(
        young.code == 5 && young.stderr.contains("--take-over"),
        "{young:?}"
    );
    heir.vpool_ok(&["pool", "adopt", "--fs", &shared, "--yes", "--take-over"])?;
    heir.vpool_ok(&["disk", "show", "move:a"])?;

    // The old owner sees that it is not the owner any more.
    let _daemon = owner.start()?;
    let pool = owner.vpool_ok(&["pool", "show", "move"])?;
    assert!(
        pool.contains("FAILED") && pool.contains("adopted"),
        "{pool}"
    );
    Ok(())
}
