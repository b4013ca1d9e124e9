//! The layers of convolutional networks and their gradients on the CPU, for training.
//!
//! Every tensor is a slice of `f32` in the order batch, height, width, channels ("channels last"): the channels of
//! one position lie side by side, so that every loop runs over whole vectors whatever the size of the image, a 1x1
//! convolution is one matrix product over the whole batch, and a batch of small images is as good as one large
//! image. Weights come and go as the framework has them: `[out, in, height, width]`.
//!
//! The only `unsafe` here sets the allocator ([`keep_freed_memory`]): matrix products are [`faer`]'s, and the loops are
//! compiled for the processor's vector width by [`pulp`]. Work is cut into pieces by the shapes and the number of rayon's threads, and sums are taken in a
//! fixed order: the same inputs on the same number of threads give the same bits.
//!
//! Functions panic if a slice does not have the length that its shape says: that is a fault of the caller, not of
//! data.

mod adam;
mod columns;
mod dense;
mod depthwise;
mod elementwise;
mod matrix;
mod memory;
mod norm;
mod parallel;
mod pool;
mod resize;
mod shape;

pub use adam::{AdamStep, adamw};
pub use dense::{dense, dense_input_gradient, dense_weight_gradient};
pub use depthwise::{depthwise, depthwise_input_gradient, depthwise_weight_gradient};
pub use elementwise::Activation;
pub use memory::keep_freed_memory;
pub use norm::{
    Affine, NormGradients, Statistics, affine, affine_gradient, batch_norm, batch_norm_gradient, channel_sums,
};
pub use pool::{max_pool, max_pool_gradient, mean, mean_gradient, scale, scale_gradient};
pub use resize::{resize, resize_gradient};
pub use shape::{Geometry, Shape};
