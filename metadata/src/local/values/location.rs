//! The bytes of a pool's location.
//!
//! | kind | version | fields (`blob` = length 4, bytes; `[…]` = flag 1, and if it is 1 what follows) |
//! | --- | --- | --- |
//! | 0 directory | 1 | path blob |
//! | 1 S3 | 1 | endpoint, bucket, prefix, region, credentials file blobs, [CA file blob], path style 1 |
//! | 2 Swift | 2 | auth 1 (1, 3), auth URL, container, prefix, credentials file blobs, [region blob], interface 1 (0 public, 1 internal, 2 admin), [CA file blob] |

use super::{Reader, VERSION, put_blob, put_option};
use crate::{Location, Result, SwiftAuth, SwiftInterface};

/// Of pools on Swift: what knows none of them refuses them by their version.
pub(super) const SWIFT_VERSION: u16 = 2;

/// The version of the value that a location stands in.
pub(super) fn version(location: &Location) -> u16 {
    match location {
        Location::Directory(_) | Location::S3 { .. } => VERSION,
        Location::Swift { .. } => SWIFT_VERSION,
    }
}

pub(super) fn put(to: &mut Vec<u8>, location: &Location) {
    match location {
        Location::Directory(path) => {
            to.push(0);
            put_blob(to, path.as_bytes());
        }
        Location::S3 {
            endpoint,
            bucket,
            prefix,
            region,
            credentials_file,
            ca_file,
            path_style,
        } => {
            to.push(1);
            for text in [endpoint, bucket, prefix, region, credentials_file] {
                put_blob(to, text.as_bytes());
            }
            put_option(to, ca_file.as_ref(), |to, file| {
                put_blob(to, file.as_bytes())
            });
            to.push(u8::from(*path_style));
        }
        Location::Swift {
            auth,
            auth_url,
            container,
            prefix,
            region,
            interface,
            credentials_file,
            ca_file,
        } => {
            to.push(2);
            to.push(match auth {
                SwiftAuth::V1 => 1,
                SwiftAuth::V3 => 3,
            });
            for text in [auth_url, container, prefix, credentials_file] {
                put_blob(to, text.as_bytes());
            }
            put_option(to, region.as_ref(), |to, region| {
                put_blob(to, region.as_bytes())
            });
            to.push(match interface {
                SwiftInterface::Public => 0,
                SwiftInterface::Internal => 1,
                SwiftInterface::Admin => 2,
            });
            put_option(to, ca_file.as_ref(), |to, file| {
                put_blob(to, file.as_bytes())
            });
        }
    }
}

pub(super) fn take(from: &mut Reader<'_>) -> Result<Location> {
    Ok(match (from.version, from.array()?) {
        (VERSION, [0]) => Location::Directory(from.text()?),
        (VERSION, [1]) => Location::S3 {
            endpoint: from.text()?,
            bucket: from.text()?,
            prefix: from.text()?,
            region: from.text()?,
            credentials_file: from.text()?,
            ca_file: from.option(Reader::text)?,
            path_style: from.flag()?,
        },
        (SWIFT_VERSION, [2]) => take_swift(from)?,
        _ => return Err(from.damaged("a location of no known kind")),
    })
}

fn take_swift(from: &mut Reader<'_>) -> Result<Location> {
    let auth = match from.array()? {
        [1] => SwiftAuth::V1,
        [3] => SwiftAuth::V3,
        _ => return Err(from.damaged("an auth of no known kind")),
    };
    let (auth_url, container) = (from.text()?, from.text()?);
    let (prefix, credentials_file) = (from.text()?, from.text()?);
    let region = from.option(Reader::text)?;
    let interface = match from.array()? {
        [0] => SwiftInterface::Public,
        [1] => SwiftInterface::Internal,
        [2] => SwiftInterface::Admin,
        _ => return Err(from.damaged("an interface of no known kind")),
    };
    Ok(Location::Swift {
        auth,
        auth_url,
        container,
        prefix,
        region,
        interface,
        credentials_file,
        ca_file: from.option(Reader::text)?,
    })
}
