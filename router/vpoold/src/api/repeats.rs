//! Changes that are asked for twice, because an answer was lost: `Idempotency-Key`.
//!
//! ```text
//! new key ─▶ carried out ─▶ answer kept ─▶ answered
//! same key, same request ───────┴──(waits)─▶ answered the same
//! same key, another request ─▶ conflict
//! ```
//!
//! Owns: which key had which answer, for a day and within bounds. Does not own: the changes.
//!
//! A request with a key goes on to its end although its client is gone, so that the answer is there
//! when it comes back. What failed for the moment (5xx) is not kept: it may be tried again. A daemon
//! that dies between a change and its answer's being kept carries the request out again: it then
//! finds the name taken. Deleting and renaming would then meet what has the name by now: such a
//! request is noted before it is carried out, and never is a second time.

mod kept;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Known};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use vpool_api::limits::{KEY_CHARS_MAX, REQUEST_BYTES_MAX};
use vpool_api::{Code, Problem};
use vpool_host::{Host, LocalStore};

use super::query::{Query, invalid};
use super::request::Failed;
use kept::Kept;
pub(crate) use kept::TABLE;

/// The header of a request.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that was given before.
const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Keys at a time; of those with an answer the oldest go first.
const KEYS_MAX: usize = 1024;

/// Bytes of kept answers.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// How long an answer is kept.
const KEPT_MS: u64 = 24 * 3600 * 1000;

/// The keys that are known.
#[derive(Debug)]
pub(crate) struct Repeats {
    known: Mutex<HashMap<String, Entry>>,
    /// One who writes at a time: nobody deletes what another has just kept.
    writing: tokio::sync::Mutex<()>,
    store: Arc<dyn LocalStore>,
    host: Host,
}

#[derive(Debug)]
struct Entry {
    request: [u8; 32],
    answer: watch::Receiver<Option<Arc<Kept>>>,
}

impl Entry {
    fn answer(&self) -> Option<Arc<Kept>> {
        self.answer.borrow().clone()
    }
}

/// What to do with a key.
enum Begun {
    New(watch::Sender<Option<Arc<Kept>>>),
    Seen(watch::Receiver<Option<Arc<Kept>>>),
}

impl Repeats {
    /// With the answers that were kept.
    pub(crate) fn open(store: Arc<dyn LocalStore>, host: Host) -> std::io::Result<Repeats> {
        let entry = |(key, kept): (String, Kept)| {
            let entry = Entry {
                request: kept.request,
                answer: watch::Sender::new(Some(Arc::new(kept))).subscribe(),
            };
            (key, entry)
        };
        let known = kept::read(&*store)?.into_iter().map(entry).collect();
        Ok(Repeats {
            known: Mutex::new(known),
            writing: tokio::sync::Mutex::new(()),
            store,
            host,
        })
    }

    fn begin(&self, key: &str, request: [u8; 32]) -> Result<(Begun, Vec<String>), Problem> {
        let mut known = self.known.lock();
        let mut forgotten = self.forget(&mut known);
        if let Some(entry) = known.get(key) {
            if entry.request == request {
                return Ok((Begun::Seen(entry.answer.clone()), forgotten));
            }
            let detail = "another request was made with this Idempotency-Key";
            return Err(
                Problem::new(Code::Conflict, detail).with_hint("use a new key for each request")
            );
        }
        if known.len() >= KEYS_MAX {
            forgotten.extend(self.forget_oldest(&mut known)?);
        }
        let (sender, answer) = watch::channel(None);
        known.insert(key.to_owned(), Entry { request, answer });
        Ok((Begun::New(sender), forgotten))
    }

