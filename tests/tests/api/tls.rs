//! T29 for the API: who comes in beyond loopback, which TLS stands for here on loopback.
//!
//! Owns: clients good and bad, by Python's `ssl` and by `vpool`; reload. Does not own: which names
//! are in a certificate (`guard.rs` of the daemon), rules between settings (`arguments.rs` there).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use vpool_test_certificates::{Authority, Certified, Purpose, Validity};
use vpool_tests::daemon::{Daemon, Flags, World};
use vpool_tests::need;
use vpool_tests::service::{Service, says};

use super::http::Door;

/// For what takes its time on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints what a server answers to a request: its address, its CA, the client's certificate and key
/// or two empty words, the newest version of TLS, what stands in Host.
const CLIENT: &str = r#"
import socket, ssl, sys
address, ca, certificate, key, version, host = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if certificate:
    context.load_cert_chain(certificate, key)
version = getattr(ssl.TLSVersion, version)
if version < ssl.TLSVersion.TLSv1_2:
    context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version = context.maximum_version = version
place = address.rsplit(":", 1)
with socket.create_connection((place[0], int(place[1])), timeout=30) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as stream:
        stream.sendall(f"GET /api/v1/version HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        while piece := stream.recv(4096):
            sys.stdout.write(piece.decode())
"#;

/// A daemon with TLS at its API, and who signs for it and its clients.
struct Locked {
    service: Service,
    daemon: Daemon,
    address: String,
    ca: Authority,
}

impl Locked {
    fn start() -> anyhow::Result<Locked> {
        let service = Service::new("api-tls", "")?;
        let ca = Authority::new("here")?;
        configure(&service, &ca)?;
        let mut command = service.command(PATIENCE);
        command.args(["--api-tcp", "127.0.0.1:0"]);
        let daemon = service.world.start_as(command)?;
        let version = Door::Unix(service.world.api_socket()).get("/api/v1/version")?;
        let address = version["api_tcp"].as_str().context("an address")?;
        Ok(Locked {
            address: address.to_owned(),
            service,
            daemon,
            ca,
        })
    }

    /// A file beside the daemon's, which only its owner may read.
    fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        write(&self.service, name, text)
    }

    /// What a client by Python's `ssl` comes to, in TLS of a version.
    fn ask(&self, own: Option<&Certified>, version: &str, host: &str) -> anyhow::Result<Output> {
        let ca = self.file("python-ca", self.ca.pem())?;
        let (certificate, key) = match own {
            Some(own) => (
                self.file("python-certificate", &own.certificate)?,
                self.file("python-key", &own.key)?,
            ),
            None => (PathBuf::new(), PathBuf::new()),
        };
        let mut command = Command::new("python3");
        command.args(["-c", CLIENT, &self.address]).arg(ca);
        command.arg(certificate).arg(key).args([version, host]);
        command.output().context("run python3")
    }

    /// What `vpool disk list` comes to.
    fn vpool(&self, ca: &Authority, own: &Certified) -> anyhow::Result<Output> {
        let program = self.service.world.vpool_command().get_program().to_owned();
        let mut command = Command::new(program);
        let address = format!("https://{}", self.address);
        command.args(["disk", "list", "--api", &address]);
        command.arg("--tls-ca").arg(self.file("ca", ca.pem())?);
        let certificate = self.file("own", &own.certificate)?;
        command.arg("--tls-certificate").arg(certificate);
        command
            .arg("--tls-key")
            .arg(self.file("own-key", &own.key)?);
        command.output().context("run vpool")
    }
}

