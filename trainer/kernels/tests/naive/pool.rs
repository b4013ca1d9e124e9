//! Pooling, gates and resizing.

use comet_training_kernels::{
    Geometry, Shape, max_pool, max_pool_gradient, mean, mean_gradient, resize, resize_gradient, scale,
    scale_gradient,
};

use crate::near::assert_transposed;
use crate::random::Random;

#[test]
fn means_gates_and_resizes_have_the_gradients_that_fit_their_outputs() {
    let mut random = Random::new(5);
    for _ in 0..50 {
        let input = random.shape();
        let what = format!("{input:?}");
        let x = random.values(input.len());
        let dy = random.values(input.batch * input.channels);
        assert_transposed([&dy, &mean(&x, input)], [&mean_gradient(&dy, input), &x], &what);
        let (gate, dy) = (random.values(input.batch * input.channels), random.values(input.len()));
        let y = scale(&x, input, &gate);
        let (by_x, by_gate) = scale_gradient(&dy, &x, input, &gate);
        assert_transposed([&dy, &y], [&by_x, &x], &what);
        assert_transposed([&dy, &y], [&by_gate, &gate], &what);
        let size = [1 + random.below(20), 1 + random.below(20)];
        let dy = random.values(input.batch * size[0] * size[1] * input.channels);
        let what = format!("{what} to {size:?}");
        assert_transposed([&dy, &resize(&x, input, size)], [&resize_gradient(&dy, input, size), &x], &what);
    }
}

#[test]
fn a_resize_has_half_pixel_centres() {
    // torch.nn.functional.interpolate(x, size=..., mode="bilinear", align_corners=False)
    let row = Shape { batch: 1, height: 1, width: 2, channels: 1 };
    assert_eq!(resize(&[0.0, 1.0], row, [1, 4]), [0.0, 0.25, 0.75, 1.0]);
    let wide = Shape { width: 4, ..row };
    assert_eq!(resize(&[0.0, 1.0, 2.0, 3.0], wide, [1, 2]), [0.5, 2.5]);
}

#[test]
fn the_first_of_several_largest_values_has_the_gradient() {
    let input = Shape { batch: 1, height: 2, width: 4, channels: 1 };
    let x = [1.0, 3.0, 3.0, 0.0, 3.0, 2.0, 1.0, 0.0];
    let geometry = Geometry::square(3, 2, 1);
    let y = max_pool(&x, input, geometry);
    assert_eq!(y, [3.0, 3.0]);
    let dx = max_pool_gradient(&[1.0, 10.0], &x, &y, input, geometry);
    // Windows: columns -1 to 1, and 1 to 3; row by row.
    assert_eq!(dx, [0.0, 11.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_pool_gives_all_of_its_gradient_to_largest_values() {
    let mut random = Random::new(11);
    for _ in 0..50 {
        let input = random.shape();
        let geometry = Geometry::square(3, 2, 1);
        // Negative, so that padding would show.
        let x: Vec<f32> =
            random.values(input.len()).iter().map(|value| (4.0 * value).floor() - 9.0).collect();
        let y = max_pool(&x, input, geometry);
        let output = geometry.output(input, input.channels);
        assert_eq!(y.len(), output.len());
        let dy = vec![1.0; y.len()];
        let dx = max_pool_gradient(&dy, &x, &y, input, geometry);
        let largest = |image: usize, oy: usize, ox: usize, channel: usize| {
            let near = |center: usize, end: usize| (2 * center).saturating_sub(1)..(2 * center + 2).min(end);
            near(oy, input.height)
                .flat_map(|y| near(ox, input.width).map(move |x| (y, x)))
                .map(|(y, x)| ((image * input.height + y) * input.width + x) * input.channels + channel)
                .fold(f32::NEG_INFINITY, |largest, at| largest.max(x[at]))
        };
        for (at, y) in y.iter().enumerate() {
            let (position, channel) = (at / output.channels, at % output.channels);
            let (row, ox) = (position / output.width, position % output.width);
            assert_eq!(*y, largest(row / output.height, row % output.height, ox, channel), "{input:?}");
        }
        assert_eq!(dx.iter().sum::<f32>(), dy.len() as f32, "{input:?}");
    }
}
