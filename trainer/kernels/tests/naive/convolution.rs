//! Convolutions.

use comet_training_kernels::{
    Geometry, Shape, channel_sums, dense, dense_input_gradient, dense_weight_gradient, depthwise,
    depthwise_input_gradient, depthwise_weight_gradient,
};

use crate::near::{assert_near, assert_transposed};
use crate::random::Random;

/// Calls `visit(output position, input position, tap)` for every tap of every window, of all images.
fn for_windows(geometry: Geometry, input: Shape, output: Shape, mut visit: impl FnMut(usize, usize, usize)) {
    let [top, left, ..] = geometry.padding;
    for image in 0..input.batch {
        for (oy, ox) in (0..output.height).flat_map(|oy| (0..output.width).map(move |ox| (oy, ox))) {
            for ky in 0..geometry.kernel[0] {
                for kx in 0..geometry.kernel[1] {
                    let y = (oy * geometry.stride[0] + ky * geometry.dilation[0]) as isize - top as isize;
                    let x = (ox * geometry.stride[1] + kx * geometry.dilation[1]) as isize - left as isize;
                    if y < 0 || x < 0 || y >= input.height as isize || x >= input.width as isize {
                        continue;
                    }
                    let from = (image * input.height + y as usize) * input.width + x as usize;
                    let to = (image * output.height + oy) * output.width + ox;
                    visit(to, from, ky * geometry.kernel[1] + kx);
                }
            }
        }
    }
}

/// A convolution with random inputs; `out` is 0 for one filter a channel.
struct Layer {
    input: Shape,
    geometry: Geometry,
    out: usize,
    x: Vec<f32>,
    weights: Vec<f32>,
    dy: Vec<f32>,
}

impl Layer {
    fn random(input: Shape, geometry: Geometry, out: usize, random: &mut Random) -> Self {
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let filters = if out == 0 { input.channels } else { out * input.channels };
        let output = geometry.output(input, if out == 0 { input.channels } else { out });
        let (x, weights) = (random.values(input.len()), random.values(filters * taps));
        Self { input, geometry, out, x, weights, dy: random.values(output.len()) }
    }

    fn name(&self) -> String {
        format!("{:?} {:?} to {}", self.input, self.geometry, self.out)
    }

    /// Output, and gradients by input and weights.
    fn computed(&self) -> [Vec<f32>; 3] {
        let Self { input, geometry, out, x, weights, dy } = self;
        let (input, geometry, out) = (*input, *geometry, *out);
        if out == 0 {
            return [
                depthwise(x, input, weights, geometry),
                depthwise_input_gradient(dy, input, weights, geometry),
                depthwise_weight_gradient(dy, x, input, geometry),
            ];
        }
        [
            dense(x, input, weights, out, geometry),
            dense_input_gradient(dy, input, weights, out, geometry),
            dense_weight_gradient(dy, x, input, out, geometry),
        ]
    }

    /// The same by definition.
    fn defined(&self) -> [Vec<f64>; 3] {
        let Self { input, geometry, x, weights, dy, .. } = self;
        let (inside, out) = if self.out == 0 { (1, input.channels) } else { (input.channels, self.out) };
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let mut y = vec![0f64; dy.len()];
        let mut dx = vec![0f64; x.len()];
        let mut dw = vec![0f64; weights.len()];
        for_windows(*geometry, *input, geometry.output(*input, out), |to, from, tap| {
            for channel in 0..out {
                for index in 0..inside {
                    let source = if self.out == 0 { channel } else { index };
                    let (at, to) = (from * input.channels + source, to * out + channel);
                    let weight = (channel * inside + index) * taps + tap;
                    y[to] += f64::from(x[at]) * f64::from(weights[weight]);
                    dx[at] += f64::from(dy[to]) * f64::from(weights[weight]);
                    dw[weight] += f64::from(dy[to]) * f64::from(x[at]);
                }
            }
        });
        [y, dx, dw]
    }

