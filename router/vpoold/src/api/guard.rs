//! Who may ask over TCP.
//!
//! Owns: the checks of token, Host and Origin. Does not own: the token's file (`token.rs`), clients'
//! certificates (`vpool-tls`), the unix socket, whose mode is the permission.
//!
//! Any user of the host can connect to loopback, and so can any page in a browser on it: the token
//! keeps the first out; Host and Origin the second, also one whose name was pointed here (DNS
//! rebinding). Behind TLS the certificate is what the token is elsewhere, and Host is a name in this
//! server's own. Beyond loopback without TLS Host is what no foreign page can be called: an address,
//! or the name that this host calls itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vpool_api::{Code, Problem};
use vpool_tls::Tls;

use super::request::Failed;
use crate::token::Token;

/// The path that needs no token.
pub(super) const OPEN_PATH: &str = "/healthz";

/// What a request over TCP must bring.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Hosts,
    /// None where the certificate has said enough.
    token: Option<Token>,
}

/// What may stand in Host.
#[derive(Debug)]
enum Hosts {
    /// One of these.
    Loopback(Vec<String>),
    /// An address, `localhost`, or this name, at any port.
    Host(String),
    /// A name in the certificate, at any port.
    Certified(Arc<Tls>),
}

impl Guard {
    /// For a listener without TLS.
    pub(crate) fn new(address: SocketAddr, token: Token) -> Guard {
        let port = address.port();
        let hosts = match address.ip().is_loopback() {
            true => Hosts::Loopback(vec![
                address.to_string(),
                format!("localhost:{port}"),
                format!("127.0.0.1:{port}"),
                format!("[::1]:{port}"),
            ]),
            false => {
                let name = rustix::system::uname();
                Hosts::Host(name.nodename().to_string_lossy().into_owned())
            }
        };
        let token = Some(token);
        Guard { hosts, token }
    }

    /// For a listener whose clients have shown their certificates.
    pub(crate) fn behind_tls(tls: Arc<Tls>) -> Guard {
        Guard {
            hosts: Hosts::Certified(tls),
            token: None,
        }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = only(headers, &HOST)?
            .ok_or_else(|| denied("the request has no Host header", &self.hosts.hint()))?;
        let authority = request.uri().authority().map(ToString::to_string);
        let named = authority.as_deref().unwrap_or(host);
        if !self.hosts.are(host) || !self.hosts.are(named) {
            return Err(denied(
                "the request's Host is not this daemon",
                &self.hosts.hint(),
            ));
        }
        if let Some(origin) = only(headers, &ORIGIN)?
            && !self.hosts.is_own_page(origin, host)
        {
            let detail = "the request comes from a page of another origin";
            return Err(denied(detail, "leave the header Origin out"));
        }
        let Some(token) = &self.token else {
            return Ok(());
        };
        if request.uri().path() == OPEN_PATH {
            return Ok(());
        }
        let hint = "send the header Authorization: Bearer TOKEN; the token is in the file api.token \
                    of the data directory";
        let sent = only(headers, &AUTHORIZATION)?
            .ok_or_else(|| unknown("the request has no token", hint))?;
        match sent.split_once(' ') {
            Some((scheme, sent))
                if scheme.eq_ignore_ascii_case("bearer") && token.is(sent.trim()) =>
            {
                Ok(())
            }
            _ => Err(unknown("the request's token is not the right one", hint)),
        }
    }
}

impl Hosts {
    fn are(&self, host: &str) -> bool {
        let name = match self {
            Hosts::Loopback(hosts) => return hosts.iter().any(|h| h.eq_ignore_ascii_case(host)),
            // Without a user before the name.
            _ => match host.parse::<Authority>() {
                Ok(authority) if !host.contains('@') => authority.host().to_owned(),
                _ => return false,
            },
        };
        match self {
            Hosts::Certified(tls) => tls.is_named(&name),
            _ if name.eq_ignore_ascii_case("localhost") => true,
            Hosts::Host(own) if name.eq_ignore_ascii_case(own) => true,
            _ => name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok(),
        }
    }

