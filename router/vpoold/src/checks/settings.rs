//! Settings that are known to end badly on this host.
//!
//! Owns: what they are compared with. Does not own: the settings.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vpool_api::{Check, CheckState, size};

use crate::config::Settings;

/// Of a host's memory more is never left for long.
const MEMORY_PARTS_MAX: (u64, u64) = (3, 4);

/// Compares them with what there is.
pub(super) fn checks(data_dir: &Path, settings: &Settings) -> Vec<Check> {
    let used =
        space_of(&data_dir.join("journal")).saturating_add(space_of(&data_dir.join("cache")));
    let space = match rustix::fs::statvfs(data_dir) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            check_space(settings, free, used)
        }
        Err(error) => {
            let detail = format!("the space in {} is not known: {error}", data_dir.display());
            Check::new("journal_space", CheckState::Skipped, detail)
        }
    };
    let memory = fs::read_to_string("/proc/meminfo");
    let memory = match memory.ok().as_deref().and_then(memory_total) {
        Some(total) => check_memory(settings.memory_bytes, total),
        None => Check::new(
            "memory",
            CheckState::Skipped,
            "the host's memory is not known",
        ),
    };
    vec![space, memory]
}

fn check_space(settings: &Settings, free: u64, used: u64) -> Check {
    const CODE: &str = "journal_space";
    let [journal, cache] = [settings.journal_bytes, settings.cache_bytes].map(size::format);
    let wanted = settings.journal_bytes.saturating_add(settings.cache_bytes);
    let there = free.saturating_add(used);
    let detail = format!(
        "journal_size {journal} and cache_size {cache}; they take {}, and {} are free",
        size::format(used),
        size::format(free)
    );
    let remedy = "give less by journal_size and cache_size, or make room";
    if there < settings.journal_bytes {
        Check::new(CODE, CheckState::Wrong, detail).with_remedy(remedy)
    } else if there < wanted {
        Check::new(CODE, CheckState::Warning, detail).with_remedy(remedy)
    } else {
        Check::ok(CODE, detail)
    }
}

fn check_memory(wanted: u64, total: u64) -> Check {
    let detail = format!("memory {} of {}", size::format(wanted), size::format(total));
    let most = total / MEMORY_PARTS_MAX.1 * MEMORY_PARTS_MAX.0;
    match wanted > most {
        true => Check::new("memory", CheckState::Warning, detail)
            .with_remedy("give less by memory: the kernel, and virtual machines, need some too"),
        false => Check::ok("memory", detail),
    }
}

/// `MemTotal` in bytes.
fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// What the files of a directory take; those that go meanwhile take nothing.
fn space_of(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let found = files.filter_map(|file| file.metadata().ok());
    found
        .filter(fs::Metadata::is_file)
        .map(|file| file.blocks().saturating_mul(512))
        .sum()
}

#[cfg(test)]
mod tests {
    //! What is too much.

    use super::{check_memory, check_space, memory_total};
    use crate::config::{Settings, Sources};
    use std::collections::BTreeMap;
    use vpool_api::CheckState;

    #[test]
    fn space() {
        let flags = [("journal_size", "4G"), ("cache_size", "4G")];
        let flags: BTreeMap<&'static str, String> = flags
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let effective = Sources::of_flags(flags).read().expect("they are good");
        let settings = Settings::new(&effective, false).expect("they go together");
        for (free, used, state) in [
            (9 << 30, 0, CheckState::Ok),
            (1 << 30, 7 << 30, CheckState::Ok),
            (5 << 30, 0, CheckState::Warning),
            (1 << 30, 2 << 30, CheckState::Wrong),
            (u64::MAX, u64::MAX, CheckState::Ok),
        ] {
            let check = check_space(&settings, free, used);
            assert_eq!(check.state, state, "{check:?}");
        }
    }

    #[test]
    fn memory() {
        assert_eq!(
            memory_total("MemFree: 1 kB\nMemTotal:   2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(memory_total("MemTotal: much\n"), None);
        assert_eq!(check_memory(3 << 20, 4 << 20).state, CheckState::Ok);
        assert_eq!(
            check_memory((3 << 20) + 1, 4 << 20).state,
            CheckState::Warning
        );
    }
}
