//! Pools that are forgotten: not while they are used, nothing given up unasked, nothing left behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vpool_block::BlockDevice;
use vpool_engine::error::ErrorKind;
use vpool_host::OpenMode;
use vpool_object::ErrorKind as StoreKind;
use vpool_object::faults::Outage;

use crate::figures::Figures;
use crate::rig::{Life, PLACE, Rig, check_error, place};

const DOWN: Option<Outage> = Some(Outage::Refuse(StoreKind::Unavailable));

/// What routers have on the SSD, but for the metadata.
fn files(rig: &Rig) -> Vec<PathBuf> {
    let files = rig.host.host().files;
    let list = |directory| files.list(&Path::new("/data").join(directory));
    let both = ["journal", "cache"].map(|directory| list(directory).expect("the directory"));
    both.concat()
}

/// A pool with a disk whose first sector is shipped.
async fn pool_with_disk(life: &Life) {
    life.create_pool().await;
    let made = life.router.create_disk(None, "a", 4096, false).await;
    made.expect("a disk");
    let device = life.router.device("a").await.expect("attach");
    device.write(0, &[1; 512]).await.expect("write");
    life.router.sync_disk("a").await.expect("sync");
}

async fn write_more(life: &Life) {
    let device = life.router.device("a").await.expect("attach");
    device
        .write(512, &[2; 512])
        .await
        .expect("into the journal");
    device.flush().await.expect("flush");
}

async fn adopted(life: &Life) -> Vec<u8> {
    let store = life.site().store.clone();
    let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
    adopted.await.expect("its objects are there");
    let device = life.router.device("a").await.expect("attach");
    let mut bytes = vec![0; 1024];
    device.read(0, &mut bytes).await.expect("read");
    bytes
}

#[test]
fn what_the_journal_alone_holds_is_not_given_up_unasked() {
    let _figures = Figures::one("forget_what_the_journal_alone_holds_is_not_given_up_unasked");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        pool_with_disk(&life).await;
        let entry = life.router.pool_entry(None).expect("the pool");
        life.faults().set_outage(DOWN);
        write_more(&life).await;
        let user = life.router.device("a").await.expect("attach");
        let refused = life.router.forget_pool(&entry, true).await;
        let refused = refused.expect_err("somebody uses it");
        check_error(&refused, ErrorKind::Conflict, &["a", "in use"]);
        drop(user);
        let refused = life.router.forget_pool(&entry, false).await;
        let refused = refused.expect_err("a write is in the journal alone");
        check_error(&refused, ErrorKind::Conflict, &["default", "of a", "loss"]);
        // Nothing has happened to it.
        write_more(&life).await;
        let unshipped = life.router.unshipped(&entry).await;
        assert_eq!(unshipped.expect("known"), ["a"]);

        let forgotten = life.router.forget_pool(&entry, true).await;
        forgotten.expect("its loss is accepted");
        assert!(life.router.pools().is_empty());
        assert!(life.metadata.pools().await.expect("known").is_empty());
        assert!(life.metadata.left().await.expect("known").is_empty());
    });
    assert_eq!(files(&rig), Vec::<PathBuf>::new());
    rig.host.kill();
    rig.live(|life| async move {
        assert!(life.opened.is_empty());
        let bytes = adopted(&life).await;
        assert!(bytes[..512].iter().all(|byte| *byte == 1));
        assert!(
            bytes[512..].iter().all(|byte| *byte == 0),
            "it was given up"
        );
    });
}

#[test]
fn what_is_shipped_needs_no_consent() {
    let _figures = Figures::one("forget_what_is_shipped_needs_no_consent");
    let mut rig = Rig::new(2);
    rig.live(|life| async move {
        pool_with_disk(&life).await;
        write_more(&life).await;
        life.router.sync_disk("a").await.expect("sync");
        life.faults().set_outage(DOWN);
        let entry = life.router.pool_entry(None).expect("the pool");
        let forgotten = life.router.forget_pool(&entry, false).await;
        forgotten.expect("all is in the store");
        life.faults().set_outage(None);
        let bytes = adopted(&life).await;
        assert!(bytes[512..].iter().all(|byte| *byte == 2));
    });
}

