//! Writes, cuts and reads some files at random, and knows what they hold.
//!
//! Owns: the operations, and what a file must hold at any time and after a crash. Does not own:
//! the file system, nor when it is torn away (the tests).
//!
//! After a crash a byte that nothing touched since the last sync of its file must be as it was
//! then; of the others, and of a length that was changed since, nothing is promised.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use serde::Serialize;

/// Files at once.
const FILES: usize = 4;

/// No file grows beyond.
const FILE_BYTES_MAX: usize = 1 << 20;

/// No write, read or hole is longer.
const OPERATION_BYTES_MAX: usize = 96 << 10;

/// How many operations were done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Done {
    /// Writes, holes, zeroed ranges and changes of length.
    pub changes: u64,
    /// Reads that were compared.
    pub reads: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
}

impl Done {
    /// All operations.
    pub fn operations(&self) -> u64 {
        self.changes + self.reads + self.syncs
    }
}

/// Some files, and what they hold.
#[derive(Debug)]
pub struct Exerciser {
    rng: ChaCha8Rng,
    files: Vec<Model>,
    done: Done,
}

/// How it went on until it ended.
#[derive(Debug)]
pub enum Step {
    /// An operation is done, and what it read was right.
    Done,
    /// The file system failed, as it does without a disk.
    Failed(io::Error),
}

/// One file.
#[derive(Debug)]
struct Model {
    name: String,
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Of each byte, since the last sync.
    touched: Vec<bool>,
    resized: bool,
}

impl Exerciser {
    /// For files that are made by [`start`](Self::start).
    pub fn new(seed: u64) -> Exerciser {
        let files = (0..FILES).map(|number| Model {
            name: format!("exercised-{number}"),
            now: Vec::new(),
            synced: Vec::new(),
            touched: vec![false; FILE_BYTES_MAX],
            resized: false,
        });
        Exerciser {
            rng: ChaCha8Rng::seed_from_u64(seed),
            files: files.collect(),
            done: Done::default(),
        }
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done
    }

    /// Makes the files in `directory`, synced with their names, and opens them.
    pub fn start(&self, directory: &Path) -> anyhow::Result<Open> {
        for model in &self.files {
            let file = File::create(directory.join(&model.name)).context("make a file")?;
            file.sync_all().context("sync a file")?;
        }
        let names = File::open(directory).context("open the directory")?;
        names.sync_all().context("sync the directory")?;
        self.open(directory)
    }

    /// Compares the files with what they may hold after a crash, takes what they do hold, and
    /// opens them. The answer's second part is how many bytes had to be as they are.
    pub fn check(&mut self, directory: &Path) -> anyhow::Result<(Open, u64)> {
        let mut bound = 0;
        for model in &mut self.files {
            let path = directory.join(&model.name);
            let mut held = Vec::new();
            let mut file = File::open(&path).with_context(|| model.name.clone())?;
            file.read_to_end(&mut held)
                .with_context(|| model.name.clone())?;
            bound += model.check(&held).with_context(|| model.name.clone())?;
            // Reading through to the disk is what makes it the state from now on.
            file.sync_all().context("sync a file")?;
            model.now = held;
            model.settle();
        }
        Ok((self.open(directory)?, bound))
    }

    fn open(&self, directory: &Path) -> anyhow::Result<Open> {
        let open = |model: &Model| -> anyhow::Result<File> {
            let path: PathBuf = directory.join(&model.name);
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .with_context(|| path.display().to_string())
        };
        let files: anyhow::Result<Vec<_>> = self.files.iter().map(open).collect();
        Ok(Open(files?))
    }

