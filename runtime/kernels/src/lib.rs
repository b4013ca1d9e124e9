//! Integer kernels for the networks of comet-edge, and the only place of the workspace where `unsafe` may stand.
//!
//! There is nothing here yet: quantized models run through tract. The direct int8 convolutions, depthwise
//! convolutions and table lookups, with their tiers for AVX-512 VNNI, AVX2, NEON and a portable reference, are
//! the next step; this crate marks the boundary that they will live behind.
#![deny(unsafe_op_in_unsafe_fn)]
