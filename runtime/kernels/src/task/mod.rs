//! Convolutions as the inner loops see them: checked, and in pointers. Nothing here knows which loops there are.

pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod tiles;
pub(crate) mod winograd;
