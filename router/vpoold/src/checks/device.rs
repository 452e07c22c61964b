//! The device that the journal is on.
//!
//! Owns: its file system, how long a sync takes, whether the page cache can be passed by. Does not own:
//! the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fstatfs};
use vpool_api::{Check, CheckState};

/// The only file that is made; its name goes as soon as it is open.
const FILE: &str = "doctor.tmp";

const BLOCK: usize = 4096;

/// So many are enough for a median, and so long is not exceeded for more.
const SYNCS_MAX: usize = 100;
const SYNC_TIME_MAX: Duration = Duration::from_secs(2);

/// An SSD that is one takes no longer for most of its syncs.
const SYNC_GOOD_MAX: Duration = Duration::from_millis(5);

/// File systems by the number that `statfs` gives them (linux/magic.h).
const LOST_AT_RESTART: [(u64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
const NOT_LOCAL: [(u64, &str); 5] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "CephFS"),
];

/// Looks at the device of a directory.
pub(super) fn checks(directory: &Path) -> Vec<Check> {
    let file = match nameless(directory) {
        Ok(file) => file,
        Err(error) => {
            let detail = format!("no file can be made in {}: {error}", directory.display());
            let check = Check::new("journal_sync", CheckState::Wrong, detail);
            return vec![check.with_remedy("make room, or mend its file system")];
        }
    };
    let found = [kind(&file, directory), sync(&file), direct(directory)];
    found.into_iter().collect()
}

/// A file that is gone when it is closed, or when the process ends.
fn nameless(directory: &Path) -> io::Result<File> {
    open(directory, OFlags::empty())
}

fn open(directory: &Path, flags: OFlags) -> io::Result<File> {
    let path = directory.join(FILE);
    let flags = i32::try_from((flags | OFlags::NOFOLLOW).bits())
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(&path);
    // Also where it was made and then not opened.
    match (std::fs::remove_file(&path), opened) {
        (Err(error), Ok(_)) => Err(error),
        (_, opened) => opened,
    }
}

fn kind(file: &File, directory: &Path) -> Check {
    const CODE: &str = "journal_file_system";
    let place = directory.display();
    let number = match fstatfs(file) {
        Ok(found) => found.f_type,
        Err(error) => {
            let detail = format!("the file system of {place} is not known: {error}");
            return Check::new(CODE, CheckState::Skipped, detail);
        }
    };
    // Some machines have it as a signed number of 32 bits.
    #[allow(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        clippy::unnecessary_cast,
        reason = "it is a name made of bits"
    )]
    let number = u64::from(number as u32);
    let named = |names: &[(u64, &'static str)]| {
        names
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(_, name)| *name)
    };
    if let Some(name) = named(&LOST_AT_RESTART) {
        let detail =
            format!("{place} is on {name}: what is acknowledged is lost with the host's power");
        return Check::new(CODE, CheckState::Wrong, detail)
            .with_remedy("data_dir belongs on a local SSD");
    }
    match named(&NOT_LOCAL) {
        Some(name) => Check::new(CODE, CheckState::Warning, format!("{place} is on {name}"))
            .with_remedy("data_dir belongs on a local SSD: every flush waits for it"),
        None => Check::ok(CODE, format!("{place} is on a local file system")),
    }
}

/// Blocks behind one another, each made durable, as a guest that flushes each write would have it.
fn sync(file: &File) -> Check {
    const CODE: &str = "journal_sync";
    let begun = Instant::now();
    let block = [0x5a; BLOCK];
    let mut times = Vec::new();
    while times.len() < SYNCS_MAX && begun.elapsed() < SYNC_TIME_MAX {
        let at = (times.len() * BLOCK) as u64;
        let one = Instant::now();
        if let Err(error) = file
            .write_all_at(&block, at)
            .and_then(|()| file.sync_data())
        {
            let check = Check::new(CODE, CheckState::Wrong, format!("a sync fails: {error}"));
            return check.with_remedy(
                "see the kernel's log (dmesg): the device or its file system is full or broken",
            );
        }
        times.push(one.elapsed());
    }
    times.sort_unstable();
    let middle = times[times.len() / 2];
    let most = times[times.len() - 1];
    let detail = format!(
        "a sync of 4 KiB takes {:.2} ms, {:.2} ms at most of {}",
        middle.as_secs_f64() * 1e3,
        most.as_secs_f64() * 1e3,
        times.len()
    );
    match middle > SYNC_GOOD_MAX {
        true => Check::new(CODE, CheckState::Warning, detail)
            .with_remedy("every flush takes so long: data_dir belongs on an SSD of its own, best with protection from power loss"),
        false => Check::ok(CODE, detail),
    }
}

/// Whether what is not read again soon can be written past the page cache.
fn direct(directory: &Path) -> Check {
    const CODE: &str = "direct_io";
    let mut bytes = vec![0_u8; 2 * BLOCK];
    let from = bytes.as_ptr().align_offset(BLOCK);
    let block = &mut bytes[from..from + BLOCK];
    block.fill(0x5a);
    let written = open(directory, OFlags::DIRECT).and_then(|file| file.write_all_at(block, 0));
    match written {
        Ok(()) => Check::ok(CODE, "files are written past the page cache"),
        Err(error) => {
            let detail = format!("files cannot be written past the page cache: {error}");
            Check::new(CODE, CheckState::Warning, detail).with_remedy(
                "what is shipped pushes what is read out of memory: ext4 and XFS can do it",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is found, and that nothing is left.

    use super::{FILE, checks, open};
    use rustix::fs::OFlags;
    use vpool_api::CheckState;

    #[test]
    fn a_directory_is_looked_at_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let found = checks(dir.path());
        let codes: Vec<&str> = found.iter().map(|check| check.code.as_str()).collect();
        assert_eq!(codes, ["journal_file_system", "journal_sync", "direct_io"]);
        for check in &found {
            let wrong = check.state != CheckState::Ok;
            assert_eq!(check.remedy.is_some(), wrong, "{check:?}");
        }
        assert!(found[1].detail.contains(" ms"), "{:?}", found[1]);
        let left = std::fs::read_dir(dir.path()).expect("it is there");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn where_nothing_can_be_made_is_said() {
        let found = checks(std::path::Path::new("/nowhere"));
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].code.as_str(), found[0].state),
            ("journal_sync", CheckState::Wrong)
        );
    }

    #[test]
    fn nobody_leads_it_elsewhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let other = dir.path().join("other");
        std::fs::write(&other, "kept").expect("a file");
        std::os::unix::fs::symlink(&other, dir.path().join(FILE)).expect("a link");
        assert!(open(dir.path(), OFlags::empty()).is_err());
        assert_eq!(
            std::fs::read_to_string(&other).expect("it is there"),
            "kept"
        );
    }

    #[test]
    fn memory_is_no_device() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let found = checks(dir.path());
        assert_eq!(found[0].state, CheckState::Wrong, "{found:?}");
    }
}
