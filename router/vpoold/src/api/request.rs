//! What all requests share: their bounds, how they are read, how they are answered.
//!
//! Owns: body, path and query of a request, JSON answers, problems. Does not own: handlers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vpool_api::limits::REQUEST_BYTES_MAX;
use vpool_api::names::DiskPath;
use vpool_api::{Code, Problem};

use super::State;

/// How long a client may take to send a body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

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
        sent(status, "application/problem+json", &self.0)
    }
}

/// A value as the answer.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        sent(StatusCode::OK, "application/json", &self.0)
    }
}

fn sent(status: StatusCode, kind: &'static str, value: &impl Serialize) -> Response {
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
    let read = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, REQUEST_BYTES_MAX)).await;
    let problem = match read {
        Ok(Ok(bytes)) => return next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(error)) if is_too_long(&error) => Problem::new(
            Code::TooLarge,
            format!("the request has more than {REQUEST_BYTES_MAX} bytes"),
        ),
        Ok(Err(error)) => Problem::new(
            Code::Invalid,
            format!("the request could not be read: {error}"),
        ),
        Err(_) => Problem::new(
            Code::Invalid,
            format!(
                "the request did not come within {} s",
                BODY_TIME_MAX.as_secs()
            ),
        ),
    };
    Failed(problem).into_response()
}

fn is_too_long(error: &axum::Error) -> bool {
    use std::error::Error;
    error
        .source()
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The body as JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            Code::Invalid,
            format!("the request's body is not what it should be: {error}"),
        )
    })
}

/// The one name in the path.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl Named {
    /// It as a disk's.
    pub(super) fn disk(&self) -> Result<DiskPath, Problem> {
        self.0.parse().map_err(|error: vpool_api::names::BadName| {
            Problem::new(Code::Invalid, error.to_string())
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Failed> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Named(name)).map_err(|_| {
            Problem::new(
                Code::Invalid,
                "the name in the path is not UTF-8 in percent-encoding",
            )
            .into()
        })
    }
}

/// What may stand behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Of this pool only.
    pub(super) pool: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query, Failed> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| query)
            .map_err(|error| Problem::new(Code::Invalid, error.body_text()).into())
    }
}

/// Carries out a change to its end, also if the client goes away meanwhile: one that stops
/// half-way would be for the next start to mend.
pub(super) async fn to_the_end<T: Send + 'static>(
    state: &Arc<State>,
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Answer<T>, Failed> {
    let Ok(permit) = state.changes.clone().try_acquire_owned() else {
        let problem = Problem::new(Code::Busy, "too many changes are going on");
        return Err(problem.with_hint("repeat it in a while").into());
    };
    let task = tokio::spawn(async move {
        let result = change.await;
        drop(permit);
        result
    });
    match task.await {
        Ok(result) => Ok(Answer(result?)),
        Err(_) => {
            let problem = Problem::new(Code::Internal, "the change ended by a bug in the daemon");
            Err(problem.with_hint("the daemon's log says where").into())
        }
    }
}

pub(super) async fn no_such_path(request: Request) -> Failed {
    Problem::new(
        Code::NotFound,
        format!("there is no {}", request.uri().path()),
    )
    .into()
}

pub(super) async fn no_such_method(request: Request) -> Failed {
    let detail = format!(
        "{} is not possible on {}",
        request.method(),
        request.uri().path()
    );
    Problem::new(Code::MethodNotAllowed, detail).into()
}