    fn check(&self) {
        let parts = ["output", "by input", "by weights"];
        for ((found, expected), part) in self.computed().iter().zip(self.defined()).zip(parts) {
            assert_near(found, &expected, &format!("{}, {part}", self.name()));
        }
    }
}

#[test]
fn convolutions_and_their_gradients_are_those_of_the_definition() {
    let mut random = Random::new(1);
    let mut empty = 0;
    for case in 0..300 {
        let (input, geometry) = (random.shape(), random.geometry());
        let out = if case % 2 == 1 { 0 } else { 1 + random.below(40) };
        let layer = Layer::random(input, geometry, out, &mut random);
        empty += usize::from(layer.dy.is_empty());
        layer.check();
    }
    // Windows larger than the image with its zeros give nothing, and gradients of zero.
    assert!((10..150).contains(&empty), "{empty} of 300 cases had no output");
}

#[test]
fn any_number_of_channels_is_convolved_whole() {
    let mut random = Random::new(8);
    for channels in 1..=70 {
        let input = Shape { batch: 2, height: 4, width: 7, channels };
        Layer::random(input, Geometry::square(3, 1, 1), 0, &mut random).check();
        Layer::random(input, Geometry::square(1, 1, 0), channels, &mut random).check();
    }
}

#[test]
fn batches_larger_than_a_piece_of_work_are_computed_whole() {
    let mut random = Random::new(2);
    let input = Shape { batch: 5, height: 24, width: 20, channels: 24 };
    for geometry in [Geometry::square(3, 1, 1), Geometry::square(1, 1, 0), Geometry::square(3, 2, 1)] {
        Layer::random(input, geometry, 16, &mut random).check();
    }
}

#[test]
fn gradients_fit_the_output_however_the_work_is_cut() {
    let mut random = Random::new(9);
    let after = |kernel, padding| Geometry { padding, ..Geometry::square(kernel, 2, 0) };
    let cases = [
        (Shape { batch: 3, height: 40, width: 36, channels: 35 }, Geometry::square(3, 1, 1), 24),
        (Shape { batch: 2, height: 96, width: 64, channels: 3 }, Geometry::square(7, 2, 3), 20),
        (Shape { batch: 7, height: 2, width: 2, channels: 130 }, Geometry::square(3, 1, 1), 70),
        (Shape { batch: 4, height: 21, width: 19, channels: 50 }, Geometry::square(1, 2, 0), 33),
        (Shape { batch: 4, height: 21, width: 19, channels: 50 }, Geometry::square(1, 1, 0), 33),
        (Shape { batch: 3, height: 32, width: 26, channels: 3 }, after(3, [0, 0, 1, 1]), 32),
        (Shape { batch: 3, height: 32, width: 26, channels: 70 }, after(3, [0, 0, 1, 1]), 0),
        (Shape { batch: 3, height: 32, width: 26, channels: 70 }, after(5, [1, 1, 2, 2]), 0),
        (Shape { batch: 5, height: 17, width: 15, channels: 40 }, Geometry::square(5, 1, 2), 0),
    ];
    for (input, geometry, out) in cases {
        let layer = Layer::random(input, geometry, out, &mut random);
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let [y, dx, dw] = pool.install(|| layer.computed());
            let what = format!("{}, {threads} threads", layer.name());
            assert_transposed([&layer.dy, &y], [&dx, &layer.x], &what);
            assert_transposed([&layer.dy, &y], [&dw, &layer.weights], &what);
        }
    }
}

#[test]
fn the_gradient_of_a_bias_is_the_sum_of_each_channel() {
    let mut random = Random::new(10);
    for _ in 0..20 {
        let (rows, channels) = (1 + random.below(3000), 1 + random.below(40));
        let x = random.values(rows * channels);
        let mut sums = vec![0f64; channels];
        x.iter().enumerate().for_each(|(index, value)| sums[index % channels] += f64::from(*value));
        assert_near(&channel_sums(&x, channels), &sums, &format!("{rows} rows of {channels}"));
    }
}
