//! Pages of lists: which items, in which order, with which fields.
//!
//! ```text
//! all items ─▶ filter= ─▶ sort= ─▶ after= ─▶ limit= ─▶ fields= ─▶ one page
//! ```
//!
//! Owns: those parameters, the same for all lists. Does not own: what is listed, and by which
//! fields (`rows.rs`).
//!
//! `next` names the last item of a page by what it is sorted by and its name, not by its place: items
//! that come and go meanwhile shift nothing.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vpool_api::limits::{PAGE_ITEMS, PAGE_ITEMS_MAX};
use vpool_api::{List, Problem};

use super::query::{Query, invalid, shown};

/// What an item is filtered and sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Flag(bool),
    Number(u64),
    Text(String),
}

/// Which values a field has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Number,
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
}

/// A field that a list can be filtered and sorted by.
#[derive(Debug)]
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cell: fn(&T) -> Cell,
}

/// Something that is listed.
pub(super) trait Row: Serialize + Sized + 'static {
    /// All its fields on the wire.
    const FIELDS: &'static [&'static str];
    /// Of these (and others) what it can be filtered and sorted by; the first is the default order.
    const KEYS: &'static [Key<Self>];
    /// What tells it from all others: the order among equals.
    fn name(&self) -> String;
}

/// What was asked of a list.
#[derive(Debug)]
pub(super) struct Listing<T: Row> {
    limit: usize,
    key: &'static Key<T>,
    descending: bool,
    after: Option<Cursor>,
    filters: Vec<Filter<T>>,
    fields: Option<Vec<String>>,
}

#[derive(Debug)]
struct Filter<T: Row> {
    key: &'static Key<T>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Equals(Cell),
    Holds(String),
}

/// The last item of a page: the order, what it is sorted by, its name.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor(String, Cell, String);

impl<T: Row> Listing<T> {
    /// Takes its names out of a query; others may be taken after it.
    pub(super) fn of(query: &mut Query) -> Result<Listing<T>, Problem> {
        let most = PAGE_ITEMS_MAX as u64;
        let limit = query.number("limit", 1, most)?;
        let sort = query.one("sort")?;
        let descending = sort.as_ref().is_some_and(|sort| sort.starts_with('-'));
        let key = match &sort {
            None => &T::KEYS[0],
            Some(sort) => find::<T>(sort.strip_prefix('-').unwrap_or(sort))?,
        };
        let after = query
            .one("after")?
            .map(|text| cursor(&text, key, descending));
        let filters = query.many("filter");
        let fields = query.one("fields")?;
        Ok(Listing {
            limit: limit.map_or(PAGE_ITEMS, |limit| {
                usize::try_from(limit).expect("1000 at most")
            }),
            key,
            descending,
            after: after.transpose()?,
            filters: filters
                .iter()
                .map(|text| Filter::parse(text))
                .collect::<Result<_, _>>()?,
            fields: fields.map(|fields| choose::<T>(&fields)).transpose()?,
        })
    }

    /// One page of all items.
    pub(super) fn page(&self, mut items: Vec<T>) -> List<Value> {
        items.retain(|item| self.filters.iter().all(|filter| filter.passes(item)));
        let total = items.len() as u64;
        let mut sorted: Vec<(Cell, String, T)> = items
            .into_iter()
            .map(|item| ((self.key.cell)(&item), item.name(), item))
            .collect();
        sorted.sort_unstable_by(|a, b| self.order((&a.0, &a.1), (&b.0, &b.1)));
        let begin = self.after.as_ref().map_or(0, |Cursor(_, cell, name)| {
            sorted.partition_point(|row| self.order((&row.0, &row.1), (cell, name)).is_le())
        });
        let mut page: Vec<(Cell, String, T)> = sorted.drain(begin..).take(self.limit).collect();
        let is_last = begin + page.len() >= usize::try_from(total).unwrap_or(usize::MAX);
        let next = match page.last_mut() {
            Some((cell, name, _)) if !is_last => Some(self.token(cell.clone(), name.clone())),
            _ => None,
        };
        List {
            items: page.iter().map(|(_, _, item)| self.shown(item)).collect(),
            total,
            next,
        }
    }

    fn order(&self, a: (&Cell, &String), b: (&Cell, &String)) -> Ordering {
        let by_key = a.0.cmp(b.0);
        let by_key = if self.descending {
            by_key.reverse()
        } else {
            by_key
        };
        by_key.then_with(|| a.1.cmp(b.1))
    }

