//! Randomness of the simulated world: ChaCha8 from a seed and a name.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::trace::mix;

/// A stream of numbers that depends on nothing but seed and name, so that one part of the
/// world drawing more does not change what another draws.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream `name` of `seed`.
    pub fn new(seed: u64, name: &str) -> Dice {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(mix(0, name.as_bytes()));
        Dice(rng)
    }

    /// A number below `bound`, which is not 0. (The bias of the remainder is below 2^-40 for
    /// all bounds in use here.)
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
