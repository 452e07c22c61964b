//! Where image data is: a file, or an NBD export.
//!
//! Owns: reading NBD URIs, and both as QEMU's options, in which no name is taken for anything
//! else. Does not own: opening them.

use std::path::{Path, PathBuf};

use vpool_api::Connection;

use crate::arguments::image::ImageFormat;
use crate::failure::Failure;

/// How long QEMU waits for a server that went away, in seconds.
pub(super) const RECONNECT_SECONDS: u32 = 300;

/// NBD's port.
const PORT: &str = "10809";

/// Where image data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of this host.
    File {
        path: PathBuf,
        format: ImageFormat,
        /// It is a block device.
        device: bool,
    },
    /// An export, which is raw.
    Nbd { server: Server, export: String },
}

/// An NBD server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    Unix(PathBuf),
    Tcp { host: String, port: String },
}

impl Place {
    /// A disk of the daemon.
    pub(super) fn disk(connection: &Connection) -> Place {
        Place::Nbd {
            server: Server::Unix(PathBuf::from(&connection.nbd_socket)),
            export: connection.export.clone(),
        }
    }

    /// Reads `nbd://HOST[:PORT]/EXPORT` or `nbd+unix:///EXPORT?socket=PATH`; `None` of what is
    /// no NBD URI at all.
    pub(super) fn from_uri(text: &str) -> Option<Result<Place, Failure>> {
        let (scheme, rest) = text.split_once("://")?;
        let wrong = |why: &str| Err(Failure::usage(format!("the NBD URI {text:?}: {why}")));
        Some(match scheme {
            "nbd" | "nbd+tcp" => tcp(rest).map_or_else(|| wrong("it names no server"), Ok),
            "nbd+unix" => unix(rest).map_or_else(|| wrong("it names no ?socket=PATH"), Ok),
            "nbds" | "nbds+tcp" | "nbds+unix" => wrong("NBD over TLS is not possible here"),
            _ => return None,
        })
    }

    /// As QEMU's `--image-opts`.
    pub(super) fn options(&self) -> String {
        let mut options = Options(String::new());
        match self {
            Place::File {
                path,
                format,
                device,
            } => {
                options.add("driver", format.name());
                let driver = if *device { "host_device" } else { "file" };
                options.add("file.driver", driver);
                options.add("file.filename", &path.to_string_lossy());
            }
            Place::Nbd { server, export } => {
                options.add("driver", "nbd");
                match server {
                    Server::Unix(path) => {
                        options.add("server.type", "unix");
                        options.add("server.path", &path.to_string_lossy());
                    }
                    Server::Tcp { host, port } => {
                        options.add("server.type", "inet");
                        options.add("server.host", host);
                        options.add("server.port", port);
                    }
                }
                options.add("export", export);
                options.add("reconnect-delay", &RECONNECT_SECONDS.to_string());
            }
        }
        options.0
    }

    /// A file with its full path.
    pub(super) fn file(path: &Path, format: ImageFormat, device: bool) -> Result<Place, Failure> {
        let path = std::path::absolute(path)
            .map_err(|error| super::io(&path.display().to_string(), &error))?;
        Ok(Place::File {
            path,
            format,
            device,
        })
    }
}

/// `key=value,…`, in which a comma of a value is written twice.
struct Options(String);

impl Options {
    fn add(&mut self, key: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0
            .push_str(&format!("{key}={}", value.replace(',', ",,")));
    }
}

fn tcp(rest: &str) -> Option<Place> {
    let (server, export) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match server.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']')?;
            (host, port.strip_prefix(':').unwrap_or(PORT))
        }
        None => server.split_once(':').unwrap_or((server, PORT)),
    };
    if host.is_empty() || port.parse::<u16>().is_err() {
        return None;
    }
    Some(Place::Nbd {
        server: Server::Tcp {
            host: host.to_owned(),
            port: port.to_owned(),
        },
        export: decoded(export)?,
    })
}

fn unix(rest: &str) -> Option<Place> {
    let (path, query) = rest.split_once('?')?;
    let socket = query
        .split('&')
        .find_map(|part| part.strip_prefix("socket="))?;
    let socket = decoded(socket).filter(|socket| !socket.is_empty())?;
    Some(Place::Nbd {
        server: Server::Unix(socket.into()),
        export: decoded(path.strip_prefix('/').unwrap_or(path))?,
    })
}

/// Percent-decoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = more;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    //! URIs, and that no name breaks out of its option.

    use super::{Place, Server};
    use crate::arguments::image::ImageFormat;

    fn read(uri: &str) -> Option<Option<Place>> {
        Place::from_uri(uri).map(Result::ok)
    }

    #[test]
    fn uris() {
        let tcp = |host: &str, port: &str, export: &str| {
            Some(Some(Place::Nbd {
                server: Server::Tcp {
                    host: host.into(),
                    port: port.into(),
                },
                export: export.into(),
            }))
        };
        assert_eq!(read("nbd://h"), tcp("h", "10809", ""));
        assert_eq!(read("nbd://h:1/a%20b/c"), tcp("h", "1", "a b/c"));
        assert_eq!(read("nbd://[::1]:7/x"), tcp("::1", "7", "x"));
        let unix = Place::Nbd {
            server: Server::Unix("/s s".into()),
            export: "p:ö".into(),
        };
        assert_eq!(read("nbd+unix:///p:%C3%B6?socket=/s%20s"), Some(Some(unix)));
        for bad in [
            "nbd://",
            "nbd://h:x/",
            "nbd://h/%zz",
            "nbd+unix:///a",
            "nbd+unix:///a?socket=",
            "nbds://h/x",
        ] {
            assert_eq!(read(bad), Some(None), "{bad}");
        }
        for other in ["disk.raw", "/a/nbd", "http://h/x", "nbd:h:1"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn names_stay_in_their_option() {
        let file = Place::File {
            path: "/a,driver=nbd".into(),
            format: ImageFormat::Qcow2,
            device: false,
        };
        let expect = "driver=qcow2,file.driver=file,file.filename=/a,,driver=nbd";
        assert_eq!(file.options(), expect);
        let disk = Place::Nbd {
            server: Server::Unix("/s".into()),
            export: "p:a,b=c".into(),
        };
        assert!(
            disk.options()
                .contains("server.path=/s,export=p:a,,b=c,reconnect-delay=")
        );
    }
}
