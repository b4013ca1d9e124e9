//! Random numbers that depend on a purpose and a place in a run, and on nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A generator for one purpose, at one place of a run: the same arguments always give the same numbers, so
/// that a resumed run needs no saved generator state.
pub(crate) fn generator(seed: u64, purpose: &str, epoch: usize, index: usize) -> ChaCha8Rng {
    // FNV-1a over all that identifies the place.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let words = [seed, epoch as u64, index as u64];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    for byte in purpose.bytes().chain(bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    ChaCha8Rng::seed_from_u64(hash)
}
