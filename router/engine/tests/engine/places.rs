//! Ways to a pool: those that lead to its own objects, and all others.

use std::sync::Arc;
use std::time::Duration;

use vpool_block::BlockDevice;
use vpool_engine::error::ErrorKind;
use vpool_metadata::Location;
use vpool_object::ObjectStore;
use vpool_object::memory::MemoryStore;

use crate::figures::Figures;
use crate::rig::{PLACE, Rig, check_error, place, within};

fn s3(prefix: &str, credentials_file: &str) -> Location {
    Location::S3 {
        endpoint: "http://host".into(),
        bucket: "bucket".into(),
        prefix: prefix.into(),
        region: "eu".into(),
        credentials_file: credentials_file.into(),
        ca_file: None,
        path_style: true,
    }
}

#[test]
fn a_way_must_lead_to_the_pool_itself() {
    let _figures = Figures::one("places_a_way_must_lead_to_the_pool_itself");
    let mut rig = Rig::new(1);
    let mut other = rig.elsewhere(2);
    let second = Arc::new(MemoryStore::new());
    rig.stores.insert("/second".to_owned(), second.clone());
    rig.live(|life| async move {
        life.create_pool().await;
        let entry = life.router.pool_entry(None).expect("the pool");
        let own = life.site().store.clone();
        let checked = life.router.check_place(&entry, &own).await;
        checked.expect("its own place");

        let empty: Arc<dyn ObjectStore> = second;
        let error = life.router.check_place(&entry, &empty).await;
        check_error(
            &error.expect_err("an empty place"),
            ErrorKind::Corrupt,
            &["default", PLACE],
        );
        let made = life
            .router
            .create_pool("second", place("/second"), empty.clone());
        made.await.expect("another pool");
        let error = life.router.check_place(&entry, &empty).await;
        check_error(
            &error.expect_err("another pool"),
            ErrorKind::Conflict,
            &["default", "second"],
        );
        let moved = life
            .router
            .set_location(entry.id, place("/elsewhere"))
            .await;
        check_error(
            &moved.expect_err("it does not move"),
            ErrorKind::Invalid,
            &[PLACE, "/elsewhere"],
        );
    });
    other.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        adopted.await.expect("adopted");
    });
    rig.live(|life| async move {
        let opened = life.opened.iter().find(|(name, _)| name == "default");
        let opened = opened.expect("it is known").1.as_ref();
        check_error(
            opened.expect_err("adopted elsewhere"),
            ErrorKind::Fenced,
            &["default", "adopt"],
        );
    });
}

#[test]
fn another_way_is_kept_over_restarts() {
    let _figures = Figures::one("places_another_way_is_kept_over_restarts");
    let mut rig = Rig::new(3);
    rig.live(|life| async move {
        let store = life.site().store.clone();
        let made = life.router.create_pool("cloud", s3("a", "/old"), store);
        let id = made.await.expect("a pool").id;
        let elsewhere = life.router.set_location(id, s3("b", "/old")).await;
        assert_eq!(
            elsewhere.expect_err("another prefix").kind(),
            ErrorKind::Invalid
        );
        let set = life.router.set_location(id, s3("a", "/new")).await;
        assert_eq!(set.expect("the same place").location, s3("a", "/new"));
        let shown = life.router.pool_entry(Some("cloud")).expect("it is open");
        assert_eq!(shown.location, s3("a", "/new"));
    });
    rig.host.kill();
    rig.live(|life| async move {
        let shown = life.router.pool_entry(Some("cloud")).expect("it is open");
        assert_eq!(shown.location, s3("a", "/new"));
    });
}

/// One journal, one writer: also where two ask for it under different names.
#[test]
fn a_pool_is_opened_once() {
    let _figures = Figures::one("places_a_pool_is_opened_once");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life.create_pool().await;
        let mut entry = life.router.pool_entry(None).expect("the pool");
        entry.name = "adopted-meanwhile".to_owned();
        let store = life.site().store.clone();
        let error = life.router.open_pool(entry, store).await;
        check_error(
            &error.expect_err("it is open"),
            ErrorKind::Conflict,
            &["meanwhile"],
        );
        assert_eq!(life.router.pools().len(), 1);
    });
}

/// Where the pool's own claim is not, its objects are not either, and nothing is added to what is.
#[test]
fn nothing_is_shipped_to_where_the_claim_is_not() {
    let _figures = Figures::one("places_nothing_is_shipped_to_where_the_claim_is_not");
    let mut rig = Rig::new(1);
    let memory = rig.store().clone();
    rig.live(|life| async move {
        life.create_pool().await;
        let made = life.router.create_disk(None, "a", 4096, false).await;
        made.expect("a disk");
        let device = life.router.device("a").await.expect("attach");
        device.write(0, &[1; 4096]).await.expect("write");
        let found = memory.list("claim/", None, 10).await.expect("the claim");
        let key = found.objects[0].key.clone();
        let claim = memory.get(&key).await.expect("the claim");
        memory.delete(&key).await.expect("it goes");
        // A look that is older says nothing any more.
        tokio::time::sleep(vpool_engine::limits::CLAIM_CHECK).await;
        let objects = memory.list("disk/", None, 100).await.expect("a list");
        let mut sync = Box::pin(life.router.sync_disk("a"));
        let waits = within(Duration::from_secs(60), &mut sync).await;
        assert!(waits.is_none(), "{waits:?}");
        let then = memory.list("disk/", None, 100).await.expect("a list");
        assert_eq!(objects.objects.len(), then.objects.len());
        memory.put(&key, claim).await.expect("it is back");
        sync.await.expect("all is shipped");
    });
}
