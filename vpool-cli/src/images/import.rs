//! `vpool disk import`.
//!
//! Owns: finding out what the source is, the steps from it to a disk. Does not own: each step.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::pin;

use hyper::Method;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Stdin};
use vpool_api::limits::{DISK_BYTES_MAX, SECTOR_BYTES};
use vpool_api::names::DiskPath;
use vpool_api::{Code, CreateDisk, Disk, Problem, Task, size};

use super::checksum::of_disk;
use super::draft::Draft;
use super::header::{HEAD_BYTES, check_alone, detect};
use super::nbd;
use super::place::Place;
use super::{Image, io, note, qemu, stream};
use crate::arguments::image::{ImageFormat, Import};
use crate::arguments::shared::Waiting;
use crate::client::Client;
use crate::disks::{DISKS, one_pool, path};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::signals::interruptible;
use crate::tasks;

/// How often a sync is begun again that ended with the daemon.
const SYNCS_MAX: usize = 5;

/// Where an image comes from, once it is known what it is.
enum Source {
    /// QEMU can read it where it is.
    Image {
        place: Place,
        /// Its size in bytes.
        size: u64,
        /// A copy that goes away with this value.
        _copy: Option<NamedTempFile>,
    },
    /// Raw bytes that come once.
    Stream {
        /// The first of them.
        first: Vec<u8>,
        /// The others.
        input: Stdin,
        /// How many there are, where that is known.
        size: Option<u64>,
    },
}

/// Imports and prints.
pub(crate) async fn import(
    client: &Client,
    output: &Output,
    import: Import,
) -> Result<(), Failure> {
    let pool = one_pool(&import.disk, import.pool.clone())?;
    let named = DiskPath {
        pool: pool.clone(),
        name: import.disk.name.clone(),
    };
    let (source, format) = interruptible(async {
        check_free(client, &named).await?;
        source(&import).await
    })
    .await?;
    let size_bytes = disk_size(&import, &source)?;
    let request = CreateDisk {
        pool,
        name: named.name,
        size_bytes,
        encrypt: import.encrypt,
    };
    if import.change.dry_run {
        let would = client.change::<Disk>(Method::POST, DISKS, &request, true);
        return output.changed(would.await?, |_: &Disk| Ok(()));
    }
    let mut creating = pin!(Draft::create(client, &request));
    let draft = match interruptible(creating.as_mut()).await {
        Ok(draft) => draft,
        Err(failure) => {
            // A daemon that was asked makes it to the end, whoever waits.
            if failure.exit() == Exit::Interrupted
                && let Ok(draft) = creating.await
            {
                draft.delete().await;
            }
            return Err(failure);
        }
    };
    let filled = interruptible(fill(client, &import, source, format, size_bytes, &draft));
    match filled.await {
        Ok(image) => output.show(&image, |image| image.text("is imported")),
        Err(failure) => {
            draft.delete().await;
            Err(failure)
        }
    }
}

/// Refuses a name that is taken before any work is done.
async fn check_free(client: &Client, disk: &DiskPath) -> Result<(), Failure> {
    match client.get::<Disk>(&path(disk, "")).await {
        Ok(found) => {
            let message = format!("disk {}:{} exists already", found.pool, found.name);
            Err(Failure::new(Exit::Conflict, message))
        }
        Err(failure) if failure.exit() == Exit::NotFound => Ok(()),
        // Disks of this name in several pools: the daemon says which pool it takes, if any.
        Err(failure) if failure.exit() == Exit::Usage && disk.pool.is_none() => Ok(()),
        Err(failure) => Err(failure),
    }
}

async fn source(import: &Import) -> Result<(Source, ImageFormat), Failure> {
    if import.source == "-" {
        return from_input(import).await;
    }
    if let Some(place) = Place::from_uri(&import.source) {
        if import
            .format
            .is_some_and(|format| format != ImageFormat::Raw)
        {
            return Err(Failure::usage("what comes over NBD is raw"));
        }
        let place = place?;
        let size = qemu::size(&place, false).await?;
        let image = Source::Image {
            place,
            size,
            _copy: None,
        };
        return Ok((image, ImageFormat::Raw));
    }
    from_file(Path::new(&import.source), import, None).await
}

/// A file, or a copy of what came in.
async fn from_file(
    path: &Path,
    import: &Import,
    copy: Option<NamedTempFile>,
) -> Result<(Source, ImageFormat), Failure> {
    let shown = path.display().to_string();
    let found = std::fs::metadata(path).map_err(|error| io(&shown, &error))?;
    let kind = found.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Failure::usage(format!("{shown} is no file"))
            .with_hint("an image from a pipe is imported as `-` from the standard input"));
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head))
        .map_err(|error| io(&shown, &error))?;
    let format = import.format.unwrap_or_else(|| detect(&head));
    if !import.allow_backing {
        check_alone(&head, format).map_err(|why| {
            Failure::failed(format!(
                "{shown} is not a whole {} image: {why}",
                format.name()
            ))
            .with_hint(
                "if you made it yourself: --allow-backing, or `qemu-img convert` it into one file",
            )
        })?;
    }
    let place = Place::file(path, format, kind.is_block_device())?;
    // QEMU would round a raw file's length up and say nothing.
    let size = match format == ImageFormat::Raw && kind.is_file() {
        true => found.len(),
        false => {
            let size = qemu::size(&place, import.allow_backing).await?;
            if format != ImageFormat::Raw {
                qemu::check(&place, size).await?;
            }
            size
        }
    };
    let image = Source::Image {
        place,
        size,
        _copy: copy,
    };
    Ok((image, format))
}

