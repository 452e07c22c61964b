//! How the pools of one host share the SSD space of their journals.
//!
//! Every pool has a guaranteed number of extents and may borrow what no guarantee holds
//! back, so that a pool whose store is dead fills its share and no other pool notices (P8).
//! What is borrowed and not in use goes back when another pool wants it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::file::Journal;
use crate::limits;
use crate::shares::guaranteed;

/// Below these a pool stands still: one to write in, one to follow, and those for control records.
const LEAST_EXTENTS: u64 = 2 + limits::CONTROL_EXTENTS as u64;

/// Shares that differ by no more count as even.
const EVEN_EXTENTS: u32 = 4;

/// The accounting over all journal files of an SSD. Counts extents.
#[derive(Debug)]
pub struct JournalShares {
    extents_max: u32,
    pools: Mutex<Vec<Share>>,
}

#[derive(Debug)]
struct Share {
    guaranteed: u32,
    /// Given by name; else an equal part.
    percent: Option<u8>,
    used: u32,
    gone: bool,
    /// It has asked for more and got nothing.
    wants: bool,
    /// Whom to tell when there is more.
    room: Arc<Notify>,
    /// Whom to ask for what it has borrowed.
    journal: Weak<Journal>,
}

/// A pool's place in the accounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareId(usize);

impl JournalShares {
    /// An accounting over `extents_max` extents.
    pub fn new(extents_max: u32) -> Self {
        JournalShares {
            extents_max,
            pools: Mutex::default(),
        }
    }

    /// How many extents there may be in all.
    pub fn extents_max(&self) -> u32 {
        self.extents_max
    }

    /// Adds a pool that already uses `used` extents. Half of what is not given by name is guaranteed,
    /// in equal parts; the other half is lent to whom asks first. `room` is notified when there
    /// may be more.
    pub fn join(&self, used: u32, room: &Arc<Notify>) -> ShareId {
        let mut pools = self.pools.lock();
        pools.push(Share {
            guaranteed: 0,
            percent: None,
            used,
            gone: false,
            wants: false,
            room: room.clone(),
            journal: Weak::new(),
        });
        let id = ShareId(pools.len() - 1);
        self.divide(&mut pools);
        id
    }

    /// The journal of a pool: asked when another pool wants what it has borrowed.
    pub fn register(&self, pool: ShareId, journal: Weak<Journal>) {
        self.pools.lock()[pool.0].journal = journal;
    }

    /// A pool is gone, with all that it had.
    pub fn leave(&self, pool: ShareId) {
        let mut pools = self.pools.lock();
        let share = &mut pools[pool.0];
        (share.gone, share.used, share.wants, share.guaranteed) = (true, 0, false, 0);
        self.divide(&mut pools);
    }

    /// Gives a pool a part by name, or an equal one.
    pub fn set_percent(&self, pool: ShareId, percent: Option<u8>) {
        let mut pools = self.pools.lock();
        pools[pool.0].percent = percent;
        self.divide(&mut pools);
        // Who found nothing may have a right to some now.
        for share in pools.iter().filter(|share| share.wants) {
            share.room.notify_waiters();
        }
    }

    fn divide(&self, pools: &mut [Share]) {
        let there = pools.iter_mut().filter(|share| !share.gone);
        let mut there: Vec<&mut Share> = there.collect();
        let percents: Vec<Option<u8>> = there.iter().map(|share| share.percent).collect();
        let parts = guaranteed(u64::from(self.extents_max), &percents, LEAST_EXTENTS);
        for (share, part) in there.iter_mut().zip(parts) {
            share.guaranteed = u32::try_from(part).unwrap_or(u32::MAX).max(1);
        }
    }

    /// Extents that a pool has in any case.
    pub fn guaranteed(&self, pool: ShareId) -> u32 {
        self.pools.lock()[pool.0].guaranteed
    }

