//! Tests of the memory store: tampering, the record of names used again, the limit.

use bytes::Bytes;

use super::MemoryStore;
use crate::{ErrorKind, Key, ObjectStore};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn with(names: &[(&str, &'static [u8])]) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, body) in names {
        store
            .put(&key(name), Bytes::from_static(body))
            .await
            .unwrap();
    }
    store
}

#[tokio::test]
async fn tampering_changes_what_is_read_and_counted() {
    let (a, b, none) = (key("a"), key("b"), key("none"));
    let store = with(&[("a", b"abc"), ("b", b"12")]).await;
    let held = store.get(&a).await.unwrap();

    assert!(store.flip_bit(&a, 8));
    assert_eq!(store.get(&a).await.unwrap(), &b"acc"[..]);
    assert_eq!(held, &b"abc"[..], "what a reader holds stays");
    assert!(!store.flip_bit(&a, 24) && !store.flip_bit(&none, 0));

    assert!(store.swap(&a, &b) && !store.swap(&a, &none));
    assert_eq!(store.peek(&a).unwrap(), &b"12"[..]);
    assert!(store.truncate(&b, 1) && !store.truncate(&b, 1));
    assert!(store.extend(&b, b"xyz"));
    assert_eq!(store.peek(&b).unwrap(), &b"axyz"[..]);
    assert_eq!(store.byte_count(), 6);

    let before = store.snapshot();
    assert_eq!(store.replace(&a, &b"new"[..]).unwrap(), &b"12"[..]);
    assert_eq!(store.lose(&b).unwrap(), &b"axyz"[..]);
    assert_eq!((store.object_count(), store.byte_count()), (1, 3));
    store.restore(before.clone());
    assert_eq!((store.snapshot(), store.byte_count()), (before, 6));
    assert_eq!(store.reused_names(), []);
}

#[tokio::test]
async fn names_used_again_are_recorded() {
    let (a, b) = (key("a"), key("b"));
    let store = with(&[("a", b"abc"), ("b", b"abc")]).await;
    let error = store
        .put(&a, Bytes::from_static(b"other"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.reused_names(), std::slice::from_ref(&a));

    store.delete(&b).await.unwrap();
    store.put(&b, Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(
        store.reused_names().len(),
        1,
        "a late repeat of the same put is no reuse"
    );
    store.delete(&b).await.unwrap();
    store.put(&b, Bytes::from_static(b"abd")).await.unwrap();
    assert_eq!(store.reused_names(), [a, b]);
}

#[tokio::test]
async fn a_full_store_refuses_and_a_repeat_needs_no_space() {
    let (a, b) = (key("a"), key("b"));
    let store = with(&[("a", b"abc")]).await;
    store.set_bytes_max(Some(5));
    let put =
        async |name: &Key, body: &'static [u8]| store.put(name, Bytes::from_static(body)).await;
    assert_eq!(
        put(&b, b"123").await.unwrap_err().kind(),
        ErrorKind::NoSpace
    );
    put(&a, b"abc").await.unwrap();
    put(&b, b"12").await.unwrap();
    store.delete(&a).await.unwrap();
    put(&key("c"), b"345").await.unwrap();
}
