//! Every key: its name, its value, its default, what it is for.
//!
//! Owns: the table. All else is made from it: the flags, the names of the variables, the sample
//! file, `vpoold config`. Does not own: how values are written (`value.rs`).

use super::value::{Kind, Value};

/// The least journal: what the engine keeps ready for each of a few pools.
const JOURNAL_BYTES_MIN: u64 = 128 << 20;

/// The least memory that the caches can work with.
const MEMORY_BYTES_MIN: u64 = 128 << 20;

pub(crate) const DATA_DIR: &str = "data_dir";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const JOURNAL_SIZE: &str = "journal_size";
pub(crate) const CACHE_SIZE: &str = "cache_size";
pub(crate) const LOG: &str = "log";
pub(crate) const API_SOCKET: &str = "api.socket";
pub(crate) const API_TCP: &str = "api.tcp";
pub(crate) const API_INSECURE_LISTEN: &str = "api.insecure_listen";
pub(crate) const API_TLS_CERTIFICATE: &str = "api.tls.certificate";
pub(crate) const API_TLS_KEY: &str = "api.tls.key";
pub(crate) const API_TLS_CLIENT_CA: &str = "api.tls.client_ca";
pub(crate) const NBD_SOCKET: &str = "nbd.socket";
pub(crate) const NBD_TCP: &str = "nbd.tcp";
pub(crate) const NBD_TLS_CERTIFICATE: &str = "nbd.tls.certificate";
pub(crate) const NBD_TLS_KEY: &str = "nbd.tls.key";
pub(crate) const NBD_TLS_CLIENT_CA: &str = "nbd.tls.client_ca";
pub(crate) const NBD_TLS_REQUIRED: &str = "nbd.tls.required";

/// Above the table of each pool in the file.
pub(crate) const POOLS: &str = "pool";
pub(crate) const POOL_JOURNAL: &str = "journal_percent";
pub(crate) const POOL_MEMORY: &str = "memory_percent";
pub(crate) const POOL_CACHE: &str = "cache_size";

/// One thing that the daemon can be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// As in the file, with its tables before it.
    pub(crate) name: &'static str,
    /// As a flag, without the dashes.
    pub(crate) flag: &'static str,
    /// What values there are.
    pub(crate) kind: Kind,
    /// What holds where nobody sets it.
    pub(crate) default: Fallback,
    /// What it is for: a line, or several.
    pub(crate) about: &'static str,
    /// Whether a daemon that runs takes a change, when it is told to read the file again.
    pub(crate) live: bool,
}

/// What holds where nobody sets a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// This value.
    Is(&'static str),
    /// What the words say; the example is for the sample file.
    Unset {
        /// What holds then.
        means: &'static str,
        /// A value that could be set.
        example: &'static str,
    },
}