async fn from_input(import: &Import) -> Result<(Source, ImageFormat), Failure> {
    // Before anything is read of it.
    let size = input_size();
    let mut input = stream::input()?;
    let mut first = Vec::new();
    let mut head = (&mut input).take(HEAD_BYTES as u64);
    head.read_to_end(&mut first)
        .await
        .map_err(|error| io("cannot read the input", &error))?;
    let format = import.format.unwrap_or_else(|| detect(&first));
    if format == ImageFormat::Raw {
        return Ok((Source::Stream { first, input, size }, format));
    }
    note(&format!(
        "{} cannot be read from a pipe: it is copied to {} first",
        format.name(),
        std::env::temp_dir().display()
    ));
    let failed =
        |error| io("cannot copy the image", &error).with_hint("TMPDIR says where copies are made");
    let copy = tempfile::Builder::new()
        .prefix("vpool-import-")
        .tempfile()
        .map_err(failed)?;
    let file = copy.reopen().map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    file.write_all(&first).await.map_err(failed)?;
    tokio::io::copy(&mut input, &mut file)
        .await
        .map_err(failed)?;
    file.flush().await.map_err(failed)?;
    let path = copy.path().to_owned();
    from_file(&path, import, Some(copy)).await
}

/// How much there is to read on the standard input, where it is a file.
fn input_size() -> Option<u64> {
    let stdin = std::io::stdin();
    let found = rustix::fs::fstat(&stdin).ok()?;
    let file = rustix::fs::FileType::from_raw_mode(found.st_mode).is_file();
    let at = rustix::fs::tell(&stdin).ok()?;
    let size = u64::try_from(found.st_size).ok()?;
    file.then(|| size.saturating_sub(at))
}

/// The new disk's size: what was asked for, else the image's in whole sectors, else all there can
/// be, which costs nothing.
fn disk_size(import: &Import, source: &Source) -> Result<u64, Failure> {
    let image = match source {
        Source::Image { size, .. } => Some(*size),
        Source::Stream { size, .. } => *size,
    };
    let wanted = match (import.size, image) {
        (Some(wanted), Some(image)) if wanted < image => {
            return Err(Failure::usage(format!(
                "the image has {image} bytes, the disk would have {wanted}"
            )));
        }
        (Some(wanted), _) => wanted,
        (None, Some(image)) => in_sectors(image),
        (None, None) => DISK_BYTES_MAX,
    };
    size::check_disk(wanted).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(wanted)
}

/// Rounded up to whole sectors, with a note.
fn in_sectors(image: u64) -> u64 {
    match image.checked_next_multiple_of(SECTOR_BYTES) {
        Some(size) if size != image => {
            note(&format!(
                "the image has {image} bytes; the disk gets {size}"
            ));
            size
        }
        _ => image,
    }
}

/// All steps from an empty draft to a disk with its name.
async fn fill(
    client: &Client,
    import: &Import,
    source: Source,
    format: ImageFormat,
    size: u64,
    draft: &Draft,
) -> Result<Image, Failure> {
    let connection = draft.connection().await?;
    client.check_data_is_here(&connection).await?;
    let place = Place::disk(&connection);
    let disk = nbd::Disk::new(&connection);
    let (mut size, mut came, mut cut) = (size, None, false);
    match source {
        Source::Image {
            place: image,
            size: bytes,
            _copy,
        } => {
            qemu::fill(&image, &place, bytes).await?;
            if import.compare && !qemu::equal(&image, &place, bytes).await? {
                return Err(differs());
            }
        }
        Source::Stream {
            first,
            input,
            size: known,
        } => {
            let stream = stream::fill(&disk, first, input, size).await?;
            if known.is_some_and(|known| known != stream.bytes) || stream.bytes == 0 {
                let message = format!("the input ended after {} bytes", stream.bytes);
                return Err(Failure::failed(message));
            }
            if import.size.is_none() && known.is_none() {
                size = in_sectors(stream.bytes);
                cut = true;
            }
            came = Some(stream.sum);
        }
    }
    // Its connections end here: a disk that clients have is not cut or renamed.
    let wanted = !import.no_checksum || (import.compare && came.is_some());
    let blake3 = match wanted {
        true => Some(of_disk(&disk, size).await?),
        false => None,
    };
    drop(disk);
    if import.compare
        && let Some(came) = came
        && blake3 != Some(came.of_size(size))
    {
        return Err(differs());
    }
    if cut {
        draft.shrink(size).await?;
    }
    sync(client, draft).await?;
    let disk = draft.finish().await?;
    Ok(Image {
        disk: format!("{}:{}", disk.pool, disk.name),
        size_bytes: disk.size_bytes,
        format: format.name(),
        blake3: blake3.filter(|_| !import.no_checksum),
        compared: import.compare,
    })
}

fn differs() -> Failure {
    Failure::failed("the disk differs from the image; it is not kept")
}

/// Returns when the draft is in the store, also where the daemon is started anew meanwhile.
async fn sync(client: &Client, draft: &Draft) -> Result<(), Failure> {
    let client = client.patient();
    let path = path(draft.path(), "/sync");
    for _ in 0..SYNCS_MAX {
        let task: Task = client.make(Method::POST, &path, &()).await?;
        let task = tasks::ended(&client, task, Waiting::default()).await?;
        let interrupted = |problem: &Problem| problem.code == Code::Interrupted;
        if !task.problem.as_ref().is_some_and(interrupted) {
            return tasks::outcome(task).map(drop);
        }
    }
    Err(Failure::failed(
        "the daemon ended again and again while the disk was synced",
    ))
}