    fn token(&self, cell: Cell, name: String) -> String {
        let cursor = Cursor(order_name(self.key.name, self.descending), cell, name);
        let json = serde_json::to_vec(&cursor).expect("texts and numbers");
        json.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn shown(&self, item: &T) -> Value {
        let mut value = serde_json::to_value(item).expect("the types of the API have string keys");
        if let (Some(fields), Value::Object(members)) = (&self.fields, &mut value) {
            members.retain(|name, _| fields.contains(name));
        }
        value
    }
}

impl<T: Row> Filter<T> {
    fn parse(text: &str) -> Result<Filter<T>, Problem> {
        let Some(at) = text.find(['=', '~']) else {
            let problem = invalid(format!("filter={} is not possible", shown(text)));
            return Err(problem.with_hint("write filter=FIELD=VALUE, or filter=FIELD~PART"));
        };
        let key = find::<T>(&text[..at])?;
        let value = &text[at + 1..];
        let test = if text[at..].starts_with('~') {
            Test::Holds(value.to_owned())
        } else {
            Test::Equals(cell_of(key, value)?)
        };
        Ok(Filter { key, test })
    }

    fn passes(&self, item: &T) -> bool {
        let cell = (self.key.cell)(item);
        match (&self.test, cell) {
            (Test::Equals(wanted), cell) => cell == *wanted,
            (Test::Holds(part), Cell::Text(text)) => text.contains(part),
            (Test::Holds(part), Cell::Number(number)) => number.to_string().contains(part),
            (Test::Holds(part), Cell::Flag(flag)) => flag.to_string().contains(part),
        }
    }
}

fn cell_of<T>(key: &Key<T>, value: &str) -> Result<Cell, Problem> {
    let wrong = |hint: String| {
        Err(invalid(format!("{} is never {}", key.name, shown(value))).with_hint(hint))
    };
    match key.kind {
        Kind::Text => Ok(Cell::Text(value.to_owned())),
        Kind::Number => match value.parse() {
            Ok(number) => Ok(Cell::Number(number)),
            Err(_) => wrong("it is a whole number".to_owned()),
        },
        Kind::Flag => match value {
            "true" => Ok(Cell::Flag(true)),
            "false" => Ok(Cell::Flag(false)),
            _ => wrong("it is true or false".to_owned()),
        },
        Kind::OneOf(values) if values.contains(&value) => Ok(Cell::Text(value.to_owned())),
        Kind::OneOf(values) => wrong(format!("it is one of: {}", values.join(", "))),
    }
}

fn find<T: Row>(name: &str) -> Result<&'static Key<T>, Problem> {
    T::KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let known: Vec<&str> = T::KEYS.iter().map(|key| key.name).collect();
        invalid(format!(
            "the list has no order and no filter by {}",
            shown(name)
        ))
        .with_hint(format!("known are: {}", known.join(", ")))
    })
}

/// The fields that items shall carry.
fn choose<T: Row>(text: &str) -> Result<Vec<String>, Problem> {
    let fields: Vec<String> = text.split(',').map(str::to_owned).collect();
    match fields
        .iter()
        .find(|name| !T::FIELDS.contains(&name.as_str()))
    {
        None => Ok(fields),
        Some(name) => Err(invalid(format!("items have no field {}", shown(name)))
            .with_hint(format!("known are: {}", T::FIELDS.join(", ")))),
    }
}

fn order_name(key: &str, descending: bool) -> String {
    format!("{}{key}", if descending { "-" } else { "" })
}

/// The item that `after=` names; only what a list of the same order has answered.
fn cursor<T>(text: &str, key: &Key<T>, descending: bool) -> Result<Cursor, Problem> {
    let bad = || {
        invalid("after= is not what a list of this order answered".to_owned())
            .with_hint("send `next` of the page before as it is, with the same sort=")
    };
    let bytes = text.as_bytes();
    let digits = bytes.iter().all(u8::is_ascii_hexdigit);
    if !digits || !bytes.len().is_multiple_of(2) {
        return Err(bad());
    }
    let json: Result<Vec<u8>, _> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
        .collect();
    let cursor: Cursor = serde_json::from_slice(&json.map_err(|_| bad())?).map_err(|_| bad())?;
    let fits = matches!(
        (key.kind, &cursor.1),
        (Kind::Flag, Cell::Flag(_))
            | (Kind::Number, Cell::Number(_))
            | (Kind::Text | Kind::OneOf(_), Cell::Text(_))
    );
    if cursor.0 == order_name(key.name, descending) && fits {
        Ok(cursor)
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests;
