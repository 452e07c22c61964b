//! Which MAC proves which record: the domains, and the place that an object is bound to.

use vpool_format::{DiskId, PoolId, SegmentNo, StreamUid};
use vpool_seal::PoolSecrets;

/// Of a segment's header.
pub fn segment_header(secrets: &PoolSecrets, bytes: &[u8]) -> [u8; 16] {
    secrets.mac("segment header", &[bytes])
}

/// Of a segment's cut table and trailer, bound to its place.
pub fn trailer(secrets: &PoolSecrets, place: &[u8], bytes: &[u8]) -> [u8; 16] {
    secrets.mac("segment trailer", &[place, bytes])
}

/// Of a checkpoint.
pub fn checkpoint(secrets: &PoolSecrets, bytes: &[u8]) -> [u8; 16] {
    secrets.mac("checkpoint", &[bytes])
}

/// Of a stream record.
pub fn stream_record(secrets: &PoolSecrets, bytes: &[u8]) -> [u8; 16] {
    secrets.mac("stream record", &[bytes])
}

/// Of a disk's descriptor.
pub fn descriptor(secrets: &PoolSecrets, bytes: &[u8]) -> [u8; 16] {
    secrets.mac("descriptor", &[bytes])
}

/// Of a claim.
pub fn claim(secrets: &PoolSecrets, bytes: &[u8]) -> [u8; 16] {
    secrets.mac("claim", &[bytes])
}

/// Where a segment belongs: a swapped object fails by it.
pub fn place(pool: PoolId, disk: DiskId, uid: StreamUid, segment: SegmentNo) -> Vec<u8> {
    let mut place = Vec::with_capacity(56);
    place.extend_from_slice(&pool.0.to_le_bytes());
    place.extend_from_slice(&disk.0.to_le_bytes());
    place.extend_from_slice(&uid.0.to_le_bytes());
    place.extend_from_slice(&segment.0.to_le_bytes());
    place
}
