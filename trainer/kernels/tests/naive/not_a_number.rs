//! What is not a number must reach the loss, where training notices it.

use comet_training_kernels::{
    Activation, Affine, Geometry, Shape, Statistics, affine, batch_norm, batch_norm_gradient, dense,
    depthwise, max_pool, mean, resize,
};

use crate::norm::ACTIVATIONS;
use crate::random::Random;

const NAN: f32 = f32::NAN;
/// More than fill a vector.
const CHANNELS: usize = 21;

#[test]
fn activations_keep_it() {
    let map = Affine { scale: vec![1.0], shift: vec![0.0] };
    for activation in ACTIVATIONS {
        let y = affine(&[NAN, 1.0], &map, None, activation);
        assert!(y[0].is_nan() && !y[1].is_nan(), "{activation:?}");
        let y = affine(&[1.0, 1.0], &map, Some(&[0.0, NAN]), activation);
        assert!(!y[0].is_nan() && y[1].is_nan(), "{activation:?}");
    }
}

#[test]
fn batch_norm_keeps_it_in_its_channel() {
    let statistics = Statistics::of(&[1.0, NAN, 2.0, 3.0], 1);
    assert!(statistics.mean[0].is_nan() && statistics.variance[0].is_nan());
    let mut random = Random::new(12);
    for activation in ACTIVATIONS {
        let mut x = random.values(40 * CHANNELS);
        x[7 * CHANNELS + 18] = NAN;
        let (gamma, beta, dy) = (vec![1.0; CHANNELS], vec![0.0; CHANNELS], random.values(x.len()));
        let (y, statistics) = batch_norm(&x, &gamma, &beta, 1e-3, None, activation);
        let gradients = batch_norm_gradient(&dy, &x, &gamma, &beta, &statistics, 1e-3, None, activation);
        for values in [&y, &gradients.x] {
            let is_right = |(at, value): (usize, &f32)| value.is_nan() == (at % CHANNELS == 18);
            assert!(values.iter().enumerate().all(is_right), "{activation:?}");
        }
        assert!(gradients.gamma[18].is_nan(), "{activation:?}");
    }
}

#[test]
fn a_gradient_that_is_not_a_number_stays_one() {
    let (x, ones) = (Random::new(13).values(60), [1.0; 3]);
    let mut dy = vec![1.0; 60];
    dy[30] = NAN;
    let (_, statistics) = batch_norm(&x, &ones, &ones, 1e-3, None, Activation::Identity);
    let found = batch_norm_gradient(&dy, &x, &ones, &ones, &statistics, 1e-3, None, Activation::Identity);
    assert!(found.beta[0].is_nan() && found.gamma[0].is_nan() && found.x[30].is_nan());
    assert!(!found.beta[1].is_nan());
}

/// An image of one channel with `NAN` at `place`.
fn image(place: usize) -> (Shape, Vec<f32>) {
    let input = Shape { batch: 1, height: 5, width: 4, channels: 1 };
    let mut x = Random::new(14).values(input.len());
    x[place] = NAN;
    (input, x)
}

#[test]
fn a_window_keeps_it_wherever_it_lies() {
    for place in 0..20 {
        let (input, x) = image(place);
        let geometry = Geometry::square(3, 1, 1);
        let weights = [1.0; 9];
        let outputs = [
            max_pool(&x, input, geometry),
            dense(&x, input, &weights, 1, geometry),
            depthwise(&x, input, &weights, geometry),
        ];
        let (row, column) = (place / 4, place % 4);
        for y in &outputs {
            for (at, value) in y.iter().enumerate() {
                let reads = (at / 4).abs_diff(row) <= 1 && (at % 4).abs_diff(column) <= 1;
                assert_eq!(value.is_nan(), reads, "{place}, {at}: {y:?}");
            }
        }
        assert!(mean(&x, input)[0].is_nan());
        assert!(resize(&x, input, [10, 8]).iter().any(|value| value.is_nan()));
    }
}