    /// Whether a page of this origin is one of this daemon, which was asked as `host`.
    fn is_own_page(&self, origin: &str, host: &str) -> bool {
        match (self, origin.split_once("://")) {
            (Hosts::Loopback(_), Some(("http", page))) => self.are(page),
            (Hosts::Host(_), Some(("http", page))) => page.eq_ignore_ascii_case(host),
            (Hosts::Certified(_), Some(("https", page))) => page.eq_ignore_ascii_case(host),
            _ => false,
        }
    }

    fn hint(&self) -> String {
        match self {
            Hosts::Loopback(hosts) => format!("ask {}", hosts[0]),
            Hosts::Host(own) => format!("ask this host's address, or {own}"),
            Hosts::Certified(_) => "ask a name in the daemon's certificate".to_owned(),
        }
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

fn unknown(detail: &str, hint: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail).with_hint(hint)
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
    use vpool_test_certificates::{Authority, Purpose, Validity};
    use vpool_tls::{Identity, Tls};

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn passes(path: &str, headers: &[(&str, &str)]) -> bool {
        passes_at("127.0.0.1:7480", path, headers)
    }

    fn passes_at(address: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let token = Token::parse(TOKEN).expect("a good token");
        passes_guard(
            &Guard::new(address.parse().expect("an address"), token),
            path,
            headers,
        )
    }

    fn passes_guard(guard: &Guard, path: &str, headers: &[(&str, &str)]) -> bool {
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

    #[test]
    fn beyond_loopback_a_host_is_what_no_page_can_be_called() {
        let own = rustix::system::uname();
        let own = own.nodename().to_str().expect("it is ASCII");
        let bearer = format!("Bearer {TOKEN}");
        let good = ("authorization", bearer.as_str());
        for listens in ["0.0.0.0:7480", "192.0.2.1:7480", "[::]:7480"] {
            for host in [
                "192.0.2.1:7480",
                "192.0.2.7",
                "[2001:db8::1]:1",
                "localhost:7480",
                own,
            ] {
                let host = ("host", host);
                assert!(passes_at(listens, "/metrics", &[host, good]), "{host:?}");
                assert!(!passes_at(listens, "/metrics", &[host]), "{host:?}");
                assert!(passes_at(listens, "/healthz", &[host]), "{host:?}");
            }
            for host in [
                "evil.example:7480",
                "evil.example",
                "",
                ":7480",
                "a@192.0.2.1:7480",
            ] {
                let host = ("host", host);
                assert!(!passes_at(listens, "/metrics", &[host, good]), "{host:?}");
            }
        }
        let host = ("host", "192.0.2.1:7480");
        for (origin, passes) in [
            ("http://192.0.2.1:7480", true),
            ("https://192.0.2.1:7480", false),
            ("http://192.0.2.1:7481", false),
            ("http://192.0.2.2:7480", false),
            ("null", false),
        ] {
            let headers = [host, good, ("origin", origin)];
            assert_eq!(
                passes_at("0.0.0.0:7480", "/metrics", &headers),
                passes,
                "{origin}"
            );
        }
    }

    #[test]
    fn behind_tls_a_host_is_a_name_in_the_certificate() {
        let ca = Authority::new("here").expect("an authority");
        let names = ["node1.example", "192.0.2.1", "::1"];
        let own = ca
            .sign(Purpose::Server, &names, Validity::Now)
            .expect("signed");
        let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
        let identity = Identity::from_pem(certificate, key, ca.pem().as_bytes());
        let guard = Guard::behind_tls(Tls::new(identity.expect("they go together")));
        let passes = |headers: &[(&str, &str)]| passes_guard(&guard, "/metrics", headers);
        for host in [
            "node1.example:7480",
            "NODE1.example",
            "192.0.2.1:1",
            "[::1]:7480",
        ] {
            assert!(passes(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost:7480",
            "192.0.2.2",
            "",
            "a@node1.example",
        ] {
            assert!(!passes(&[("host", host)]), "{host}");
        }
        let host = ("host", "node1.example:7480");
        assert!(passes(&[host, ("origin", "https://node1.example:7480")]));
        for origin in [
            "http://node1.example:7480",
            "https://node1.example",
            "https://node1.example:8443",
            "https://192.0.2.1:7480",
            "null",
        ] {
            assert!(!passes(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!passes(&[]));
    }
}
