//! Random bytes from the seed.

use parking_lot::Mutex;

use super::{Dice, Trace};
use crate::Entropy;

/// Random bytes that are the same for the same seed: fit for simulation only.
#[derive(Debug)]
pub struct SimEntropy {
    dice: Mutex<Dice>,
    trace: Trace,
}

impl SimEntropy {
    /// Bytes from `dice`; each call is noted in `trace`.
    pub fn new(dice: Dice, trace: Trace) -> SimEntropy {
        SimEntropy {
            dice: Mutex::new(dice),
            trace,
        }
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.dice.lock().fill(bytes);
        self.trace.note("entropy", &[], &[], bytes);
    }
}
