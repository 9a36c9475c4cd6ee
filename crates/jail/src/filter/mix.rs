//! A hash of numbers that nobody gains by colliding: numbers of states and places, kept for a search or in the order in which
//! they were met.

use std::hash::Hasher;

/// Mixes numbers, quickly.
#[derive(Clone, Debug, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // Numbers of states are multiples of a power of two: the low bits say nothing.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
