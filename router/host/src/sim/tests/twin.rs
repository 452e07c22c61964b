//! The simulated files and the real ones answer the same, as long as nothing breaks.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{Dice, SimHost};
use crate::{File, Files, Host, OpenMode};

/// One of the two, with a file open or not.
struct Side {
    files: Arc<dyn Files>,
    root: PathBuf,
    file: Option<Arc<dyn File>>,
}

/// What a step answers: a number and bytes, or the kind of the error.
type Answer = Result<(u64, Vec<u8>), io::ErrorKind>;

impl Side {
    fn new(files: Arc<dyn Files>, root: &Path) -> Side {
        files.create_dir_all(root).unwrap();
        Side {
            files,
            root: root.to_path_buf(),
            file: None,
        }
    }

    fn step(&mut self, step: [u64; 4]) -> Answer {
        self.try_step(step).map_err(|error| error.kind())
    }

    fn try_step(&mut self, [what, a, b, c]: [u64; 4]) -> io::Result<(u64, Vec<u8>)> {
        let path = |number: u64| self.root.join(format!("f{}", number % 3));
        let none = (0, Vec::new());
        match (what, &self.file) {
            (0, _) => {
                let modes = [
                    OpenMode::Read,
                    OpenMode::Write,
                    OpenMode::Create,
                    OpenMode::CreateNew,
                ];
                let mode = modes[usize::try_from(b % 4).unwrap()];
                self.file = Some(self.files.open(&path(a), mode)?);
            }
            (1, _) => self.files.rename(&path(a), &path(b))?,
            (2, _) => self.files.remove(&path(a))?,
            (3, _) => self.files.sync_dir(&self.root)?,
            (4, _) => {
                let names = self.files.list(&self.root)?;
                let names = names.iter().flat_map(|path| {
                    let name = path.file_name().unwrap();
                    name.as_encoded_bytes().to_vec()
                });
                return Ok((0, names.collect()));
            }
            (_, None) => return Ok(none),
            (5, Some(file)) => file.set_size(a % 40_000)?,
            (6, Some(file)) => {
                file.punch_hole(a % 40_000, b % 20_000 + 1)?;
            }
            (7, Some(file)) => file.sync()?,
            (8, Some(file)) => file.evict(a % 40_000, b % 40_000)?,
            (9, Some(file)) => file.start_writeout(a % 40_000, b % 40_000)?,
            (10..=14, Some(file)) => {
                let length = usize::try_from(b % 9_000).unwrap();
                let bytes = vec![u8::try_from(c % 255).unwrap() + 1; length];
                let (first, second) = bytes.split_at(length / 3);
                let parts = [IoSlice::new(first), IoSlice::new(second)];
                file.write_at(&parts, a % 40_000)?;
            }
            (_, Some(file)) => {
                let mut bytes = vec![0; usize::try_from(b % 9_000).unwrap()];
                if what % 2 == 0 || !file.read_cached_at(&mut bytes, a % 40_000)? {
                    file.read_at(&mut bytes, a % 40_000)?;
                }
                return Ok((file.size()?, bytes));
            }
        }
        Ok(none)
    }
}

#[test]
fn simulated_and_real_files_answer_the_same() {
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let sim = SimHost::new(seed);
        let mut real = Side::new(Host::real().files, dir.path());
        let mut twin = Side::new(sim.host().files, Path::new("/twin"));
        let mut dice = Dice::new(seed, "twin");
        for number in 0..300 {
            let step = [
                dice.below(20),
                dice.below(1 << 40),
                dice.below(1 << 40),
                dice.below(1 << 40),
            ];
            let answers = (real.step(step), twin.step(step));
            assert!(
                answers.0 == answers.1,
                "seed {seed} step {number} {step:?}: real {:?}, simulated {:?}",
                answers.0.map(|(number, bytes)| (number, bytes.len())),
                answers.1.map(|(number, bytes)| (number, bytes.len())),
            );
        }
    }
}
