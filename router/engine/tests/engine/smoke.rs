//! The simplest things first.

use std::time::Duration;

use vpool_block::BlockDevice;

use crate::figures::Figures;
use crate::world::{World, location};

#[test]
fn a_disk_is_written_flushed_shipped_and_read_again() {
    let _figures = Figures::one("a_disk_is_written_flushed_shipped_and_read_again");
    let mut world = World::new(1);
    let data: Vec<u8> = (0..40_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let written = data.clone();
    world.live(|life| async move {
        life.router
            .create_pool("default", location(), life.object_store.clone())
            .await
            .expect("pool");
        life.router
            .create_disk(None, "a", 64 << 20, false)
            .await
            .expect("disk");
        let device = life.router.device("a").await.expect("attach");
        device.write(12_345, &written).await.expect("write");
        let mut back = vec![0; written.len()];
        device.read(12_345, &mut back).await.expect("read");
        assert!(back == written);
        device.flush().await.expect("flush");
        life.router.sync_disk("a").await.expect("sync");
        device
            .read(12_345, &mut back)
            .await
            .expect("read from the store");
        assert!(back == written);
        drop(device);
        life.router
            .shutdown(Duration::from_secs(20))
            .await
            .expect("shutdown");
    });
    assert!(world.store.object_count() > 3);
    world.live(|life| async move {
        let device = life.router.device("default:a").await.expect("attach");
        let mut back = vec![1; data.len() + 100];
        device.read(12_345 - 50, &mut back).await.expect("read");
        assert!(back[50..50 + data.len()] == data);
        assert!(
            back[..50]
                .iter()
                .chain(&back[50 + data.len()..])
                .all(|b| *b == 0)
        );
    });
}
