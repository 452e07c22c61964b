//! Lists of random stores against a sorted map.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::memory::MemoryStore;
use vpool_object::prefix::PrefixStore;
use vpool_object::{Key, ObjectStore};

/// A directory where syncs cost nothing, if there is one: these tests are about order.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Names of few parts of few bytes, so that they are often each other's beginning, and of
/// the bytes around the slash.
fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "a-", "a.", "a0", "-", "ab", "a_", "z"]);
    vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

/// What a caller may list: parts of names, cut anywhere.
fn prefix() -> impl Strategy<Value = String> {
    (name(), 0..10_usize).prop_map(|(name, cut)| name[..cut.min(name.len())].to_owned())
}

fn expect(
    model: &BTreeMap<String, usize>,
    prefix: &str,
    after: Option<&str>,
    count_max: usize,
) -> (Vec<(String, u64)>, bool) {
    let mut all = model
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && after.is_none_or(|a| name.as_str() > a));
    let page = all
        .by_ref()
        .take(count_max)
        .map(|(name, bytes)| (name.clone(), *bytes as u64));
    (page.collect(), all.next().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_the_sorted_map(
        model in btree_map(name(), 0..5_usize, 0..30),
        asked in vec((prefix(), prop::option::of(name()), 1..8_usize), 20),
        deleted in vec(prop::num::usize::ANY, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = in_memory();
            let options = DirectoryOptions::new("tests");
            let fs = DirectoryStore::create(directory.path(), options).await.unwrap();
            let memory: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
            let below = PrefixStore::new(memory.clone(), "a/a-").unwrap();
            let stores: [Arc<dyn ObjectStore>; 3] =
                [Arc::new(fs), Arc::new(MemoryStore::new()), Arc::new(below)];
            for store in stores {
                compare(&*store, model.clone(), &asked, &deleted).await;
            }
        });
    }
}

async fn compare(
    store: &dyn ObjectStore,
    mut model: BTreeMap<String, usize>,
    asked: &[(String, Option<String>, usize)],
    deleted: &[usize],
) {
    for (name, bytes) in &model {
        store
            .put(
                &Key::new(name.as_str()).unwrap(),
                Bytes::from(vec![0; *bytes]),
            )
            .await
            .unwrap();
    }
    for pick in deleted {
        let Some(name) = model.keys().nth(pick % 40).cloned() else {
            continue;
        };
        store
            .delete(&Key::new(name.as_str()).unwrap())
            .await
            .unwrap();
        model.remove(&name);
    }
    for (prefix, after, count_max) in asked {
        let after_key = after.as_deref().map(|after| Key::new(after).unwrap());
        let page = store
            .list(prefix, after_key.as_ref(), *count_max)
            .await
            .unwrap();
        let found: Vec<(String, u64)> = page
            .objects
            .into_iter()
            .map(|one| (one.key.to_string(), one.bytes))
            .collect();
        let expect = expect(&model, prefix, after.as_deref(), *count_max);
        assert_eq!(
            (found, page.more),
            expect,
            "{store:?} {prefix:?} {after:?} {count_max}"
        );
    }
}

/// More entries in one directory than are held at a time.
#[tokio::test]
async fn a_large_directory_is_listed_in_order() {
    const COUNT: usize = 17_000;
    let directory = in_memory();
    let options = DirectoryOptions::new("tests");
    let store = DirectoryStore::create(directory.path(), options)
        .await
        .unwrap();
    store
        .put(&Key::new("d/first").unwrap(), Bytes::new())
        .await
        .unwrap();
    for i in 0..COUNT {
        std::fs::write(directory.path().join(format!("d/{i:05}+")), b"").unwrap();
    }
    let page = store.list("d/", None, 2 * COUNT).await.unwrap();
    assert!(!page.more && page.objects.len() == COUNT + 1);
    assert!(page.objects.is_sorted());
    let after = Key::new("d/16000").unwrap();
    let page = store.list("d/1", Some(&after), 10).await.unwrap();
    let last = page.objects.last().unwrap();
    assert!(page.more && last.key.as_str() == "d/16010" && page.objects.len() == 10);
}