fn write(service: &Service, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = service.beside(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

/// The daemon's files, all of one authority.
fn configure(service: &Service, ca: &Authority) -> anyhow::Result<()> {
    let own = ca.server()?;
    let mut keys = String::new();
    for (key, text) in [
        ("certificate", &*own.certificate),
        ("key", &*own.key),
        ("client_ca", ca.pem()),
    ] {
        let path = write(service, &format!("{key}.pem"), text)?;
        keys.push_str(&format!("api.tls.{key} = {path:?}\n"));
    }
    service.configure(&keys)
}

#[test]
fn who_has_a_certificate_comes_in_and_nobody_else() -> anyhow::Result<()> {
    if !need::programs(&["python3"]) {
        return Ok(());
    }
    let locked = Locked::start()?;
    let good = locked.ca.client()?;
    let other = Authority::new("elsewhere")?;
    let sign = |purpose, validity| locked.ca.sign(purpose, &["x.example"], validity);
    let (now, past) = (Validity::Now, Validity::Past);
    let host = locked.address.clone();

    let let_in = locked.ask(Some(&good), "TLSv1_3", &host)?;
    let said = String::from_utf8_lossy(&let_in.stdout).into_owned();
    // Its certificate says enough: there is no token, and no file of one.
    ensure!(
        said.contains(" 200 OK") && said.contains("vpoold"),
        "{let_in:?}"
    );
    ensure!(
        !locked.service.world.data().join("api.token").exists(),
        "a token was made"
    );
    let elsewhere = locked.ask(Some(&good), "TLSv1_3", "evil.example")?;
    let said = String::from_utf8_lossy(&elsewhere.stdout).into_owned();
    ensure!(
        said.contains(" 403 ") && said.contains("denied"),
        "{elsewhere:?}"
    );

    for (what, own, version) in [
        ("no certificate", None, "TLSv1_3"),
        ("of another CA", Some(other.client()?), "TLSv1_3"),
        ("expired", Some(sign(Purpose::Client, past)?), "TLSv1_3"),
        (
            "not yet",
            Some(sign(Purpose::Client, Validity::Future)?),
            "TLSv1_3",
        ),
        ("a server's", Some(sign(Purpose::Server, now)?), "TLSv1_3"),
        ("TLS 1.2", Some(good.clone()), "TLSv1_2"),
        ("TLS 1.1", Some(good.clone()), "TLSv1_1"),
    ] {
        let refused = locked.ask(own.as_ref(), version, &host)?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success(), "{what}: {refused:?}");
        ensure!(refused.stdout.is_empty(), "{what}: {refused:?}");
        ensure!(
            said.contains("ssl.SSL") || said.contains("Reset"),
            "{what}: {said}"
        );
    }

    // Plain text is taken for TLS, and answered with an alert of it at the most.
    let mut plain = TcpStream::connect(&locked.address)?;
    plain.set_read_timeout(Some(PATIENCE))?;
    write!(plain, "GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    // It may be reset.
    let _ended = plain.read_to_end(&mut answer);
    ensure!(answer.len() < 16, "{:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

#[test]
fn the_command_says_who_did_not_take_whom() -> anyhow::Result<()> {
    let locked = Locked::start()?;
    let good = locked.ca.client()?;
    let other = Authority::new("elsewhere")?;
    let expired = locked
        .ca
        .sign(Purpose::Client, &["x.example"], Validity::Past)?;
    for (what, ca, own, code, word) in [
        ("good", &locked.ca, &good, 0, ""),
        (
            "of another CA",
            &locked.ca,
            &other.client()?,
            4,
            "certificate",
        ),
        ("expired", &locked.ca, &expired, 4, "certificate"),
        (
            "a daemon of another CA",
            &other,
            &good,
            8,
            "not known to be the daemon",
        ),
    ] {
        let output = locked.vpool(ca, own)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(code) && said.contains(word),
            "{what}: {output:?}"
        );
    }
    Ok(())
}

#[test]
fn certificates_are_read_again_on_reload() -> anyhow::Result<()> {
    let locked = Locked::start()?;
    let (old, new) = (&locked.ca, Authority::new("new")?);
    let opens = |ca: &Authority| -> anyhow::Result<bool> {
        Ok(locked.vpool(ca, &ca.client()?)?.status.success())
    };
    ensure!(opens(old)? && !opens(&new)?, "the old one alone");
    let service = &locked.service;
    service.hear(PATIENCE, |message| says(message, "STATUS", "serving"))?;
    configure(service, &new)?;
    locked.daemon.signal(Signal::HUP)?;
    service.hear(PATIENCE, |message| says(message, "STATUS", "serving"))?;
    ensure!(opens(&new)? && !opens(old)?, "the new one alone");
    // A door does not lose its lock while it is open.
    service.configure("")?;
    locked.daemon.signal(Signal::HUP)?;
    let ready = service.hear(PATIENCE, |message| says(message, "READY", "1"))?;
    ensure!(ready["STATUS"].contains("api.tls.certificate"), "{ready:?}");
    ensure!(opens(&new)? && !opens(old)?, "as it was");
    Ok(())
}

#[test]
fn beyond_loopback_without_tls_it_does_not_start() -> anyhow::Result<()> {
    let world = World::new("api-tls")?;
    let error = world.start(&Flags {
        api_tcp: "0.0.0.0:0".to_owned(),
        ..Flags::default()
    });
    let error = error.expect_err("it is refused").to_string();
    for word in [
        "--api-tcp: api.tcp: ",
        "api.tls.certificate",
        "--insecure-listen",
    ] {
        ensure!(error.contains(word), "{error}");
    }
    Ok(())
}
