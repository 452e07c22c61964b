//! HTTP by hand, so that anything can be sent.
//!
//! Owns: one request a connection, its answer, a stream of events. Does not own: what is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// No answer takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the API is asked.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    Unix(PathBuf),
    /// The address, and the token that is sent.
    Tcp(String, String),
}

/// Both kinds of stream.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
    /// Null where the text is no JSON.
    pub(crate) json: Value,
}

impl Door {
    pub(crate) fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        Ok(match self {
            Door::Unix(path) => {
                let stream = UnixStream::connect(path).context("connect to the API")?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Door::Tcp(address, _) => {
                let stream = TcpStream::connect(address).context("connect to the API")?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        })
    }

    /// The lines of a head that every request here has.
    fn own_lines(&self) -> String {
        match self {
            Door::Unix(_) => "host: vpoold\r\n".to_owned(),
            Door::Tcp(address, token) => {
                format!("host: {address}\r\nauthorization: Bearer {token}\r\n")
            }
        }
    }

    /// One request with a body of JSON, or without one.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.ask_with(method, path, &[], body)
    }

    /// The same with lines of the head.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        lines: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut head = self.own_lines();
        if !body.is_empty() {
            head.push_str("content-type: application/json\r\n");
        }
        for (name, value) in lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(method, path, &head, body.as_bytes())
    }

    /// One request with a head of the caller's.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        head: &str,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut stream = self.connect()?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        answer(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.ask("GET", path, &Value::Null)?;
        ensure!(answer.status == 200, "GET {path}: {answer:?}");
        Ok(answer.json)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.ask("POST", path, body)?;
        ensure!(
            matches!(answer.status, 200 | 202),
            "POST {path}: {answer:?}"
        );
        Ok(answer.json)
    }

    /// A stream of events, from the last one seen on, or from now on.
    pub(crate) fn events(&self, last: Option<u64>) -> anyhow::Result<Events> {
        let mut stream = self.connect()?;
        let own = self.own_lines();
        let last = last.map_or(String::new(), |last| format!("last-event-id: {last}\r\n"));
        // In the old form of HTTP, so that the body comes as it is.
        write!(stream, "GET /api/v1/events HTTP/1.0\r\n{own}{last}\r\n")?;
        let mut events = Events {
            lines: BufReader::new(stream),
            last: 0,
        };
        let status = events.line()?;
        ensure!(status.contains(" 200 "), "{status}");
        while !events.line()?.is_empty() {}
        // The number of the newest event so far comes at once.
        let first = events.line()?;
        let number = first.strip_prefix("id: ").context("a number first")?;
        events.last = number.parse()?;
        ensure!(events.line()?.is_empty(), "a number without data");
        Ok(events)
    }
}

/// Reads an answer to its end.
pub(crate) fn answer(stream: &mut impl Read) -> anyhow::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("read the answer")?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, text) = text
        .split_once("\r\n\r\n")
        .context("an answer has a head")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok(Answer {
        status,
        head: head.to_ascii_lowercase(),
        json: serde_json::from_str(text).unwrap_or(Value::Null),
        text: text.to_owned(),
    })
}

/// Events as they come.
pub(crate) struct Events {
    lines: BufReader<Box<dyn Stream>>,
    /// The number of the last one.
    pub(crate) last: u64,
}

impl Events {
    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let bytes = self.lines.read_line(&mut line).context("read an event")?;
        ensure!(bytes > 0, "the stream of events has ended");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next event: its kind and its JSON.
    pub(crate) fn next(&mut self) -> anyhow::Result<(String, Value)> {
        let (mut kind, mut data) = (String::new(), Value::Null);
        loop {
            let line = self.line()?;
            if let Some(number) = line.strip_prefix("id: ") {
                let number = number.parse()?;
                ensure!(number >= self.last, "{number} after {}", self.last);
                self.last = number;
            } else if let Some(name) = line.strip_prefix("event: ") {
                kind = name.to_owned();
            } else if let Some(json) = line.strip_prefix("data: ") {
                data = serde_json::from_str(json)?;
            } else if line.is_empty() && !kind.is_empty() {
                ensure!(data["kind"] == kind.as_str(), "{kind}: {data}");
                ensure!(data["id"] == self.last, "{}: {data}", self.last);
                return Ok((kind, data));
            }
        }
    }

    /// The next event that is about an object.
    pub(crate) fn next_of(&mut self, object: &str) -> anyhow::Result<(String, Value)> {
        loop {
            let (kind, data) = self.next()?;
            if data["object"] == object {
                return Ok((kind, data));
            }
        }
    }

    /// Goes on until the stream is ended from the other side.
    pub(crate) fn until_ended(mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        self.lines
            .read_to_end(&mut rest)
            .context("read to the end")?;
        Ok(())
    }
}
