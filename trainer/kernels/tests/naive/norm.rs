//! BatchNorm, residual and activation.

use comet_training_kernels::{
    Activation, Affine, NormGradients, Statistics, affine, affine_gradient, batch_norm, batch_norm_gradient,
};

use crate::near::assert_near;
use crate::random::Random;

pub(crate) const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::HardSwish];

/// Value and slope.
fn activate(activation: Activation, z: f64) -> (f64, f64) {
    let inside = |condition: bool| if condition { 1.0 } else { 0.0 };
    match activation {
        Activation::Identity => (z, 1.0),
        Activation::Relu => (z.max(0.0), inside(z > 0.0)),
        Activation::Relu6 => (z.clamp(0.0, 6.0), inside(z > 0.0 && z < 6.0)),
        Activation::HardSwish => {
            let middle = if z > -3.0 { (2.0 * z + 3.0) / 6.0 } else { 0.0 };
            (z * (z + 3.0).clamp(0.0, 6.0) / 6.0, if z < 3.0 { middle } else { 1.0 })
        }
    }
}

/// A value that rounding moves over one of these has another slope.
fn is_near_a_kink(z: f64) -> bool {
    [-3.0, 0.0, 3.0, 6.0].iter().any(|kink| (z - kink).abs() < 1e-4)
}

/// Column `channel` of rows of `channels` values.
fn column(values: &[f32], channel: usize, channels: usize) -> Vec<f64> {
    values.iter().skip(channel).step_by(channels).map(|value| f64::from(*value)).collect()
}

const EPSILON: f32 = 1e-3;

/// A layer with random inputs, and what was computed.
struct Layer {
    channels: usize,
    activation: Activation,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
    dy: Vec<f32>,
    y: Vec<f32>,
    statistics: Statistics,
    gradients: NormGradients,
}

impl Layer {
    fn random(
        activation: Activation,
        rows: usize,
        channels: usize,
        added: bool,
        random: &mut Random,
    ) -> Self {
        let count = rows * channels;
        // A mean far from zero, and values on both sides of the activations' kinks.
        let x: Vec<f32> = random.values(count).iter().map(|value| 10.0 + 4.0 * value).collect();
        let gamma: Vec<f32> = random.values(channels).iter().map(|value| 4.0 * value).collect();
        let (beta, dy) = (random.values(channels), random.values(count));
        let residual = added.then(|| random.values(count));
        let plus = residual.as_deref();
        let (y, statistics) = batch_norm(&x, &gamma, &beta, EPSILON, plus, activation);
        let gradients = batch_norm_gradient(&dy, &x, &gamma, &beta, &statistics, EPSILON, plus, activation);
        Self { channels, activation, x, gamma, beta, residual, dy, y, statistics, gradients }
    }

    /// Compares one channel with the definition.
    fn check(&self, channel: usize) {
        let column = |values: &[f32]| column(values, channel, self.channels);
        let x = column(&self.x);
        let count = x.len() as f64;
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        assert!((f64::from(self.statistics.mean[channel]) - mean).abs() < 1e-5);
        assert!((f64::from(self.statistics.variance[channel]) - variance).abs() < 1e-4);

        let inverse = 1.0 / (variance + f64::from(EPSILON)).sqrt();
        let (gamma, beta) = (f64::from(self.gamma[channel]), f64::from(self.beta[channel]));
        let hat: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        let added = self.residual.as_ref().map_or_else(|| vec![0.0; x.len()], |added| column(added));
        let z: Vec<f64> = hat.iter().zip(&added).map(|(hat, added)| gamma * hat + beta + added).collect();
        let at_kinks = z.iter().filter(|z| is_near_a_kink(**z)).count();
        let dz: Vec<f64> = z.iter().map(|z| activate(self.activation, *z).1).collect();
        let dz: Vec<f64> = dz.iter().zip(column(&self.dy)).map(|(slope, dy)| slope * dy).collect();
        let by_beta = dz.iter().sum::<f64>();
        let by_gamma = dz.iter().zip(&hat).map(|(dz, hat)| dz * hat).sum::<f64>();

        let near = |found: f64, expected: f64, limit: f64| {
            assert!((found - expected).abs() < limit, "{:?}: {found} is not {expected}", self.activation);
        };
        for (y, z) in column(&self.y).into_iter().zip(&z) {
            near(y, activate(self.activation, *z).0, 1e-4);
        }
        if let Some(residual) = &self.gradients.residual {
            let compared = column(residual).into_iter().zip(&dz).zip(&z);
            compared
                .filter(|(_, z)| !is_near_a_kink(**z))
                .for_each(|((found, dz), _)| near(found, *dz, 1e-4));
        }
        // Sums over the channel, and what depends on them.
        if at_kinks == 0 {
            near(f64::from(self.gradients.beta[channel]), by_beta, 1e-3);
            near(f64::from(self.gradients.gamma[channel]), by_gamma, 1e-3);
            for ((found, dz), hat) in column(&self.gradients.x).into_iter().zip(&dz).zip(&hat) {
                near(found, gamma * inverse * (dz - (by_beta + hat * by_gamma) / count), 1e-4);
            }
        }
    }
}

#[test]
fn batch_norm_and_its_gradients_are_those_of_the_definition() {
    let mut random = Random::new(3);
    for case in 0..40 {
        let (rows, channels) = (2 + random.below(2500), 1 + random.below(40));
        let layer = Layer::random(ACTIVATIONS[case % 4], rows, channels, case % 3 == 0, &mut random);
        assert_eq!(layer.gradients.residual.is_some(), layer.residual.is_some());
        (0..channels).for_each(|channel| layer.check(channel));
    }
}

#[test]
fn an_affine_map_has_the_gradients_of_its_input_offset_and_residual() {
    let mut random = Random::new(4);
    for activation in ACTIVATIONS {
        let (rows, channels) = (37, 19);
        let [x, residual, dy] = [0; 3].map(|_| random.values(rows * channels));
        let map = Affine { scale: random.values(channels), shift: random.values(channels) };
        let y = affine(&x, &map, Some(&residual), activation);
        let found = affine_gradient(&dy, &x, &map, Some(&residual), activation);
        let mut shift = vec![0f64; channels];
        for (index, x) in x.iter().enumerate() {
            let scale = f64::from(map.scale[index % channels]);
            let z =
                f64::from(*x) * scale + f64::from(map.shift[index % channels]) + f64::from(residual[index]);
            let (value, slope) = activate(activation, z);
            let dz = f64::from(dy[index]) * slope;
            shift[index % channels] += dz;
            assert!((f64::from(y[index]) - value).abs() < 1e-5);
            assert!((f64::from(found.x[index]) - dz * scale).abs() < 1e-5);
            assert!((f64::from(found.residual.as_ref().unwrap()[index]) - dz).abs() < 1e-5);
        }
        assert_near(&found.beta, &shift, "offset");
        assert!(found.gamma.is_empty());
    }
}

#[test]
fn a_constant_channel_gives_its_offset() {
    let x = [7.5; 24];
    let (y, statistics) = batch_norm(&x, &[2.0, 3.0], &[1.0, -1.0], EPSILON, None, Activation::Identity);
    assert_eq!((statistics.mean, statistics.variance), (vec![7.5; 2], vec![0.0; 2]));
    let near = |found: f32, expected: f32| (found - expected).abs() < 3e-4;
    assert!(y.chunks(2).all(|row| near(row[0], 1.0) && near(row[1], -1.0)), "{y:?}");
}
