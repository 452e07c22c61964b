//! What all requests share: their bounds, how they are read, how they are answered.
//!
//! Owns: body and path of a request, JSON answers, problems, changes that go on to their end. Does
//! not own: the query (`query.rs`), handlers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vpool_api::limits::REQUEST_BYTES_MAX;
use vpool_api::names::DiskPath;
use vpool_api::{Code, DryRun, Problem};

use super::State;
use super::query::{invalid, shown};

/// How long a client may take to send a body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a change may wait for others to end.
const CHANGE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The form of problems.
const PROBLEM: &str = "application/problem+json";

/// The form of all else.
const JSON: &str = "application/json";

/// A problem as the answer.
#[derive(Debug)]
pub(super) struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Failed {
        Failed(problem)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = sent(status, PROBLEM, &self.0);
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// A value as the answer.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        sent(StatusCode::OK, JSON, &self.0)
    }
}

/// What a change is answered with.
#[derive(Debug)]
pub(super) enum Changed<T> {
    /// It was only asked about.
    Planned(DryRun),
    /// It is done.
    Done(T),
    /// It is done, and nothing is to be said about it.
    Gone,
    /// It has begun.
    Begun(T),
}

impl<T: Serialize> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        match self {
            Changed::Planned(plan) => sent(StatusCode::OK, JSON, &plan),
            Changed::Done(value) => sent(StatusCode::OK, JSON, &value),
            Changed::Gone => StatusCode::NO_CONTENT.into_response(),
            Changed::Begun(value) => sent(StatusCode::ACCEPTED, JSON, &value),
        }
    }
}

pub(super) fn sent(status: StatusCode, kind: &'static str, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("the types of the API have string keys only");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Takes the whole body before anything else, within bounds of length and time.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    if announced_bytes(&head.headers).is_some_and(|bytes| bytes > REQUEST_BYTES_MAX as u64) {
        return Failed(too_long()).into_response();
    }
    let read = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, REQUEST_BYTES_MAX)).await;
    let problem = match read {
        Ok(Ok(bytes)) => return next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(error)) if is_too_long(&error) => too_long(),
        Ok(Err(error)) => invalid(format!("the request could not be read: {error}")),
        Err(_) => invalid(format!(
            "the request did not come within {} s",
            BODY_TIME_MAX.as_secs()
        )),
    };
    Failed(problem).into_response()
}

/// What the client says that it will send. One that sends more than it says is cut off by HTTP.
fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long() -> Problem {
    let detail = format!("the request has more than {REQUEST_BYTES_MAX} bytes");
    Problem::new(Code::TooLarge, detail).with_hint("no request of this API needs as many")
}

fn is_too_long(error: &axum::Error) -> bool {
    use std::error::Error;
    error
        .source()
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The body as JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Failed> {
        check_is_json(request.headers())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| invalid(format!("the request could not be read: {error}")))?;
        Ok(Json(json(&body)?))
    }
}

/// A body without a word about its form is taken for what it must be.
fn check_is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let name = kind.split(';').next().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    let detail = format!("a body of type {} is not understood", shown(kind));
    Err(Problem::new(Code::UnsupportedMedia, detail)
        .with_hint("send JSON, with the header Content-Type: application/json"))
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        // The text may quote what was sent.
        let why: String = error.to_string().chars().take(300).collect();
        invalid(format!(
            "the request's body is not what it should be: {why}"
        ))
        .with_hint("GET /api/v1/openapi.json says what it should be")
    })
}

/// The one name in the path.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl Named {
    /// It as a disk's.
    pub(super) fn disk(&self) -> Result<DiskPath, Problem> {
        self.0
            .parse()
            .map_err(|error: vpool_api::names::BadName| invalid(error.to_string()))
    }

    /// It as a number.
    pub(super) fn number(&self) -> Result<u64, Problem> {
        self.0.parse().map_err(|_| {
            invalid(format!("{} is not the number of a task", shown(&self.0)))
                .with_hint("`vpool task list` shows those there are")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Failed> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Named(name)).map_err(|_| {
            invalid("the name in the path is not UTF-8 in percent-encoding".to_owned()).into()
        })
    }
}

/// Carries out a change to its end, also if the client goes away meanwhile: one that stops
/// half-way would be for the next start to mend.
pub(super) async fn to_the_end<T: Send + 'static>(
    state: &Arc<State>,
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Failed> {
    let permit = tokio::time::timeout(CHANGE_WAIT_MAX, state.changes.clone().acquire_owned());
    let Ok(Ok(permit)) = permit.await else {
        let problem = Problem::new(Code::Busy, "too many changes are going on");
        return Err(problem.with_hint("repeat it in a while").into());
    };
    let task = tokio::spawn(async move {
        let result = change.await;
        drop(permit);
        result
    });
    match task.await {
        Ok(result) => Ok(result?),
        Err(_) => {
            let problem = Problem::new(Code::Internal, "the change ended by a bug in the daemon");
            Err(problem.with_hint("the daemon's log says where").into())
        }
    }
}

pub(super) async fn no_such_path(request: Request) -> Failed {
    let detail = format!("there is no {}", shown(request.uri().path()));
    Problem::new(Code::NotFound, detail)
        .with_hint("GET /api/v1/openapi.json names all that there is")
        .into()
}

pub(super) async fn no_such_method(request: Request) -> Failed {
    let detail = format!(
        "{} is not possible on {}",
        request.method(),
        shown(request.uri().path())
    );
    Problem::new(Code::MethodNotAllowed, detail)
        .with_hint("GET /api/v1/openapi.json says what is")
        .into()
}
