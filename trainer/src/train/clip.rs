//! Clipping of gradients by their common norm. Burn's own clipping looks at each tensor by itself.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Keeps the division below finite; PyTorch's `clip_grad_norm_` adds the same.
const EPSILON: f64 = 1e-6;

/// Scales all gradients of `module` by one factor, so that the norm of all of them together is at most `limit`.
/// A `limit` of 0 leaves them as they are. Nothing is read back from the device.
pub(super) fn clip_global_norm<M: Module>(
    mut gradients: GradientsParams,
    module: &M,
    limit: f64,
) -> GradientsParams {
    if limit <= 0.0 {
        return gradients;
    }
    let mut squares = SquareSum { gradients: &gradients, sum: None };
    module.visit(&mut squares);
    let Some(sum) = squares.sum else { return gradients };
    let factor = ((sum.sqrt() + EPSILON).recip() * limit).clamp_max(1.0);
    module.visit(&mut Scale { gradients: &mut gradients, factor });
    gradients
}

/// Adds up the squares of all gradients, on the device.
struct SquareSum<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + squares,
                None => squares,
            });
        }
    }
}

/// Multiplies all gradients by a factor.
struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let factor = self.factor.clone().unsqueeze::<D>();
            self.gradients.register::<D>(param.id, gradient * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    /// A layer with the gradients `(3, 0)` of its weights and `(4)` of its bias: together their norm is 5.
    fn layer_with_gradients() -> (Linear, GradientsParams) {
        let device = Device::flex();
        let layer = LinearConfig::new(2, 1).init(&device);
        let mut gradients = GradientsParams::new();
        gradients.register::<2>(layer.weight.id, Tensor::from_floats([[3.0], [0.0]], &device));
        let bias = layer.bias.as_ref().unwrap().id;
        gradients.register::<1>(bias, Tensor::from_floats([4.0], &device));
        (layer, gradients)
    }

    fn values(layer: &Linear, gradients: &GradientsParams) -> Vec<f32> {
        let weight = gradients.get::<2>(layer.weight.id).unwrap().into_data();
        let bias = gradients.get::<1>(layer.bias.as_ref().unwrap().id).unwrap().into_data();
        let mut values: Vec<f32> = weight.try_to_vec().unwrap();
        values.extend(bias.try_to_vec::<f32>().unwrap());
        values
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn the_norm_of_all_gradients_together_is_clipped_and_their_direction_stays() {
        let (layer, gradients) = layer_with_gradients();
        let clipped = clip_global_norm(gradients, &layer, 1.0);
        // Tensor by tensor it would be (1, 0) and (1), whose norm is 1.41.
        assert_close(&values(&layer, &clipped), &[0.6, 0.0, 0.8]);
    }

    #[test]
    fn gradients_within_the_limit_stay_as_they_are() {
        for limit in [5.1, 100.0, 0.0] {
            let (layer, gradients) = layer_with_gradients();
            let clipped = clip_global_norm(gradients, &layer, limit);
            assert_eq!(values(&layer, &clipped), [3.0, 0.0, 4.0], "limit {limit}");
        }
    }
}
