//! Layers with gradients of our own for Burn's CPU backend, through its extension mechanism.
//!
//! Burn's CPU backend computes convolutions image by image and their gradients by generic code, which makes training
//! about three times slower than it can be. The operations here take tensors `[batch, height, width, channels]` and
//! hand them to [`comet_training_kernels`]. Other backends keep Burn's own operations: see [`crate::model`]'s
//! features.

mod autodiff;
mod flex;
mod operations;
mod optimizer;
pub(crate) mod profile;

pub(crate) use operations::{
    Convolution, affine, channel_mean, convolution, max_pool, normalise_by_batch, resize, scale_channels,
};
pub(crate) use optimizer::OnePassAdamW;

use burn::tensor::Device;
use burn_dispatch::DispatchDevice;

/// Whether tensors on `device` can go through these operations.
pub(crate) fn is_supported(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}
