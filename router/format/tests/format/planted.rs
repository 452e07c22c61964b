//! The planted bug is there when it is asked for, and only then.

use vpool_format::names::Name;
use vpool_format::{DiskId, Epoch, SegmentNo, StreamUid};

/// Two streams of a disk share a segment's name exactly if `names-without-epoch` is on.
#[test]
fn names_without_epoch_collide() {
    let name = |epoch, uid| {
        let (epoch, uid) = (Epoch(epoch), StreamUid(uid));
        Name::Segment {
            disk: DiskId(1),
            epoch,
            uid,
            segment: SegmentNo(2),
        }
        .to_string()
    };
    let on = std::env::var("VPOOL_PLANTED")
        .is_ok_and(|on| on.split(',').any(|one| one == "names-without-epoch"));
    assert_eq!(name(3, 4) == name(5, 6), on);
}
