//! T3: a journal cut and garbled everywhere, and what recovery makes of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use vpool_format::journal::RecordKind;
use vpool_format::{DiskId, Epoch, PoolId, Seq, StreamUid};
use vpool_host::sim::SimHost;
use vpool_seal::{DiskKeys, PoolKey};

#[path = "../../../tests/engine/figures.rs"]
#[allow(
    dead_code,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "shared with the tests of the whole engine"
)]
mod figures;

use super::{Scanned, scan};
use crate::journal::file::FoundExtent;
use crate::journal::{Change, Journal, JournalShares, Log};
use crate::limits::{BLOCK, Tuning};
use figures::Figures;

const POOL: PoolId = PoolId(7);

struct Bench {
    world: SimHost,
    keys: Arc<DiskKeys>,
}

fn tuning() -> Tuning {
    Tuning {
        extent_blocks: 64,
        ..Tuning::default()
    }
}

impl Bench {
    fn new() -> Bench {
        let world = SimHost::new(5);
        let entropy = world.host().entropy;
        let key = PoolKey::generate(&mut |bytes: &mut [u8]| entropy.fill(bytes));
        let keys = DiskKeys {
            pool: key.secrets(POOL),
            data: None,
            disk: DiskId(1),
        };
        Bench {
            world,
            keys: Arc::new(keys),
        }
    }

    fn path() -> PathBuf {
        PathBuf::from("/data/journal")
    }

    fn open(&self) -> (Arc<Journal>, Vec<FoundExtent>) {
        let host = self.world.host();
        host.files
            .create_dir_all(&PathBuf::from("/data"))
            .expect("a directory");
        let shares = Arc::new(JournalShares::new(16));
        let opened = Journal::open(&host, POOL, Self::path(), &shares, &tuning());
        let (journal, found) = opened.expect("the journal opens");
        // As a pool does that is open.
        journal.started.store(true, Ordering::Release);
        (journal, found)
    }

    fn scan(&self) -> Scanned {
        let (journal, found) = self.open();
        scan(&journal, &self.keys, &found, Seq(0), None).expect("a scan reads")
    }
}

/// Runs `work` in one life of a process.
fn live<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn log_of(bench: &Bench, journal: &Arc<Journal>) -> Log {
    let uid = StreamUid(9);
    let empty = std::collections::VecDeque::new();
    Log::new(
        journal.clone(),
        DiskId(1),
        uid,
        Epoch(1),
        bench.keys.clone(),
        Seq(0),
        0,
        empty,
    )
}

/// Writes `groups` groups of one block, each synced and with the mark of the one before.
async fn write(bench: &Bench, groups: u64) {
    let (journal, _) = bench.open();
    let mut log = log_of(bench, &journal);
    let mut durable = Seq(0);
    for number in 0..groups {
        let payload = vec![u8::try_from(number % 251).expect("small") + 1; BLOCK];
        let change = Change {
            kind: RecordKind::Write,
            offset: number * BLOCK as u64,
            length: BLOCK as u64,
            payload: &payload,
        };
        loop {
            let room = journal.room().notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let logged = log
                .append(&[change], 0, durable, &mut Vec::new())
                .expect("an append");
            if logged.changes == 1 {
                break;
            }
            room.await;
        }
        journal.sync().await.expect("a sync");
        durable = log.last();
    }
}

/// The place in the file of the descriptor of each group, by its sequence.
fn descriptors(bench: &Bench) -> Vec<u64> {
    let (journal, found) = bench.open();
    let mut found = found;
    found.sort_by_key(|extent| extent.header.number);
    let scanned = scan(&journal, &bench.keys, &found, Seq(0), None).expect("a scan");
    let mut at = Vec::new();
    for span in &scanned.spans {
        let groups = span.last.0 + 1 - span.first.0;
        for group in 0..groups {
            let block = span.first_block + u32::try_from(group * 2).expect("small");
            at.push(journal.offset(span.slot, block));
        }
    }
    at
}

/// Overwrites bytes on the device.
fn garble(bench: &Bench, at: u64, bytes: &[u8]) {
    let file = bench
        .world
        .host()
        .files
        .open(&Bench::path(), vpool_host::OpenMode::Write)
        .expect("the journal's file");
    file.write_at(&[std::io::IoSlice::new(bytes)], at)
        .expect("a write");
    file.sync().expect("a sync");
}

#[test]
fn whole_journals_come_back_whole() {
    let bench = Bench::new();
    live(write(&bench, 70));
    let scanned = bench.scan();
    assert_eq!((scanned.last, scanned.lost.len()), (Seq(70), 0));
    assert_eq!(scanned.tails, [(Seq(1), Seq(70))]);
}

