//! The operations on Burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;
use comet_training_kernels::{self as kernels, Activation, Affine, Geometry, Shape, Statistics};

use super::operations::{ChannelsLast, ChannelsLastGradients, Convolution, NormGradients, NormState};
use super::profile::{Part, Timer};

type Primitive = FloatTensor<Flex>;

/// The same values, side by side in memory.
fn contiguous(tensor: Primitive) -> Primitive {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

fn values(tensor: &Primitive) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}

fn dims(tensor: &Primitive) -> [usize; 4] {
    let dims: &[usize] = tensor.layout().shape();
    std::array::from_fn(|axis| dims.get(axis).copied().unwrap_or(1))
}

fn shape([batch, height, width, channels]: [usize; 4]) -> Shape {
    Shape { batch, height, width, channels }
}

fn dims_of(shape: Shape) -> [usize; 4] {
    [shape.batch, shape.height, shape.width, shape.channels]
}

impl ChannelsLast for Flex {
    fn convolution(x: Primitive, weights: Primitive, convolution: Convolution) -> Primitive {
        let _timer = Timer::start(Part::Convolution);
        let (x, weights) = (contiguous(x), contiguous(weights));
        let (input, [out, ..]) = (shape(dims(&x)), dims(&weights));
        let Convolution { geometry, depthwise } = convolution;
        let y = if depthwise {
            kernels::depthwise(values(&x), input, values(&weights), geometry)
        } else {
            kernels::dense(values(&x), input, values(&weights), out, geometry)
        };
        tensor(y, dims_of(geometry.output(input, out)))
    }

    fn normalise_by_batch(
        x: Primitive,
        gamma: Primitive,
        beta: Primitive,
        epsilon: f64,
        activation: Activation,
    ) -> (Primitive, Primitive, Primitive) {
        let _timer = Timer::start(Part::Norm);
        normalise(x, [gamma, beta], None, epsilon, activation)
    }

    fn normalise_by_batch_and_add(
        x: Primitive,
        gamma: Primitive,
        beta: Primitive,
        residual: Primitive,
        epsilon: f64,
        activation: Activation,
    ) -> (Primitive, Primitive, Primitive) {
        let _timer = Timer::start(Part::Norm);
        normalise(x, [gamma, beta], Some(contiguous(residual)), epsilon, activation)
    }

    fn affine(x: Primitive, scale: Primitive, shift: Primitive, activation: Activation) -> Primitive {
        let _timer = Timer::start(Part::Norm);
        let (x, map) = (contiguous(x), map(scale, shift));
        tensor(kernels::affine(values(&x), &map, None, activation), dims(&x))
    }

    fn affine_and_add(
        x: Primitive,
        scale: Primitive,
        shift: Primitive,
        residual: Primitive,
        activation: Activation,
    ) -> Primitive {
        let _timer = Timer::start(Part::Norm);
        let (x, map, residual) = (contiguous(x), map(scale, shift), contiguous(residual));
        tensor(kernels::affine(values(&x), &map, Some(values(&residual)), activation), dims(&x))
    }

    fn max_pool(x: Primitive, geometry: Geometry) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let x = contiguous(x);
        let input = shape(dims(&x));
        let output = geometry.output(input, input.channels);
        tensor(kernels::max_pool(values(&x), input, geometry), dims_of(output))
    }

    fn channel_mean(x: Primitive) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let x = contiguous(x);
        let input = shape(dims(&x));
        tensor(kernels::mean(values(&x), input), [input.batch, 1, 1, input.channels])
    }

    fn scale_channels(x: Primitive, gate: Primitive) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let (x, gate) = (contiguous(x), contiguous(gate));
        let input = dims(&x);
        tensor(kernels::scale(values(&x), shape(input), values(&gate)), input)
    }

    fn resize(x: Primitive, height: usize, width: usize) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let x = contiguous(x);
        let input = shape(dims(&x));
        let y = kernels::resize(values(&x), input, [height, width]);
        tensor(y, [input.batch, height, width, input.channels])
    }
}

fn normalise(
    x: Primitive,
    [gamma, beta]: [Primitive; 2],
    residual: Option<Primitive>,
    epsilon: f64,
    activation: Activation,
) -> (Primitive, Primitive, Primitive) {
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), contiguous(beta));
    let (y, Statistics { mean, variance }) = kernels::batch_norm(
        values(&x),
        values(&gamma),
        values(&beta),
        epsilon as f32,
        residual.as_ref().map(values),
        activation,
    );
    let channels = [mean.len()];
    (tensor(y, dims(&x)), tensor(mean, channels), tensor(variance, channels))
}

