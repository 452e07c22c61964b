//! Locations, between the API's form and the metadata's.
//!
//! Owns: the conversion both ways, and what may stand in a location. Does not own: opening
//! one (`stores.rs`).

use std::path::Path;

use vpool_api as api;
use vpool_api::{Code, Problem};
use vpool_metadata::{Location, SwiftAuth, SwiftInterface};

/// The region that is signed for where none is given; stores other than AWS take any.
const REGION: &str = "us-east-1";

/// What the metadata keeps of a location that was asked for.
pub(crate) fn from_api(location: api::Location) -> Result<Location, Problem> {
    match location {
        api::Location::Fs { path } => {
            absolute("the directory", &path)?;
            Ok(Location::Directory(path))
        }
        api::Location::S3 {
            url,
            credentials_file,
            region,
            ca_file,
            virtual_host,
        } => {
            let place: vpool_s3::Location = url
                .parse()
                .map_err(|error: vpool_object::Error| invalid(error.to_string()))?;
            absolute("the credentials file", &credentials_file)?;
            if let Some(ca_file) = &ca_file {
                absolute("the CA file", ca_file)?;
            }
            Ok(Location::S3 {
                endpoint: place.endpoint().to_owned(),
                bucket: place.bucket().to_owned(),
                prefix: place.prefix().to_owned(),
                region: region.unwrap_or_else(|| REGION.to_owned()),
                credentials_file,
                ca_file,
                path_style: !virtual_host,
            })
        }
        api::Location::Swift {
            url,
            auth,
            credentials_file,
            region,
            interface,
            ca_file,
        } => {
            let place: vpool_swift::Location = url
                .parse()
                .map_err(|error: vpool_object::Error| invalid(error.to_string()))?;
            absolute("the credentials file", &credentials_file)?;
            if let Some(ca_file) = &ca_file {
                absolute("the CA file", ca_file)?;
            }
            let named = region.is_some() || interface != api::SwiftInterface::Public;
            let auth = match (auth, place.auth()) {
                (api::SwiftAuth::V1, vpool_swift::AuthVersion::V1) if named => {
                    return Err(invalid(
                        "region and interface choose in Keystone's catalog; auth v1 has none"
                            .to_owned(),
                    ));
                }
                (api::SwiftAuth::V1, vpool_swift::AuthVersion::V1) => SwiftAuth::V1,
                (api::SwiftAuth::V3, vpool_swift::AuthVersion::V3) => SwiftAuth::V3,
                (_, of_url) => {
                    return Err(invalid(format!(
                        "{} is an auth URL of {of_url}, and another auth is asked for",
                        place.auth_url()
                    )));
                }
            };
            Ok(Location::Swift {
                auth,
                auth_url: place.auth_url().to_owned(),
                container: place.container().to_owned(),
                prefix: place.prefix().to_owned(),
                region,
                interface: match interface {
                    api::SwiftInterface::Public => SwiftInterface::Public,
                    api::SwiftInterface::Internal => SwiftInterface::Internal,
                    api::SwiftInterface::Admin => SwiftInterface::Admin,
                },
                credentials_file,
                ca_file,
            })
        }
    }
}

/// The location, reached in another way; it stays where it is.
pub(crate) fn changed(location: &Location, way: &api::SetPool) -> Result<Location, Problem> {
    let api::SetPool {
        credentials_file: new_credentials,
        region: new_region,
        ca_file: new_ca,
        virtual_host: new_host,
        interface: new_interface,
    } = way;
    let optional = |now: &mut Option<String>, new: &Option<String>| {
        if let Some(new) = new {
            *now = Some(new.clone()).filter(|new| !new.is_empty());
        }
    };
    let credentials = |now: &mut String| {
        if let Some(new) = new_credentials {
            now.clone_from(new);
        }
    };
    let mut wanted = to_api(location);
    match &mut wanted {
        _ if *way == api::SetPool::default() => {
            return Err(invalid("nothing is said of what is to be set".to_owned()));
        }
        api::Location::Fs { .. } => {
            return Err(invalid(
                "a pool on a directory has nothing that can be set".to_owned(),
            ));
        }
        api::Location::S3 { .. } if new_interface.is_some() => {
            return Err(invalid(
                "interface: only Keystone's catalog has it".to_owned(),
            ));
        }
        api::Location::Swift { .. } if new_host.is_some() => {
            return Err(invalid("virtual_host: only S3 has it".to_owned()));
        }
        api::Location::S3 {
            credentials_file,
            region,
            ca_file,
            virtual_host,
            ..
        } => {
            credentials(credentials_file);
            optional(region, new_region);
            optional(ca_file, new_ca);
            *virtual_host = new_host.unwrap_or(*virtual_host);
        }
        api::Location::Swift {
            credentials_file,
            region,
            interface,
            ca_file,
            ..
        } => {
            credentials(credentials_file);
            optional(region, new_region);
            optional(ca_file, new_ca);
            *interface = new_interface.unwrap_or(*interface);
        }
    }
    from_api(wanted)
}

