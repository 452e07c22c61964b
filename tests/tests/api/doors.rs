//! Who is let in over TCP, and who is not.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use vpool_tests::daemon::{Flags, World};

use super::Place;
use super::http::Door;

#[test]
fn the_token_host_and_origin_are_asked_for() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let tcp = place.tcp()?;
    let Door::Tcp(address, token) = &tcp else {
        bail!("it is another door");
    };
    let mode = fs::metadata(place.world.data().join("api.token"))?.permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let port = address.rsplit(':').next().context("a port")?;
    let bearer = format!("authorization: Bearer {token}\r\n");
    let wrong = format!("authorization: Bearer {}\r\n", "f".repeat(64));
    let host = format!("host: {address}\r\n");
    let here = format!("host: localhost:{port}\r\n");
    for (path, head, status) in [
        ("/api/v1/version", format!("{host}{bearer}"), 200),
        ("/api/v1/version", format!("{here}{bearer}"), 200),
        ("/healthz", host.clone(), 200),
        (
            "/api/v1/version",
            format!("{host}{bearer}origin: http://localhost:{port}\r\n"),
            200,
        ),
        ("/api/v1/version", host.clone(), 401),
        ("/metrics", host.clone(), 401),
        ("/api/v1/nothing", host.clone(), 401),
        ("/api/v1/version", format!("{host}{wrong}"), 401),
        ("/api/v1/version", format!("{host}{bearer}{wrong}"), 403),
        (
            "/api/v1/version",
            format!("host: evil.example:{port}\r\n{bearer}"),
            403,
        ),
        ("/healthz", format!("host: evil.example:{port}\r\n"), 403),
        (
            "/api/v1/version",
            format!("host: 127.0.0.1\r\n{bearer}"),
            403,
        ),
        (
            "/api/v1/version",
            format!("{host}{bearer}origin: http://evil.example\r\n"),
            403,
        ),
        (
            "/api/v1/version",
            format!("{host}{bearer}origin: null\r\n"),
            403,
        ),
    ] {
        let answer = tcp.send("GET", path, &head, b"")?;
        ensure!(answer.status == status, "{path} {head}: {answer:?}");
        if status != 200 {
            let unknown = status == 401;
            let code = if unknown { "unauthenticated" } else { "denied" };
            assert_eq!(answer.json["code"], code, "{answer:?}");
            let asked = answer.head.contains("www-authenticate: bearer");
            assert_eq!(asked, unknown, "{answer:?}");
            assert!(answer.json["hint"].is_string(), "{answer:?}");
        }
        ensure!(
            !answer.text.contains(token.as_str()),
            "{path} tells the token"
        );
    }
    // A refused change changes nothing.
    let body = br#"{"name": "evil", "size_bytes": 512}"#;
    let head = format!("{host}origin: http://evil.example\r\n{bearer}");
    assert_eq!(tcp.send("POST", "/api/v1/disks", &head, body)?.status, 403);
    assert_eq!(
        place
            .unix()
            .ask("GET", "/api/v1/disks/evil", &Value::Null)?
            .status,
        404
    );
    let log = fs::read_to_string(place.world.log())?;
    ensure!(!log.contains(token.as_str()), "the log tells the token");
    // The same token after a restart, at another port.
    daemon.terminate()?;
    let _daemon = place.start()?;
    let Door::Tcp(_, again) = place.tcp()? else {
        bail!("it is another door");
    };
    assert_eq!(*token, again);
    place.tcp()?.get("/api/v1/version")?;
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_what_to_do() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let world = World::new("api")?;
    let error = world.start(&Flags {
        api_tcp: taken.local_addr()?.to_string(),
        ..Flags::default()
    });
    let error = error.expect_err("the port is taken").to_string();
    ensure!(error.contains("--api-tcp ADDRESS:PORT"), "{error}");
    Ok(())
}

#[test]
fn off_is_off() -> anyhow::Result<()> {
    let world = World::new("api")?;
    let _daemon = world.start(&Flags::default())?;
    let version = Door::Unix(world.api_socket()).get("/api/v1/version")?;
    assert_eq!(version["api_tcp"], Value::Null);
    assert!(!world.data().join("api.token").exists());
    Ok(())
}

#[test]
fn an_end_in_order_is_not_kept_waiting() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let events = place.unix().events(None)?;
    let more = place.tcp()?.events(None)?;
    let Door::Tcp(address, _) = place.tcp()? else {
        bail!("it is another door");
    };
    let _idle = TcpStream::connect(address)?;
    let took = daemon.terminate()?;
    ensure!(took.as_secs() < 4, "it took {took:?}");
    events.until_ended()?;
    more.until_ended()
}
