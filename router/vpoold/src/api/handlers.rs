//! One function a request, by noun.
//!
//! Owns: which method of the daemon answers what, which change is which event, and what the OpenAPI
//! document says of each. Does not own: those methods.

pub(super) mod disks;
pub(super) mod pools;
pub(super) mod statistics;
pub(super) mod status;
pub(super) mod stream;
pub(super) mod tasks;

use std::sync::Arc;

use axum::extract::State as Known;
use serde_json::Value;
use vpool_api::{List, Problem};

use super::State;
use super::list::{Listing, Row};
use super::query::Query;

type Api = Known<Arc<State>>;

/// A page of items, as the query asks for it.
fn page<T: Row>(mut query: Query, items: Vec<T>) -> Result<List<Value>, Problem> {
    let listing = Listing::of(&mut query)?;
    query.end()?;
    Ok(listing.page(items))
}
