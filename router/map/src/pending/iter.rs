//! A layer as read: its updates in order, and the pieces of a range.
//!
//! Owns: [`Updates`], [`Pieces`]. Does not own: how updates are kept (`super`).

use std::ops::Range;

use super::Pending;
use super::index::{At, Index};
use super::page::Page;
use crate::piece::{Target, Update};

/// A part of a range asked of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingPiece {
    /// The first block.
    pub start: u64,
    /// How many blocks, at least 1.
    pub blocks: u64,
    /// What the layer says of them; `None` = nothing, ask what is older.
    pub target: Option<Target>,
}

impl Pending {
    /// All updates in ascending order.
    pub fn iter(&self) -> Updates<'_> {
        self.updates_from(0)
    }

    /// The updates that end above `start`, in ascending order; the first may begin below it.
    pub fn updates_from(&self, start: u64) -> Updates<'_> {
        let at = self.pages.locate(start);
        let updates = Updates {
            pages: &self.pages,
            page: self.pages.page(at),
            at,
            place: self.pages.page(at).find(start),
        };
        match self.before(at, updates.place) {
            Some((at, place)) if self.pages.page(at).end(place) > start => Updates {
                page: self.pages.page(at),
                at,
                place,
                ..updates
            },
            _ => updates,
        }
    }

    /// What the layer says of `range`, in ascending order and without a gap: what it does not
    /// know are pieces too.
    pub fn pieces(&self, range: Range<u64>) -> Pieces<'_> {
        let mut updates = self.updates_from(range.start);
        Pieces {
            next: updates.next(),
            updates,
            range,
        }
    }
}

/// Updates of a layer in ascending order.
#[derive(Debug, Clone)]
pub struct Updates<'a> {
    pages: &'a Index,
    page: &'a Page,
    at: At,
    place: usize,
}

impl Iterator for Updates<'_> {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        while self.place >= self.page.len() {
            self.at = self.pages.after(self.at)?;
            self.page = self.pages.page(self.at);
            self.place = 0;
        }
        self.place += 1;
        Some(self.page.get(self.place - 1))
    }
}

/// A range as a layer knows it; see [`Pending::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    updates: Updates<'a>,
    next: Option<Update>,
    /// What is still to be told.
    range: Range<u64>,
}

impl Iterator for Pieces<'_> {
    type Item = PendingPiece;

    fn next(&mut self) -> Option<PendingPiece> {
        if self.range.is_empty() {
            return None;
        }
        let Range { start, end } = self.range;
        let update = self.next.filter(|update| update.start < end);
        let piece = match update {
            Some(update) if update.start <= start => {
                self.next = self.updates.next();
                let update = update.clip(start, end);
                PendingPiece {
                    start,
                    blocks: update.blocks,
                    target: Some(update.target),
                }
            }
            later => PendingPiece {
                start,
                blocks: later.map_or(end, |update| update.start) - start,
                target: None,
            },
        };
        self.range.start = start + piece.blocks;
        Some(piece)
    }
}