#[test]
fn a_tail_beyond_the_last_mark_is_torn_and_anything_below_is_damage() {
    const GROUPS: u64 = 40;
    let figures = Figures::of("t3_garbled_sectors");
    let mut sectors = 0;
    let bench = Bench::new();
    live(write(&bench, GROUPS));
    let at = descriptors(&bench);
    assert_eq!(at.len() as u64, GROUPS);
    // Every sector of the last four groups, and of one in the middle, is zeroed in turn, and
    // inverted.
    let groups = [GROUPS / 2, GROUPS - 3, GROUPS - 2, GROUPS - 1];
    for (group, inverted) in groups.into_iter().flat_map(|at| [(at, false), (at, true)]) {
        for sector in 0..(2 * BLOCK / 512) as u64 {
            let place = at[usize::try_from(group).expect("small")] + sector * 512;
            let before = bench
                .world
                .disk()
                .contents(&Bench::path())
                .expect("contents");
            let start = usize::try_from(place).expect("small");
            let old: Vec<u8> = before[start..start + 512].to_vec();
            if old.iter().all(|byte| *byte == 0) {
                continue;
            }
            let garbled: Vec<u8> = match inverted {
                true => old.iter().map(|byte| !byte).collect(),
                false => vec![0; 512],
            };
            garble(&bench, place, &garbled);
            sectors += 1;
            let scanned = bench.scan();
            if group == GROUPS - 1 {
                // No later group marks it durable: the stated limit.
                assert_eq!((scanned.last, scanned.lost.len()), (Seq(group), 0));
            } else {
                assert_eq!(scanned.lost.len(), 1, "group {group} sector {sector}");
                assert_eq!(scanned.lost[0].first, Seq(group + 1));
            }
            garble(&bench, place, &old);
        }
    }
    assert_eq!(bench.scan().last, Seq(GROUPS));
    figures.tell(&[("sectors", sectors)]);
}

/// What a power cut without a sync does: all from some byte on was never written.
#[test]
fn a_cut_at_every_byte_of_the_last_groups_leaves_the_exact_prefix() {
    const GROUPS: usize = 9;
    const CUT_GROUPS: usize = 3;
    let figures = Figures::of("t3_cuts");
    let bench = Bench::new();
    live(write(&bench, GROUPS as u64));
    let start = |at: u64| usize::try_from(at).expect("small");
    let at: Vec<usize> = descriptors(&bench).into_iter().map(start).collect();
    let whole = bench.world.disk().contents(&Bench::path());
    let whole = whole.expect("contents");
    // A group is there as long as the last byte of it that is not zero is.
    let ends: Vec<usize> = at
        .iter()
        .map(|start| {
            let bytes = &whole[*start..start + 2 * BLOCK];
            let last = bytes.iter().rposition(|byte| *byte != 0);
            start + last.expect("a descriptor is not all zero") + 1
        })
        .collect();
    let end = at[GROUPS - 1] + 2 * BLOCK;
    assert_eq!(
        at[GROUPS - 1] - at[GROUPS - CUT_GROUPS],
        4 * BLOCK,
        "one extent"
    );
    let cuts = at[GROUPS - CUT_GROUPS]..end;
    for cut in cuts.clone().rev() {
        garble(&bench, cut as u64, &[0]);
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let scanned = bench.scan();
        let found = (scanned.last, scanned.lost.len());
        assert_eq!(found, (Seq(kept as u64), 0), "cut at byte {cut}");
    }
    figures.tell(&[("cuts", cuts.len() as u64)]);
}

#[test]
fn groups_of_an_older_lap_are_not_taken_for_new_ones() {
    let _figures = Figures::one("t3_older_lap");
    let bench = Bench::new();
    live(write(&bench, 30));
    live(async {
        // The extent is given back and used by another stream, whose groups end earlier.
        let (journal, found) = bench.open();
        journal.retire(found.iter().map(|extent| extent.slot));
        let mut log = Log::new(
            journal.clone(),
            DiskId(1),
            StreamUid(10),
            Epoch(2),
            bench.keys.clone(),
            Seq(100),
            0,
            std::collections::VecDeque::new(),
        );
        let payload = [9u8; BLOCK];
        let change = Change {
            kind: RecordKind::Write,
            offset: 0,
            length: 4096,
            payload: &payload,
        };
        for _ in 0..20 {
            let logged = log
                .append(&[change], 0, Seq(0), &mut Vec::new())
                .expect("an append");
            if logged.changes == 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        journal.sync().await.expect("a sync");
    });
    let (journal, found) = bench.open();
    let new: Vec<FoundExtent> = found
        .into_iter()
        .filter(|extent| extent.header.uid == StreamUid(10))
        .collect();
    let scanned = scan(&journal, &bench.keys, &new, Seq(100), None).expect("a scan");
    assert_eq!((scanned.last, scanned.lost.len()), (Seq(101), 0));
}
