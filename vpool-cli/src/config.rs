//! Which daemon is asked: flags, variables, and the profiles of the configuration file.
//!
//! ```text
//! --api ▶ --profile ▶ VPOOL_API ▶ VPOOL_PROFILE ▶ [profiles.default] ▶ unix:/run/vpool/api.sock
//! ```
//!
//! Owns: the order above, the file, the forms of an address. Does not own: reading tokens and
//! certificates (`credentials.rs`), the connection (`client`).

mod credentials;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hyper::http::uri::Authority;
use serde::Deserialize;
use vpool_tls::Connector;

use crate::failure::{Exit, Failure};

/// The variable that names the API.
const API: &str = "VPOOL_API";

/// The variable that names a profile.
const PROFILE: &str = "VPOOL_PROFILE";

/// Where the daemon of a host answers.
const DEFAULT: &str = "unix:/run/vpool/api.sock";

/// Where a daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Http(String),
    /// The same with TLS.
    Https(String),
}

/// A daemon, and what opens its door.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where.
    pub(crate) address: Address,
    /// For `http://`.
    pub(crate) token: Option<String>,
    /// For `https://`.
    pub(crate) tls: Option<Connector>,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One daemon in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    api: String,
    token_file: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
    tls_ca: Option<PathBuf>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// What opens a daemon's door; all of it as flags and in a profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opens {
    /// `--token-file`, for `http://`.
    pub(crate) token_file: Option<PathBuf>,
    /// `--insecure`: `http://` to another host.
    pub(crate) insecure: bool,
    /// `--tls-ca`, who signs the daemon's certificate.
    pub(crate) tls_ca: Option<PathBuf>,
    /// `--tls-certificate`, of this client.
    pub(crate) tls_certificate: Option<PathBuf>,
    /// `--tls-key`, to it.
    pub(crate) tls_key: Option<PathBuf>,
}

impl Opens {
    /// What is said here goes before what is said there.
    fn or(self, there: Profile) -> Opens {
        Opens {
            token_file: self.token_file.or(there.token_file),
            insecure: self.insecure || there.insecure,
            tls_ca: self.tls_ca.or(there.tls_ca),
            tls_certificate: self.tls_certificate.or(there.tls_certificate),
            tls_key: self.tls_key.or(there.tls_key),
        }
    }
}

/// What the command line says about it.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// `--api`.
    pub(crate) api: Option<String>,
    /// `--profile`.
    pub(crate) profile: Option<String>,
    /// Its other flags.
    pub(crate) opens: Opens,
}

impl Target {
    /// By flags, variables and file.
    pub(crate) fn find(chosen: Chosen) -> Result<Target, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let profile = match (&chosen.api, &chosen.profile) {
            (Some(api), _) => plain(api.clone()),
            (None, Some(name)) => named(name)?,
            (None, None) => match (variable(API), variable(PROFILE)) {
                (Some(api), _) => plain(api),
                (None, Some(name)) => named(&name)?,
                (None, None) => read(path().as_deref())?
                    .profiles
                    .remove("default")
                    .unwrap_or_else(|| plain(DEFAULT.to_owned())),
            },
        };
        let api = profile.api.clone();
        let opens = chosen.opens.or(profile);
        let address = parse(&api, opens.insecure)?;
        let (mut token, mut tls) = (None, None);
        match &address {
            Address::Unix(_) => {}
            Address::Http(_) => token = Some(credentials::token(&api, &opens)?),
            Address::Https(_) => tls = Some(credentials::tls(&api, &opens)?),
        }
        Ok(Target {
            address,
            token,
            tls,
        })
    }
}

fn plain(api: String) -> Profile {
    Profile {
        api,
        ..Profile::default()
    }
}

/// `$XDG_CONFIG_HOME/vpool/config.toml`, or below `~/.config`.
fn path() -> Option<PathBuf> {
    let directory = |name: &str| {
        let directory = std::env::var_os(name).map(PathBuf::from);
        directory.filter(|directory| directory.is_absolute())
    };
    let base = directory("XDG_CONFIG_HOME").or_else(|| Some(directory("HOME")?.join(".config")));
    base.map(|base| base.join("vpool/config.toml"))
}

fn named(name: &str) -> Result<Profile, Failure> {
    let path = path();
    let mut file = read(path.as_deref())?;
    file.profiles.remove(name).ok_or_else(|| {
        let path = path.unwrap_or_default();
        let known: Vec<_> = file.profiles.keys().map(String::as_str).collect();
        let hint = match known.is_empty() {
            true => format!("it holds none: add [profiles.{name}] with api = \"unix:PATH\""),
            false => format!("it holds {}", known.join(", ")),
        };
        let message = format!("there is no profile {name:?} in {}", path.display());
        Failure::new(Exit::NotFound, message).with_hint(hint)
    })
}

