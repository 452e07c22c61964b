//! The rules one by one, and in any order (P1, P2).

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use vpool_format::bucket::DiskSettings;
use vpool_format::{
    Base, DiskId, Epoch, Generation, GridId, PoolId, SealedEnd, SegmentNo, Seq, StreamUid, Tail,
};

use super::{Command, Outcome, State};
use crate::{AdoptedDisk, DiskEntry, Error, Location, PoolEntry, Result};

fn pool(id: u128, name: &str, generation: u64) -> PoolEntry {
    PoolEntry {
        id: PoolId(id),
        name: name.to_owned(),
        location: Location::Directory("/store".to_owned()),
        generation: Generation(generation),
        wrapped_key: vec![7; 40],
    }
}

fn disk(id: u128, pool: u128, name: &str, descriptor: u64) -> DiskEntry {
    DiskEntry {
        id: DiskId(id),
        pool: PoolId(pool),
        name: name.to_owned(),
        size: 1 << 30,
        wrapped_key: None,
        descriptor,
        described: descriptor > 0,
        settings: DiskSettings::default(),
        created_ms: 5,
        deleting: false,
    }
}

fn end(uid: u128, epoch: u64, segment: u64) -> SealedEnd {
    SealedEnd {
        uid: StreamUid(uid),
        epoch: Epoch(epoch),
        segment: SegmentNo(segment),
        seq: Seq(segment * 10),
        checkpoint: 0,
    }
}

fn base(sealed: &[SealedEnd]) -> Base {
    Base {
        sealed: sealed.to_vec(),
        tails: Vec::new(),
    }
}

fn bump(from: u64, uid: u128) -> Command {
    Command::Bump(DiskId(1), Epoch(from), StreamUid(uid))
}

fn seal(epoch: u64, sealed: &[SealedEnd]) -> Command {
    Command::Seal(DiskId(1), Epoch(epoch), base(sealed))
}

fn close(end: SealedEnd) -> Command {
    Command::Close(DiskId(1), end)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Done,
    Epoch(u64),
    NotFound,
    Conflict,
}

fn seen(result: &Result<Outcome>) -> Expect {
    match result {
        Ok(Outcome::Done) => Expect::Done,
        Ok(Outcome::Epoch(epoch)) => Expect::Epoch(epoch.0),
        Err(Error::NotFound(_)) => Expect::NotFound,
        Err(_) => Expect::Conflict,
    }
}

/// Runs the commands on a grid with pool 1 and disk 1; each one that succeeds is repeated.
fn check(steps: &[(Command, Expect)]) -> State {
    let mut state = State::new(GridId(9));
    state.apply(&Command::CreatePool(pool(1, "p", 1))).unwrap();
    state
        .apply(&Command::CreateDisk(disk(1, 1, "d", 1)))
        .unwrap();
    for (number, (command, expect)) in steps.iter().enumerate() {
        let result = state.apply(command);
        assert_eq!(seen(&result), *expect, "step {number}: {result:?}");
        if result.is_ok() {
            let before = state.clone();
            let again = state.apply(command);
            assert_eq!(seen(&again), *expect, "step {number} again: {again:?}");
            assert_eq!(state, before, "step {number}: a repetition changes nothing");
        }
    }
    state
}

#[test]
fn what_a_pool_has_left_is_swept_before_it_comes_back() {
    use Command::{CreateDisk, CreatePool, DeletePool, ForgetPool, Swept};
    use Expect::{Conflict, Done, NotFound};
    let state = check(&[
        (Swept(PoolId(1)), Done),
        (DeletePool(PoolId(1)), Conflict),
        (ForgetPool(PoolId(1)), Done),
        (CreateDisk(disk(1, 1, "d", 1)), NotFound),
        (CreatePool(pool(1, "p", 1)), Conflict),
        (Command::AdoptPool(pool(1, "p", 2), Vec::new()), Conflict),
        (CreatePool(pool(2, "p", 1)), Done),
        (DeletePool(PoolId(2)), Done),
        (Swept(PoolId(1)), Done),
        (CreatePool(pool(1, "p", 1)), Done),
    ]);
    assert_eq!(state.left().collect::<Vec<_>>(), [PoolId(2)]);
    assert_eq!(state.disks(PoolId(1)).unwrap().count(), 0);
    assert!(state.streams(DiskId(1)).is_err());
}

