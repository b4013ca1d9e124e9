//! Inner loops for AArch64.

mod bias;
pub(crate) mod dot;
pub(crate) mod i8mm;
mod loops;
pub(crate) mod neon;
mod output;
mod runs;
