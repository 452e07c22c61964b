//! A store through which requests fail, hang, tear, repeat and lag, from a seed.
//!
//! Owns: carrying out what the [`FaultControl`] draws for each request. Everything random
//! comes from one ChaCha stream and all waiting is tokio's time: on a current-thread
//! runtime with paused time one seed gives one course of events.
//! Does not own: damage to what is stored (see [`memory`](crate::memory)).

mod control;
mod lag;
mod plan;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep};

pub use control::{FaultControl, FaultCounts};
pub use plan::{Fault, FaultPlan, Outage, Script};

use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::operation::Operation;
use crate::{Listed, ObjectStore, Page, Tail};
use control::{Draw, Shared};

/// The decorator. It hides the inner store's conditional writes.
#[derive(Debug)]
pub struct FaultStore {
    line: Line,
}

/// What a background task needs too.
#[derive(Debug, Clone)]
struct Line {
    inner: Arc<dyn ObjectStore>,
    shared: Arc<Shared>,
}

/// What a write asks for, to be done now, later, or once more.
#[derive(Clone)]
enum Change {
    Put(Key, Bytes),
    Delete(Vec<Key>),
}

impl FaultStore {
    /// Wraps `inner`; no faults until the control says so.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> (Arc<FaultStore>, FaultControl) {
        let control = FaultControl::new(seed);
        let line = Line {
            inner,
            shared: control.shared.clone(),
        };
        (Arc::new(FaultStore { line }), control)
    }

    /// The way there: what the request meets before anything is done.
    async fn enter(
        &self,
        operation: Operation,
        key: &str,
        body_bytes: u64,
        change: Option<Change>,
    ) -> Result<Draw> {
        let line = &self.line;
        let draw = line.shared.state.lock().draw(operation, key);
        pause(draw.delay).await;
        line.meet_outage(operation, key).await?;
        match draw.fault {
            Some(Fault::ErrorBefore(kind)) => return Err(failed(kind, operation, key, "before")),
            Some(Fault::Hang { wait, applies }) => {
                if let (true, Some(change)) = (applies, change) {
                    line.spawn_later(wait, change, draw);
                }
                pause(wait).await;
                return Err(failed(ErrorKind::Unavailable, operation, key, "hanging"));
            }
            _ => {}
        }
        line.pass(body_bytes).await;
        Ok(draw)
    }

    /// The way back: what the answer meets after all is done.
    async fn leave(&self, draw: Draw, operation: Operation, key: &str) -> Result<()> {
        if let Some(Fault::ErrorAfter(kind)) = draw.fault {
            return Err(failed(kind, operation, key, "after"));
        }
        self.line.meet_outage(operation, key).await
    }

    async fn read(
        &self,
        draw: Draw,
        operation: Operation,
        key: &Key,
        body: Result<Bytes>,
    ) -> Result<Bytes> {
        let mut body = match body {
            Ok(body) => body,
            Err(error) => {
                self.leave(draw, operation, key.as_str()).await?;
                return Err(error);
            }
        };
        self.line.pass(body.len() as u64).await;
        self.leave(draw, operation, key.as_str()).await?;
        match draw.fault {
            Some(Fault::ShortBody) if !body.is_empty() => {
                let keep = if draw.spoil & 1 == 0 {
                    body.len() - 1
                } else {
                    body.len() / 2
                };
                body.truncate(keep);
            }
            Some(Fault::FlipBit) if !body.is_empty() => {
                let mut spoiled = BytesMut::from(&body[..]);
                let at = usize::try_from((draw.spoil >> 3) % body.len() as u64)
                    .expect("below the body's length");
                spoiled[at] ^= 1 << (draw.spoil & 7);
                body = spoiled.freeze();
            }
            _ => {}
        }
        Ok(body)
    }

    fn readable(&self, operation: Operation, key: &Key) -> Result<()> {
        if self
            .line
            .shared
            .state
            .lock()
            .lag
            .unreadable(key, Instant::now())
        {
            let context = format!("{} {key}: not to be seen yet", operation.name());
            return Err(Error::new(ErrorKind::NotFound, context));
        }
        Ok(())
    }
}

impl Line {
    /// Waits until `bytes` have passed.
    async fn pass(&self, bytes: u64) {
        let wait = self.shared.state.lock().transfer(bytes, Instant::now());
        pause(wait).await;
    }

    async fn meet_outage(&self, operation: Operation, key: &str) -> Result<()> {
        let outage = *self.shared.outage.borrow();
        let kind = match outage {
            None => return Ok(()),
            Some(Outage::Refuse(kind)) => kind,
            Some(Outage::Hang) => {
                let mut changes = self.shared.outage.subscribe();
                // Fails only when the sender is gone, which `self` holds.
                let over = changes
                    .wait_for(|outage| *outage != Some(Outage::Hang))
                    .await;
                drop(over);
                ErrorKind::Unavailable
            }
        };
        self.shared.state.lock().count_outage();
        Err(failed(kind, operation, key, "in an outage"))
    }

    /// Does what was asked, and starts the lags that were drawn for it.
    async fn apply(&self, change: Change, draw: Draw) -> Vec<Result<()>> {
        match change {
            Change::Put(key, body) => vec![self.apply_put(&key, body, draw).await],
            Change::Delete(keys) => self.apply_delete(&keys, draw).await,
        }
    }

