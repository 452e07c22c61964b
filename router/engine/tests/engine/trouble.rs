//! Trouble: failing syncs, full disks, long outages, rotten bits, altered objects, odd shapes.

mod connections;
mod outage;
mod rot;
pub(crate) mod shapes;
mod slow;
mod space;
mod sync;
mod tamper;