    /// What is a day old.
    fn forget(&self, known: &mut HashMap<String, Entry>) -> Vec<String> {
        let now = self.host.clock.wall_ms();
        let is_old = |kept: &Kept| now.saturating_sub(kept.at_ms) >= KEPT_MS;
        let old = |entry: &Entry| entry.answer().is_some_and(|kept| is_old(&kept));
        let keys = known.iter().filter(|(_, entry)| old(entry));
        let keys: Vec<String> = keys.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            known.remove(key);
        }
        keys
    }

    fn forget_oldest(&self, known: &mut HashMap<String, Entry>) -> Result<Vec<String>, Problem> {
        let answered = known
            .iter()
            .filter_map(|(key, entry)| Some((entry.answer()?.at_ms, key.clone())));
        let Some((_, oldest)) = answered.min() else {
            let detail = format!("{KEYS_MAX} requests with an Idempotency-Key are going on");
            return Err(Problem::new(Code::Busy, detail).with_hint("repeat it in a while"));
        };
        known.remove(&oldest);
        Ok(vec![oldest])
    }

    /// Keeps an answer, and forgets others where all of them are too long.
    async fn keep(&self, key: &str, kept: &Arc<Kept>, mut forgotten: Vec<String>) {
        {
            let mut known = self.known.lock();
            let answers = |known: &HashMap<String, Entry>| -> usize {
                let kept = known.values().filter_map(Entry::answer);
                kept.map(|kept| kept.body.len()).sum()
            };
            while answers(&known) + kept.body.len() > KEPT_BYTES_MAX {
                match self.forget_oldest(&mut known) {
                    Ok(oldest) => forgotten.extend(oldest),
                    Err(_) => break,
                }
            }
        }
        self.write_down(Some((key.to_owned(), kept.clone())), forgotten)
            .await;
    }

    async fn write_down(&self, new: Option<(String, Arc<Kept>)>, mut forgotten: Vec<String>) {
        let _writing = self.writing.lock().await;
        {
            // A key that was forgotten may be in use again.
            let known = self.known.lock();
            forgotten.retain(|key| !known.contains_key(key));
        }
        let store = self.store.clone();
        let write = move || {
            let new = new.as_ref().map(|(key, kept)| (key.as_str(), &**kept));
            kept::write(&*store, new, &forgotten)
        };
        if let Err(error) = self.host.blocking.run(write).await {
            tracing::warn!(%error, "the answer to a request with a key is not kept over a restart");
        }
    }

    /// Carries a request out and keeps its answer; goes on without the client.
    async fn carry_out(
        self: Arc<Self>,
        key: String,
        asked: [u8; 32],
        run: impl Future<Output = Response>,
        sender: watch::Sender<Option<Arc<Kept>>>,
        mut forgotten: Vec<String>,
        once: bool,
    ) {
        if once {
            let unknown = Arc::new(unknown(self.host.clock.wall_ms(), asked));
            self.write_down(Some((key.clone(), unknown)), Vec::new())
                .await;
        }
        let response = run.await;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let kept = Arc::new(Kept {
            at_ms: self.host.clock.wall_ms(),
            request: asked,
            status: status.as_u16(),
            kind: kind.and_then(|kind| kind.to_str().ok().map(str::to_owned)),
            body: body.map(|body| body.to_vec()).unwrap_or_default(),
        });
        if status.is_server_error() {
            self.known.lock().remove(&key);
            forgotten.push(key);
            self.write_down(None, forgotten).await;
        } else {
            self.keep(&key, &kept, forgotten).await;
        }
        sender.send_replace(Some(kept));
    }
}

/// Answers a change with a key once, and the same ever after.
pub(super) async fn repeatable(
    Known(repeats): Known<Arc<Repeats>>,
    request: Request,
    next: Next,
) -> Response {
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !changes || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    let answered = match key_of(request.headers()) {
        Ok(_) if is_dry(&request) => return next.run(request).await,
        Ok(key) => answer(repeats, key, request, next).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| Failed::from(problem).into_response())
}

async fn answer(
    repeats: Arc<Repeats>,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, REQUEST_BYTES_MAX)
        .await
        .map_err(|error| invalid(format!("the request could not be read: {error}")))?;
    let mut hash = blake3::Hasher::new();
    hash.update(head.method.as_str().as_bytes()).update(b" ");
    hash.update(head.uri.to_string().as_bytes()).update(b"\n");
    let asked: [u8; 32] = *hash.update(&body).finalize().as_bytes();
    let path = head.uri.path();
    let once = head.method == Method::DELETE
        || ["/rename", "/resize", "/repair"]
            .iter()
            .any(|end| path.ends_with(end));
    let (begun, forgotten) = repeats.begin(&key, asked)?;
    let (mut answer, repeated) = match begun {
        Begun::Seen(answer) => (answer, true),
        Begun::New(sender) => {
            let answer = sender.subscribe();
            let request = Request::from_parts(head, Body::from(body));
            let run = next.run(request);
            tokio::spawn(repeats.carry_out(key, asked, run, sender, forgotten, once));
            (answer, false)
        }
    };
    let kept = match answer.wait_for(Option::is_some).await {
        Ok(kept) => kept.clone(),
        Err(_) => None,
    };
    let kept = kept.ok_or_else(|| {
        Problem::new(Code::Internal, "the request ended by a bug in the daemon")
            .with_hint("the daemon's log says where; repeat it with another key")
    })?;
    Ok(response(&kept, repeated))
}

/// What a request is answered that a daemon had begun which has ended since.
fn unknown(at_ms: u64, request: [u8; 32]) -> Kept {
    let detail = "the daemon ended while it did this: whether it was done is not known";
    let problem = Problem::new(Code::Conflict, detail)
        .with_hint("look, and if it was not done, ask again with another Idempotency-Key");
    Kept {
        at_ms,
        request,
        status: StatusCode::CONFLICT.as_u16(),
        kind: Some("application/problem+json".to_owned()),
        body: serde_json::to_vec(&problem).expect("it is plain data"),
    }
}

fn response(kept: &Kept, repeated: bool) -> Response {
    let mut response = Response::new(Body::from(kept.body.clone()));
    *response.status_mut() =
        StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = kept.kind.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(kind)) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    if repeated {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPEATED, yes);
    }
    response
}

/// Nothing is done: nothing is to be kept.
fn is_dry(request: &Request) -> bool {
    let mut query = Query::parse(request.uri().query().unwrap_or_default());
    query.flag("dry_run") == Ok(true)
}

fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => key.as_bytes(),
        _ => &[],
    };
    let printable = key.iter().all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(key) {
        Ok(key) if printable && (1..=KEY_CHARS_MAX).contains(&key.len()) => Ok(key.to_owned()),
        _ => Err(
            invalid("the Idempotency-Key cannot be used".to_owned()).with_hint(format!(
                "send one, of 1 to {KEY_CHARS_MAX} printable ASCII characters"
            )),
        ),
    }
}

#[cfg(test)]
mod tests;
