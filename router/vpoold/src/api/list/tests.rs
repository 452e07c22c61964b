//! Filters, orders and pages, on a list of nothing in particular.

use serde::Serialize;
use serde_json::{Value, json};
use vpool_api::{List, Problem};

use super::super::query::Query;
use super::{Cell, Key, Kind, Listing, Row};

#[derive(Debug, Clone, Serialize)]
struct Thing {
    name: String,
    size: u64,
    open: bool,
}

impl Row for Thing {
    const FIELDS: &'static [&'static str] = &["name", "size", "open"];
    const KEYS: &'static [Key<Thing>] = &[
        Key {
            name: "name",
            kind: Kind::Text,
            cell: |thing| Cell::Text(thing.name.clone()),
        },
        Key {
            name: "size",
            kind: Kind::Number,
            cell: |thing| Cell::Number(thing.size),
        },
        Key {
            name: "open",
            kind: Kind::Flag,
            cell: |thing| Cell::Flag(thing.open),
        },
        Key {
            name: "mood",
            kind: Kind::OneOf(&["fine", "bad"]),
            cell: |thing| Cell::Text(if thing.open { "fine" } else { "bad" }.into()),
        },
    ];

    fn name(&self) -> String {
        self.name.clone()
    }
}

fn things() -> Vec<Thing> {
    let thing = |n: u64| Thing {
        name: format!("t{n:02}"),
        size: n % 3,
        open: n.is_multiple_of(2),
    };
    (0..10).rev().map(thing).collect()
}

fn list(text: &str) -> Result<List<Value>, Problem> {
    let mut query = Query::parse(text);
    let listing = Listing::<Thing>::of(&mut query)?;
    query.end()?;
    Ok(listing.page(things()))
}

fn names(text: &str) -> Vec<String> {
    let page = list(text).expect("a good query");
    let name = |item: &Value| item["name"].as_str().map(str::to_owned);
    page.items.iter().filter_map(name).collect()
}

/// All pages of a list, one after the other.
fn all(text: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let after = next.map_or(String::new(), |next| format!("&after={next}"));
        let page = list(&format!("{text}{after}")).expect("a good query");
        let name = |item: &Value| item["name"].as_str().map(str::to_owned);
        found.extend(page.items.iter().filter_map(name));
        next = page.next;
        if next.is_none() {
            return found;
        }
    }
}

#[test]
fn filters_and_orders() {
    assert_eq!(names("").len(), 10);
    assert_eq!(names("")[0], "t00");
    assert_eq!(names("filter=size=2"), ["t02", "t05", "t08"]);
    assert_eq!(names("filter=size=2&filter=open=true"), ["t02", "t08"]);
    assert_eq!(names("filter=name~5"), ["t05"]);
    assert_eq!(names("filter=name=t0"), [""; 0]);
    assert_eq!(names("filter=mood=bad&sort=-name&limit=2"), ["t09", "t07"]);
    assert_eq!(names("sort=-size&limit=4"), ["t02", "t05", "t08", "t01"]);
    let page = list("filter=open=true&limit=2&fields=size,name").expect("a good query");
    assert_eq!(page.total, 5);
    assert_eq!(page.items[0], json!({"name": "t00", "size": 0}));
}

#[test]
fn pages_hold_each_item_once() {
    for order in ["name", "-name", "size", "-size", "open", "-mood"] {
        let whole = names(&format!("sort={order}"));
        for limit in 1..=11 {
            assert_eq!(
                all(&format!("sort={order}&limit={limit}")),
                whole,
                "{order} by {limit}"
            );
        }
    }
    assert_eq!(all("filter=size=9"), [""; 0]);
    assert_eq!(list("limit=10").expect("a good query").next, None);
}

#[test]
fn what_comes_and_goes_shifts_nothing() {
    let mut query = Query::parse("sort=size&limit=4");
    let first = Listing::<Thing>::of(&mut query)
        .expect("a good query")
        .page(things());
    let next = first.next.expect("there is more");
    let mut query = Query::parse(&format!("sort=size&limit=100&after={next}"));
    let listing = Listing::<Thing>::of(&mut query).expect("a good query");
    // The item that the first page ended with is gone.
    let mut left = things();
    left.retain(|thing| thing.name != "t09");
    let rest = listing.page(left);
    assert_eq!(rest.items.len(), 6);
}

#[test]
fn what_is_wrong_is_named() {
    let other_order = list("limit=1").expect("a good query").next.expect("more");
    for (text, why) in [
        ("sort=colour", "name, size, open, mood"),
        ("sort=", "name, size"),
        ("filter=colour=red", "name, size"),
        ("filter=size", "FIELD=VALUE"),
        ("filter=size=big", "whole number"),
        ("filter=size=-1", "whole number"),
        ("filter=open=yes", "true or false"),
        ("filter=mood=grim", "fine, bad"),
        ("fields=name,colour", "name, size, open"),
        ("fields=", "name, size, open"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("limt=1", "limit"),
        ("after=zz", "next"),
        ("after=7", "next"),
        ("after=7b7d", "next"),
        (&format!("sort=size&after={other_order}"), "next"),
        (&format!("after={other_order}ö"), "next"),
    ] {
        let problem = list(text).expect_err(text);
        let hint = problem.hint.unwrap_or_default();
        assert!(hint.contains(why), "{text}: {hint}");
    }
}