    /// Asks the pools that have borrowed to give back what they do not use, if this one wants
    /// it. For a caller that holds no journal's lock.
    pub fn poke_borrowers(&self, pool: ShareId) {
        let borrowers: Vec<Arc<Journal>> = {
            let pools = self.pools.lock();
            if !pools[pool.0].wants {
                return;
            }
            let others = pools.iter().enumerate().filter(|(at, _)| *at != pool.0);
            let borrowers = others.filter(|(_, share)| share.used > share.guaranteed);
            borrowers
                .filter_map(|(_, share)| share.journal.upgrade())
                .collect()
        };
        for journal in borrowers {
            journal.lend_back();
        }
    }

    /// Notes that a pool finds no space although it may have more.
    pub fn want(&self, pool: ShareId) {
        self.pools.lock()[pool.0].wants = true;
    }

    /// Takes one extent for a pool, if its guarantee or the common rest has it.
    pub fn take(&self, pool: ShareId) -> bool {
        let mut pools = self.pools.lock();
        let reserved: u64 = pools
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != pool.0)
            .map(|(_, share)| u64::from(share.used.max(share.guaranteed)))
            .sum();
        let share = &mut pools[pool.0];
        let within_guarantee = share.used < share.guaranteed;
        // Within its guarantee it takes what others have borrowed, and wants it back.
        share.wants = reserved + u64::from(share.used) >= u64::from(self.extents_max);
        let taken = within_guarantee || !share.wants;
        share.used += u32::from(taken);
        taken
    }

    /// Whether another pool wants more, and has clearly less than this one: a pool that has
    /// filled its share with what a dead store does not take gets nothing from those that work.
    pub fn others_want(&self, pool: ShareId) -> bool {
        let pools = self.pools.lock();
        let mine = pools[pool.0].used;
        let mut others = pools.iter().enumerate();
        others.any(|(index, share)| {
            index != pool.0 && share.wants && share.used + EVEN_EXTENTS < mine
        })
    }

    /// Whether a pool has more than its guarantee, without `less` of its extents.
    pub fn is_borrowing(&self, pool: ShareId, less: usize) -> bool {
        let share = &self.pools.lock()[pool.0];
        share.used as usize > share.guaranteed as usize + less
    }

    /// Counts one extent more than the pool may have: the last resort of a full journal.
    pub fn take_beyond(&self, pool: ShareId) {
        self.pools.lock()[pool.0].used += 1;
    }

    /// Gives `count` extents back.
    pub fn give_back(&self, pool: ShareId, count: u32) {
        let mut pools = self.pools.lock();
        let share = &mut pools[pool.0];
        debug_assert!(share.used >= count);
        share.used = share.used.saturating_sub(count);
        for share in pools.iter_mut().filter(|share| share.wants) {
            share.wants = false;
            share.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_borrows_the_rest_but_no_guarantee() {
        let shares = JournalShares::new(16);
        let room = Arc::default();
        let a = shares.join(0, &room);
        let b = shares.join(0, &room);
        let taken = (0..100).filter(|_| shares.take(a)).count();
        assert_eq!(taken, 12, "its own 4 and the common 8");
        assert!(!shares.others_want(a), "b has not asked for anything");
        assert_eq!((0..100).filter(|_| shares.take(b)).count(), 4);
        assert!(shares.others_want(a) && shares.is_borrowing(a, 7));
        assert!(!shares.is_borrowing(a, 8), "its own 4 stay");
        shares.give_back(a, 12);
        assert!(!shares.others_want(a), "it may ask again");
        assert_eq!((0..100).filter(|_| shares.take(b)).count(), 8);
    }

    #[test]
    fn what_is_given_by_name_is_there_in_any_case() {
        let shares = JournalShares::new(100);
        let room = Arc::default();
        let (a, b) = (shares.join(0, &room), shares.join(0, &room));
        shares.set_percent(a, Some(70));
        assert_eq!((shares.guaranteed(a), shares.guaranteed(b)), (70, 15));
        assert_eq!((0..200).filter(|_| shares.take(b)).count(), 30);
        assert_eq!((0..200).filter(|_| shares.take(a)).count(), 70);
        shares.set_percent(a, None);
        assert_eq!((shares.guaranteed(a), shares.guaranteed(b)), (25, 25));
        assert!(shares.is_borrowing(a, 44) && !shares.is_borrowing(a, 45));
        shares.leave(a);
        assert_eq!((shares.guaranteed(a), shares.guaranteed(b)), (0, 50));
    }
}
