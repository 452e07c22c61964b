//! Keystone v3: a password in, a token scoped to a project out, with the catalog that says
//! where the project's store is.
//!
//! Owns: that exchange, and the choice in the catalog. Does not own: when it happens.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use vpool_http::cause::printable;
use vpool_object::ErrorKind;
use zeroize::Zeroizing;

use super::clock::seconds;
use super::{Grant, token};
use crate::call::{collect_up_to, failure_text, send, text};
use crate::config::{Interface, SwiftConfig};
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::limits::ANSWER_BYTES_MAX;

/// The field of the answer that carries the token.
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// What a catalog calls Swift.
const OBJECT_STORE: &str = "object-store";

/// More than any request is long: the buffer never moves and leaves no copy of a password.
const REQUEST_BYTES: usize = 256 << 10;

#[derive(Serialize)]
struct Request<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    scope: Scope<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    methods: [&'static str; 1],
    password: Password<'a>,
}

#[derive(Serialize)]
struct Password<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    domain: Domain<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct Scope<'a> {
    project: Project<'a>,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a str,
    domain: Domain<'a>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: &'a str,
}

/// Of the answer, what is used.
#[derive(Debug, Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Debug, Deserialize)]
struct Token {
    #[serde(default)]
    expires_at: String,
    #[serde(default)]
    issued_at: String,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    /// The name of old; both are sent.
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
    url: String,
}

pub(super) async fn log_in(
    client: &Client,
    config: &SwiftConfig,
    credentials: &Credentials,
) -> Result<Grant, Failure> {
    let request = client
        .post(format!("{}/auth/tokens", config.location.auth_url()))
        .header(CONTENT_TYPE, "application/json")
        .body(body(credentials)?);
    let mut answer = send(config, request, 0).await?;
    let status = answer.status();
    if status != StatusCode::CREATED {
        let text = failure_text(config, &mut answer).await;
        return Err(Failure::from_auth(status, &text));
    }
    let token = token(text(answer.headers(), &SUBJECT_TOKEN))?;
    let body = collect_up_to(config, answer, ANSWER_BYTES_MAX).await?;
    let Answer { token: about } = serde_json::from_slice(&body).map_err(|error| {
        let cause = format!("an answer that is none of Keystone's: {error}");
        Failure::new(ErrorKind::Damaged, printable(&cause))
    })?;
    Ok(Grant {
        token,
        storage_url: about.endpoint(config.region.as_deref(), config.interface)?,
        lifetime: about.lifetime(),
    })
}

/// The request, wiped when it was sent.
fn body(credentials: &Credentials) -> Result<Bytes, Failure> {
    let Credentials::V3 {
        user,
        user_domain,
        password,
        project,
        project_domain,
    } = credentials
    else {
        unreachable!("the caller matched it");
    };
    let request = Request {
        auth: Auth {
            identity: Identity {
                methods: ["password"],
                password: Password {
                    user: User {
                        name: user,
                        domain: Domain { name: user_domain },
                        password,
                    },
                },
            },
            scope: Scope {
                project: Project {
                    name: project,
                    domain: Domain {
                        name: project_domain,
                    },
                },
            },
        },
    };
    let mut text = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES));
    serde_json::to_writer(&mut *text, &request)
        .map_err(|error| Failure::new(ErrorKind::Invalid, error.to_string()))?;
    Ok(Bytes::from_owner(text))
}

impl Token {
    /// By Keystone's clock alone: ours may differ from it.
    fn lifetime(&self) -> Option<Duration> {
        let seconds = seconds(&self.expires_at)?.checked_sub(seconds(&self.issued_at)?)?;
        Some(Duration::from_secs(u64::try_from(seconds).ok()?))
    }

