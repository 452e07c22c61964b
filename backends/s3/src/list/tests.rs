//! Which pages are believed.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use vpool_object::ErrorKind;

use super::RawPage;

fn answer(names: &[&str], more: bool) -> ListObjectsV2Output {
    let objects = names
        .iter()
        .map(|name| Object::builder().key(*name).size(7).build());
    ListObjectsV2Output::builder()
        .set_contents(Some(objects.collect()))
        .is_truncated(more)
        .build()
}

#[test]
fn names_of_ours() {
    let answer = answer(&["p/A", "p/a", "p/a//b", "p/b c", "p/d/e"], true);
    let page = RawPage::check(&answer, "p/", None).unwrap();
    let ours = page.ours("p/");
    let keys: Vec<_> = ours.iter().map(|listed| listed.key.as_str()).collect();
    assert_eq!(keys, ["a", "d/e"]);
    assert!(ours.iter().all(|listed| listed.bytes == 7));
    assert_eq!(page.last.as_deref(), Some("p/d/e"));
}

#[test]
fn pages_that_are_not_believed() {
    let check = |names: &[&str], more: bool, after: Option<&str>| {
        let result = RawPage::check(&answer(names, more), "p/", after);
        assert_eq!(
            result.err().map(|failure| failure.kind),
            Some(ErrorKind::Damaged),
            "{names:?}"
        );
    };
    check(&["p/b", "p/a"], false, None);
    check(&["p/a", "p/a"], false, None);
    check(&["q/a"], false, None);
    check(&["p/a"], false, Some("p/a"));
    check(&[], true, None);
    let nameless = ListObjectsV2Output::builder().contents(Object::builder().size(1).build());
    assert!(RawPage::check(&nameless.build(), "p/", None).is_err());
    let lengthless = ListObjectsV2Output::builder().contents(Object::builder().key("p/a").build());
    assert!(RawPage::check(&lengthless.build(), "p/", None).is_err());
}
