//! New layers first: pretrained backbones hold still until the last layers know what to do with them.

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::Tensor;

/// The fields that hold the last layers: `fc` of classifiers, `head` of selectors.
const LAST_LAYERS: [&str; 2] = ["fc", "head"];

/// Lets the last layers of a network (or of a pair) learn alone: the others get no gradients, so that no optimizer
/// moves them, and their BatchNorm uses and keeps the statistics that it has.
pub(super) fn hold_backbone<M: Module>(network: M) -> M {
    network.map(&mut Hold { inside: 0 })
}

/// Lets everything learn.
pub(super) fn release_backbone<M: Module>(network: M) -> M {
    network.unfreeze()
}

struct Hold {
    /// How many levels deep this is inside of last layers; 0 = outside.
    inside: usize,
}

impl ModuleMapper for Hold {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        if self.inside > 0 || LAST_LAYERS.contains(&name) {
            self.inside += 1;
        }
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.inside = self.inside.saturating_sub(1);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(self.inside > 0)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(self.inside > 0)
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[derive(Module, Debug)]
    struct Network {
        stem: Linear,
        norm: BatchNorm,
        fc: Linear,
    }

    impl Network {
        fn new(device: &Device) -> Self {
            Self {
                stem: LinearConfig::new(3, 4).init(device),
                norm: BatchNormConfig::new(4).init(device),
                fc: LinearConfig::new(4, 2).init(device),
            }
        }

        /// The number of tensors that get gradients, and whether the running mean moved.
        fn learn(&self, device: &Device) -> (usize, bool) {
            let mean = |network: &Self| -> Vec<f32> {
                network.norm.valid().running_mean.value().into_data().try_to_vec().unwrap()
            };
            let before = mean(self);
            let x = Tensor::<2>::random([8, 3], Distribution::Normal(1.0, 1.0), device);
            let loss = self.fc.forward(self.norm.forward(self.stem.forward(x))).square().sum();
            let gradients = GradientsParams::from_grads(loss.backward(), self);
            (gradients.len(), mean(self) != before)
        }
    }

    #[test]
    fn only_the_last_layer_of_a_held_network_learns_and_all_of_a_released_one() {
        let device = Device::flex().autodiff();
        let network = Network::new(&device);
        assert_eq!(network.learn(&device), (6, true));
        let network = hold_backbone(network);
        assert_eq!(network.learn(&device), (2, false));
        assert!(!network.norm.training.is_enabled());
        let network = release_backbone(hold_backbone(network));
        assert_eq!(network.learn(&device), (6, true));
    }
}