#[test]
fn names_and_ids_are_unique() {
    use Command::{CreateDisk, CreatePool, DeleteDisk, UpdateDisk, UpdatePool};
    use Expect::{Conflict, Done, NotFound};
    let state = check(&[
        (CreatePool(pool(2, "p", 1)), Conflict),
        (CreatePool(pool(1, "q", 1)), Conflict),
        (CreatePool(pool(2, "q", 1)), Done),
        (UpdatePool(pool(2, "p", 1)), Conflict),
        (UpdatePool(pool(3, "r", 1)), NotFound),
        (UpdatePool(pool(2, "r", 5)), Done),
        (UpdatePool(pool(2, "r", 4)), Conflict),
        (CreatePool(pool(3, "q", 1)), Done),
        (CreateDisk(disk(2, 1, "d", 1)), Conflict),
        (CreateDisk(disk(2, 9, "d", 1)), NotFound),
        (CreateDisk(disk(2, 2, "d", 1)), Done),
        (CreateDisk(disk(1, 1, "d", 2)), Conflict),
        (UpdateDisk(disk(1, 2, "d", 2)), Conflict),
        (UpdateDisk(disk(1, 1, "e", 2)), Done),
        (UpdateDisk(disk(1, 1, "e", 1)), Conflict),
        (UpdateDisk(disk(7, 1, "x", 1)), NotFound),
        (CreateDisk(disk(3, 1, "d", 1)), Done),
        (UpdateDisk(disk(3, 1, "e", 1)), Conflict),
        (DeleteDisk(DiskId(1)), Done),
        (DeleteDisk(DiskId(1)), Done),
        (bump(0, 1), NotFound),
        (UpdateDisk(disk(3, 1, "e", 1)), Done),
    ]);
    let names: Vec<&str> = state.pools().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["p", "q", "r"]);
    let disks = |pool| -> Vec<u128> {
        let disks = state.disks(PoolId(pool)).unwrap();
        disks.map(|disk| disk.id.0).collect()
    };
    assert_eq!((disks(1), disks(2), disks(3)), (vec![3], vec![2], vec![]));
    assert!(state.disks(PoolId(8)).is_err());
}

#[test]
fn epochs_are_given_out_once() {
    use Expect::{Conflict, Done, Epoch};
    check(&[
        (bump(1, 10), Conflict),
        (bump(0, 10), Epoch(1)),
        (bump(0, 11), Conflict),
        (bump(1, 10), Conflict),
        (bump(1, 11), Epoch(2)),
        // A late repetition of the first bump: fenced.
        (bump(0, 10), Conflict),
        (seal(1, &[]), Conflict),
        (seal(2, &[]), Done),
        (bump(2, 12), Epoch(3)),
        // Uids that were used are never used again.
        (bump(3, 11), Conflict),
        (seal(3, &[end(11, 2, 4)]), Done),
        (bump(3, 11), Conflict),
        (bump(u64::MAX, 20), Conflict),
    ]);
}

