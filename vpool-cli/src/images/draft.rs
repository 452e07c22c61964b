//! A disk that is being filled, under a name that says so.
//!
//! Owns: its name, giving it the final one, taking it away. Does not own: what fills it.

use std::time::{Duration, Instant};

use hyper::Method;
use vpool_api::names::{self, DiskPath};
use vpool_api::{Connection, CreateDisk, Disk, RenameDisk, ResizeDisk, Resized};

use crate::client::{Client, random_hex};
use crate::disks::{DISKS, path};
use crate::failure::{Exit, Failure, say};

/// Between the disk's name and what makes the draft's its own.
const INFIX: &str = ".importing-";

/// Hexadecimal digits behind it.
const DIGITS: usize = 8;

/// How long a daemon may take to notice that the last client has gone.
const IN_USE_TIME_MAX: Duration = Duration::from_secs(15);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether a disk's name is that of a draft.
pub(crate) fn is_draft(name: &str) -> bool {
    name.rsplit_once(INFIX).is_some_and(|(before, digits)| {
        let digit = |byte: u8| byte.is_ascii_hexdigit();
        !before.is_empty() && digits.len() == DIGITS && digits.bytes().all(digit)
    })
}

/// The disk.
#[derive(Debug)]
pub(super) struct Draft {
    client: Client,
    path: DiskPath,
    final_name: String,
    /// Its own, whatever its name.
    id: String,
}

impl Draft {
    /// Makes it; `request` is that for the disk as it will be.
    pub(super) async fn create(client: &Client, request: &CreateDisk) -> Result<Draft, Failure> {
        let name = format!("{}{INFIX}{}", request.name, random_hex::<{ DIGITS / 2 }>()?);
        names::check_disk(&name).map_err(|error| {
            let message = format!("the name is too long for an import: {error}");
            Failure::usage(message).with_hint("import it under a shorter name, then rename it")
        })?;
        let final_name = request.name.clone();
        let request = CreateDisk {
            name,
            ..request.clone()
        };
        let made = client.make::<Disk>(Method::POST, DISKS, &request).await;
        let disk = match made {
            // Nobody else makes one of this name: the daemon was killed between both.
            Err(failure) if failure.exit() == Exit::Conflict => {
                let own = DiskPath {
                    pool: request.pool.clone(),
                    name: request.name.clone(),
                };
                let found = client.get::<Disk>(&path(&own, "")).await;
                found.map_err(|_| failure)?
            }
            made => made?,
        };
        Ok(Draft {
            client: client.patient(),
            path: DiskPath {
                pool: Some(disk.pool),
                name: disk.name,
            },
            final_name,
            id: disk.id,
        })
    }

    /// Its name.
    pub(super) fn path(&self) -> &DiskPath {
        &self.path
    }

    /// Where it is served.
    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        self.client.get(&path(&self.path, "/connection")).await
    }

    /// Cuts it to a smaller size.
    pub(super) async fn shrink(&self, size_bytes: u64) -> Result<(), Failure> {
        let request = ResizeDisk {
            size_bytes,
            shrink: true,
        };
        let resize = || async {
            let path = path(&self.path, "/resize");
            let resized: Resized = self.client.make(Method::POST, &path, &request).await?;
            Ok(resized)
        };
        once_unused(resize).await.map(drop)
    }

    /// Gives it its final name.
    pub(super) async fn finish(&self) -> Result<Disk, Failure> {
        let request = RenameDisk {
            name: self.final_name.clone(),
        };
        let renamed = once_unused(|| async {
            let path = path(&self.path, "/rename");
            self.client.make(Method::POST, &path, &request).await
        });
        match renamed.await {
            // The daemon was killed when it had done it, and had not said so.
            Err(failure) if failure.exit() == Exit::NotFound => {
                let renamed = DiskPath {
                    pool: self.path.pool.clone(),
                    name: self.final_name.clone(),
                };
                match self.client.get::<Disk>(&path(&renamed, "")).await {
                    Ok(disk) if disk.id == self.id => Ok(disk),
                    _ => Err(failure),
                }
            }
            renamed => renamed,
        }
    }

    /// Takes it away; where that is not possible a person is told.
    pub(super) async fn delete(&self) {
        let deleted = once_unused(|| async {
            let path = path(&self.path, "");
            self.client.make::<()>(Method::DELETE, &path, &()).await
        });
        match deleted.await {
            Ok(()) => {}
            // A deletion whose answer was lost with the daemon that gave it.
            Err(failure) if failure.exit() == Exit::NotFound => {}
            Err(failure) => say(&format!(
                "vpool: the half-filled disk {} is left ({}): vpool disk delete '{}'",
                self.path,
                failure.message(),
                self.path
            )),
        }
    }
}

/// Asks again while the disk is in use: the client that has just gone may still count.
async fn once_unused<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(failure)
                if failure.exit() == Exit::Conflict && begun.elapsed() < IN_USE_TIME_MAX =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Which names are drafts'.

    use super::is_draft;

    #[test]
    fn names_of_drafts() {
        assert!(is_draft("vm/a.importing-0123abcd"));
        for other in [
            "vm/a",
            ".importing-0123abcd",
            "a.importing-",
            "a.importing-0123abc",
            "a.importing-0123abcg",
            "a.importing-0123abcd.old",
        ] {
            assert!(!is_draft(other), "{other}");
        }
    }
}
