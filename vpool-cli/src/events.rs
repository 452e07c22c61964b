//! `vpool events`.
//!
//! Owns: reading the stream up to now or on and on, taking it up again, what is said of an event.
//! Does not own: the stream's form (`client/sse.rs`).

use std::time::{Duration, Instant};

use vpool_api::{Event, EventKind};

use crate::client::{Client, Message};
use crate::failure::{Exit, Failure};
use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;
use crate::output::{Format, Output};

const EVENTS: &str = "/api/v1/events";

/// How long a stream that ended is taken up again: a daemon may be starting anew.
const RESUME_TIME_MAX: Duration = Duration::from_secs(60);

/// Between two tries.
const RESUME_PAUSE: Duration = Duration::from_millis(250);

/// Prints events, one a line: those that are kept, or those that happen.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    follow: bool,
    since: Option<u64>,
) -> Result<(), Failure> {
    let mut reader = Reader {
        output,
        // Every event has a larger number, so that all that are kept come.
        last: since.or((!follow).then_some(0)),
        until: match follow {
            true => None,
            false => Some(newest(client).await?),
        },
        quiet: since.is_none(),
    };
    let mut heard = Instant::now();
    let mut connected = false;
    loop {
        let since = reader.last.map(|id| id.to_string());
        let ended = client.events(EVENTS, since, |message| {
            (connected, heard) = (true, Instant::now());
            reader.take(&message)
        });
        match ended.await {
            Err(failure) if failure.exit() == Exit::Closed => return Ok(()),
            Err(failure) if !follow || !connected => return Err(failure),
            Err(failure) if failure.exit() != Exit::Unreachable => return Err(failure),
            Err(failure) if heard.elapsed() > RESUME_TIME_MAX => return Err(failure),
            Ok(()) if !follow => return Ok(()),
            Ok(()) | Err(_) => tokio::time::sleep(RESUME_PAUSE).await,
        }
    }
}

/// The events that the daemon keeps.
pub(crate) async fn kept(client: &Client) -> Result<Vec<Event>, Failure> {
    let until = newest(client).await?;
    let mut kept = Vec::new();
    let read =
        client.events(EVENTS, Some("0".to_owned()), |message| {
            if !message.data.is_empty() {
                let event = serde_json::from_str(&message.data);
                kept.push(event.map_err(|error| {
                    Failure::failed(format!("an event makes no sense: {error}"))
                })?);
            }
            match message.id.parse::<u64>() {
                Ok(id) if id < until => Ok(()),
                _ => Err(Failure::closed()),
            }
        });
    match read.await {
        Err(failure) if failure.exit() != Exit::Closed => Err(failure),
        _ => Ok(kept),
    }
}

/// The newest event so far: what a stream without a beginning says first.
async fn newest(client: &Client) -> Result<u64, Failure> {
    let mut newest = None;
    let first = client.events(EVENTS, None, |message| {
        newest = message.id.parse().ok();
        Err(Failure::closed())
    });
    match (first.await, newest) {
        (Err(failure), _) if failure.exit() != Exit::Closed => Err(failure),
        (_, Some(newest)) => Ok(newest),
        (_, None) => Err(Failure::failed("the daemon's events have no numbers")),
    }
}

/// How far the stream was read.
struct Reader<'a> {
    output: &'a Output,
    /// The newest event that came, or that comes before what is asked for.
    last: Option<u64>,
    /// The event to end with.
    until: Option<u64>,
    /// That older events are gone is no news.
    quiet: bool,
}

impl Reader<'_> {
    /// Prints an event; ends the stream where all that was asked for is printed.
    fn take(&mut self, message: &Message) -> Result<(), Failure> {
        let id: Option<u64> = message.id.parse().ok();
        if message.data.is_empty() {
            // Where nothing was asked for yet, what comes next is.
            self.last = self.last.or(id);
        } else {
            let event: Event = serde_json::from_str(&message.data)
                .map_err(|error| Failure::failed(format!("an event makes no sense: {error}")))?;
            if event.kind != EventKind::Reset || !self.quiet {
                self.output.event(&event)?;
            }
            self.last = id.or(self.last);
        }
        self.quiet &= self.until.is_some();
        match (self.until, self.last) {
            (Some(until), Some(last)) if last >= until => Err(Failure::closed()),
            _ => Ok(()),
        }
    }
}

impl Output {
    /// One line for an event: people see it when it happens, so there is no table.
    fn event(&self, event: &Event) -> Result<(), Failure> {
        use crate::output::columns::{choose, csv, row};
        match self.format {
            Format::Json | Format::Yaml => {
                let json = serde_json::to_string(event)
                    .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
                let separator = if self.format == Format::Yaml {
                    "--- "
                } else {
                    ""
                };
                crate::output::print(&format!("{separator}{json}\n"))
            }
            Format::Name => crate::output::print(&format!("{}\n", event.name())),
            Format::Csv => {
                let columns = choose::<Event>(self.columns.as_deref(), Place::Wide)?;
                let text = csv(&columns, std::slice::from_ref(event));
                let line = text.split_once('\n').map_or("", |(_, line)| line);
                crate::output::print(line)
            }
            Format::Table | Format::Wide => {
                let columns = choose::<Event>(self.columns.as_deref(), Place::List)?;
                crate::output::print(&(row(&columns, event, self.raw) + "\n"))
            }
        }
    }
}

/// A column of events.
const fn column(name: &'static str, place: Place, value: fn(&Event) -> Value) -> Column<Event> {
    Column { name, place, value }
}

impl Listed for Event {
    const COLUMNS: &'static [Column<Event>] = &[
        column("id", Place::List, |event| Value::Count(event.id)),
        column("at", Place::List, |event| event.at.as_str().into()),
        column("kind", Place::List, |event| event.kind.name().into()),
        column("object", Place::List, |event| event.object.as_str().into()),
        column("detail", Place::List, |event| event.detail.clone().into()),
        column("task", Place::Wide, |event| {
            let task = event.task.as_ref();
            task.map_or(Value::None, |task| Value::Count(task.id))
        }),
        column("task_state", Place::List, |event| {
            event.task.as_ref().map(|task| task.state.name()).into()
        }),
    ];

    fn name(&self) -> String {
        self.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    //! How far a stream is read.

    use super::Reader;
    use crate::client::Message;
    use crate::output::{Format, Output};

    fn message(id: u64, data: &str) -> Message {
        Message {
            id: id.to_string(),
            data: data.to_owned(),
            ..Message::default()
        }
    }

    #[test]
    fn a_stream_that_is_not_followed_ends_with_the_newest() {
        let output = Output {
            format: Format::Name,
            columns: None,
            raw: false,
        };
        let reader = |last, until| Reader {
            output: &output,
            last,
            until,
            quiet: true,
        };
        let mut new = reader(Some(7), Some(7));
        assert!(new.take(&message(7, "")).is_err(), "nothing is new");
        let mut kept = reader(Some(0), Some(7));
        assert!(kept.take(&message(0, "")).is_ok(), "7 is to come");
        let reset = r#"{"id": 7, "at": "", "kind": "reset", "object": ""}"#;
        assert!(kept.take(&message(7, reset)).is_err(), "nothing is kept");
        let mut following = reader(None, None);
        assert!(following.take(&message(7, "")).is_ok());
        assert_eq!((following.last, following.quiet), (Some(7), false));
    }
}
