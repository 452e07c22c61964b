//! What each pool of a host is guaranteed of what they share, whatever the others do (P8).
//!
//! Owns: dividing. Does not own: lending the rest (`journal::shares`, `dirty`).

use std::collections::BTreeMap;

/// What a pool is given by name; what is not given it has an equal part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolShare {
    /// Percent of the journals' space, 1 to 100.
    pub journal_percent: Option<u8>,
    /// Percent of the memory for what is not in the map yet, for chunks, and for the index of the
    /// SSD cache, 1 to 100.
    pub memory_percent: Option<u8>,
    /// Bytes of SSD for its cache. Counts when the pool is opened.
    pub cache_bytes: Option<u64>,
}

/// The shares of pools, by name.
pub type PoolShares = BTreeMap<String, PoolShare>;

/// What is guaranteed of `whole`, in the order of `percents`: so many percent, or an equal part of
/// half of what is left; and `least` in any case, without which a pool stands still (an equal part,
/// where there is not so much for all). The rest is lent to whom asks first. Together never more than
/// `whole`, where the percents are not over 100: who has more than the least gives way to who has less.
pub(crate) fn guaranteed(whole: u64, percents: &[Option<u8>], least: u64) -> Vec<u64> {
    let least = least.min(whole / percents.len().max(1) as u64);
    let of =
        |percent: u8| whole / 100 * u64::from(percent) + whole % 100 * u64::from(percent) / 100;
    let given: u64 = percents.iter().flatten().map(|percent| of(*percent)).sum();
    let others = percents.iter().filter(|percent| percent.is_none()).count() as u64;
    let equal = whole.saturating_sub(given) / 2 / others.max(1);
    let above: Vec<u64> = percents
        .iter()
        .map(|percent| percent.map_or(equal, of).saturating_sub(least))
        .collect();
    let (wanted, there): (u64, u64) = (above.iter().sum(), whole - least * percents.len() as u64);
    let scaled = |above: u64| match wanted > there {
        true => u64::try_from(u128::from(above) * u128::from(there) / u128::from(wanted))
            .expect("less than it was"),
        false => above,
    };
    above
        .into_iter()
        .map(|above| least + scaled(above))
        .collect()
}

/// What is each pool's own of `whole`, where nothing is lent: its percent, or an equal part of what
/// is left.
pub(crate) fn own(whole: u64, name: &str, pools: &[&str], shares: &PoolShares) -> u64 {
    let percent = |name: &str| shares.get(name).and_then(|share| share.memory_percent);
    let given: u64 = pools
        .iter()
        .filter_map(|pool| percent(pool))
        .map(u64::from)
        .sum();
    let others = pools.iter().filter(|pool| percent(pool).is_none()).count();
    match percent(name) {
        Some(percent) => whole / 100 * u64::from(percent),
        None => whole / 100 * 100_u64.saturating_sub(given) / others.max(1) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::{PoolShare, PoolShares, guaranteed, own};

    #[test]
    fn what_is_guaranteed() {
        for (whole, percents, least, expect) in [
            (1000, &[None, None][..], 0, &[250, 250][..]),
            (1000, &[Some(60), None], 0, &[600, 200]),
            (1000, &[Some(60), Some(40)], 0, &[600, 400]),
            (1000, &[Some(100), None, None], 0, &[1000, 0, 0]),
            (1000, &[Some(100), None, None], 30, &[940, 30, 30]),
            (100, &[Some(98), Some(1), Some(1)], 3, &[94, 3, 3]),
            (8, &[None, None, None, None], 3, &[2, 2, 2, 2]),
            (1000, &[Some(60), Some(40), None], 100, &[537, 362, 100]),
            (16, &[Some(80), None, None], 3, &[10, 3, 3]),
            (7, &[Some(50), None], 0, &[3, 2]),
            (0, &[Some(50), None], 0, &[0, 0]),
        ] {
            let found = guaranteed(whole, percents, least);
            assert_eq!(found, expect, "{whole} {percents:?} {least}");
        }
        let most = guaranteed(u64::MAX, &[Some(99), Some(1), None], 1 << 20);
        assert!(most.iter().map(|part| u128::from(*part)).sum::<u128>() <= u128::from(u64::MAX));
    }

    #[test]
    fn what_is_a_pools_own() {
        let share = |percent| PoolShare {
            memory_percent: Some(percent),
            ..PoolShare::default()
        };
        let pools = ["a", "b", "c"];
        let shares = PoolShares::from([("a".into(), share(60)), ("gone".into(), share(40))]);
        let of = |name| own(1000, name, &pools, &shares);
        assert_eq!([of("a"), of("b"), of("c")], [600, 200, 200]);
        let none = PoolShares::new();
        assert_eq!(own(900, "a", &pools, &none), 300);
    }
}
