//! Requests that have to wait for the disk.
//!
//! Owns: the future of each of them. Does not own: their bound and their replies
//! (`session.rs`).
//!
//! Every job of a connection is polled whenever the connection runs, even while its
//! client takes no replies: a job may hold something of the disk's that others wait for.
//! When the connection fails its jobs are dropped where they stand; none of them was
//! acknowledged, so the disk may have done all, a part or nothing of each.

use futures::future::BoxFuture;
use vpool_block::{Attached, BlockError, Extent};
use vpool_nbd_wire::limits::EXTENTS_MAX;
use vpool_nbd_wire::{CommandFlags, Request};

use crate::budget::{Budget, Permit};
use crate::input::Payload;

/// A request under way.
pub(crate) type Job = BoxFuture<'static, Finished>;

/// A request that has been carried out, or has failed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The request.
    pub(crate) request: Request,
    /// What came of it.
    pub(crate) outcome: Result<Outcome, BlockError>,
}

/// What a finished request answers.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing but that it is done.
    Done,
    /// The rest of a read: `data` from `offset` to the request's end.
    Data {
        offset: u64,
        data: Vec<u8>,
        permit: Permit,
    },
    /// The extents from the request's offset.
    Extents {
        extents: Vec<Extent>,
        permit: Permit,
    },
}

/// What is done to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeWork {
    /// Give its space back.
    Discard,
    /// Make it read as zeroes.
    Zero,
    /// Fetch it.
    Prefetch,
}

/// A flush: for its own sake, or as the second half of a FUA write.
pub(crate) fn flush(device: Attached, request: Request) -> Job {
    Box::pin(async move {
        let outcome = device.flush().await.map(|()| Outcome::Done);
        Finished { request, outcome }
    })
}

/// A write that waits for room as it goes, then its flush if it is a FUA write. Its memory is
/// given back when it is done.
pub(crate) fn write(device: Attached, request: Request, payload: Payload) -> Job {
    Box::pin(async move {
        let mut done = device.write(request.offset, payload.bytes()).await;
        drop(payload);
        if done.is_ok() && request.flags.has(CommandFlags::FUA) {
            done = device.flush().await;
        }
        let outcome = done.map(|()| Outcome::Done);
        Finished { request, outcome }
    })
}

/// A read of `length` bytes (at most the protocol's payload, not 0) from `offset` to the
/// request's end. The memory is asked for before it is allocated.
pub(crate) fn read(
    device: Attached,
    budget: Budget,
    request: Request,
    offset: u64,
    length: usize,
) -> Job {
    Box::pin(async move {
        let permit = budget.request(length).await;
        let mut data = vec![0; length];
        let read = match device.read_now(offset, &mut data) {
            Some(read) => read,
            None => device.read(offset, &mut data).await,
        };
        let outcome = read.map(|()| Outcome::Data {
            offset,
            data,
            permit,
        });
        Finished { request, outcome }
    })
}

/// `work` on the request's range, made durable where the request has FUA.
pub(crate) fn range(device: Attached, request: Request, work: RangeWork, fua: bool) -> Job {
    Box::pin(async move {
        let outcome = async {
            let (offset, length) = (request.offset, request.length);
            match work {
                RangeWork::Discard => device.discard(offset, length).await?,
                RangeWork::Zero => device.write_zeroes(offset, length).await?,
                RangeWork::Prefetch => device.prefetch(offset, length).await?,
            }
            if fua {
                device.flush().await?;
            }
            Ok(Outcome::Done)
        };
        Finished {
            request,
            outcome: outcome.await,
        }
    })
}

/// The first `count_max` extents of the request's range.
pub(crate) fn extents(device: Attached, budget: Budget, request: Request, count_max: usize) -> Job {
    Box::pin(async move {
        let count_max = count_max.clamp(1, EXTENTS_MAX);
        let permit = budget.request(count_max * size_of::<Extent>()).await;
        let found = device
            .extents(request.offset, request.length, count_max)
            .await;
        let outcome = found.map(|extents| Outcome::Extents { extents, permit });
        Finished { request, outcome }
    })
}
