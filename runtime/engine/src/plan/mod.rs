//! The integer pass: what of a quantized graph runs on integer kernels, in which order, and where its values lie.
//!
//! `fuse` finds patterns (`layer` reads convolutions, `resize` resizes), `segment` divides the graph into regions of them,
//! `placement` gives every value of a region its place in memory, and `lower` turns a region into a `program` of kernel
//! calls that works on bytes in NHWC order from its first convolution to its last.

mod arena;
mod finder;
pub(crate) mod fuse;
mod layer;
pub(crate) mod lower;
pub(crate) mod pattern;
pub(crate) mod placement;
pub(crate) mod program;
mod resize;
pub(crate) mod segment;
