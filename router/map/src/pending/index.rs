//! Which page of a layer holds which starts.
//!
//! Owns: the pages, in groups of up to 256, and their bounds. Does not own: what is in them.
//!
//! Each page has a lower bound, the first page 0; a page's starts lie between its bound and
//! the next page's. Two binary searches over arrays that stay in the processor's cache find
//! a page. Refused: a `BTreeMap` of pages, whose nodes do not stay there.

use super::page::Page;

/// Pages per group.
const GROUP_PAGES: usize = 256;

/// By how many pages a group grows.
const GROUP_STEP: usize = 32;

/// What a page costs in its group, with a share of the group's slack.
pub(super) const PAGE_INDEX_BYTES: usize = (size_of::<u64>() + size_of::<Page>()) * 5 / 4;

/// The place of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    group: usize,
    page: usize,
}

/// The first page's place.
pub(super) const FIRST: At = At { group: 0, page: 0 };

#[derive(Debug, Clone)]
struct Group {
    lowers: Vec<u64>,
    pages: Vec<Page>,
}

/// Pages in order; there is always one.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// The lowest bound in each group.
    firsts: Vec<u64>,
    groups: Vec<Group>,
    len: usize,
}

impl Index {
    /// One empty page for all starts.
    pub(super) fn new() -> Index {
        Index {
            firsts: vec![0],
            groups: vec![Group {
                lowers: vec![0],
                pages: vec![Page::default()],
            }],
            len: 1,
        }
    }

    /// How many pages there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place of the page that `start` belongs to.
    pub(super) fn locate(&self, start: u64) -> At {
        // Not below 0: the first bound of all is 0, the first of a group is its `firsts`.
        let group = self.firsts.partition_point(|first| *first <= start) - 1;
        let lowers = &self.groups[group].lowers;
        let page = lowers.partition_point(|lower| *lower <= start) - 1;
        At { group, page }
    }

    /// The page at a place.
    pub(super) fn page(&self, at: At) -> &Page {
        &self.groups[at.group].pages[at.page]
    }

    /// The page at a place, to be changed.
    pub(super) fn page_mut(&mut self, at: At) -> &mut Page {
        &mut self.groups[at.group].pages[at.page]
    }

    /// The lower bound of the page at a place.
    pub(super) fn lower(&self, at: At) -> u64 {
        self.groups[at.group].lowers[at.page]
    }

    /// The lower bound of the page after that at a place, or the end of all starts.
    pub(super) fn upper(&self, at: At) -> u64 {
        let lowers = &self.groups[at.group].lowers;
        let upper = lowers.get(at.page + 1);
        let upper = upper.or_else(|| self.firsts.get(at.group + 1));
        upper.copied().unwrap_or(u64::MAX)
    }

    /// The place before a place.
    pub(super) fn before(&self, at: At) -> Option<At> {
        if at.page > 0 {
            let page = at.page - 1;
            return Some(At { page, ..at });
        }
        let group = at.group.checked_sub(1)?;
        let page = self.groups[group].pages.len() - 1;
        Some(At { group, page })
    }

    /// The place after a place.
    pub(super) fn after(&self, at: At) -> Option<At> {
        if at.page + 1 < self.groups[at.group].pages.len() {
            let page = at.page + 1;
            return Some(At { page, ..at });
        }
        let group = at.group + 1;
        (group < self.groups.len()).then_some(At { group, page: 0 })
    }

    /// Puts a page after that at a place, whose upper starts from `lower` on become its.
    pub(super) fn insert_after(&mut self, at: At, lower: u64, page: Page) {
        debug_assert!(self.lower(at) < lower && lower < self.upper(at));
        let group = &mut self.groups[at.group];
        if group.pages.len() == group.pages.capacity() {
            group.lowers.reserve_exact(GROUP_STEP);
            group.pages.reserve_exact(GROUP_STEP);
        }
        group.lowers.insert(at.page + 1, lower);
        group.pages.insert(at.page + 1, page);
        self.len += 1;
        if group.pages.len() == GROUP_PAGES {
            // At the end of all pages they come in ascending order: leave this group full.
            let last = at.group + 1 == self.firsts.len() && at.page + 2 == GROUP_PAGES;
            let middle = if last {
                GROUP_PAGES - 1
            } else {
                GROUP_PAGES / 2
            };
            let right = Group {
                lowers: group.lowers.split_off(middle),
                pages: group.pages.split_off(middle),
            };
            self.firsts.insert(at.group + 1, right.lowers[0]);
            self.groups.insert(at.group + 1, right);
        }
    }

    /// Takes out the page at a place, which is not the first; the one before takes over its
    /// starts.
    pub(super) fn remove(&mut self, at: At) {
        debug_assert!(at != FIRST, "starts from 0 on have a page");
        let group = &mut self.groups[at.group];
        group.lowers.remove(at.page);
        group.pages.remove(at.page);
        self.len -= 1;
        match group.lowers.first() {
            Some(first) => self.firsts[at.group] = *first,
            None => {
                self.firsts.remove(at.group);
                self.groups.remove(at.group);
            }
        }
    }
}
