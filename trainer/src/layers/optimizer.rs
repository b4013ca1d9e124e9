//! AdamW, in one pass over memory where the CPU backend can.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use comet_training_kernels::{AdamStep, adamw};

use super::is_supported;
use super::profile::{Part, Timer};

/// Parameter, first and second moment after a step.
type Stepped<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// An optimizer's step on a whole tensor.
#[backend_extension(Flex)]
pub(crate) trait OnePassStep: Backend {
    /// The parameter and both moments after one step.
    fn adamw_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl OnePassStep for Flex {
    fn adamw_step(
        mut parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mut first: FloatTensor<Self>,
        mut second: FloatTensor<Self>,
        step: AdamStep,
    ) -> Stepped<Self> {
        let _timer = Timer::start(Part::Optimizer);
        for tensor in [&mut parameter, &mut first, &mut second] {
            if tensor.as_slice::<f32>().is_none_or(|values| values.len() * 4 != tensor.bytes().len()) {
                *tensor = tensor.to_contiguous();
            }
        }
        let gradient = gradient.to_contiguous();
        adamw(
            parameter.storage_mut(),
            gradient.as_slice().unwrap_or_default(),
            first.storage_mut(),
            second.storage_mut(),
            step,
        );
        (parameter, first, second)
    }
}

/// Burn's AdamW: the same rule, state and files, but on the CPU backend one pass instead of about ten operations.
#[derive(Clone)]
pub(crate) struct OnePassAdamW {
    other_devices: AdamW,
    epsilon: f32,
    weight_decay: f32,
}

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;

impl OnePassAdamW {
    /// With PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.
    pub(crate) fn new(weight_decay: f32) -> Self {
        let epsilon = 1e-8;
        let config = AdamWConfig::new().with_epsilon(epsilon).with_weight_decay(weight_decay);
        Self { other_devices: config.build(), epsilon, weight_decay }
    }
}

impl Optimizer for OnePassAdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        if !is_supported(&tensor.device()) || tensor.device().is_autodiff() {
            return self.other_devices.step(rate, tensor, gradient, state);
        }
        let (time, first, second) = match state {
            Some(AdamWState { momentum }) => (momentum.time + 1, momentum.moment_1, momentum.moment_2),
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
        };
        let step = AdamStep {
            rate: rate as f32,
            beta1: BETA1,
            beta2: BETA2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            time: i32::try_from(time).unwrap_or(i32::MAX),
        };
        let (tensor, first, second) = <Dispatch as OnePassStep>::adamw_step(
            tensor.into_dispatch(),
            gradient.into_dispatch(),
            first.into_dispatch(),
            second.into_dispatch(),
            step,
        );
        let momentum =
            AdaptiveMomentumState::new(time, Tensor::from_dispatch(first), Tensor::from_dispatch(second));
        (Tensor::from_dispatch(tensor), Some(AdamWState { momentum }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        AdamW::to_device(state, device)
    }
}

#[cfg(test)]
mod tests;
