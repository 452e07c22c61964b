//! Auth v1: user and key in, token and storage URL out, all in header fields.
//!
//! Owns: that exchange. Does not own: when it happens (`session`).

use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use vpool_object::ErrorKind;

use super::{Grant, TOKEN, token};
use crate::call::{failure_text, send, text};
use crate::config::SwiftConfig;
use crate::failure::Failure;
use crate::limits::TOKEN_BYTES_MAX;

const USER: HeaderName = HeaderName::from_static("x-auth-user");
const KEY: HeaderName = HeaderName::from_static("x-auth-key");
const STORAGE_URL: HeaderName = HeaderName::from_static("x-storage-url");
const EXPIRES: HeaderName = HeaderName::from_static("x-auth-token-expires");

pub(super) async fn log_in(
    client: &Client,
    config: &SwiftConfig,
    user: &str,
    key: &str,
) -> Result<Grant, Failure> {
    let field = |value: &str| {
        HeaderValue::from_str(value)
            .map_err(|_| Failure::new(ErrorKind::Invalid, "user or key holds what no header can"))
    };
    let mut key = field(key)?;
    key.set_sensitive(true);
    let request = client
        .get(config.location.auth_url())
        .header(USER, field(user)?)
        .header(KEY, key);
    let mut answer = send(config, request, 0).await?;
    // Read in any case, or the connection could not be used again.
    let body = failure_text(config, &mut answer).await;
    let (status, header) = (answer.status(), answer.headers());
    if !status.is_success() {
        return Err(Failure::from_auth(status, &body));
    }
    let storage_url = text(header, &STORAGE_URL).filter(|url| url.len() <= TOKEN_BYTES_MAX);
    let storage_url = storage_url.ok_or_else(|| {
        let cause = "an answer without X-Storage-Url: not from an auth service, or damaged";
        Failure::new(ErrorKind::Damaged, cause)
    })?;
    // Seconds from now on.
    let lifetime = text(header, &EXPIRES).and_then(|seconds| seconds.parse().ok());
    Ok(Grant {
        token: token(text(header, &TOKEN))?,
        storage_url: storage_url.to_owned(),
        lifetime: lifetime.map(Duration::from_secs),
    })
}