#[test]
fn an_end_is_sealed_once() {
    use Expect::{Conflict, Done, Epoch};
    let state = check(&[
        (seal(0, &[]), Conflict),
        (bump(0, 10), Epoch(1)),
        // After an adoption the first base has ends of epochs that were given out before.
        (seal(1, &[end(1, 1, 3), end(2, 7, 3)]), Done),
        (seal(1, &[end(1, 1, 3)]), Conflict),
        (bump(1, 11), Epoch(2)),
        (seal(1, &[end(1, 1, 3), end(2, 7, 3)]), Conflict),
        (seal(2, &[end(1, 1, 4), end(10, 1, 5)]), Conflict),
        (seal(2, &[end(10, 1, 5), end(10, 1, 5)]), Conflict),
        (seal(2, &[end(11, 2, 5)]), Conflict),
        // Interrupted between bump and seal: what was served last is still known.
        (bump(2, 12), Epoch(3)),
        (seal(3, &[end(2, 7, 9), end(10, 1, 5)]), Conflict),
        // Streams that hold nothing any more may be left out.
        (seal(3, &[end(2, 7, 3), end(10, 1, 5)]), Done),
    ]);
    let streams = state.streams(DiskId(1)).unwrap();
    assert_eq!(
        streams.current,
        Some((vpool_format::Epoch(3), StreamUid(12)))
    );
    assert_eq!(streams.previous, None);
}

#[test]
fn what_was_served_last_is_known_until_the_seal() {
    use Expect::{Conflict, Done, Epoch};
    let interrupted = check(&[
        (bump(0, 10), Epoch(1)),
        (close(end(10, 1, 4)), Conflict),
        (seal(1, &[]), Done),
        (close(end(11, 1, 4)), Conflict),
        (close(end(10, 1, 4)), Done),
        (close(end(10, 1, 5)), Conflict),
        (bump(1, 11), Epoch(2)),
        (close(end(10, 1, 4)), Conflict),
        (bump(2, 12), Epoch(3)),
    ]);
    let streams = interrupted.streams(DiskId(1)).unwrap();
    let previous = (vpool_format::Epoch(1), StreamUid(10), base(&[]));
    assert_eq!(streams.previous, Some(previous));
    assert_eq!(streams.closed, Some(end(10, 1, 4)));
    assert_eq!(streams.base, None);
    let mut sealed = interrupted;
    let result = sealed.apply(&seal(3, &[end(10, 1, 3)]));
    assert_eq!(seen(&result), Conflict, "closed at 4");
    sealed.apply(&seal(3, &[end(10, 1, 4)])).unwrap();
    let streams = sealed.streams(DiskId(1)).unwrap();
    assert_eq!((streams.previous, streams.closed), (None, None));
}

#[test]
fn an_adopted_disk_goes_on_from_its_newest_stream() {
    use Expect::{Conflict, Done, Epoch};
    let adopt = |disk: DiskEntry, newest: Option<(u64, u128)>| {
        let newest = newest.map(|(epoch, uid)| {
            let base = base(&[end(1, 3, 4)]);
            (vpool_format::Epoch(epoch), StreamUid(uid), base)
        });
        let pool = pool(disk.pool.0, if disk.pool.0 == 1 { "p" } else { "q" }, 1);
        let disk = AdoptedDisk {
            entry: disk,
            newest,
        };
        Command::AdoptPool(pool, vec![disk])
    };
    let on = |id, from, uid| Command::Bump(DiskId(id), vpool_format::Epoch(from), StreamUid(uid));
    let state = check(&[
        (adopt(disk(2, 1, "d", 4), Some((7, 20))), Conflict),
        (adopt(disk(2, 1, "e", 4), Some((0, 20))), Conflict),
        (adopt(disk(2, 1, "e", 4), Some((7, 1))), Conflict),
        (adopt(disk(2, 1, "e", 4), Some((7, 20))), Done),
        (adopt(disk(2, 1, "e", 4), Some((7, 21))), Conflict),
        (on(2, 0, 30), Conflict),
        (on(2, 7, 20), Conflict),
        (on(2, 7, 30), Epoch(8)),
        // A late repetition undoes nothing.
        (adopt(disk(2, 1, "e", 4), Some((7, 20))), Done),
        (adopt(disk(3, 1, "f", 1), None), Done),
        (on(3, 0, 40), Epoch(1)),
    ]);
    let streams = state.streams(DiskId(2)).unwrap();
    assert_eq!(streams.current.map(|(_, uid)| uid.0), Some(30));
    assert_eq!(streams.previous.map(|(_, uid, _)| uid.0), Some(20));
    assert_eq!(streams.recorded.0, 7);
}

