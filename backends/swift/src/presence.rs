//! Whether the container is there when an object is not.
//!
//! Swift answers 404 to a missing object and to one in a missing container alike, and from
//! the former the end of a log is read. So the container is asked for too, unless an object
//! or a listing has shown it within a few seconds.
//!
//! Owns: that question, and what was last known. Does not own: what a 404 is (`failure`).

use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use vpool_object::ErrorKind;

use crate::failure::Failure;
use crate::limits::CONTAINER_TRUST;
use crate::session::Session;
use crate::store::SwiftStore;

/// When the container was last known to be there.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Option<Instant>>);

impl Presence {
    /// Something has just shown that it is there.
    pub(crate) fn seen(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    fn gone(&self) {
        *self.0.lock() = None;
    }

    fn last(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

impl SwiftStore {
    /// Makes of a failure to reach an object what it really is: that of a missing container,
    /// where that is the cause.
    pub(crate) async fn with_presence(&self, failure: Failure) -> Failure {
        if failure.kind != ErrorKind::NotFound {
            return failure;
        }
        let last = self.presence.last();
        if last.is_some_and(|seen| seen.elapsed() < CONTAINER_TRUST) {
            return failure;
        }
        let asked = self
            .call(|session| async move { self.head_container(&session).await })
            .await;
        match asked {
            Ok(()) => failure,
            Err(container) if container.kind == ErrorKind::NoLocation => container,
            // Its servers do not answer, but they did before: nobody has mistyped its name,
            // and the objects' own servers say that there is no such object.
            Err(_) if last.is_some() => failure,
            Err(container) => container.during("whether the container exists"),
        }
    }

    async fn head_container(&self, session: &Session) -> Result<(), Failure> {
        let request = self.request(session, Method::HEAD, &self.container_url(session));
        let expect = [StatusCode::NO_CONTENT, StatusCode::OK];
        match self.send(request, 0, &expect).await {
            Ok(_) => {
                self.presence.seen();
                Ok(())
            }
            Err(failure) => Err(self.of_container(failure)),
        }
    }

    /// What was asked of the container itself and not found is the container.
    pub(crate) fn of_container(&self, failure: Failure) -> Failure {
        if failure.kind != ErrorKind::NotFound {
            return failure;
        }
        self.presence.gone();
        failure
            .of_kind(ErrorKind::NoLocation)
            .during("the container")
            .with_remedy("make the container, or correct its name")
    }
}
