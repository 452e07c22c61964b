//! Pools as the API shows them.
//!
//! Owns: the bodies about pools. Does not own: pools (the engine), locations' meaning.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a pool's objects are. Secrets are in the file named, never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Location {
    /// A directory of the daemon's host, or a NAS mounted there.
    Fs {
        /// Its absolute path.
        path: String,
    },
    /// A bucket, or a prefix in one, of an S3 server.
    S3 {
        /// `URL/BUCKET/PREFIX`; the prefix may be left out.
        url: String,
        /// The absolute path of the file with the keys, on the daemon's host.
        credentials_file: String,
        /// The region that is signed for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The absolute path of a file with CA certificates to trust in place of the
        /// system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<String>,
        /// The bucket stands in the host name, not in the path.
        #[serde(default)]
        virtual_host: bool,
    },
    /// A container, or a prefix in one, of a Swift store.
    Swift {
        /// `AUTHURL/CONTAINER/PREFIX`; the auth URL ends in its version, the prefix may be
        /// left out.
        url: String,
        /// How a token is asked for.
        auth: SwiftAuth,
        /// The absolute path of the file with the credentials, on the daemon's host.
        credentials_file: String,
        /// The region of the catalog's entry; by default the first that fits. Keystone only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// Which of its URLs. Keystone only.
        #[serde(default)]
        interface: SwiftInterface,
        /// The absolute path of a file with CA certificates to trust in place of the
        /// system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<String>,
    },
}

/// How the token of a Swift store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwiftAuth {
    /// Auth v1: user and key.
    V1,
    /// Keystone v3: user, password and project.
    V3,
}

/// Which of the URLs that Keystone's catalog has for a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwiftInterface {
    /// The one for everybody.
    #[default]
    Public,
    /// The one within the provider's network.
    Internal,
    /// The one for administrators.
    Admin,
}

/// Makes a pool on a location that holds none yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePool {
    /// Its name, unique in the grid.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// Where.
    pub location: Location,
}

/// Takes over a location that holds a pool, with all its disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptPool {
    /// The name here; by default the one that the pool had.
    #[schema(min_length = 1, max_length = 255)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where.
    pub location: Location,
    /// The old grid is known to be gone, although the location was used lately.
    #[serde(default)]
    pub take_over: bool,
}

/// Reaches a pool in another way, without moving it; what is left out stays as it is. The new way is
/// tried out first: it must lead to the pool's own objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPool {
    /// The absolute path of the file with the credentials, on the daemon's host. The same path again
    /// has it read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<String>,
    /// The region to sign for, or that of Keystone's catalog; an empty text for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The absolute path of a file with CA certificates; an empty text for the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Whether the bucket stands in the host name. S3 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<bool>,
    /// Which of the URLs in Keystone's catalog. Swift only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<SwiftInterface>,
}

/// What came with a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Adopted {
    /// The pool's name here.
    pub pool: String,
    /// Its disks, by name.
    pub disks: Vec<String>,
}

/// A pool and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where its objects are.
    pub location: Location,
    /// The generation of this grid's claim on the location.
    pub generation: u64,
    /// How many disks it has.
    pub disks: u64,
    /// Bytes of the journal in use.
    pub journal_used_bytes: u64,
    /// Bytes that the journal may use.
    pub journal_max_bytes: u64,
    /// Acknowledged bytes that are not in the store yet.
    pub unshipped_bytes: u64,
    /// How its store is doing; `None` where it could not be opened.
    pub store: Option<StoreCounts>,
    /// Why the pool does not serve, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came out of trying a store out; one that lacks what is needed is a problem instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeReport {
    /// The pool.
    pub pool: String,
    /// What was found out, in the order in which it was tried.
    pub findings: Vec<Finding>,
    /// Objects that the trial wrote and could not remove.
    pub left_behind: Vec<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// One property of a store. None of them is needed: they are recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Which, in a form that does not change.
    pub code: String,
    /// Which, for people.
    pub title: String,
    /// What was found.
    pub detail: String,
}

/// Whether requests reach a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// They do, as far as is known.
    Up,
    /// So many failed in a row that only trials are sent.
    Down,
}

/// What was asked of a store since the daemon started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreCounts {
    /// Whether requests reach it.
    pub state: StoreState,
    /// Requests sent.
    pub requests: u64,
    /// Of these, objects put.
    #[serde(default)]
    pub puts: u64,
    /// Of these, reads of objects: whole, a range or the end.
    #[serde(default)]
    pub gets: u64,
    /// Requests that failed, other than for an object that is not there.
    pub errors: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Bytes of objects sent.
    pub sent_bytes: u64,
    /// Bytes of objects received.
    pub received_bytes: u64,
    /// What is wrong with it now: the last failure that no success has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[cfg(test)]
mod tests {
    //! The forms that requests have, and that what is misspelt is refused.

    use super::{CreatePool, Location, SwiftAuth, SwiftInterface};

    #[test]
    fn a_request_reads_as_written() {
        let text = r#"{"name": "main", "location": {"kind": "s3",
            "url": "http://127.0.0.1:7480/bucket", "credentials_file": "/etc/vpool/s3"}}"#;
        let request: CreatePool = serde_json::from_str(text).expect("as documented");
        assert_eq!(
            request.location,
            Location::S3 {
                url: "http://127.0.0.1:7480/bucket".into(),
                credentials_file: "/etc/vpool/s3".into(),
                region: None,
                ca_file: None,
                virtual_host: false,
            }
        );
    }

    #[test]
    fn a_request_for_swift_reads_as_written() {
        let text = r#"{"name": "main", "location": {"kind": "swift", "auth": "v3",
            "url": "https://keystone:5000/v3/disks", "credentials_file": "/etc/vpool/swift"}}"#;
        let request: CreatePool = serde_json::from_str(text).expect("as documented");
        assert_eq!(
            request.location,
            Location::Swift {
                url: "https://keystone:5000/v3/disks".into(),
                auth: SwiftAuth::V3,
                credentials_file: "/etc/vpool/swift".into(),
                region: None,
                interface: SwiftInterface::Public,
                ca_file: None,
            }
        );
    }

    #[test]
    fn misspelt_fields_are_refused() {
        for text in [
            r#"{"name": "a", "location": {"kind": "fs", "path": "/x"}, "nmae": "b"}"#,
            r#"{"name": "a", "location": {"kind": "fs", "path": "/x", "ca_file": "/y"}}"#,
            r#"{"name": "a", "location": {"kind": "ftp", "path": "/x"}}"#,
            r#"{"name": "a", "location": {"kind": "swift", "url": "x", "auth": "v2",
                "credentials_file": "/x"}}"#,
            r#"{"name": "a"}"#,
        ] {
            assert!(serde_json::from_str::<CreatePool>(text).is_err(), "{text}");
        }
    }
}
