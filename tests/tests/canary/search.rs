//! Looking for bytes where they must not be.
//!
//! Owns: what is looked for, and in which files, processes and objects. Does not own: how they
//! got there (`main.rs`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use vpool_object::{Listed, ObjectStore};
use vpool_tests::daemon::{Daemon, World};

/// A secret and what it is called.
pub(crate) struct Needle {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) secret: bool,
}

/// The grid's key in the forms that it might have.
pub(crate) fn key_needles(key_file: &Path) -> anyhow::Result<Vec<Needle>> {
    let text = fs::read_to_string(key_file).context("read grid.key")?;
    let hex = text.split_whitespace().nth(1).context("a key file")?;
    ensure!(
        hex.len() == 64 && hex.is_ascii(),
        "another form of grid.key"
    );
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let raw: Result<Vec<u8>, _> = (0..64).step_by(2).map(digit).collect();
    let raw = raw.context("hex")?;
    Ok(vec![
        Needle::secret("the grid key in hex", hex.as_bytes()),
        Needle::secret("the grid key in upper case", hex.to_uppercase().as_bytes()),
        Needle::secret("the grid key in base64", base64(&raw).as_bytes()),
        Needle::secret("the grid key in raw form", &raw),
    ])
}

/// Without the padding, and what stands just before it.
fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks_exact(3) {
        let word = three
            .iter()
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(digits[word >> shift & 63]));
        }
    }
    text
}

impl Needle {
    pub(crate) fn secret(name: &'static str, bytes: &[u8]) -> Needle {
        Needle {
            name,
            bytes: bytes.to_vec(),
            secret: true,
        }
    }

    /// One that must be found: it proves that the search finds.
    pub(crate) fn open(name: &'static str, bytes: &[u8]) -> Needle {
        Needle {
            secret: false,
            ..Needle::secret(name, bytes)
        }
    }
}

/// What a search came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Searched {
    /// Whether what is not secret was found.
    pub(crate) found_open: bool,
    /// Files or objects.
    pub(crate) count: usize,
}

/// A text in the forms that it might have: as it is, and in base64 at each of the three places that
/// it may have in what was encoded.
pub(crate) fn text_needles(name: &'static str, text: &str) -> Vec<Needle> {
    let mut needles = vec![Needle::secret(name, text.as_bytes())];
    for skipped in 0..3 {
        // What shares a digit with what stands before or behind is left out.
        let encoded = base64(&text.as_bytes()[skipped..]);
        needles.push(Needle::secret(name, encoded.as_bytes()));
    }
    needles
}

/// Where secrets belong.
const BOXES: [&str; 2] = ["grid.key", "api.token"];

/// Looks into every file but those.
pub(crate) fn search(world: &World, needles: &[Needle]) -> anyhow::Result<Searched> {
    let mut files = vec![world.log()];
    collect(world.data(), &mut files)?;
    let mut found_open = false;
    let boxed = |path: &&PathBuf| BOXES.iter().any(|name| path.ends_with(name));
    for path in files.iter().filter(|path| !boxed(path)) {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(mut file) => found_open |= look(&name, &mut file, needles)?,
            // Files of the caches come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(name),
        }
    }
    Ok(Searched {
        found_open,
        count: files.len(),
    })
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Command line and environment.
pub(crate) fn of_process(daemon: &Daemon) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let read = |name: &str| -> anyhow::Result<_> {
        let path = format!("/proc/{}/{name}", daemon.pid());
        let bytes = fs::read(&path).with_context(|| path.clone())?;
        Ok((path, bytes))
    };
    Ok(vec![read("cmdline")?, read("environ")?])
}

/// Fails at the first secret in what is read; whether what is not secret was found.
pub(crate) fn look(name: &str, from: &mut dyn Read, needles: &[Needle]) -> anyhow::Result<bool> {
    let overlap = needles.iter().map(|needle| needle.bytes.len()).max();
    let overlap = overlap.context("something to look for")?;
    let mut window = vec![0; 1 << 20];
    let mut kept = 0;
    let mut found_open = false;
    loop {
        let bytes = from
            .read(&mut window[kept..])
            .with_context(|| name.to_owned())?;
        if bytes == 0 {
            return Ok(found_open);
        }
        let filled = &window[..kept + bytes];
        for needle in needles {
            let found = contains(filled, &needle.bytes);
            ensure!(!(found && needle.secret), "{} is in {name}", needle.name);
            found_open |= found;
        }
        // What begins at the end of this piece may end in the next.
        let end = kept + bytes;
        kept = end.min(overlap);
        window.copy_within(end - kept..end, 0);
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = (needle[0], &needle[1..]);
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts
        .into_iter()
        .any(|(at, _)| bytes[at + 1..].starts_with(rest))
}

/// Looks into every object of a store.
pub(crate) async fn search_store(
    store: &dyn ObjectStore,
    needles: &[Needle],
) -> anyhow::Result<Searched> {
    let (mut after, mut found_open, mut count) = (None, false, 0);
    loop {
        let page = store.list("", after.as_ref(), 1000).await?;
        for Listed { key, .. } in &page.objects {
            let bytes = store.get(key).await?;
            found_open |= look(&key.to_string(), &mut &bytes[..], needles)?;
            count += 1;
        }
        after = page.objects.last().map(|listed| listed.key.clone());
        if !page.more {
            break;
        }
    }
    ensure!(count > 0, "the store is empty");
    Ok(Searched { found_open, count })
}

#[cfg(test)]
mod tests {
    //! A secret is found wherever it is.

    use super::{Needle, look, text_needles};

    /// Pieces of odd lengths, so that all lies across them somewhere.
    struct Slow<'a>(&'a [u8], usize);

    impl std::io::Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let bytes = self.0.len().min(self.1).min(into.len());
            into[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_is() {
        let secret = "0123456789abcdef";
        let needles = text_needles("a", secret);
        for before in [0, 1, 15, 16, (1 << 20) - 7, 1 << 20, (2 << 20) - 1] {
            let mut bytes = vec![b'0'; before];
            bytes.extend_from_slice(secret.as_bytes());
            bytes.extend_from_slice(b"0123456789abcde");
            for step in [1 << 20, 65_537] {
                assert!(
                    look("x", &mut Slow(&bytes, step), &needles).is_err(),
                    "{before}"
                );
                let less = &bytes[..before + 15];
                assert!(!look("x", &mut Slow(less, step), &needles).expect("nothing"));
            }
        }
    }

    #[test]
    fn a_secret_in_base64_is_found_at_every_place() {
        let needles = text_needles("a", "canary-of-a-password");
        for encoded in [
            "Y2FuYXJ5LW9mLWEtcGFzc3dvcmQ=",
            // x: and xy: before it, as in HTTP's Basic.
            "eDpjYW5hcnktb2YtYS1wYXNzd29yZA==",
            "eHk6Y2FuYXJ5LW9mLWEtcGFzc3dvcmQ=",
            "eHl6OmNhbmFyeS1vZi1hLXBhc3N3b3Jk",
        ] {
            let mut bytes = encoded.as_bytes();
            assert!(look("x", &mut bytes, &needles).is_err(), "{encoded}");
        }
        let open = [Needle::open("b", b"open")];
        assert!(look("x", &mut &b"an open word"[..], &open).expect("no secret"));
    }
}