/// What the API shows of a location.
pub(crate) fn to_api(location: &Location) -> api::Location {
    match location {
        Location::Directory(path) => api::Location::Fs { path: path.clone() },
        Location::S3 {
            endpoint,
            bucket,
            prefix,
            region,
            credentials_file,
            ca_file,
            path_style,
        } => api::Location::S3 {
            url: url(endpoint, bucket, prefix),
            credentials_file: credentials_file.clone(),
            region: Some(region.clone()),
            ca_file: ca_file.clone(),
            virtual_host: !path_style,
        },
        Location::Swift {
            auth,
            auth_url,
            container,
            prefix,
            region,
            interface,
            credentials_file,
            ca_file,
        } => api::Location::Swift {
            url: url(auth_url, container, prefix),
            auth: match auth {
                SwiftAuth::V1 => api::SwiftAuth::V1,
                SwiftAuth::V3 => api::SwiftAuth::V3,
            },
            credentials_file: credentials_file.clone(),
            region: region.clone(),
            interface: match interface {
                SwiftInterface::Public => api::SwiftInterface::Public,
                SwiftInterface::Internal => api::SwiftInterface::Internal,
                SwiftInterface::Admin => api::SwiftInterface::Admin,
            },
            ca_file: ca_file.clone(),
        },
    }
}

/// A location as people write it.
pub(crate) fn place(location: &Location) -> String {
    match to_api(location) {
        api::Location::Fs { path } => path,
        api::Location::S3 { url, .. } | api::Location::Swift { url, .. } => url,
    }
}

/// `URL/CONTAINER/PREFIX`, the container being a bucket on S3.
pub(crate) fn url(url: &str, container: &str, prefix: &str) -> String {
    match prefix {
        "" => format!("{url}/{container}"),
        prefix => format!("{url}/{container}/{prefix}"),
    }
}

/// The daemon's own directory is nobody's business: a relative path would be read there.
fn absolute(what: &str, path: &str) -> Result<(), Problem> {
    if path.contains('\0') || !Path::new(path).is_absolute() {
        return Err(invalid(format!(
            "{what} must be an absolute path, and {path:?} is not"
        )));
    }
    Ok(())
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::Invalid, detail)
}

#[cfg(test)]
mod tests {
    //! There and back, and what is refused.

    use super::{changed, from_api, to_api};
    use vpool_api::{Location, SetPool, SwiftAuth, SwiftInterface};

    fn s3(url: &str, credentials_file: &str) -> Location {
        Location::S3 {
            url: url.into(),
            credentials_file: credentials_file.into(),
            region: Some("eu".into()),
            ca_file: Some("/ca".into()),
            virtual_host: true,
        }
    }

    fn swift(url: &str, auth: SwiftAuth, region: Option<&str>) -> Location {
        Location::Swift {
            url: url.into(),
            auth,
            credentials_file: "/k".into(),
            region: region.map(str::to_owned),
            interface: match region {
                Some(_) => SwiftInterface::Admin,
                None => SwiftInterface::Public,
            },
            ca_file: None,
        }
    }

    #[test]
    fn there_and_back() {
        for location in [
            Location::Fs {
                path: "/srv/pool".into(),
            },
            s3("https://host:7480/bucket/a/b", "/k"),
            s3("https://host/bucket", "/k"),
            swift("http://host:8080/auth/v1.0/c/p/q", SwiftAuth::V1, None),
            swift("https://host:5000/v3/c", SwiftAuth::V3, Some("one")),
        ] {
            let kept = from_api(location.clone()).expect("it is good");
            assert_eq!(to_api(&kept), location);
        }
    }

    #[test]
    fn what_is_refused() {
        for location in [
            Location::Fs {
                path: "pool".into(),
            },
            Location::Fs {
                path: String::new(),
            },
            Location::Fs {
                path: "/a\0b".into(),
            },
            s3("host/bucket", "/k"),
            s3("http://host", "/k"),
            s3("http://key:secret@host/bucket", "/k"),
            s3("http://host/bucket", "keys"),
            swift("http://host/c", SwiftAuth::V1, None),
            swift("http://host/auth/v1.0/c", SwiftAuth::V3, None),
            swift("http://host/v3/c", SwiftAuth::V1, None),
            swift("http://host/auth/v1.0/c", SwiftAuth::V1, Some("one")),
        ] {
            assert!(from_api(location.clone()).is_err(), "{location:?}");
        }
    }

    #[test]
    fn another_way_to_the_same_place() {
        let before = from_api(s3("https://host/bucket/a", "/k")).expect("it is good");
        let way = SetPool {
            credentials_file: Some("/new".into()),
            ca_file: Some(String::new()),
            virtual_host: Some(false),
            ..SetPool::default()
        };
        let after = to_api(&changed(&before, &way).expect("it is good"));
        let Location::S3 {
            url,
            credentials_file,
            region,
            ca_file,
            virtual_host,
        } = after
        else {
            panic!("{after:?}");
        };
        assert_eq!(
            (url.as_str(), credentials_file.as_str()),
            ("https://host/bucket/a", "/new")
        );
        assert_eq!(
            (region.as_deref(), ca_file, virtual_host),
            (Some("eu"), None, false)
        );
    }

    #[test]
    fn ways_that_are_refused() {
        let directory = Location::Fs { path: "/x".into() };
        let v1 = swift("http://host/auth/v1.0/c", SwiftAuth::V1, None);
        let way = |credentials: &str| SetPool {
            credentials_file: Some(credentials.into()),
            ..SetPool::default()
        };
        let region = SetPool {
            region: Some("one".into()),
            ..SetPool::default()
        };
        let interface = SetPool {
            interface: Some(SwiftInterface::Admin),
            ..SetPool::default()
        };
        let host = SetPool {
            virtual_host: Some(true),
            ..SetPool::default()
        };
        let bucket = || s3("http://host/bucket", "/k");
        for (location, way) in [
            (directory, way("/k")),
            (bucket(), SetPool::default()),
            (bucket(), way("keys")),
            (bucket(), way("")),
            (bucket(), interface),
            (v1.clone(), host),
            (v1, region),
        ] {
            let before = from_api(location).expect("it is good");
            assert!(changed(&before, &way).is_err(), "{before:?} {way:?}");
        }
    }
}
