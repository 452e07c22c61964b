//! The settings, as the parts of the daemon take them.
//!
//! Owns: [`Settings`], and rules between keys. Does not own: rules of one key (`value.rs`).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use vpool_engine::shares::PoolShares;

use super::value::Value;
use super::{Effective, Origin, keys};

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
    pub(crate) api_tcp: Option<SocketAddr>,
    /// `None`: no TLS on it.
    pub(crate) api_tls: Option<TlsFiles>,
    /// `None`: not on TCP.
    pub(crate) nbd_tcp: Option<SocketAddr>,
    /// `None`: no TLS on it.
    pub(crate) nbd_tls: Option<TlsFiles>,
    /// Whether nothing is said on it before TLS.
    pub(crate) nbd_tls_required: bool,
    /// SSD for all journals.
    pub(crate) journal_bytes: u64,
    /// Memory for caches and maps.
    pub(crate) memory_bytes: u64,
    /// SSD for each pool's cache; 0 = none.
    pub(crate) cache_bytes: u64,
    /// What pools are given by name.
    pub(crate) pools: PoolShares,
    /// What is logged.
    pub(crate) log: String,
}

/// What a door with TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The server's certificate, with those between it and its CA.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Who signs clients' certificates.
    pub(crate) client_ca: PathBuf,
}

/// Certificate, key and CA of the API's door.
const API_TLS: [&str; 3] = [
    keys::API_TLS_CERTIFICATE,
    keys::API_TLS_KEY,
    keys::API_TLS_CLIENT_CA,
];

/// The same of the NBD door.
const NBD_TLS: [&str; 3] = [
    keys::NBD_TLS_CERTIFICATE,
    keys::NBD_TLS_KEY,
    keys::NBD_TLS_CLIENT_CA,
];

impl Settings {
    /// What the keys come to, or which of them do not go together.
    pub(crate) fn new(effective: &Effective, demo: bool) -> anyhow::Result<Settings> {
        let nbd_tls = effective.nbd_tls()?;
        let nbd_tls_required = effective.switch(keys::NBD_TLS_REQUIRED);
        let nbd_tcp = effective.tcp(keys::NBD_TCP);
        if let Some(address) = nbd_tcp {
            let proved = nbd_tls.is_some() && nbd_tls_required;
            ensure!(
                address.ip().is_loopback() || proved,
                "{}: {}: {address} can be reached from other hosts, of which each must prove who \
                 it is: set nbd.tls.certificate, nbd.tls.key and nbd.tls.client_ca, and leave \
                 nbd.tls.required true; or take a loopback address (127.0.0.1 or ::1)",
                effective.entry(keys::NBD_TCP).origin,
                keys::NBD_TCP
            );
        }
        let api_tls = effective.tls_files(&API_TLS, &[])?;
        let api_tcp = effective.tcp(keys::API_TCP);
        if let Some(address) = api_tcp {
            let insecure = effective.switch(keys::API_INSECURE_LISTEN);
            ensure!(
                address.ip().is_loopback() || api_tls.is_some() || insecure,
                "{}: {}: {address} can be reached from other hosts, and the token could be read on \
                 the way: set api.tls.certificate, api.tls.key and api.tls.client_ca; or take a \
                 loopback address (127.0.0.1 or ::1); or say --insecure-listen, where the network \
                 between is trusted",
                effective.entry(keys::API_TCP).origin,
                keys::API_TCP
            );
        }
        Ok(Settings {
            data_dir: effective.path(keys::DATA_DIR).expect("it has a default"),
            demo,
            nbd_socket: effective.path(keys::NBD_SOCKET),
            api_socket: effective.path(keys::API_SOCKET),
            api_tcp,
            api_tls,
            nbd_tcp,
            nbd_tls,
            nbd_tls_required,
            journal_bytes: effective.bytes(keys::JOURNAL_SIZE),
            memory_bytes: effective.bytes(keys::MEMORY),
            cache_bytes: effective.bytes(keys::CACHE_SIZE),
            pools: effective.pools()?,
            log: effective.filter(keys::LOG),
        })
    }
}

