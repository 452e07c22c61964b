//! Ways to a pool: those that lead to its own objects, and all others.

use std::sync::Arc;

use vpool_engine::error::ErrorKind;
use vpool_metadata::Location;
use vpool_object::ObjectStore;
use vpool_object::memory::MemoryStore;

use crate::figures::Figures;
use crate::rig::{PLACE, Rig, check_error, place};

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