/// All disks of a pool are adopted, or none.
#[test]
fn a_pool_is_adopted_whole() {
    let mut state = State::new(GridId(9));
    let found = |id, name| AdoptedDisk {
        entry: disk(id, 1, name, 1),
        newest: None,
    };
    let adopt = |disks| Command::AdoptPool(pool(1, "p", 2), disks);
    let before = state.clone();
    for disks in [
        vec![found(1, "a"), found(2, "a")],
        vec![
            found(1, "a"),
            AdoptedDisk {
                entry: disk(2, 7, "b", 1),
                newest: None,
            },
        ],
    ] {
        assert_eq!(seen(&state.apply(&adopt(disks))), Expect::Conflict);
        assert_eq!(state, before);
    }
    let whole = adopt(vec![found(1, "a"), found(2, "b")]);
    state.apply(&whole).unwrap();
    assert_eq!(state.disks(PoolId(1)).unwrap().count(), 2);
    let then = state.clone();
    state.apply(&whole).unwrap();
    assert_eq!(state, then, "a repetition changes nothing");
}

#[test]
fn a_stream_at_rest_is_not_sealed_before_it() {
    use Expect::{Conflict, Done, Epoch};
    let rest = |end| Command::Rest(DiskId(1), end);
    let state = check(&[
        (rest(end(10, 1, 1)), Conflict),
        (bump(0, 10), Epoch(1)),
        (rest(end(10, 1, 1)), Conflict),
        (seal(1, &[]), Done),
        (rest(end(11, 1, 1)), Conflict),
        (rest(end(10, 1, 4)), Done),
        (rest(end(10, 1, 3)), Conflict),
        (rest(end(10, 1, 5)), Done),
        (bump(1, 11), Epoch(2)),
        (rest(end(10, 1, 6)), Conflict),
        (seal(2, &[end(10, 1, 4)]), Conflict),
        (seal(2, &[end(10, 1, 6)]), Done),
    ]);
    assert_eq!(state.streams(DiskId(1)).unwrap().resting, None);
    let closed = [
        (bump(0, 10), Epoch(1)),
        (seal(1, &[]), Done),
        (close(end(10, 1, 4)), Done),
        (rest(end(10, 1, 4)), Conflict),
    ];
    check(&closed);
}

/// What may be lost is owed to each machine that had the disk, until it has been told.
#[test]
fn a_loss_is_owed_until_it_is_told() {
    use Expect::{Conflict, Done, Epoch};
    let attached = |machine: &str| Command::Attached(DiskId(1), machine.to_owned());
    let told = |machine: &str| Command::Told(DiskId(1), machine.to_owned());
    let owed = |state: &State| -> Vec<String> {
        let streams = state.streams(DiskId(1)).unwrap();
        streams.owed.into_iter().collect()
    };
    let state = check(&[
        (attached("a"), Conflict),
        (bump(0, 10), Epoch(1)),
        (seal(1, &[]), Done),
        (attached("a"), Done),
        (attached("b"), Done),
        (Command::Owe(DiskId(1), false), Done),
        (told("a"), Done),
        // A new opening forgets the clients, not what is owed.
        (bump(1, 11), Epoch(2)),
        (seal(2, &[]), Done),
    ]);
    assert_eq!(owed(&state), ["b"]);
    assert!(state.streams(DiskId(1)).unwrap().clients.is_empty());
    let closed = check(&[
        (bump(0, 10), Epoch(1)),
        (seal(1, &[]), Done),
        (attached("a"), Done),
        (close(end(10, 1, 4)), Done),
        (Command::Owe(DiskId(1), true), Done),
    ]);
    assert!(owed(&closed).is_empty(), "closed in order");
    let mut many = check(&[(bump(0, 10), Epoch(1)), (seal(1, &[]), Done)]);
    for number in 0..2 * crate::MACHINES_MAX {
        many.apply(&attached(&number.to_string())).unwrap();
    }
    many.apply(&Command::Owe(DiskId(1), true)).unwrap();
    assert_eq!(owed(&many), ["", "*"]);
    many.apply(&told("77")).unwrap();
    assert_eq!(owed(&many), ["", "*"], "it was not told to the others");
    many.apply(&close(end(10, 1, 4))).unwrap();
    assert_eq!(owed(&many), [""]);
    // However many power cuts: what is owed stays within bounds.
    let mut cuts = check(&[(bump(0, 10), Epoch(1)), (seal(1, &[]), Done)]);
    for cut in 0..4 {
        for number in 0..200 {
            cuts.apply(&attached(&format!("{cut}-{number}"))).unwrap();
        }
        cuts.apply(&Command::Owe(DiskId(1), false)).unwrap();
        cuts.apply(&bump(cut + 1, 11 + u128::from(cut))).unwrap();
        cuts.apply(&seal(cut + 2, &[])).unwrap();
        cuts.check().unwrap();
    }
    assert_eq!(owed(&cuts), ["*"]);
}

