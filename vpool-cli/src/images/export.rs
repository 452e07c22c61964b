//! `vpool disk export`.
//!
//! Owns: the steps from a disk to an image. Does not own: each step.

use std::fs::{self, File};
use std::io::{ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use vpool_api::{Connection, Disk};

use super::checksum::of_disk;
use super::nbd;
use super::place::Place;
use super::{Image, io, note, qemu, stream};
use crate::arguments::image::{Export, ImageFormat};
use crate::client::{Client, random_hex};
use crate::disks::path;
use crate::failure::{Exit, Failure, say};
use crate::output::Output;
use crate::signals::interruptible;

/// Exports and prints.
pub(crate) async fn export(
    client: &Client,
    output: &Output,
    export: Export,
) -> Result<(), Failure> {
    interruptible(async {
        let disk: Disk = client.get(&path(&export.disk, "")).await?;
        let connection: Connection = client.get(&path(&export.disk, "/connection")).await?;
        client.check_data_is_here(&connection).await?;
        if disk.attached > 0 {
            note(&format!(
                "the disk has {} client(s): what they write meanwhile is in the image or is not",
                disk.attached
            ));
        }
        if disk.encrypted {
            note("the disk is encrypted, the image is not");
        }
        match export.target.as_str() {
            "-" => to_output(&export, &disk, &connection).await,
            target => {
                let image = to_file(Path::new(target), &export, &disk, &connection).await?;
                output.show(&image, |image| image.text("is exported"))
            }
        }
    })
    .await
}

/// A file that is not whole yet; it goes away unless it is kept.
struct Draft(Option<PathBuf>);

impl Draft {
    fn beside(target: &Path) -> Result<Draft, Failure> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let draft = format!(".{name}.exporting-{}", random_hex::<4>()?);
        let path = std::path::absolute(target.with_file_name(draft))
            .map_err(|error| io(&target.display().to_string(), &error))?;
        Ok(Draft(Some(path)))
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it its name, once all of it is on the disk. What has the name by now is replaced only
    /// with `force`.
    fn keep(mut self, target: &Path, force: bool) -> Result<(), Failure> {
        let named = |error| io(&target.display().to_string(), &error);
        File::open(self.path())
            .and_then(|file| file.sync_all())
            .map_err(named)?;
        let kept = match force {
            true => Err(Errno::NOSYS),
            false => renameat_with(CWD, self.path(), CWD, target, RenameFlags::NOREPLACE),
        };
        match kept {
            Ok(()) => {}
            // Not every file system can look and rename at once.
            Err(Errno::NOSYS | Errno::INVAL | Errno::EXIST) => {
                check_target(target, force)?;
                fs::rename(self.path(), target).map_err(named)?;
            }
            Err(error) => return Err(named(error.into())),
        }
        self.0 = None;
        let directory = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(named)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(path) = &self.0 else {
            return;
        };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                say(&format!("vpool: {} is left: {error}", path.display()));
            }
            _ => {}
        }
    }
}

async fn to_file(
    target: &Path,
    export: &Export,
    disk: &Disk,
    connection: &Connection,
) -> Result<Image, Failure> {
    check_target(target, export.force)?;
    let draft = Draft::beside(target)?;
    let blake3 = write(draft.path(), export, disk, connection).await?;
    draft.keep(target, export.force)?;
    Ok(Image {
        disk: format!("{}:{}", disk.pool, disk.name),
        size_bytes: disk.size_bytes,
        format: export.format.name(),
        blake3,
        compared: export.compare,
    })
}

/// Writes an image; the answer is the checksum of what the disk held.
async fn write(
    image: &Path,
    export: &Export,
    disk: &Disk,
    connection: &Connection,
) -> Result<Option<String>, Failure> {
    let (place, size) = (Place::disk(connection), disk.size_bytes);
    qemu::write(&place, image, export.format, size).await?;
    if export.compare {
        let written = Place::file(image, export.format, false)?;
        if !qemu::equal(&place, &written, size).await? {
            return Err(
                Failure::failed("the image differs from the disk; it is not kept")
                    .with_hint("a disk that clients write differs from any image of it"),
            );
        }
    }
    match export.no_checksum {
        true => Ok(None),
        false => of_disk(&nbd::Disk::new(connection), size).await.map(Some),
    }
}

