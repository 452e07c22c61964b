//! The command line.
//!
//! Owns: flags, their defaults, the check of their values. Does not own: what they mean for
//! the parts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use vpool_api::size;

/// The least journal: what the engine keeps ready for each of a few pools.
const JOURNAL_BYTES_MIN: u64 = 128 << 20;

/// The least memory that the caches can work with.
const MEMORY_BYTES_MIN: u64 = 128 << 20;

/// The vPool storage router.
#[derive(Debug, Parser)]
#[command(name = "vpoold", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run on a directory, with a demo disk; needs no configuration
    Dev {
        #[command(flatten)]
        flags: Flags,
        /// Where NBD listens on TCP: a loopback ADDRESS:PORT, or off
        #[arg(
            long,
            visible_alias = "nbd",
            value_name = "ADDRESS:PORT|off",
            default_value = "127.0.0.1:10809"
        )]
        nbd_tcp: Tcp,
    },
    /// Run on a directory
    Run {
        #[command(flatten)]
        flags: Flags,
        /// Where NBD listens on TCP: a loopback ADDRESS:PORT, or off
        #[arg(
            long,
            visible_alias = "nbd",
            value_name = "ADDRESS:PORT|off",
            default_value = "off"
        )]
        nbd_tcp: Tcp,
    },
}

#[derive(Debug, Args)]
struct Flags {
    /// Holds the key, the journal, the caches, the metadata and the objects of pool `default`
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The NBD unix socket [default: DIR/nbd.sock]
    #[arg(long, value_name = "PATH")]
    nbd_socket: Option<PathBuf>,

    /// The API's unix socket [default: DIR/api.sock]
    #[arg(long, value_name = "PATH")]
    api_socket: Option<PathBuf>,

    /// Where the API listens on TCP, for those who have the token in DIR/api.token: a loopback
    /// ADDRESS:PORT, or off
    #[arg(long, value_name = "ADDRESS:PORT|off", default_value = "127.0.0.1:7480", value_parser = api_tcp)]
    api_tcp: Tcp,

    /// SSD for the journals of all pools
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = size::parse)]
    journal_size: u64,

    /// Memory for caches and maps
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::parse)]
    memory: u64,

    /// SSD for the cache of each pool; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = size::parse)]
    cache_size: u64,
}

/// Whether and where to listen on TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tcp(Option<SocketAddr>);

impl FromStr for Tcp {
    type Err = String;

    fn from_str(text: &str) -> Result<Tcp, String> {
        loopback(
            text,
            "NBD over TCP is not encrypted and asks nobody who they are",
        )
    }
}

/// The same for the API.
fn api_tcp(text: &str) -> Result<Tcp, String> {
    loopback(
        text,
        "the API over TCP is not encrypted: its token could be read on the way",
    )
}

fn loopback(text: &str, why: &str) -> Result<Tcp, String> {
    if text == "off" {
        return Ok(Tcp(None));
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "write ADDRESS:PORT, or off".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{why}: only a loopback address (127.0.0.1 or ::1) is possible"
        ));
    }
    Ok(Tcp(Some(address)))
}

/// What the daemon is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Everything of this daemon is below it.
    pub(crate) data_dir: PathBuf,
    /// Whether the disk `demo` is made at the first start.
    pub(crate) demo: bool,
    /// `None`: in the data directory.
    pub(crate) nbd_socket: Option<PathBuf>,
    /// `None`: in the data directory.
    pub(crate) api_socket: Option<PathBuf>,
    /// `None`: not on TCP.
    pub(crate) nbd_tcp: Option<SocketAddr>,
    /// `None`: not on TCP.
    pub(crate) api_tcp: Option<SocketAddr>,
    /// SSD for all journals.
    pub(crate) journal_bytes: u64,
    /// Memory for caches and maps.
    pub(crate) memory_bytes: u64,
    /// SSD for each pool's cache; 0 = none.
    pub(crate) cache_bytes: u64,
}

impl Arguments {
    /// The settings, or what is wrong with the flags.
    pub(crate) fn settings(self) -> Result<Settings, clap::Error> {
        let (flags, nbd_tcp, demo) = match self.command {
            Command::Dev { flags, nbd_tcp } => (flags, nbd_tcp, true),
            Command::Run { flags, nbd_tcp } => (flags, nbd_tcp, false),
        };
        at_least("--journal-size", flags.journal_size, JOURNAL_BYTES_MIN)?;
        at_least("--memory", flags.memory, MEMORY_BYTES_MIN)?;
        Ok(Settings {
            data_dir: flags.data_dir,
            demo,
            nbd_socket: flags.nbd_socket,
            api_socket: flags.api_socket,
            nbd_tcp: nbd_tcp.0,
            api_tcp: flags.api_tcp.0,
            journal_bytes: flags.journal_size,
            memory_bytes: flags.memory,
            cache_bytes: flags.cache_size,
        })
    }
}

fn at_least(flag: &str, bytes: u64, bytes_min: u64) -> Result<(), clap::Error> {
    if bytes >= bytes_min {
        return Ok(());
    }
    let message = format!(
        "{flag} {} is too small: at least {} is needed",
        size::format(bytes),
        size::format(bytes_min)
    );
    Err(Arguments::command().error(ErrorKind::ValueValidation, message))
}

#[cfg(test)]
mod tests {
    //! Flags, good and bad.

    use super::{Arguments, Settings};
    use clap::{CommandFactory, Parser};

    fn settings(line: &str) -> Result<Settings, clap::Error> {
        Arguments::try_parse_from(line.split(' ')).and_then(Arguments::settings)
    }

    #[test]
    fn the_command_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let dev = settings("vpoold dev --data-dir d").expect("as documented");
        assert_eq!(
            dev.nbd_tcp,
            Some("127.0.0.1:10809".parse().expect("an address"))
        );
        assert!(dev.demo);
        assert_eq!(
            (dev.journal_bytes, dev.memory_bytes, dev.cache_bytes),
            (16 << 30, 1 << 30, 16 << 30)
        );
        let run = settings("vpoold run --data-dir d").expect("as documented");
        assert_eq!((run.nbd_tcp, run.demo), (None, false));
        assert_eq!(
            run.api_tcp,
            Some("127.0.0.1:7480".parse().expect("an address"))
        );
    }

    #[test]
    fn command_lines() {
        for good in [
            "vpoold dev --data-dir d --nbd-tcp off",
            "vpoold dev --data-dir d --nbd 127.0.0.1:0",
            "vpoold dev --data-dir d --nbd-tcp [::1]:10809",
            "vpoold run --data-dir d --journal-size 128M --memory 128M --cache-size 0",
            "vpoold run --data-dir d --nbd-socket /n --api-socket /a",
            "vpoold run --data-dir d --api-tcp off",
            "vpoold dev --data-dir d --api-tcp [::1]:0",
        ] {
            assert!(settings(good).is_ok(), "{good}");
        }
        for bad in [
            "vpoold",
            "vpoold dev",
            "vpoold dev --data-dir d --nbd-tcp 0.0.0.0:10809",
            "vpoold dev --data-dir d --nbd-tcp 10809",
            "vpoold dev --data-dir d --api-tcp 0.0.0.0:7480",
            "vpoold run --data-dir d --api-tcp 192.0.2.1:7480",
            "vpoold run --data-dir d --api-tcp localhost:7480",
            "vpoold run --data-dir d --api-tcp",
            "vpoold dev --data-dir d --journal-size 1M",
            "vpoold dev --data-dir d --memory 1M",
            "vpoold dev --data-dir d --memory lots",
        ] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }
}