#[test]
fn recorded_epochs_only_grow() {
    use Expect::{Conflict, Done, Epoch};
    let recorded = |epoch| Command::Recorded(DiskId(1), vpool_format::Epoch(epoch));
    let state = check(&[
        (recorded(1), Conflict),
        (bump(0, 10), Epoch(1)),
        (recorded(2), Conflict),
        (recorded(1), Done),
        (bump(1, 11), Epoch(2)),
        (recorded(2), Done),
        (recorded(1), Done),
    ]);
    assert_eq!(state.streams(DiskId(1)).unwrap().recorded.0, 2);
}

#[test]
fn tails_are_checked() {
    let mut state = check(&[(bump(0, 10), Expect::Epoch(1))]);
    for (uid, first, last) in [(10, 1, 2), (5, 3, 2)] {
        let tail = Tail {
            uid: StreamUid(uid),
            first: Seq(first),
            last: Seq(last),
        };
        let base = Base {
            sealed: Vec::new(),
            tails: vec![tail],
        };
        let result = state.apply(&Command::Seal(DiskId(1), Epoch(1), base));
        assert_eq!(seen(&result), Expect::Conflict);
    }
}

/// Commands over so few ids and names that they meet.
pub(crate) fn commands() -> impl Strategy<Value = Vec<Command>> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let pools = (0..3u128, name(), 1..4u64).prop_map(|(id, name, gen_)| pool(id, name, gen_));
    let disks = (0..4u128, 0..3u128, name(), 1..4u64)
        .prop_map(|(id, pool, name, number)| disk(id, pool, name, number));
    let ends =
        (0..8u128, 0..5u64, 0..3u64).prop_map(|(uid, epoch, segment)| end(uid, epoch, segment));
    let id = || (0..4u128).prop_map(DiskId);
    let epoch = || (0..6u64).prop_map(Epoch);
    let uid = || (0..8u128).prop_map(StreamUid);
    let bases = proptest::collection::vec(ends.clone(), 0..3).prop_map(|ends| base(&ends));
    let adopted =
        (disks.clone(), epoch(), uid(), bases.clone()).prop_map(|(entry, epoch, uid, base)| {
            AdoptedDisk {
                entry,
                newest: Some((epoch, uid, base)),
            }
        });
    let command = prop_oneof![
        2 => pools.clone().prop_map(Command::CreatePool),
        1 => pools.clone().prop_map(Command::UpdatePool),
        3 => disks.clone().prop_map(Command::CreateDisk),
        1 => disks.clone().prop_map(Command::UpdateDisk),
        2 => (id(), ends.clone()).prop_map(|(id, end)| Command::Rest(id, end)),
        2 => (id(), name()).prop_map(|(id, name)| Command::Attached(id, name.to_owned())),
        1 => (id(), any::<bool>()).prop_map(|(id, here)| Command::Owe(id, here)),
        1 => (id(), prop_oneof![Just(""), name()])
            .prop_map(|(id, name)| Command::Told(id, name.to_owned())),
        2 => (pools.clone(), proptest::collection::vec(adopted, 0..3))
            .prop_map(|(pool, disks)| Command::AdoptPool(pool, disks)),
        1 => id().prop_map(Command::DeleteDisk),
        6 => (id(), epoch(), uid()).prop_map(|(id, epoch, uid)| Command::Bump(id, epoch, uid)),
        2 => (id(), ends).prop_map(|(id, end)| Command::Close(id, end)),
        2 => (id(), epoch()).prop_map(|(id, epoch)| Command::Recorded(id, epoch)),
        6 => (id(), epoch(), bases).prop_map(|(id, epoch, base)| Command::Seal(id, epoch, base)),
    ];
    proptest::collection::vec(command, 1..120)
}

