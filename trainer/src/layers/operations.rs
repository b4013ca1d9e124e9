//! The operations, for a backend and for tensors.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use comet_training_kernels::{Activation, Geometry};

/// What convolution to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Convolution {
    /// Window, stride, dilation and padding.
    pub geometry: Geometry,
    /// Whether each channel has a filter of its own: weights `[channels, 1, height, width]`.
    pub depthwise: bool,
}

/// Layers on tensors `[batch, height, width, channels]`.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ChannelsLast: Backend {
    /// The convolution of `x` with `weights` `[out, in / groups, height, width]`, without bias.
    fn convolution(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// BatchNorm by the batch's own statistics, then the activation. With the batch's mean and biased variance,
    /// `[channels]` each, through which no gradient flows.
    fn normalise_by_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The same with `+ residual` before the activation.
    fn normalise_by_batch_and_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `activation(scale * x + shift)`, channel by channel; `scale` is a constant.
    fn affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// `activation(scale * x + shift + residual)`
    fn affine_and_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The largest value of each window.
    fn max_pool(x: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;

    /// The mean over the positions, `[batch, 1, 1, channels]`.
    fn channel_mean(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x` times a gate `[batch, 1, 1, channels]`.
    fn scale_channels(x: FloatTensor<Self>, gate: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Bilinear resize with half-pixel centres.
    fn resize(x: FloatTensor<Self>, height: usize, width: usize) -> FloatTensor<Self>;
}

/// Gradients by the inputs of a normalisation; `None` for what was not there.
pub(crate) struct NormGradients<B: Backend> {
    /// By the input.
    pub x: FloatTensor<B>,
    /// By the factors.
    pub gamma: Option<FloatTensor<B>>,
    /// By the offsets.
    pub beta: FloatTensor<B>,
    /// By the residual.
    pub residual: Option<FloatTensor<B>>,
}

/// What a normalisation keeps for its gradient.
#[derive(Clone, Debug)]
pub(crate) struct NormState<B: Backend> {
    /// The input.
    pub x: FloatTensor<B>,
    /// The factors: `gamma`, or the constant scale.
    pub gamma: FloatTensor<B>,
    /// The offsets: `beta`, or the shift.
    pub beta: FloatTensor<B>,
    /// What was added.
    pub residual: Option<FloatTensor<B>>,
    /// Mean and variance of the batch with epsilon, if it was normalised by them.
    pub statistics: Option<(FloatTensor<B>, FloatTensor<B>, f64)>,
    /// What followed.
    pub activation: Activation,
}

/// The gradients of [`ChannelsLast`]'s operations, given the gradient `dy` by their outputs.
pub(crate) trait ChannelsLastGradients: Backend {
    /// By the input, whose shape is `input`.
    fn convolution_input_gradient(
        dy: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        input: [usize; 4],
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// By the weights, whose shape is `weights`.
    fn convolution_weight_gradient(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weights: [usize; 4],
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// Of `normalise_by_batch` and `affine`.
    fn norm_gradient(dy: FloatTensor<Self>, state: NormState<Self>) -> NormGradients<Self>;

    /// Of `max_pool`, by its input `x` with the output `y`.
    fn max_pool_gradient(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    /// Of `channel_mean`.
    fn channel_mean_gradient(dy: FloatTensor<Self>, input: [usize; 4]) -> FloatTensor<Self>;

    /// Of `scale_channels`, by the input and by the gate.
    fn scale_channels_gradient(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Of `resize`.
    fn resize_gradient(dy: FloatTensor<Self>, input: [usize; 4]) -> FloatTensor<Self>;
}

pub(crate) fn convolution(x: Tensor<4>, weights: Tensor<4>, convolution: Convolution) -> Tensor<4> {
    let y = <Dispatch as ChannelsLast>::convolution(x.into_dispatch(), weights.into_dispatch(), convolution);
    Tensor::from_dispatch(y)
}

/// Output, mean and variance.
pub(crate) fn normalise_by_batch(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    epsilon: f64,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (y, mean, variance) = match residual {
        Some(residual) => {
            let residual = residual.into_dispatch();
            Dispatch::normalise_by_batch_and_add(x, gamma, beta, residual, epsilon, activation)
        }
        None => Dispatch::normalise_by_batch(x, gamma, beta, epsilon, activation),
    };
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

pub(crate) fn affine(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Tensor<4> {
    let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(match residual {
        Some(residual) => Dispatch::affine_and_add(x, scale, shift, residual.into_dispatch(), activation),
        None => Dispatch::affine(x, scale, shift, activation),
    })
}

pub(crate) fn max_pool(x: Tensor<4>, geometry: Geometry) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelsLast>::max_pool(x.into_dispatch(), geometry))
}

pub(crate) fn channel_mean(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelsLast>::channel_mean(x.into_dispatch()))
}

pub(crate) fn scale_channels(x: Tensor<4>, gate: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelsLast>::scale_channels(x.into_dispatch(), gate.into_dispatch()))
}

pub(crate) fn resize(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelsLast>::resize(x.into_dispatch(), height, width))
}