    async fn apply_put(&self, key: &Key, body: Bytes, draw: Draw) -> Result<()> {
        let lags = !draw.read_lag.is_zero() || !draw.list_lag.is_zero();
        // What is there already has been seen: it does not vanish again.
        let known = lags && self.inner.head(key).await.is_ok();
        self.inner.put(key, body).await?;
        if lags && !known {
            let now = Instant::now();
            let mut state = self.shared.state.lock();
            state
                .lag
                .born(key, now, now + draw.read_lag, now + draw.list_lag);
        }
        Ok(())
    }

    async fn apply_delete(&self, keys: &[Key], draw: Draw) -> Vec<Result<()>> {
        let mut lengths = Vec::new();
        if !draw.list_lag.is_zero() {
            for key in keys {
                lengths.push(self.inner.head(key).await.ok());
            }
        }
        let results = match keys {
            [key] => vec![self.inner.delete(key).await],
            _ => self.inner.delete_many(keys).await,
        };
        let now = Instant::now();
        for (key, length) in keys.iter().zip(lengths) {
            if let Some(length) = length {
                let mut state = self.shared.state.lock();
                state.lag.died(key, length, now, now + draw.list_lag);
            }
        }
        results
    }

    fn spawn_later(&self, wait: Duration, change: Change, draw: Draw) {
        let line = self.clone();
        tokio::spawn(async move {
            pause(wait).await;
            for result in line.apply(change, draw).await {
                if let Err(error) = result {
                    tracing::debug!(%error, "a delayed write failed");
                }
            }
        });
    }
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

fn failed(kind: ErrorKind, operation: Operation, key: &str, when: &str) -> Error {
    Error::new(
        kind,
        format!("{} {key}: injected, {when}", operation.name()),
    )
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        let change = Change::Put(key.clone(), body.clone());
        let length = body.len() as u64;
        let draw = self
            .enter(Operation::Put, key.as_str(), length, Some(change.clone()))
            .await?;
        let result = self.line.apply_put(key, body, draw).await;
        if let (Ok(()), Some(Fault::DuplicatePut { after })) = (&result, draw.fault) {
            self.line.spawn_later(after, change, draw);
        }
        self.leave(draw, Operation::Put, key.as_str()).await?;
        result
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let draw = self.enter(Operation::Get, key.as_str(), 0, None).await?;
        self.readable(Operation::Get, key)?;
        let body = self.line.inner.get(key).await;
        self.read(draw, Operation::Get, key, body).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let draw = self
            .enter(Operation::GetRange, key.as_str(), 0, None)
            .await?;
        self.readable(Operation::GetRange, key)?;
        let body = self.line.inner.get_range(key, range).await;
        self.read(draw, Operation::GetRange, key, body).await
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        let draw = self
            .enter(Operation::GetTail, key.as_str(), 0, None)
            .await?;
        self.readable(Operation::GetTail, key)?;
        let (body, object_bytes) = match self.line.inner.get_tail(key, length).await {
            Ok(tail) => (Ok(tail.bytes), tail.object_bytes),
            Err(error) => (Err(error), 0),
        };
        let bytes = self.read(draw, Operation::GetTail, key, body).await?;
        Ok(Tail {
            bytes,
            object_bytes,
        })
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        let draw = self.enter(Operation::Head, key.as_str(), 0, None).await?;
        self.readable(Operation::Head, key)?;
        let length = self.line.inner.head(key).await;
        self.leave(draw, Operation::Head, key.as_str()).await?;
        length
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        let draw = self.enter(Operation::List, prefix, 0, None).await?;
        let mut after = after.cloned();
        let page = loop {
            let page = self
                .line
                .inner
                .list(prefix, after.as_ref(), count_max)
                .await?;
            let last = page.objects.last().map(|Listed { key, .. }| key.clone());
            let state = self.line.shared.state.lock();
            let page = state
                .lag
                .blur(page, prefix, after.as_ref(), count_max, Instant::now());
            match last {
                // All that is here is hidden: an empty page would not say where to go on.
                Some(last) if page.objects.is_empty() && page.more => after = Some(last),
                _ => break page,
            }
        };
        self.leave(draw, Operation::List, prefix).await?;
        Ok(page)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let change = Change::Delete(vec![key.clone()]);
        let draw = self
            .enter(Operation::Delete, key.as_str(), 0, Some(change))
            .await?;
        let results = self
            .line
            .apply_delete(std::slice::from_ref(key), draw)
            .await;
        self.leave(draw, Operation::Delete, key.as_str()).await?;
        results.into_iter().collect()
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let name = keys.first().map_or("", Key::as_str);
        let operation = Operation::DeleteMany;
        let change = Change::Delete(keys.to_vec());
        let done = async {
            let draw = self.enter(operation, name, 0, Some(change)).await?;
            let results = self.line.apply_delete(keys, draw).await;
            self.leave(draw, operation, name).await?;
            Ok::<_, Error>(results)
        };
        match done.await {
            Ok(results) => results,
            Err(error) => keys.iter().map(|_| Err(error.repeat())).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