fn map(scale: Primitive, shift: Primitive) -> Affine {
    let (scale, shift) = (contiguous(scale), contiguous(shift));
    Affine { scale: values(&scale).to_vec(), shift: values(&shift).to_vec() }
}

impl ChannelsLastGradients for Flex {
    fn convolution_input_gradient(
        dy: Primitive,
        weights: Primitive,
        input: [usize; 4],
        convolution: Convolution,
    ) -> Primitive {
        let _timer = Timer::start(Part::InputGradient);
        let (dy, weights) = (contiguous(dy), contiguous(weights));
        let [out, ..] = dims(&weights);
        let Convolution { geometry, depthwise } = convolution;
        let dx = if depthwise {
            kernels::depthwise_input_gradient(values(&dy), shape(input), values(&weights), geometry)
        } else {
            kernels::dense_input_gradient(values(&dy), shape(input), values(&weights), out, geometry)
        };
        tensor(dx, input)
    }

    fn convolution_weight_gradient(
        dy: Primitive,
        x: Primitive,
        weights: [usize; 4],
        convolution: Convolution,
    ) -> Primitive {
        let _timer = Timer::start(Part::WeightGradient);
        let (dy, x) = (contiguous(dy), contiguous(x));
        let (input, [out, ..]) = (shape(dims(&x)), weights);
        let Convolution { geometry, depthwise } = convolution;
        let gradient = if depthwise {
            kernels::depthwise_weight_gradient(values(&dy), values(&x), input, geometry)
        } else {
            kernels::dense_weight_gradient(values(&dy), values(&x), input, out, geometry)
        };
        tensor(gradient, weights)
    }

    fn norm_gradient(dy: Primitive, state: NormState<Self>) -> NormGradients<Self> {
        let _timer = Timer::start(Part::NormGradient);
        let (dy, x) = (contiguous(dy), contiguous(state.x));
        let residual = state.residual.map(contiguous);
        let residual = residual.as_ref().map(values);
        let gradients = match state.statistics {
            Some((mean, variance, epsilon)) => {
                let (gamma, beta) = (contiguous(state.gamma), contiguous(state.beta));
                let (mean, variance) = (contiguous(mean), contiguous(variance));
                let statistics =
                    Statistics { mean: values(&mean).to_vec(), variance: values(&variance).to_vec() };
                kernels::batch_norm_gradient(
                    values(&dy),
                    values(&x),
                    values(&gamma),
                    values(&beta),
                    &statistics,
                    epsilon as f32,
                    residual,
                    state.activation,
                )
            }
            None => {
                let map = map(state.gamma, state.beta);
                kernels::affine_gradient(values(&dy), values(&x), &map, residual, state.activation)
            }
        };
        let channels = [gradients.beta.len()];
        let gamma = (!gradients.gamma.is_empty()).then(|| tensor(gradients.gamma, channels));
        NormGradients {
            gamma,
            beta: tensor(gradients.beta, channels),
            residual: gradients.residual.map(|gradient| tensor(gradient, dims(&x))),
            x: tensor(gradients.x, dims(&x)),
        }
    }

    fn max_pool_gradient(dy: Primitive, x: Primitive, y: Primitive, geometry: Geometry) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let (dy, x, y) = (contiguous(dy), contiguous(x), contiguous(y));
        let input = dims(&x);
        tensor(kernels::max_pool_gradient(values(&dy), values(&x), values(&y), shape(input), geometry), input)
    }

    fn channel_mean_gradient(dy: Primitive, input: [usize; 4]) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let dy = contiguous(dy);
        tensor(kernels::mean_gradient(values(&dy), shape(input)), input)
    }

    fn scale_channels_gradient(dy: Primitive, x: Primitive, gate: Primitive) -> (Primitive, Primitive) {
        let _timer = Timer::start(Part::Other);
        let (dy, x, gate) = (contiguous(dy), contiguous(x), contiguous(gate));
        let input = dims(&x);
        let (by_x, by_gate) = kernels::scale_gradient(values(&dy), values(&x), shape(input), values(&gate));
        (tensor(by_x, input), tensor(by_gate, dims(&gate)))
    }

    fn resize_gradient(dy: Primitive, input: [usize; 4]) -> Primitive {
        let _timer = Timer::start(Part::Other);
        let dy = contiguous(dy);
        let [_, height, width, _] = dims(&dy);
        tensor(kernels::resize_gradient(values(&dy), shape(input), [height, width]), input)
    }
}
