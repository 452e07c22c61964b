//! Who may ask over TCP.
//!
//! Owns: the checks of token, Host and Origin. Does not own: the token's file (`token.rs`), the unix
//! socket, whose mode is the permission.
//!
//! Any user of the host can connect to loopback, and so can any page in a browser on it: the token
//! keeps the first out; Host and Origin the second, also one whose name was pointed here (DNS
//! rebinding).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vpool_api::{Code, Problem};

use super::request::Failed;
use crate::token::Token;

/// The path that needs no token.
pub(super) const OPEN_PATH: &str = "/healthz";

/// What a request over TCP must bring.
#[derive(Debug)]
pub(crate) struct Guard {
    /// What may stand in Host.
    hosts: Vec<String>,
    token: Token,
}

impl Guard {
    /// For a listener on a loopback address.
    pub(crate) fn new(address: SocketAddr, token: Token) -> Guard {
        let port = address.port();
        let mut hosts = vec![
            address.to_string(),
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        hosts.dedup();
        Guard { hosts, token }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = only(headers, &HOST)?
            .ok_or_else(|| denied("the request has no Host header", &self.host_hint()))?;
        let authority = request.uri().authority().map(ToString::to_string);
        let named = authority.as_deref().unwrap_or(host);
        if !self.is_ours(host) || !self.is_ours(named) {
            return Err(denied(
                "the request's Host is not this daemon",
                &self.host_hint(),
            ));
        }
        if let Some(origin) = only(headers, &ORIGIN)? {
            let host = origin.strip_prefix("http://").unwrap_or_default();
            if !self.is_ours(host) {
                let detail = "the request comes from a page of another origin";
                return Err(denied(detail, "leave the header Origin out"));
            }
        }
        if request.uri().path() == OPEN_PATH {
            return Ok(());
        }
        let hint = "send the header Authorization: Bearer TOKEN; the token is in the file api.token \
                    of the data directory";
        let sent = only(headers, &AUTHORIZATION)?
            .ok_or_else(|| denied("the request has no token", hint))?;
        match sent.split_once(' ') {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer") && self.token.is(token.trim()) =>
            {
                Ok(())
            }
            _ => Err(denied("the request's token is not the right one", hint)),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        self.hosts
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(host))
    }

    fn host_hint(&self) -> String {
        format!("ask {}", self.hosts[0])
    }
}

/// The one value of a header; two are one too many, since others on the way might take the other.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let text = first.map(|value| value.to_str()).transpose();
    match (text, second) {
        (Ok(text), None) => Ok(text),
        _ => Err(denied(
            &format!("the header {name} cannot be understood"),
            "send it once, in ASCII",
        )),
    }
}

fn denied(detail: &str, hint: &str) -> Problem {
    Problem::new(Code::Denied, detail).with_hint(hint)
}

/// Lets through what passes.
pub(super) async fn guarded(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => Failed::from(problem).into_response(),
    }
}

#[cfg(test)]
mod tests {
    //! What is let through, and what is not.

    use super::Guard;
    use crate::token::Token;
    use axum::body::Body;
    use axum::extract::Request;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn passes(path: &str, headers: &[(&str, &str)]) -> bool {
        let token = Token::parse(TOKEN).expect("a good token");
        let guard = Guard::new("127.0.0.1:7480".parse().expect("an address"), token);
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a good request");
        guard.check(&request).is_ok()
    }

    #[test]
    fn what_passes_and_what_does_not() {
        let path = "/api/v1/version";
        let bearer = format!("Bearer {TOKEN}");
        let good = ("authorization", bearer.as_str());
        let host = ("host", "127.0.0.1:7480");
        for headers in [
            &[host, good][..],
            &[("host", "localhost:7480"), good],
            &[("host", "LOCALHOST:7480"), good],
            &[("host", "[::1]:7480"), good],
            &[host, ("origin", "http://localhost:7480"), good],
        ] {
            assert!(passes(path, headers), "{headers:?}");
        }
        let wrong = format!("Bearer {}", TOKEN.replace('0', "1"));
        let short = format!("Bearer {}", &TOKEN[1..]);
        for headers in [
            &[host][..],
            &[good],
            &[("host", "127.0.0.1"), good],
            &[("host", "127.0.0.1:7481"), good],
            &[("host", "evil.example:7480"), good],
            &[("host", "127.0.0.1:7480.evil.example"), good],
            &[host, host, good],
            &[host, ("origin", "http://evil.example"), good],
            &[host, ("origin", "https://127.0.0.1:7480"), good],
            &[host, ("origin", "null"), good],
            &[host, ("origin", ""), good],
            &[host, ("authorization", TOKEN)],
            &[host, ("authorization", "Bearer ")],
            &[host, ("authorization", &wrong)],
            &[host, ("authorization", &short)],
            &[host, ("authorization", &bearer.replace("Bearer", "Basic"))],
            &[host, good, good],
        ] {
            assert!(!passes(path, headers), "{headers:?}");
        }
        assert!(!passes(
            "http://evil.example:7480/api/v1/version",
            &[host, good]
        ));
        assert!(passes("/healthz", &[host]));
        assert!(!passes("/healthz", &[("host", "evil.example")]));
        assert!(!passes("/metrics", &[host]));
    }
}
