//! Events as they happen.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Known;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use futures::Stream;
use vpool_api::{Event, Problem};

use super::super::query::{NoQuery, invalid};
use super::super::request::Failed;
use super::Api;
use crate::events::Listener;

/// Something is sent so often, also if nothing happens: who is gone is noticed.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What happens, as it happens
///
/// Begins with an `id:` without data: the newest event so far. `Last-Event-ID` goes on from there,
/// or begins with an event `reset` where events since then are not there any more.
#[utoipa::path(get, path = "/events", tag = "daemon",
    params(("Last-Event-ID" = Option<u64>, Header, description = "The last event that was seen")),
    responses((status = 200, description = "Server-sent events, `data:` is an Event",
        content_type = "text/event-stream", body = String)))]
pub(in crate::api) async fn events(
    Known(api): Api,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Sse<impl Stream<Item = Result<Frame, Infallible>>>, Failed> {
    let listener = api.events.listen(last_seen(&headers)?)?;
    let first = Frame::default().id(listener.place().to_string());
    let begin = (listener, VecDeque::from([first]));
    let frames = futures::stream::unfold(begin, |(mut listener, mut frames)| async move {
        if frames.is_empty() {
            frames = next(&mut listener).await;
        }
        let frame = frames.pop_front()?;
        Some((Ok(frame), (listener, frames)))
    });
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}

async fn next(listener: &mut Listener) -> VecDeque<Frame> {
    let events = listener.next().await;
    events.iter().map(frame).collect()
}

fn frame(event: &Arc<Event>) -> Frame {
    let json = serde_json::to_string(&**event).expect("texts and numbers");
    Frame::default()
        .id(event.id.to_string())
        .event(event.kind.name())
        .data(json)
}

fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        // As browsers do that have seen none.
        Ok("") => Ok(None),
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            // One beyond all numbers was never sent either.
            Ok(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => Err(
            invalid("Last-Event-ID is not the number of an event".to_owned())
                .with_hint("send the id: of the last event that was seen, or leave it out"),
        ),
    }
}
