//! Which daemon is asked: flags, variables, and the profiles of the configuration file.
//!
//! ```text
//! --api ▶ --profile ▶ VPOOL_API ▶ VPOOL_PROFILE ▶ [profiles.default] ▶ unix:/run/vpool/api.sock
//! ```
//!
//! Owns: the order above, the file, the forms of an address, reading the token. Does not own:
//! the connection (`client`).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{Exit, Failure};

/// The variable that names the API.
const API: &str = "VPOOL_API";

/// The variable that names a profile.
const PROFILE: &str = "VPOOL_PROFILE";

/// Where the daemon of a host answers.
const DEFAULT: &str = "unix:/run/vpool/api.sock";

/// No token is longer, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// Where a daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A port of this host: `HOST:PORT`.
    Http(String),
}

/// A daemon, and what opens its door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where.
    pub(crate) address: Address,
    /// For `http://`.
    pub(crate) token: Option<String>,
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
}

/// What the command line says about it.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// `--api`.
    pub(crate) api: Option<String>,
    /// `--profile`.
    pub(crate) profile: Option<String>,
    /// `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
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
        let address = parse(&profile.api)?;
        let token_file = chosen.token_file.or(profile.token_file);
        let token = match (&address, token_file) {
            (Address::Http(_), Some(path)) => Some(token(&path)?),
            (Address::Http(_), None) => {
                return Err(Failure::usage(format!(
                    "{} needs a token",
                    profile.api
                ))
                .with_hint(
                    "--token-file FILE names it (the daemon's is api.token in its data directory)",
                ));
            }
            (Address::Unix(_), _) => None,
        };
        Ok(Target { address, token })
    }
}

fn plain(api: String) -> Profile {
    Profile {
        api,
        token_file: None,
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

/// `unix:PATH`, or `http://HOST:PORT` on this host: a token would go elsewhere in the clear.
fn parse(api: &str) -> Result<Address, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "the API address is {api:?}; it must be unix:PATH or http://127.0.0.1:PORT"
        ))
    };
    if let Some(path) = api.strip_prefix("unix:") {
        return match path.is_empty() {
            true => Err(wrong()),
            false => Ok(Address::Unix(path.into())),
        };
    }
    let host = api.strip_prefix("http://").ok_or_else(wrong)?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let (name, port) = host.rsplit_once(':').ok_or_else(wrong)?;
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&name);
    match local && port.parse::<u16>().is_ok() {
        true => Ok(Address::Http(host.to_owned())),
        false => Err(wrong().with_hint("plain HTTP is for this host only")),
    }
}

/// The token in a file that nobody else may read.
fn token(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let failed = |error: std::io::Error| {
        let exit = match error.kind() {
            ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Usage,
        };
        Failure::new(exit, format!("cannot read the token in {shown}: {error}"))
    };
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let message = format!("others may read the token in {shown}");
        return Err(Failure::usage(message).with_hint(format!("chmod 600 {shown}")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let token = text.trim();
    let good = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    match good {
        true => Ok(token.to_owned()),
        false => Err(Failure::usage(format!("{shown} holds no token"))),
    }
}

#[cfg(test)]
mod tests {
    //! Addresses, files, tokens.

    use super::{Address, decode, parse, token};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn addresses() {
        assert_eq!(parse("unix:/a/b").ok(), Some(Address::Unix("/a/b".into())));
        for good in ["127.0.0.1:7480", "[::1]:1", "localhost:7480"] {
            let expect = Some(Address::Http(good.into()));
            assert_eq!(parse(&format!("http://{good}")).ok(), expect);
            assert_eq!(parse(&format!("http://{good}/")).ok(), expect);
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
            "https://127.0.0.1:7480",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_and_where_they_are_wrong() {
        let path = Path::new("/c/config.toml");
        let good = "[profiles.lab]\napi = \"http://127.0.0.1:7480\"\ntoken_file = \"/t\"\n";
        let file = decode(good, path).expect("as documented");
        assert_eq!(
            file.profiles["lab"].token_file.as_deref(),
            Some(Path::new("/t"))
        );
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

    #[test]
    fn tokens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("write");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("chmod");
        };
        write("abc123\n", 0o600);
        assert_eq!(token(&path).ok(), Some("abc123".to_owned()));
        write("abc123\n", 0o640);
        assert!(format!("{:?}", token(&path)).contains("chmod 600"));
        for bad in ["", "\n", "a b", "a\nb", "ü"] {
            write(bad, 0o600);
            assert!(token(&path).is_err(), "{bad:?}");
        }
        assert!(token(Path::new("/nowhere")).is_err());
    }
}
