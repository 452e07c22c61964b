//! What the service manager is told: ready, reloading, stopping, alive.
//!
//! Owns: the messages of sd_notify(3) and their socket. Does not own: when they are sent
//! (`serve.rs`), whether the daemon is alive (`watchdog.rs`).
//!
//! Without a service manager nothing is sent, and nothing is different.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Speaks to the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notify(Option<UnixDatagram>);

impl Notify {
    /// By `NOTIFY_SOCKET`.
    pub(crate) fn from_environment() -> Notify {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Notify(None);
        };
        match connect(name.as_encoded_bytes()) {
            Ok(socket) => Notify(Some(socket)),
            Err(error) => {
                tracing::error!(?name, %error, "the service manager cannot be told anything");
                Notify(None)
            }
        }
    }

    /// The doors are open.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// What goes on, for people.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", line(status)));
    }

    /// The configuration is read again; [`ready`](Self::ready) says that this is over.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", line(status)));
    }

    /// What goes on takes this much longer from now on.
    pub(crate) fn extend(&self, time: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// The daemon is alive.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::warn!(%error, message, "the service manager was not told");
        }
    }
}

/// How often the service manager wants to hear that the daemon is alive, if at all: it gives up
/// after this time.
pub(crate) fn watchdog_time() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let us = number("WATCHDOG_USEC").filter(|us| *us > 0)?;
    // Meant for another process of the same unit, perhaps.
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    ours.then(|| Duration::from_micros(us))
}

fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let address = match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => {
            use std::os::unix::ffi::OsStrExt;
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?
        }
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a path nor abstract",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A service manager that does not listen keeps nobody waiting.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// One line, whatever it was.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    //! Sockets by path and by name; a manager that does not listen.

    use super::{Notify, connect};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("it was sent");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn messages_arrive_at_either_kind_of_socket() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let abstract_name = format!("vpool-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        let path = path.to_str().expect("UTF-8").to_owned();
        for (name, socket) in [(path, by_path), (format!("@{abstract_name}"), by_name)] {
            let notify = Notify(Some(connect(name.as_bytes()).expect("it listens")));
            notify.ready("two\nlines");
            assert_eq!(received(&socket), "READY=1\nSTATUS=two lines");
            notify.extend(Duration::from_millis(1500));
            assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=1500000");
            notify.reloading();
            let text = received(&socket);
            let us = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
            assert!(us.is_some_and(|us| us.parse::<u64>().is_ok()), "{text}");
        }
        assert!(connect(b"relative").is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).expect("a socket");
        let path = path.to_str().expect("UTF-8");
        let notify = Notify(Some(connect(path.as_bytes()).expect("it listens")));
        // Far more than fit; the last of them must return.
        for _ in 0..10_000 {
            notify.alive();
        }
    }
}