/// The file; an empty one where there is none.
fn read(path: Option<&Path>) -> Result<File, Failure> {
    let Some(path) = path else {
        return Ok(File::default());
    };
    match std::fs::read_to_string(path) {
        Ok(text) => decode(&text, path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(Failure::usage(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
    }
}

fn decode(text: &str, path: &Path) -> Result<File, Failure> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        Failure::usage(format!(
            "{}:{line}: {}",
            path.display(),
            error.message().trim_end()
        ))
    })
}

/// `unix:PATH`, `https://HOST:PORT`, or `http://HOST:PORT`: of this host, unless a token may go
/// elsewhere in the clear.
fn parse(api: &str, insecure: bool) -> Result<Address, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "the API address is {api:?}; it must be unix:PATH, http://127.0.0.1:PORT or \
             https://HOST:PORT"
        ))
    };
    if let Some(path) = api.strip_prefix("unix:") {
        return match path.is_empty() {
            true => Err(wrong()),
            false => Ok(Address::Unix(path.into())),
        };
    }
    let (scheme, host) = api.split_once("://").ok_or_else(wrong)?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let authority: Authority = host.parse().map_err(|_| wrong())?;
    let name = authority.host();
    if authority.port_u16().is_none() || name.is_empty() || host.contains('@') {
        return Err(wrong());
    }
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&name);
    match scheme {
        "https" => Ok(Address::Https(host.to_owned())),
        "http" if local || insecure => Ok(Address::Http(host.to_owned())),
        "http" => Err(wrong().with_hint(
            "plain HTTP is for this host only; with --insecure the token goes elsewhere in the clear",
        )),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    //! Addresses, files, tokens.

    use super::{Address, decode, parse};
    use std::path::Path;

    #[test]
    fn addresses() {
        let parse = |api: &str| parse(api, false);
        let insecure = |api: &str| super::parse(api, true);
        assert_eq!(parse("unix:/a/b").ok(), Some(Address::Unix("/a/b".into())));
        for good in ["127.0.0.1:7480", "[::1]:1", "localhost:7480"] {
            let expect = Some(Address::Http(good.into()));
            assert_eq!(parse(&format!("http://{good}")).ok(), expect);
            assert_eq!(parse(&format!("http://{good}/")).ok(), expect);
        }
        for good in ["10.0.0.1:7480", "node1.example:7480", "[2001:db8::1]:7480"] {
            let expect = Some(Address::Https(good.into()));
            assert_eq!(parse(&format!("https://{good}")).ok(), expect);
            assert!(parse(&format!("http://{good}")).is_err());
            let expect = Some(Address::Http(good.into()));
            assert_eq!(insecure(&format!("http://{good}")).ok(), expect);
        }
        for bad in [
            "",
            "unix:",
            "/a/b",
            "tcp:1",
            "http://localhost",
            "http://127.0.0.1:x",
            "http://127.0.0.1:99999",
            "http://10.0.0.1:7480",
            "http://127.0.0.1:1/x",
            "http://a@127.0.0.1:1",
            "https://127.0.0.1",
            "https://:7480",
            "https://a@b:7480",
            "https://b:7480/x",
            "ftp://b:7480",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_and_where_they_are_wrong() {
        let path = Path::new("/c/config.toml");
        let good = "[profiles.lab]\napi = \"http://127.0.0.1:7480\"\ntoken_file = \"/t\"\n\
                    [profiles.far]\napi = \"https://far:7480\"\ntls_ca = \"/a\"\n\
                    tls_certificate = \"/c\"\ntls_key = \"/k\"\n";
        let file = decode(good, path).expect("as documented");
        let (lab, far) = (&file.profiles["lab"], &file.profiles["far"]);
        assert_eq!(lab.token_file.as_deref(), Some(Path::new("/t")));
        assert_eq!(far.tls_key.as_deref(), Some(Path::new("/k")));
        let flags = super::Opens {
            tls_key: Some("/other".into()),
            ..Default::default()
        };
        let both = flags.or(far.clone());
        assert_eq!(both.tls_key.as_deref(), Some(Path::new("/other")));
        assert_eq!(both.tls_ca.as_deref(), Some(Path::new("/a")));
        for (text, place, word) in [
            (
                "[profiles.a]\napi = \"unix:/x\"\nappi = 1\n",
                "/c/config.toml:3:",
                "appi",
            ),
            ("\n[profile.a]\n", "/c/config.toml:2:", "profile"),
            (
                "[profiles.a]\ntoken_file = \"x\"\n",
                "/c/config.toml:1:",
                "api",
            ),
            ("[profiles.a]\napi = 1\n", "/c/config.toml:2:", "string"),
            ("what", "/c/config.toml:1:", ""),
        ] {
            let said = format!("{:?}", decode(text, path).expect_err("wrong"));
            assert!(said.contains(place) && said.contains(word), "{said}");
        }
    }
}
