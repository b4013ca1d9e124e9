//! How large a plant can be drawn.

use std::ops::RangeInclusive;

/// The sides of an image that can be drawn, in pixels.
///
/// Below, a stem is thinner than two pixels; the upper end keeps a mistyped size from asking for
/// gigabytes.
pub const SIZES: RangeInclusive<u32> = 32..=2048;