    /// Does one operation. Wrong bytes are an error; a failure of the file system is not.
    pub fn step(&mut self, open: &Open) -> anyhow::Result<Step> {
        let which = self.below(FILES);
        let kind = self.below(100);
        let file = &open.0[which];
        let result = match kind {
            0..40 => self.write(which, file),
            40..48 => self.resize(which, file),
            48..54 => self.clear(which, file, FallocateFlags::PUNCH_HOLE),
            54..60 => self.clear(which, file, FallocateFlags::ZERO_RANGE),
            60..94 => match self.read(which, file) {
                Ok(right) => {
                    ensure!(right, "{} holds other bytes", self.files[which].name);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            _ => self.sync(which, file),
        };
        Ok(result.map_or_else(Step::Failed, |()| Step::Done))
    }

    fn write(&mut self, which: usize, file: &File) -> io::Result<()> {
        let at = self.below(FILE_BYTES_MAX);
        let length = 1 + self.below(OPERATION_BYTES_MAX.min(FILE_BYTES_MAX - at));
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        self.files[which].touch(at, length);
        self.files[which].lengthen(at + length);
        self.files[which].now[at..at + length].copy_from_slice(&bytes);
        self.done.changes += 1;
        file.write_all_at(&bytes, offset(at))
    }

    fn resize(&mut self, which: usize, file: &File) -> io::Result<()> {
        let length = self.below(FILE_BYTES_MAX);
        let model = &mut self.files[which];
        let from = length.min(model.now.len());
        model.touch(from, FILE_BYTES_MAX - from);
        model.resized = true;
        model.now.resize(length, 0);
        self.done.changes += 1;
        file.set_len(offset(length))
    }

    /// Makes a range of the file zero, its length staying.
    fn clear(&mut self, which: usize, file: &File, how: FallocateFlags) -> io::Result<()> {
        let Some((at, length)) = self.draw_range(which) else {
            return Ok(());
        };
        let model = &mut self.files[which];
        model.touch(at, length);
        model.now[at..at + length].fill(0);
        self.done.changes += 1;
        let how = how | FallocateFlags::KEEP_SIZE;
        fallocate(file, how, offset(at), offset(length))?;
        Ok(())
    }

    fn read(&mut self, which: usize, file: &File) -> io::Result<bool> {
        let Some((at, length)) = self.draw_range(which) else {
            return Ok(true);
        };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset(at))?;
        self.done.reads += 1;
        Ok(bytes == self.files[which].now[at..at + length])
    }

    fn sync(&mut self, which: usize, file: &File) -> io::Result<()> {
        file.sync_all()?;
        self.files[which].settle();
        self.done.syncs += 1;
        // What is read next comes from the disk.
        fadvise(file, 0, None, Advice::DontNeed)?;
        Ok(())
    }

    /// Some bytes within the file; `None` of an empty one.
    fn draw_range(&mut self, which: usize) -> Option<(usize, usize)> {
        let size = self.files[which].now.len();
        if size == 0 {
            return None;
        }
        let at = self.below(size);
        Some((at, 1 + self.below(OPERATION_BYTES_MAX.min(size - at))))
    }

    fn below(&mut self, end: usize) -> usize {
        let drawn = self.rng.next_u64() % offset(end);
        usize::try_from(drawn).expect("below a usize")
    }
}

/// The files, open.
#[derive(Debug)]
pub struct Open(Vec<File>);

fn offset(at: usize) -> u64 {
    u64::try_from(at).expect("64 bits")
}

impl Model {
    fn touch(&mut self, at: usize, length: usize) {
        self.touched[at..at + length].fill(true);
    }

    fn lengthen(&mut self, size: usize) {
        let before = self.now.len();
        if size > before {
            // A hole up to the new bytes reads as zeroes.
            self.touch(before, size - before);
            self.resized = true;
            self.now.resize(size, 0);
        }
    }

    /// All that it holds now is synced.
    fn settle(&mut self) {
        self.synced.clone_from(&self.now);
        self.touched.fill(false);
        self.resized = false;
    }

    /// Whether it may hold this after a crash; the answer is how many bytes had no choice.
    fn check(&self, held: &[u8]) -> anyhow::Result<u64> {
        ensure!(
            self.resized || held.len() == self.synced.len(),
            "{} bytes long, {} when it was synced",
            held.len(),
            self.synced.len()
        );
        let mut bound = 0;
        for (at, byte) in self.synced.iter().enumerate() {
            if self.touched[at] {
                continue;
            }
            let found = held.get(at);
            ensure!(
                found == Some(byte),
                "byte {at} was synced as {byte}, found {found:?}"
            );
            bound += 1;
        }
        Ok(bound)
    }
}

#[cfg(test)]
mod tests {
    //! What is right after a crash, and that wrong bytes are noticed.

    use super::{Exerciser, Step};
    use std::fs;

    #[test]
    fn a_crash_may_take_only_what_was_not_synced() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let mut exerciser = Exerciser::new(1);
        let open = exerciser.start(directory.path())?;
        for _ in 0..300 {
            assert!(matches!(exerciser.step(&open)?, Step::Done));
        }
        assert!(exerciser.done().syncs > 0 && exerciser.done().reads > 0);
        let (_, bound) = exerciser.check(directory.path())?;
        assert!(bound < exerciser.files.iter().map(|f| f.now.len() as u64).sum());
        // All is settled now: each byte counts.
        let path = directory.path().join(&exerciser.files[0].name);
        let mut bytes = fs::read(&path)?;
        assert!(!bytes.is_empty());
        bytes[0] ^= 1;
        fs::write(&path, &bytes)?;
        assert!(exerciser.check(directory.path()).is_err());
        bytes[0] ^= 1;
        fs::write(&path, &bytes[1..])?;
        assert!(exerciser.check(directory.path()).is_err());
        Ok(())
    }
}
