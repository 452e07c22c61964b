//! What each sector of a disk may hold.
//!
//! Owns: settled and pending versions. Does not own: requests (`requests.rs`), reading the
//! disk (`verify.rs`).

use std::ops::Range;

use super::sector::Content;
use super::violation::ViolationKind;

/// A version of a sector: the request that wrote it, or [`ZEROES`].
pub(crate) type Version = u64;

/// Never written, trimmed, or zeroed.
pub(crate) const ZEROES: Version = 0;

/// No request is under way.
const NONE: Version = Version::MAX;

/// All sectors of one disk.
#[derive(Debug)]
pub(crate) struct Model {
    settled: Vec<Version>,
    pending: Vec<Version>,
}

impl Model {
    /// A new disk of `sectors`: zeroes.
    pub(crate) fn new(sectors: usize) -> Model {
        Model {
            settled: vec![ZEROES; sectors],
            pending: vec![NONE; sectors],
        }
    }

    /// Number of sectors.
    pub(crate) fn sectors(&self) -> usize {
        self.settled.len()
    }

    /// A request that gives `range` this version is under way. Sending it again after a
    /// reconnection is the same request.
    pub(crate) fn issue(&mut self, range: Range<usize>, version: Version) {
        for pending in &mut self.pending[range] {
            debug_assert!(*pending == NONE || *pending == version, "not disjoint");
            *pending = version;
        }
    }

    /// It was acknowledged: from now on nothing older is right.
    pub(crate) fn acknowledge(&mut self, range: Range<usize>) {
        for at in range {
            debug_assert_ne!(self.pending[at], NONE, "acknowledged, never issued");
            self.settled[at] = self.pending[at];
            self.pending[at] = NONE;
        }
    }

    /// A sector was seen by a check of the disk at rest: what it holds is what it keeps,
    /// whatever else was possible before.
    pub(crate) fn settle(&mut self, at: usize, version: Version) {
        self.settled[at] = version;
        self.pending[at] = NONE;
    }

    /// Whether the sector may hold this; the version if so, else which promise is broken.
    pub(crate) fn check(&self, at: usize, found: Content) -> Result<Version, ViolationKind> {
        let (settled, pending) = (self.settled[at], self.pending[at]);
        let version = match found {
            Content::Zeroes => ZEROES,
            Content::Version(seq) => seq,
            Content::Foreign { .. } => return Err(ViolationKind::CrossTalk),
            Content::Garbage => return Err(ViolationKind::Torn),
        };
        if version == settled || (version == pending && pending != NONE) {
            return Ok(version);
        }
        Err(match version {
            ZEROES => ViolationKind::LostToZeroes,
            seq if seq < settled => ViolationKind::LostWrite,
            // After a trim nothing older is right either; it cannot be told from the rest.
            _ => ViolationKind::TimeTravel,
        })
    }

    /// What the sector may hold, for people.
    pub(crate) fn expected(&self, at: usize) -> String {
        let name = |version: Version| match version {
            ZEROES => "zeroes".to_owned(),
            seq => format!("version {seq}"),
        };
        match self.pending[at] {
            NONE => name(self.settled[at]),
            pending => format!("{} or {}", name(self.settled[at]), name(pending)),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Which content is right when.

    use super::super::sector::Content;
    use super::super::violation::ViolationKind;
    use super::{Model, ZEROES};

    #[test]
    fn versions() {
        let mut model = Model::new(4);
        let lost = Err(ViolationKind::LostWrite);
        let travel = Err(ViolationKind::TimeTravel);
        assert_eq!(model.check(0, Content::Zeroes), Ok(ZEROES));
        assert_eq!(model.check(0, Content::Version(1)), travel);
        model.issue(0..2, 5);
        assert_eq!(model.check(1, Content::Zeroes), Ok(ZEROES));
        assert_eq!(model.check(1, Content::Version(5)), Ok(5));
        assert_eq!(model.check(2, Content::Version(5)), travel);
        model.acknowledge(0..2);
        let zeroes = Err(ViolationKind::LostToZeroes);
        assert_eq!(model.check(1, Content::Zeroes), zeroes);
        assert_eq!(model.check(1, Content::Version(4)), lost);
        model.issue(0..1, ZEROES);
        assert_eq!(model.check(0, Content::Zeroes), Ok(ZEROES));
        assert_eq!(model.check(0, Content::Version(5)), Ok(5));
        model.settle(0, 5);
        assert_eq!(model.check(0, Content::Zeroes), zeroes);
        assert_eq!(model.check(0, Content::Garbage), Err(ViolationKind::Torn));
        assert_eq!(model.expected(0), "version 5");
    }
}