impl Effective {
    /// What is set of pools; more than all there is cannot be given.
    fn pools(&self) -> anyhow::Result<PoolShares> {
        let mut pools = PoolShares::new();
        for name in [keys::POOL_JOURNAL, keys::POOL_MEMORY] {
            let mut sum = 0;
            for (entry, percent) in self.given(name) {
                sum += u32::from(percent);
                ensure!(
                    sum <= 100,
                    "{}: {}: with this the pools have {sum} percent together, and there are 100",
                    entry.origin,
                    entry.name()
                );
            }
        }
        for entry in &self.0 {
            let Some(pool) = &entry.pool else { continue };
            let share = pools.entry(pool.clone()).or_default();
            match (entry.key.name, &entry.value) {
                (keys::POOL_JOURNAL, Some(Value::Percent(part))) => {
                    share.journal_percent = Some(*part);
                }
                (keys::POOL_MEMORY, Some(Value::Percent(part))) => {
                    share.memory_percent = Some(*part);
                }
                (keys::POOL_CACHE, Some(Value::Size(bytes))) => share.cache_bytes = Some(*bytes),
                (name, other) => unreachable!("{name} is {other:?}"),
            }
        }
        Ok(pools)
    }

    /// The parts that pools are given of one thing, in the order of the file.
    fn given(&self, name: &'static str) -> Vec<(&super::Entry, u8)> {
        let mut given: Vec<_> = self
            .0
            .iter()
            .filter(|entry| entry.pool.is_some() && entry.key.name == name)
            .filter_map(|entry| match entry.value {
                Some(Value::Percent(part)) => Some((entry, part)),
                _ => None,
            })
            .collect();
        given.sort_by_key(|(entry, _)| match entry.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        });
        given
    }

    /// NBD's files. That it is required says nothing without them.
    fn nbd_tls(&self) -> anyhow::Result<Option<TlsFiles>> {
        self.tls_files(&NBD_TLS, &[keys::NBD_TLS_REQUIRED])
    }

    /// The three files of a door's TLS, or none of them, and then nothing `more` of it either.
    fn tls_files(&self, names: &[&str; 3], more: &[&str]) -> anyhow::Result<Option<TlsFiles>> {
        let files = names.map(|name| self.path(name));
        if let [Some(certificate), Some(key), Some(client_ca)] = files {
            return Ok(Some(TlsFiles {
                certificate,
                key,
                client_ca,
            }));
        }
        let all = names.iter().chain(more);
        let mut set = all.map(|name| self.entry(name));
        let missing = names.iter().find(|name| self.path(name).is_none());
        match (set.find(|entry| entry.origin != Origin::Default), missing) {
            (Some(set), Some(missing)) => bail!(
                "{}: {} is set, but {missing} is not: the three files go together",
                set.origin,
                set.key.name
            ),
            _ => Ok(None),
        }
    }

    fn switch(&self, name: &str) -> bool {
        match &self.entry(name).value {
            Some(Value::Switch(switch)) => *switch,
            other => unreachable!("{name} is a switch, not {other:?}"),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        match &self.entry(name).value {
            None => None,
            Some(Value::Path(path)) => Some(path.clone()),
            other => unreachable!("{name} is a path, not {other:?}"),
        }
    }

    fn bytes(&self, name: &str) -> u64 {
        match &self.entry(name).value {
            Some(Value::Size(bytes)) => *bytes,
            other => unreachable!("{name} is a size, not {other:?}"),
        }
    }

    fn tcp(&self, name: &str) -> Option<SocketAddr> {
        match &self.entry(name).value {
            Some(Value::Tcp(address)) => *address,
            other => unreachable!("{name} is an address, not {other:?}"),
        }
    }

    pub(super) fn filter(&self, name: &str) -> String {
        match &self.entry(name).value {
            Some(Value::Filter(filter)) => filter.clone(),
            other => unreachable!("{name} is a filter, not {other:?}"),
        }
    }
}
