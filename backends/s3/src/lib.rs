//! The S3 object store: AWS, Ceph's gateway, Swift's S3 door, and what else speaks S3.
//!
//! Owns: [`S3Store`] and its settings; what an answer must hold to be believed; errors
//! that name endpoint, bucket, object, cause and remedy.
//! Does not own: the trait and its decorators (retries, limits) in `vpool-object`.
//!
//! ```text
//! S3Config ─► S3Store ── put, get … ─► call ─► connector (SDK, TLS, connections) ─► store
//!    │ location     │ list, delete      │ time limits, exact lengths
//!    │ credentials  │ conditional       └─► failure ─► verdict (kind, remedy)
//! ```
//!
//! Whatever a store or a broken way to it answers, the result is the bytes that were put
//! or an error: every answer must have an `ETag` and a length, a part must be the part
//! that was asked for, and a missing object is one only if S3's own words say so.

pub mod config;
pub mod credentials;
pub mod limits;
pub mod location;
pub mod store;

mod call;
mod conditional;
mod connector;
mod delete;
mod failure;
mod list;
mod sign;

pub use config::{Addressing, PayloadSigning, S3Config};
pub use credentials::{CredentialSource, Credentials};
pub use location::Location;
pub use store::S3Store;
