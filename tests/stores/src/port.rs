//! Free TCP ports on loopback.
//!
//! Owns: the choice. Does not own: the port itself; whoever starts a server on it may
//! find that another process was quicker, and asks again.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which Linux takes ports of outgoing connections (32768 upwards),
/// so that a chosen port is not lost to one of those before the server listens on it.
const PORTS: Range<u16> = 20_000..32_000;

/// How far along `PORTS` this process has come.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of `count` neighbouring free ports. Processes begin at different places, and one
/// process never gets the same answer twice before all have been tried.
pub(crate) fn free(count: u16) -> anyhow::Result<u16> {
    let places = u32::from((PORTS.end - PORTS.start) / count);
    // A cluster takes few ports: processes with near ids are kept ten clusters apart.
    let begin = std::process::id().wrapping_mul(10) % places;
    for _ in 0..places {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = u16::try_from((begin + step) % places).expect("less than all ports");
        let first = PORTS.start + place * count;
        if (first..first + count).all(is_free) {
            return Ok(first);
        }
    }
    anyhow::bail!("no {count} neighbouring free ports in {PORTS:?}")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
