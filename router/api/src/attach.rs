//! What QEMU and libvirt need to be told to use a disk.
//!
//! Owns: the texts of `vpool disk attach` and of the daemon's greeting. Does not own: where
//! the disk is (the daemon says so).
//!
//! `reconnect-delay` makes a restart of the daemon a pause for the guest: requests are
//! held and sent again. `cache.direct` keeps QEMU from caching what the router caches,
//! and leaves flushes to the guest.

use crate::Connection;
use serde_json::json;

/// How long a guest waits for the daemon to come back before it sees an error, in seconds.
const RECONNECT_SECONDS: u32 = 300;

/// The name that the disk has inside QEMU.
const NODE: &str = "vpool0";

/// The flags, the XML, and a command to look at the disk.
pub fn text(connection: &Connection) -> String {
    let mut text = format!(
        "# QEMU\n{}\n\n# libvirt\n{}\n\n# qemu-img, qemu-io, fio\n{}\n",
        qemu(connection),
        libvirt(connection),
        uri(connection)
    );
    if let Some(tcp) = &connection.nbd_tcp {
        let scheme = if connection.nbd_tls { "nbds" } else { "nbd" };
        let uri = format!("{scheme}://{tcp}/{}", uri_part(&connection.export));
        text.push_str(&format!("{}\n", shell_word(&uri)));
    }
    text
}

/// The flags for QEMU, as shell words.
pub fn qemu(connection: &Connection) -> String {
    let blockdev = json!({
        "driver": "nbd",
        "node-name": NODE,
        "server": { "type": "unix", "path": connection.nbd_socket },
        "export": connection.export,
        "reconnect-delay": RECONNECT_SECONDS,
        "discard": "unmap",
        "cache": { "direct": true },
    });
    format!(
        "-blockdev {} \\\n-device virtio-blk-pci,drive={NODE}",
        shell_word(&blockdev.to_string())
    )
}

fn libvirt(connection: &Connection) -> String {
    format!(
        "<disk type='network' device='disk'>\n\
         \x20 <driver name='qemu' type='raw' cache='none' discard='unmap'/>\n\
         \x20 <source protocol='nbd' name='{}'>\n\
         \x20   <host transport='unix' socket='{}'/>\n\
         \x20   <reconnect delay='{RECONNECT_SECONDS}'/>\n\
         \x20 </source>\n\
         \x20 <target dev='vda' bus='virtio'/>\n\
         </disk>",
        xml(&connection.export),
        xml(&connection.nbd_socket)
    )
}

/// The NBD URI over the unix socket, as a shell word.
pub fn uri(connection: &Connection) -> String {
    shell_word(&format!(
        "nbd+unix:///{}?socket={}",
        uri_part(&connection.export),
        uri_part(&connection.nbd_socket)
    ))
}

/// Percent-encoded, with what a URI leaves as it is in a path or a query.
fn uri_part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// In single quotes, whatever it holds.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    //! The texts, for plain names and for names that want quoting.

    use super::text;
    use crate::Connection;

    fn connection(export: &str, socket: &str) -> Connection {
        Connection {
            export: export.into(),
            nbd_socket: socket.into(),
            nbd_tcp: Some("127.0.0.1:10809".into()),
            nbd_tls: false,
        }
    }

    #[test]
    fn a_plain_disk() {
        let text = text(&connection("default:demo", "/data/nbd.sock"));
        for piece in [
            r#""path":"/data/nbd.sock""#,
            r#""export":"default:demo""#,
            r#""reconnect-delay":300"#,
            "-device virtio-blk-pci,drive=vpool0",
            "<source protocol='nbd' name='default:demo'>",
            "<host transport='unix' socket='/data/nbd.sock'/>",
            "<reconnect delay='300'/>",
            "'nbd+unix:///default:demo?socket=/data/nbd.sock'",
            "'nbd://127.0.0.1:10809/default:demo'",
        ] {
            assert!(text.contains(piece), "{piece} is not in\n{text}");
        }
    }

    #[test]
    fn a_disk_behind_tls() {
        let mut connection = connection("default:demo", "/data/nbd.sock");
        connection.nbd_tls = true;
        let text = text(&connection);
        assert!(
            text.contains("'nbds://127.0.0.1:10809/default:demo'"),
            "{text}"
        );
    }

    #[test]
    fn names_that_want_quoting() {
        let text = text(&connection("p:it's <a> & \"b\"", "/tmp/a b,c"));
        for piece in [
            r#""export":"p:it'\''s <a> & \"b\"""#,
            "name='p:it&apos;s &lt;a&gt; &amp; &quot;b&quot;'",
            "'nbd+unix:///p:it%27s%20%3Ca%3E%20%26%20%22b%22?socket=/tmp/a%20b%2Cc'",
        ] {
            assert!(text.contains(piece), "{piece} is not in\n{text}");
        }
    }
}
