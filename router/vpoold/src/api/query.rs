//! What stands behind the `?` of a request.
//!
//! Owns: taking names out of it one by one, and refusing those that nobody took. Does not own:
//! what they mean.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vpool_api::{Code, Problem};

use super::request::Failed;

/// The pairs that were sent, and the names that the request knows.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    /// Of the text behind the `?`.
    pub(super) fn parse(text: &str) -> Query {
        Query {
            pairs: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
            known: Vec::new(),
        }
    }

    /// All values of a name that may be repeated.
    pub(super) fn many(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition(|(sent, _)| sent == name);
        self.pairs = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a name that may stand there once.
    pub(super) fn one(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.many(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(invalid(format!("{name}= stands in the query twice"))),
        }
    }

    /// `name=true`, `name=false`, or nothing, which is `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(format!("{name}={} is not possible", shown(other)))
                .with_hint(format!(
                    "write {name}=true or {name}=false, or leave it out"
                ))),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(format!("{name}={} is not possible", shown(&text)))
                .with_hint(format!("write a whole number from {least} to {most}"))),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), Problem> {
        let Some((name, _)) = self.pairs.first() else {
            return Ok(());
        };
        let hint = match self.known.as_slice() {
            [] => "this request takes none".to_owned(),
            known => format!("known are: {}", known.join(", ")),
        };
        Err(invalid(format!("nothing is known of {} in the query", shown(name))).with_hint(hint))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query, Infallible> {
        Ok(Query::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// A request that takes nothing behind the `?`.
#[derive(Debug)]
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<NoQuery, Failed> {
        Query::parse(parts.uri.query().unwrap_or_default()).end()?;
        Ok(NoQuery)
    }
}

/// Whether a change is only asked about: `dry_run=true`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dry(pub(super) bool);

impl<S: Send + Sync> FromRequestParts<S> for Dry {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Dry, Failed> {
        let mut query = Query::parse(parts.uri.query().unwrap_or_default());
        let dry = query.flag("dry_run")?;
        query.end()?;
        Ok(Dry(dry))
    }
}

/// What was sent, cut to what a line of text can bear.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(Code::Invalid, detail)
}

#[cfg(test)]
mod tests {
    //! Names that are taken, refused, sent twice.

    use super::Query;

    #[test]
    fn names_are_taken_one_by_one() {
        let mut query = Query::parse("a=1&b=x+y&b=%C3%B6&c=true");
        assert_eq!(query.number("a", 1, 9), Ok(Some(1)));
        assert_eq!(query.many("b"), ["x y", "ö"]);
        assert_eq!(query.flag("c"), Ok(true));
        assert_eq!(query.flag("d"), Ok(false));
        query.end().expect("all were taken");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_known() {
        let mut query = Query::parse("limit=10&limt=3");
        assert_eq!(query.number("limit", 1, 10), Ok(Some(10)));
        let problem = query.end().expect_err("one is left");
        assert!(problem.detail.contains("limt"), "{problem:?}");
        assert_eq!(problem.hint.as_deref(), Some("known are: limit"));
        for text in ["a=0", "a=11", "a=x", "a=", "a=1&a=2", "a=-1", "a=1.5"] {
            assert!(Query::parse(text).number("a", 1, 10).is_err(), "{text}");
        }
        for text in ["a=1", "a=TRUE", "a=", "a", "a=true&a=true"] {
            assert!(Query::parse(text).flag("a").is_err(), "{text}");
        }
    }
}
