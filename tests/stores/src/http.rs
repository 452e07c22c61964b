//! Just enough of HTTP for a set-up request to a server on loopback.
//!
//! Owns: one request and its answer, blocking. Does not own: anything that is tested.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

/// No set-up request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer: its status, and its header as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    header: String,
}

impl Answer {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.header.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends a request without a body to `127.0.0.1:port`.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\
         Connection: close\r\n"
    );
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");

    let context = || format!("{method} {path} on port {port}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(context)?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .with_context(context)?;
    stream.write_all(text.as_bytes()).with_context(context)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(context)?;

    let answer = String::from_utf8_lossy(&answer);
    let header = answer
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .to_owned();
    let status = header
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("{}: no HTTP answer", context()))?;
    Ok(Answer { status, header })
}