/// A pool that does not open: another grid has it.
#[test]
fn a_pool_that_is_not_open_is_forgotten_too() {
    let _figures = Figures::one("forget_a_pool_that_is_not_open_is_forgotten_too");
    for shipped in [false, true] {
        let mut rig = Rig::new(3);
        let entry = rig.live(|life| async move {
            pool_with_disk(&life).await;
            if !shipped {
                life.faults().set_outage(DOWN);
                write_more(&life).await;
            }
            let entry = life.router.pool_entry(None).expect("the pool");
            let closed = life.router.shutdown(Duration::from_secs(5)).await;
            closed.expect("in order");
            entry
        });
        let mut other = rig.elsewhere(4);
        other.live(|life| async move { drop(adopted(&life).await) });
        rig.live(|life| async move {
            let opened = life.opened[0].1.as_ref();
            assert_eq!(opened.expect_err("fenced").kind(), ErrorKind::Fenced);
            let names = life.router.known_disks(entry.id).await;
            assert_eq!(names.expect("known"), ["a"]);
            let forgotten = life.router.forget_pool(&entry, false).await;
            if shipped {
                forgotten.expect("closed in order, with all in the store");
                return;
            }
            let refused = forgotten.expect_err("a write is in the journal alone");
            check_error(&refused, ErrorKind::Conflict, &["default", "of a"]);
            let forgotten = life.router.forget_pool(&entry, true).await;
            forgotten.expect("its loss is accepted");
        });
        assert_eq!(files(&rig), Vec::<PathBuf>::new(), "shipped: {shipped}");
    }
}

/// The deletion dies when the metadata has it, and before the files are gone.
#[test]
fn what_a_deletion_left_is_swept_at_the_start_and_nothing_else() {
    let _figures = Figures::one("forget_what_a_deletion_left_is_swept_at_the_start");
    let mut rig = Rig::new(5);
    let id = rig.live(|life| async move {
        pool_with_disk(&life).await;
        let id = life.router.pool_entry(None).expect("the pool").id;
        life.metadata.forget_pool(id).await.expect("forgotten");
        id
    });
    rig.host.kill();
    let stranger = Path::new("/data/journal/stranger.journal");
    let host = rig.host.host();
    host.files.open(stranger, OpenMode::Create).expect("a file");
    drop(host);
    assert!(files(&rig).len() > 1);
    rig.live(|life| async move {
        assert!(life.metadata.left().await.expect("known").is_empty());
        assert!(life.opened.is_empty());
    });
    let names: Vec<PathBuf> = files(&rig);
    assert!(
        !names
            .iter()
            .any(|path| path.to_string_lossy().contains(&id.to_string()))
    );
    assert_eq!(names.len(), 1, "{names:?}");
    // The pool may come back under its old id.
    rig.live(|life| async move {
        assert_eq!(adopted(&life).await[0], 1);
    });
}

/// A forgetting that failed may come true with the next command of anybody: nobody writes what it
/// would take along.
#[test]
fn a_pool_that_may_be_forgotten_is_used_by_nobody() {
    let _figures = Figures::one("forget_a_pool_that_may_be_forgotten_is_used_by_nobody");
    let mut rig = Rig::new(1);
    rig.live(|life| async move { pool_with_disk(&life).await });
    rig.host.kill();
    let world = rig.host.store_world("meta").expect("it was opened");
    rig.live(|life| async move {
        let entry = life.router.pool_entry(None).expect("the pool");
        world.fail_writes(Some(std::io::ErrorKind::StorageFull));
        let error = life.router.forget_pool(&entry, true).await;
        let words = ["default", "not known", "repeat"];
        check_error(
            &error.expect_err("no space"),
            ErrorKind::Unavailable,
            &words,
        );
        world.fail_writes(None);
        life.router
            .device("a")
            .await
            .expect_err("what it wrote would be lost");
        let again = life.router.forget_pool(&entry, true).await;
        again.expect("now it is known");
        assert!(life.router.pools().is_empty());
    });
    rig.live(|life| async move {
        assert!(life.opened.is_empty());
        let bytes = adopted(&life).await;
        assert!(bytes[..512].iter().all(|byte| *byte == 1));
    });
}
