//! The HTTP client as we want it: no retries, no redirects, no proxies, no roots but ours.
//!
//! Owns: reqwest's settings, trust. Does not own: timeouts of whole requests (`call`),
//! tokens (`session`).
//!
//! Left out on purpose: reqwest's retries (the retry decorator does that once for all
//! stores), its redirects (a token is for one host), the proxies of the environment,
//! decompression.

use reqwest::{Certificate, Client, redirect, retry};
use vpool_http::ca;
use vpool_object::{Error, ErrorKind, Result};

use crate::config::SwiftConfig;
use crate::limits::{IDLE_CONNECTIONS_MAX, IDLE_TIME_MAX};

/// Builds the client; no connection is made yet.
pub(crate) fn client(config: &SwiftConfig) -> Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("vpool/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        // Without it small requests take 40 ms.
        .tcp_nodelay(true)
        .http1_only()
        .referer(false)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy();
    if let Some(path) = &config.ca_file {
        let roots = Certificate::from_pem_bundle(&ca::read(path)?).map_err(refuse)?;
        builder = builder.tls_certs_only(roots);
    } else if !config.location.is_https() {
        // Spares reading the system's certificates, which may be absent. A store behind
        // https whose auth service is not needs a CA file.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(refuse)
}

fn refuse(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Invalid, "the settings of TLS").with_source(error)
}