/// What may never be undone for a disk while it exists, in one generation of its pool: its epochs and
/// their uids, its ends.
#[derive(Debug, Default)]
struct Given {
    epochs: BTreeMap<Epoch, StreamUid>,
    newest: Epoch,
    bases: BTreeMap<Epoch, Base>,
}

fn observe(
    given: &mut BTreeMap<DiskId, Given>,
    before: &State,
    command: &Command,
    outcome: Outcome,
) {
    match (command, outcome) {
        (Command::Bump(disk, from, uid), Outcome::Epoch(epoch)) => {
            let disk = given.entry(*disk).or_default();
            assert_eq!(epoch.0, from.0 + 1);
            assert!(epoch >= disk.newest, "epochs never go back");
            let holder = *disk.epochs.entry(epoch).or_insert(*uid);
            assert_eq!(holder, *uid, "an epoch given out twice");
            disk.newest = epoch;
        }
        (Command::Seal(disk, epoch, base), _) => {
            let disk = given.entry(*disk).or_default();
            assert_eq!(*epoch, disk.newest, "a fenced stream was sealed in");
            let newest = disk.bases.values().next_back();
            for (old, new) in newest
                .iter()
                .flat_map(|sealed| &sealed.sealed)
                .flat_map(|old| base.sealed.iter().map(move |new| (old, new)))
            {
                assert!(old.uid != new.uid || old == new, "an end was sealed anew");
            }
            let sealed = disk.bases.entry(*epoch).or_insert_with(|| base.clone());
            assert_eq!(sealed, base, "an epoch was sealed twice");
        }
        (Command::AdoptPool(pool, disks), _) => {
            let old = before.pools.get(&pool.id);
            if old.is_some_and(|old| old.generation < pool.generation) {
                // The bucket is all that counts; a disk that is not in it is no more.
                given.retain(|id, _| before.disks.get(id).is_none_or(|disk| disk.pool != pool.id));
            }
            for disk in disks {
                let Some((epoch, uid, base)) = &disk.newest else {
                    continue;
                };
                let given = given.entry(disk.entry.id).or_default();
                if given.newest <= *epoch {
                    given.epochs.insert(*epoch, *uid);
                    given.newest = *epoch;
                    given.bases.insert(*epoch, base.clone());
                }
            }
        }
        (Command::DeleteDisk(disk), _) => drop(given.remove(disk)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_rules_hold_in_any_order(commands in commands(), repeat in any::<u64>()) {
        let mut state = State::new(GridId(1));
        let mut given = BTreeMap::new();
        for (number, command) in commands.iter().enumerate() {
            let before = state.clone();
            match state.apply(command) {
                Ok(outcome) => {
                    state.check().unwrap();
                    observe(&mut given, &before, command, outcome);
                    if repeat >> (number % 64) & 1 == 1 {
                        let then = state.clone();
                        assert_eq!(state.apply(command).unwrap(), outcome);
                        assert_eq!(state, then, "a repetition changes nothing");
                    }
                }
                Err(_) => assert_eq!(state, before, "a refusal changes nothing"),
            }
        }
    }
}
