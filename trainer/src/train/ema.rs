//! Averaged weights (Polyak and Juditsky, 1992), as an exponential moving average over the steps.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// The decay at a step of a training, counted from 0: small at first, so that the random start is forgotten
/// (TensorFlow's rule). It depends on the step alone, as a resumed run needs.
pub(super) fn decay_at(decay: f64, step: usize) -> f64 {
    let step = step as f64;
    decay.min((1.0 + step) / (10.0 + step))
}

/// `average * decay + network * (1 - decay)`, tensor by tensor, BatchNorm's running statistics included. The average
/// is without autodiff; without an earlier one it is the network as it is now.
pub(super) fn averaged<M: Module>(average: Option<M>, network: &M, decay: f64) -> M {
    // `valid` reads the statistics' last update, too.
    let current = network.valid();
    let Some(average) = average else { return current };
    let mut values = Values(GradientsParams::new());
    current.visit(&mut values);
    average.map(&mut Blend { values: values.0, decay })
}

/// The tensors of a network by parameter: a container that Burn has for gradients.
struct Values(GradientsParams);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register::<D>(param.id, param.val());
    }
}

struct Blend {
    values: GradientsParams,
    decay: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let decay = self.decay;
        match self.values.remove::<D>(param.id) {
            Some(current) => param.map(|average| average * decay + current * (1.0 - decay)),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig};
    use burn::tensor::Device;

    use super::*;

    fn layer(gamma: f32, mean: f32) -> BatchNorm {
        let device = Device::flex().autodiff();
        let mut layer = BatchNormConfig::new(1).init(&device);
        layer.gamma = layer.gamma.map(|tensor| (tensor * 0.0 + gamma).detach().require_grad());
        layer.running_mean.update(Tensor::from_floats([mean], &device));
        layer
    }

    fn values(layer: &BatchNorm) -> (f32, f32) {
        let value = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap()[0];
        (value(layer.gamma.val()), value(layer.running_mean.value()))
    }

    #[test]
    fn weights_and_running_statistics_are_averaged_and_the_network_stays() {
        let mut network = layer(1.0, 2.0);
        let average = averaged(None, &network, 0.9);
        assert_eq!(values(&average), (1.0, 2.0), "it begins with the network");
        network.gamma = network.gamma.map(|tensor| (tensor + 2.0).detach().require_grad());
        network.running_mean.update(Tensor::from_floats([10.0], &Device::flex().autodiff()));
        let average = averaged(Some(average), &network, 0.75);
        assert_eq!(values(&average), (0.75 + 0.25 * 3.0, 0.75 * 2.0 + 0.25 * 10.0));
        assert_eq!(values(&network.valid()), (3.0, 10.0));
        assert!(!average.gamma.val().is_autodiff());
    }

    #[test]
    fn the_start_is_forgotten_before_the_decay_is_reached() {
        assert_eq!([0, 8, 90].map(|step| decay_at(0.9, step)), [0.1, 0.5, 0.9]);
        assert_eq!(decay_at(0.999, 1_000_000), 0.999);
    }
}
