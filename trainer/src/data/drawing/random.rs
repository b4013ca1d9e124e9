//! Random numbers within limits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A number drawn evenly from `low` to `high`.
///
/// Unlike `random_range` it has no empty range to panic on, so computed bounds are safe.
pub(in crate::data) fn between(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}
