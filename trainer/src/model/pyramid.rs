//! Features of a backbone at several sizes.

use super::features::Features;

/// Features at falling sizes, for a selector's head.
#[derive(Clone, Debug)]
pub struct Pyramid {
    /// At 1/4 of the image's size.
    pub quarter: Features,
    /// At 1/8.
    pub eighth: Features,
    /// At 1/16.
    pub sixteenth: Features,
    /// The last ones: at 1/32, or those at 1/16 of a backbone that ends there.
    pub deepest: Features,
}

/// Channels of a [`Pyramid`], in its order.
pub(super) type Channels = [usize; 4];