/// All keys, in the order of the file: tables behind what is above them.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: DATA_DIR,
        flag: "data-dir",
        kind: Kind::Path,
        default: Fallback::Is("/var/lib/vpool"),
        about: "Holds the key, the journal, the caches, the metadata and the objects of pool\n\
                `default`. It belongs on a local SSD.",
        live: false,
    },
    Key {
        name: MEMORY,
        flag: "memory",
        kind: Kind::Size {
            bytes_min: MEMORY_BYTES_MIN,
        },
        default: Fallback::Is("1G"),
        about: "Memory for caches and maps, shared by all pools.",
        live: false,
    },
    Key {
        name: JOURNAL_SIZE,
        flag: "journal-size",
        kind: Kind::Size {
            bytes_min: JOURNAL_BYTES_MIN,
        },
        default: Fallback::Is("16G"),
        about: "SSD for the journals of all pools: what is acknowledged and not in the store yet.",
        live: false,
    },
    Key {
        name: CACHE_SIZE,
        flag: "cache-size",
        kind: Kind::Size { bytes_min: 0 },
        default: Fallback::Is("16G"),
        about: "SSD for the cache of each pool; 0 for none.",
        live: false,
    },
    Key {
        name: LOG,
        flag: "log",
        kind: Kind::Filter,
        default: Fallback::Is("info"),
        about: "What is logged: error, warn, info, debug or trace, or more finely\n\
                \"info,vpool_engine=debug\". RUST_LOG says the same where VPOOLD_LOG is not set.",
        live: true,
    },
    Key {
        name: API_SOCKET,
        flag: "api-socket",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "api.sock in data_dir",
            example: "/run/vpool/api.sock",
        },
        about: "The API's unix socket. Who may open it may do everything.",
        live: false,
    },
    Key {
        name: API_TCP,
        flag: "api-tcp",
        kind: Kind::Tcp,
        default: Fallback::Is("127.0.0.1:7480"),
        about: "Where the API listens on TCP, for those who have the token in api.token in data_dir:\n\
                ADDRESS:PORT, or off. Another address than a loopback one needs [api.tls].",
        live: false,
    },
    Key {
        name: API_INSECURE_LISTEN,
        flag: "insecure-listen",
        kind: Kind::Switch,
        default: Fallback::Is("false"),
        about: "Whether the API may listen beyond loopback without TLS. Who can listen in on the\n\
                network between has the token then, and with it everything.",
        live: false,
    },
    Key {
        name: API_TLS_CERTIFICATE,
        flag: "api-tls-certificate",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/api-cert.pem",
        },
        about: "The certificate of this server for the API over TCP, with those between it and its\n\
                CA, in PEM. Clients call the server by a name in it.",
        live: true,
    },
    Key {
        name: API_TLS_KEY,
        flag: "api-tls-key",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/api-key.pem",
        },
        about: "The private key to it, in PEM. Nobody but vpoold should be able to read it.",
        live: true,
    },
    Key {
        name: API_TLS_CLIENT_CA,
        flag: "api-tls-client-ca",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/api-clients.pem",
        },
        about: "The certificates of those who sign clients' certificates, in PEM. Every client whose\n\
                certificate one of them has signed may do everything, without the token.",
        live: true,
    },
    Key {
        name: NBD_SOCKET,
        flag: "nbd-socket",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "nbd.sock in data_dir",
            example: "/run/vpool/nbd.sock",
        },
        about: "The NBD unix socket. Who may open it may use every disk.",
        live: false,
    },
    Key {
        name: NBD_TCP,
        flag: "nbd-tcp",
        kind: Kind::Tcp,
        default: Fallback::Is("off"),
        about: "Where NBD listens on TCP: ADDRESS:PORT, or off. Another address than a loopback one\n\
                needs [nbd.tls].",
        live: false,
    },
    Key {
        name: NBD_TLS_CERTIFICATE,
        flag: "nbd-tls-certificate",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/nbd-cert.pem",
        },
        about: "The certificate of this server for NBD over TCP, with those between it and its CA,\n\
                in PEM.",
        live: true,
    },
    Key {
        name: NBD_TLS_KEY,
        flag: "nbd-tls-key",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/nbd-key.pem",
        },
        about: "The private key to it, in PEM. Nobody but vpoold should be able to read it.",
        live: true,
    },
    Key {
        name: NBD_TLS_CLIENT_CA,
        flag: "nbd-tls-client-ca",
        kind: Kind::Path,
        default: Fallback::Unset {
            means: "no TLS",
            example: "/etc/vpool/nbd-clients.pem",
        },
        about: "The certificates of those who sign clients' certificates, in PEM. Every client whose\n\
                certificate one of them has signed may use every disk.",
        live: true,
    },
    Key {
        name: NBD_TLS_REQUIRED,
        flag: "nbd-tls-required",
        kind: Kind::Switch,
        default: Fallback::Is("true"),
        about: "Whether a client on TCP must start TLS before it is told anything. Without it only a\n\
                loopback address is possible.",
        live: false,
    },
];

/// What is set of a pool by its name, in `[pool.NAME]`. No flags and no variables: names are free.
pub(crate) const POOL_KEYS: &[Key] = &[
    Key {
        name: POOL_JOURNAL,
        flag: "",
        kind: Kind::Percent,
        default: Fallback::Unset {
            means: "an equal part of half of what is left",
            example: "30",
        },
        about: "So many percent of journal_size are there for this pool in any case: what is acknowledged\n\
                while its store is away. All pools together have 100 at most.",
        live: true,
    },
    Key {
        name: POOL_MEMORY,
        flag: "",
        kind: Kind::Percent,
        default: Fallback::Unset {
            means: "an equal part of half of what is left",
            example: "30",
        },
        about: "The same of the memory for what is on its way to the store, and for what is read often.",
        live: true,
    },
    Key {
        name: POOL_CACHE,
        flag: "",
        kind: Kind::Size { bytes_min: 0 },
        default: Fallback::Unset {
            means: "cache_size above",
            example: "16G",
        },
        about: "SSD for the cache of this pool; 0 for none.",
        live: false,
    },
];

impl Key {
    /// The variable that sets it.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.replace('.', "_").to_ascii_uppercase();
        format!("{}{name}", super::VARIABLES)
    }

    /// The table in the file, empty at the top, and the name in it.
    pub(crate) fn place(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The default, if it is a value of its own.
    pub(crate) fn default_value(&self) -> Option<Value> {
        match self.default {
            Fallback::Is(text) => Some(self.kind.parse(text).expect("a test reads them all")),
            Fallback::Unset { .. } => None,
        }
    }
}
