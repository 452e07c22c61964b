//! The Swift object store: OpenStack Swift, and Ceph's gateway in its Swift dialect.
//!
//! Owns: [`SwiftStore`] and its settings; sessions with auth v1 and Keystone v3; what an
//! answer must hold to be believed; errors that name place, cause and remedy.
//! Does not own: the trait and its decorators (retries, limits) in `vpool-object`.
//!
//! ```text
//! SwiftConfig ─► SwiftStore ── put, get … ─► call ─► client (reqwest, TLS, connections) ─► store
//!    │ location      │ list, delete, info     │ time limits, exact lengths, one repeat
//!    │ credentials   │ conditional            │ with a new token
//!    │               └─► presence             └─► failure ─► verdict (kind, remedy)
//!    └─► session ─► v1, v3        is a missing object's container there?
//! ```
//!
//! Whatever a store or a broken way to it answers, the result is the bytes that were put
//! or an error. A missing object is one only if Swift itself says so, and if its container
//! is there: the end of a log is read from it.

pub mod config;
pub mod credentials;
pub mod limits;
pub mod location;
pub mod store;

mod call;
mod client;
mod conditional;
mod delete;
mod failure;
mod info;
mod list;
mod presence;
mod session;
#[cfg(test)]
mod stub;

pub use config::{Interface, SwiftConfig};
pub use credentials::{CredentialSource, Credentials};
pub use location::{AuthVersion, Location};
pub use store::SwiftStore;
