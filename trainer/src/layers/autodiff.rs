//! The operations on a backend that records what was computed, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use comet_training_kernels::{Activation, Geometry};

use super::operations::{ChannelsLast, ChannelsLastGradients, Convolution, NormState};

/// A backend that can compute the operations and their gradients.
trait Differentiable: ChannelsLast + ChannelsLastGradients {}
impl<B: ChannelsLast + ChannelsLastGradients> Differentiable for B {}

fn dims<B: Backend>(tensor: &FloatTensor<B>) -> [usize; 4] {
    let shape = tensor.shape();
    std::array::from_fn(|axis| shape.get(axis).copied().unwrap_or(1))
}

#[derive(Debug)]
struct OfConvolution;

impl<B: Differentiable> Backward<B, 2> for OfConvolution {
    type State = (FloatTensor<B>, FloatTensor<B>, Convolution);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [by_x, by_weights] = ops.parents;
        let (x, weights, convolution) = ops.state;
        let (input, shape) = (dims::<B>(&x), dims::<B>(&weights));
        if let Some(node) = by_weights {
            let gradient = B::convolution_weight_gradient(dy.clone(), x, shape, convolution);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = by_x {
            let gradient = B::convolution_input_gradient(dy, weights, input, convolution);
            grads.register::<B>(node.id, gradient);
        }
    }
}

/// Of a normalisation without a residual: by input, factors and offsets.
#[derive(Debug)]
struct OfNorm;

impl<B: Differentiable> Backward<B, 3> for OfNorm {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [by_x, by_gamma, by_beta] = ops.parents;
        let gradients = B::norm_gradient(dy, ops.state);
        if let Some(node) = by_x {
            grads.register::<B>(node.id, gradients.x);
        }
        if let (Some(node), Some(gradient)) = (by_gamma, gradients.gamma) {
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = by_beta {
            grads.register::<B>(node.id, gradients.beta);
        }
    }
}

/// Of a normalisation with a residual, which comes last.
#[derive(Debug)]
struct OfNormWithResidual;

impl<B: Differentiable> Backward<B, 4> for OfNormWithResidual {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [by_x, by_gamma, by_beta, by_residual] = ops.parents;
        let gradients = B::norm_gradient(dy, ops.state);
        if let Some(node) = by_x {
            grads.register::<B>(node.id, gradients.x);
        }
        if let (Some(node), Some(gradient)) = (by_gamma, gradients.gamma) {
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = by_beta {
            grads.register::<B>(node.id, gradients.beta);
        }
        if let (Some(node), Some(gradient)) = (by_residual, gradients.residual) {
            grads.register::<B>(node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct OfMaxPool;

impl<B: Differentiable> Backward<B, 1> for OfMaxPool {
    type State = (FloatTensor<B>, FloatTensor<B>, Geometry);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let ([by_x], (x, y, geometry)) = (ops.parents, ops.state);
        if let Some(node) = by_x {
            grads.register::<B>(node.id, B::max_pool_gradient(dy, x, y, geometry));
        }
    }
}

#[derive(Debug)]
struct OfMean;

impl<B: Differentiable> Backward<B, 1> for OfMean {
    type State = [usize; 4];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [by_x] = ops.parents;
        if let Some(node) = by_x {
            grads.register::<B>(node.id, B::channel_mean_gradient(dy, ops.state));
        }
    }
}

#[derive(Debug)]
struct OfScale;

impl<B: Differentiable> Backward<B, 2> for OfScale {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let ([by_x, by_gate], (x, gate)) = (ops.parents, ops.state);
        let (x, gate) = B::scale_channels_gradient(dy, x, gate);
        if let Some(node) = by_x {
            grads.register::<B>(node.id, x);
        }
        if let Some(node) = by_gate {
            grads.register::<B>(node.id, gate);
        }
    }
}

#[derive(Debug)]
struct OfResize;

impl<B: Differentiable> Backward<B, 1> for OfResize {
    type State = [usize; 4];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [by_x] = ops.parents;
        if let Some(node) = by_x {
            grads.register::<B>(node.id, B::resize_gradient(dy, ops.state));
        }
    }
}

impl<B: ChannelsLast + ChannelsLastGradients, C: CheckpointStrategy> ChannelsLast for Autodiff<B, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weights, weights_node)) = (x.into_parts(), weights.into_parts());
        let y = B::convolution(x.clone(), weights.clone(), convolution);
        match OfConvolution.prepare::<C>([x_node, weights_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weights, convolution), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn normalise_by_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [from_x, from_gamma, from_beta] = [&x, &gamma, &beta].map(|input| input.primitive().clone());
        let (y, mean, variance) = B::normalise_by_batch(from_x, from_gamma, from_beta, epsilon, activation);
        let statistics = Some((mean.clone(), variance.clone(), epsilon));
        let y = record_norm::<B, C>(y, [x, gamma, beta], None, statistics, activation);
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn normalise_by_batch_and_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [from_x, from_gamma, from_beta, added] =
            [&x, &gamma, &beta, &residual].map(|input| input.primitive().clone());
        let (y, mean, variance) =
            B::normalise_by_batch_and_add(from_x, from_gamma, from_beta, added, epsilon, activation);
        let statistics = Some((mean.clone(), variance.clone(), epsilon));
        let y = record_norm::<B, C>(y, [x, gamma, beta], Some(residual), statistics, activation);
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let [from_x, from_scale, from_shift] = [&x, &scale, &shift].map(|input| input.primitive().clone());
        let y = B::affine(from_x, from_scale, from_shift, activation);
        record_norm::<B, C>(y, [x, scale, shift], None, None, activation)
    }

    fn affine_and_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let [from_x, from_scale, from_shift, added] =
            [&x, &scale, &shift, &residual].map(|input| input.primitive().clone());
        let y = B::affine_and_add(from_x, from_scale, from_shift, added, activation);
        record_norm::<B, C>(y, [x, scale, shift], Some(residual), None, activation)
    }

    fn max_pool(x: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::max_pool(x.clone(), geometry);
        match OfMaxPool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, y.clone(), geometry), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn channel_mean(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let input = dims::<B>(&x);
        let y = B::channel_mean(x);
        match OfMean.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(input, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn scale_channels(x: FloatTensor<Self>, gate: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (gate, gate_node)) = (x.into_parts(), gate.into_parts());
        let y = B::scale_channels(x.clone(), gate.clone());
        match OfScale.prepare::<C>([x_node, gate_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, gate), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn resize(x: FloatTensor<Self>, height: usize, width: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let input = dims::<B>(&x);
        let y = B::resize(x, height, width);
        match OfResize.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(input, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// Output of a normalisation, with what its gradient needs.
fn record_norm<B: Differentiable, C: CheckpointStrategy>(
    y: FloatTensor<B>,
    [x, gamma, beta]: [FloatTensor<Autodiff<B, C>>; 3],
    residual: Option<FloatTensor<Autodiff<B, C>>>,
    statistics: Option<(FloatTensor<B>, FloatTensor<B>, f64)>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) =
        (x.into_parts(), gamma.into_parts(), beta.into_parts());
    let nodes = [x_node, gamma_node, beta_node];
    let Some(residual) = residual else {
        let state = NormState { x, gamma, beta, residual: None, statistics, activation };
        return match OfNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
    };
    let (residual, residual_node) = residual.into_parts();
    let state = NormState { x, gamma, beta, residual: Some(residual), statistics, activation };
    let [x_node, gamma_node, beta_node] = nodes;
    let nodes = [x_node, gamma_node, beta_node, residual_node];
    match OfNormWithResidual.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}
