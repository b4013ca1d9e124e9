//! Integer kernels for the networks of comet-edge, and the only crate of the workspace that may hold `unsafe` code.
//!
//! Activations are bytes in NHWC order with a zero point, weights are signed bytes with one scale an output
//! channel, sums are 32-bit integers: the arithmetic of ONNX `QuantizeLinear`, `DequantizeLinear` and the operators
//! between them. Every kernel exists in several [`Tier`]s, one for each family of processors, and all of them give
//! the same integers; [`Tier::Scalar`] is the reference that the others are tested against.
//!
//! A kernel is prepared once for its shapes ([`Conv::new`] packs the weights), and then runs on plain slices without
//! allocating. The caller plans the memory.
#![allow(
    unsafe_code,
    reason = "this is the crate for it: vector instructions, and threads that share an output"
)]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod add;
mod aligned;
mod average;
mod blend;
mod compose;
mod conv;
mod depthwise;
mod dispatch;
mod fault;
mod layout;
mod max_pool;
mod quantize;
mod requantize;
mod resize;
mod resize_bytes;
mod rows;
mod scalar;
mod scale;
mod shape;
mod spec;
mod table;
mod task;
mod threads;
mod tier;
mod versions;
mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use add::Add;
pub use average::GlobalAverage;
pub use compose::Compose;
pub use conv::Conv;
pub use depthwise::Depthwise;
pub use fault::Fault;
pub use layout::{Halo, Layout};
pub use max_pool::MaxPool;
pub use quantize::{Dequantize, Quantize};
pub use requantize::Quantization;
pub use resize::{Resize, add_real, sigmoid};
pub use resize_bytes::ResizeBytes;
pub use scale::ChannelScale;
pub use shape::ConvShape;
pub use spec::{ConvSpec, Target};
pub use table::Table;
pub use threads::Pool;
pub use tier::Tier;
