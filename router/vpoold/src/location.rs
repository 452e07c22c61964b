//! Locations, between the API's form and the metadata's.
//!
//! Owns: the conversion both ways, and what may stand in a location. Does not own: opening
//! one (`stores.rs`).

use std::path::Path;

use vpool_api as api;
use vpool_api::{Code, Problem};
use vpool_metadata::Location;

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
    }
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
    }
}

/// `URL/BUCKET/PREFIX`.
pub(crate) fn url(endpoint: &str, bucket: &str, prefix: &str) -> String {
    match prefix {
        "" => format!("{endpoint}/{bucket}"),
        prefix => format!("{endpoint}/{bucket}/{prefix}"),
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

    use super::{from_api, to_api};
    use vpool_api::Location;

    fn s3(url: &str, credentials_file: &str) -> Location {
        Location::S3 {
            url: url.into(),
            credentials_file: credentials_file.into(),
            region: Some("eu".into()),
            ca_file: Some("/ca".into()),
            virtual_host: true,
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
        ] {
            assert!(from_api(location.clone()).is_err(), "{location:?}");
        }
    }
}