    /// The store's URL.
    fn endpoint(&self, region: Option<&str>, interface: Interface) -> Result<String, Failure> {
        let stores = self.catalog.iter().filter(|one| one.kind == OBJECT_STORE);
        let all = stores.flat_map(|store| &store.endpoints);
        let mut others = BTreeSet::new();
        for endpoint in all {
            let here = [&endpoint.region_id, &endpoint.region];
            let here = here.into_iter().flatten().map(String::as_str);
            let in_region = region.is_none_or(|region| here.clone().any(|name| name == region));
            if in_region && endpoint.interface == interface.name() {
                return Ok(endpoint.url.clone());
            }
            let name = here.clone().next().unwrap_or("no region");
            others.insert(format!("{} in {name}", endpoint.interface));
        }
        let others: Vec<String> = others.into_iter().collect();
        let others = match others.is_empty() {
            true => "none at all".to_owned(),
            false => printable(&others.join(", ")),
        };
        let region = region.unwrap_or("any region");
        let cause =
            format!("the catalog has no {interface} {OBJECT_STORE} in {region}, but {others}");
        let remedy =
            "set region and interface to what the catalog has, or give the project a store";
        Err(Failure::new(ErrorKind::NoLocation, cause).with_remedy(remedy))
    }
}

#[cfg(test)]
mod tests {
    //! The choice in a catalog, what is asked, how long a token lives.

    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::{Answer, Credentials, Interface, Token, body};

    const ANSWER: &str = r#"{"token": {"methods": ["password"], "user": {"name": "u"},
        "issued_at": "2026-02-28T23:59:30.000000Z", "expires_at": "2026-03-01T00:00:30.000000Z",
        "catalog": [
            {"type": "identity", "name": "keystone", "endpoints": [
                {"id": "1", "interface": "public", "region": "one", "url": "http://k"}]},
            {"type": "object-store", "name": "swift", "endpoints": [
                {"interface": "admin", "region": "one", "region_id": "one", "url": "http://a1"},
                {"interface": "public", "region": "one", "region_id": "one", "url": "http://p1"},
                {"interface": "public", "region": "two", "url": "http://p2"},
                {"interface": "internal", "region_id": "two", "url": "http://i2"}]}]}}"#;

    fn token() -> Token {
        serde_json::from_str::<Answer>(ANSWER).unwrap().token
    }

    #[test]
    fn the_url_of_region_and_interface() {
        let check = |region: Option<&str>, interface: Interface, expect: &str| {
            let found = token().endpoint(region, interface);
            assert_eq!(found.unwrap(), expect, "{region:?} {interface}");
        };
        check(None, Interface::Public, "http://p1");
        check(Some("one"), Interface::Public, "http://p1");
        check(Some("two"), Interface::Public, "http://p2");
        check(Some("two"), Interface::Internal, "http://i2");
        check(None, Interface::Internal, "http://i2");
        check(None, Interface::Admin, "http://a1");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let failure = token().endpoint(Some("three"), Interface::Public);
        let text = failure.unwrap_err().to_string();
        assert!(text.contains("public object-store in three"), "{text}");
        assert!(text.contains("internal in two"), "{text}");
        let none: Answer = serde_json::from_str(r#"{"token": {}}"#).unwrap();
        let failure = none.token.endpoint(None, Interface::Public);
        assert!(failure.unwrap_err().to_string().contains("none at all"));
    }

    #[test]
    fn a_life_by_keystones_clock() {
        assert_eq!(token().lifetime(), Some(Duration::from_secs(60)));
        let none: Answer = serde_json::from_str(r#"{"token": {"expires_at": "soon"}}"#).unwrap();
        assert_eq!(none.token.lifetime(), None);
    }

    #[test]
    fn what_is_asked() {
        let text = body(&Credentials::V3 {
            user: "u\"".to_owned(),
            user_domain: "ud".to_owned(),
            password: Zeroizing::new("p".to_owned()),
            project: "pr".to_owned(),
            project_domain: "pd".to_owned(),
        });
        let asked: serde_json::Value = serde_json::from_slice(&text.unwrap()).unwrap();
        let expect = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "u\"", "domain": {"name": "ud"}, "password": "p"}}},
            "scope": {"project": {"name": "pr", "domain": {"name": "pd"}}}}});
        assert_eq!(asked, expect);
    }
}
