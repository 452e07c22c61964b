//! A stream of server-sent events, taken apart.
//!
//! Owns: lines and fields of `text/event-stream`, within bounds. Does not own: the connection.

/// An event that is longer is refused, in bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its number.
    pub(crate) id: String,
    /// Its type.
    pub(crate) kind: String,
    /// Its body.
    pub(crate) data: String,
}

/// What has come of the stream so far.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    message: Message,
    held: usize,
}

/// An event longer than [`EVENT_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Parser {
    /// Takes what came next; the answer is the events that are complete with it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.held += 1;
                if self.held > EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if line.is_empty() {
                let message = std::mem::take(&mut self.message);
                self.held = 0;
                // One that has a number only says how far the stream is.
                if !message.data.is_empty() || !message.id.is_empty() {
                    complete.push(message);
                }
            } else {
                self.field(&line);
            }
        }
        Ok(complete)
    }

    /// A comment (a colon first) and a field that is not known mean nothing.
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.message.id = value.to_owned(),
            "event" => self.message.kind = value.to_owned(),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    //! Streams whole and in pieces.

    use super::{EVENT_BYTES_MAX, Message, Parser, TooLong};

    fn message(id: &str, kind: &str, data: &str) -> Message {
        Message {
            id: id.into(),
            kind: kind.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_come_in_any_pieces() {
        let stream = b": hello\n\nid: 6\n\nid: 7\nevent: disk\ndata: {\"a\":\ndata: 1}\n\nid:8\r\ndata:x\r\n\r\n\
                       retry: 5\n\nid: 9\ndata: unfinished\n";
        let expect = vec![
            message("6", "", ""),
            message("7", "disk", "{\"a\":\n1}"),
            message("8", "", "x"),
        ];
        assert_eq!(Parser::default().take(stream), Ok(expect.clone()));
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for byte in stream {
            events.extend(parser.take(&[*byte]).expect("short"));
        }
        assert_eq!(events, expect);
    }

    #[test]
    fn an_event_has_a_bound() {
        let mut parser = Parser::default();
        let block = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(parser.take(&block), Ok(Vec::new()));
        assert_eq!(parser.take(b"x"), Err(TooLong));
        let mut parser = Parser::default();
        for _ in 0..3 {
            assert_eq!(parser.take(&block[1..]), Ok(Vec::new()));
            assert_eq!(parser.take(b"\n\n"), Ok(Vec::new()));
        }
    }
}
