//! Newtypes for every number that could be swapped with another.

use std::fmt;

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $of:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $of);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id128!(
    /// A grid: the hosts that share one metadata store.
    GridId
);
id128!(
    /// A vPool.
    PoolId
);
id128!(
    /// A vDisk, for ever; never used again.
    DiskId
);
id128!(
    /// One opening of one vDisk: 128 random bits drawn at open. The only writer that will
    /// ever name objects under it.
    StreamUid
);
number!(
    /// Grows by one each time a vDisk is opened; decided by the metadata store. 0 = never opened.
    Epoch,
    u64
);
number!(
    /// A grid's claim on a location; grows with each adoption, from 1.
    Generation,
    u64
);
number!(
    /// The order of a vDisk's log; the first record has 1, 0 = nothing yet.
    Seq,
    u64
);
number!(
    /// A segment's number within its stream, from 1, without gaps; 0 = none.
    SegmentNo,
    u64
);
number!(
    /// A chunk's place in its segment's index, from 0.
    Slot,
    u16
);
number!(
    /// A stream's small number, given by the stream table of a vDisk's checkpoints.
    StreamNo,
    u32
);
number!(
    /// A line of a vDisk's history; a rollback starts a new one. The first is 0.
    BranchId,
    u32
);