/// Refuses what would be lost, and what is no place for a file.
fn check_target(target: &Path, force: bool) -> Result<(), Failure> {
    let shown = target.display().to_string();
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => match target.file_name() {
            Some(_) => Ok(()),
            None => Err(Failure::usage(format!("{shown} is no name for a file"))),
        },
        Err(error) => Err(io(&shown, &error)),
        Ok(found) if !found.is_file() => Err(Failure::usage(format!("{shown} is no file"))),
        Ok(_) if !force => Err(
            Failure::new(Exit::Conflict, format!("{shown} exists already"))
                .with_hint("--force replaces it"),
        ),
        Ok(_) => Ok(()),
    }
}

async fn to_output(export: &Export, disk: &Disk, connection: &Connection) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the standard output is a terminal: an image is not for it",
        ));
    }
    if export.format == ImageFormat::Raw {
        if export.compare {
            return Err(Failure::usage(
                "what goes to the standard output cannot be compared",
            ));
        }
        let source = nbd::Disk::new(connection);
        let sum = stream::pour(&source, disk.size_bytes).await?;
        if !export.no_checksum {
            say(&format!("blake3: {sum}"));
        }
        return Ok(());
    }
    note(&format!(
        "{} cannot be written to a pipe: it is made in {} first",
        export.format.name(),
        std::env::temp_dir().display()
    ));
    let failed =
        |error| io("cannot make the image", &error).with_hint("TMPDIR says where copies are made");
    let directory = tempfile::Builder::new()
        .prefix("vpool-export-")
        .tempdir()
        .map_err(failed)?;
    let image = directory.path().join("image");
    let blake3 = write(&image, export, disk, connection).await?;
    let mut file = File::open(&image).map_err(failed)?;
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block).map_err(failed)? {
            0 => break,
            length => stream::give(&block[..length])?,
        }
        // So that a signal is heard.
        tokio::task::yield_now().await;
    }
    blake3.iter().for_each(|sum| say(&format!("blake3: {sum}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What is replaced, and what is left of a draft.

    use super::{Draft, check_target};
    use std::fs;
    use std::path::Path;

    #[test]
    fn targets() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a");
        assert!(check_target(&file, false).is_ok());
        fs::write(&file, "x").expect("write");
        assert!(check_target(&file, false).is_err());
        assert!(check_target(&file, true).is_ok());
        for bad in [
            directory.path(),
            Path::new("/dev/null"),
            Path::new("/nowhere/.."),
        ] {
            assert!(check_target(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn drafts_go_away_or_get_their_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("a");
        let draft = Draft::beside(&target).expect("a name");
        fs::write(draft.path(), "half").expect("write");
        drop(draft);
        let left = || fs::read_dir(directory.path()).expect("list").count();
        assert_eq!(left(), 0);
        let draft = Draft::beside(&target).expect("a name");
        fs::write(draft.path(), "whole").expect("write");
        draft.keep(&target, false).expect("kept");
        let read = || fs::read(&target).expect("read");
        assert_eq!((left(), read()), (1, b"whole".to_vec()));
        // Somebody else took the name meanwhile.
        let draft = Draft::beside(&target).expect("a name");
        fs::write(draft.path(), "another").expect("write");
        assert!(draft.keep(&target, false).is_err());
        assert_eq!((left(), read()), (1, b"whole".to_vec()));
        let draft = Draft::beside(&target).expect("a name");
        fs::write(draft.path(), "another").expect("write");
        draft.keep(&target, true).expect("kept");
        assert_eq!((left(), read()), (1, b"another".to_vec()));
    }
}
