//! A listing that really lags: the container's server is away while objects come and go.

use vpool_object::{ErrorKind, Key, ObjectStore};
use vpool_test_stores::{Auth, Swift};

use crate::{body, config, connect, key};

#[tokio::test]
async fn objects_that_no_listing_shows_yet() {
    let Some(swift) = Swift::start_or_skip(Auth::Temp) else {
        return;
    };
    let store = connect(config(&swift, "lag"));
    let (old, new, gone) = (key("old"), key("new"), key("gone"));
    store.put(&old, body(1000)).await.unwrap();
    store.put(&gone, body(10)).await.unwrap();
    assert_eq!(listed(&*store).await, [gone.clone(), old.clone()]);

    swift.server_stop("container").unwrap();
    store.put(&new, body(2000)).await.unwrap();
    store.put(&new, body(2000)).await.unwrap();
    assert_eq!(store.get(&new).await.unwrap(), body(2000));
    assert_eq!(
        store.get_range(&new, 5..50).await.unwrap(),
        body(50).slice(5..)
    );
    store.delete(&gone).await.unwrap();
    let error = store.list("", None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // What is absent is so, although nobody can ask for the container.
    for absent in [&gone, &key("never")] {
        let error = store.get(absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let error = store.head(absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    swift.server_start("container").unwrap();
    assert_eq!(listed(&*store).await, [gone.clone(), old.clone()], "stale");
    assert_eq!(store.get(&new).await.unwrap(), body(2000));
    let error = store.get(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "listed, but deleted");
    let results = store.delete_many(&[gone.clone(), key("never")]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");

    swift.update().unwrap();
    assert_eq!(listed(&*store).await, [new, old]);
}

async fn listed(store: &dyn ObjectStore) -> Vec<Key> {
    let page = store.list("", None, 10).await.unwrap();
    page.objects.into_iter().map(|one| one.key).collect()
}
