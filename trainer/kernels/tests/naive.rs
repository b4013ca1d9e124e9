//! Every layer against loops that do nothing but what the definition says, in double precision, on random shapes.

use comet_training_kernels::{
    Activation, AdamStep, Affine, Geometry, Shape, Statistics, adamw, affine, affine_gradient, batch_norm,
    batch_norm_gradient, dense, dense_input_gradient, dense_weight_gradient, depthwise,
    depthwise_input_gradient, depthwise_weight_gradient, max_pool, max_pool_gradient, mean, mean_gradient,
    resize, resize_gradient, scale, scale_gradient,
};

/// Numerical Recipes' linear congruential generator.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// Between -1 and 1.
    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn geometry(&mut self) -> Geometry {
        let mut pair = |from: usize, limit: usize| [from + self.below(limit), from + self.below(limit)];
        let (kernel, stride, dilation) = (pair(1, 5), pair(1, 3), pair(1, 2));
        let padding = [self.below(4), self.below(4), self.below(4), self.below(4)];
        Geometry { kernel, stride, dilation, padding }
    }

    fn shape(&mut self) -> Shape {
        Shape {
            batch: 1 + self.below(3),
            height: 1 + self.below(9),
            width: 1 + self.below(9),
            channels: 1 + self.below(70),
        }
    }
}

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

/// The convolution `[out, in / groups, taps]` by definition: output and gradients by input and weights for `dy`.
fn convolution(
    x: &[f32],
    input: Shape,
    weights: &[f32],
    (out, groups): (usize, usize),
    geometry: Geometry,
    dy: &[f32],
) -> [Vec<f64>; 3] {
    let output = geometry.output(input, out);
    let (inside, taps) = (input.channels / groups, geometry.kernel[0] * geometry.kernel[1]);
    let mut y = vec![0f64; output.len()];
    let mut dx = vec![0f64; input.len()];
    let mut dw = vec![0f64; weights.len()];
    for_windows(geometry, input, output, |to, from, tap| {
        for channel in 0..out {
            for index in 0..inside {
                let source = if groups == 1 { index } else { channel };
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

#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 2e-5 * largest, "{what}, value {index}: {found} is not {expected}");
    }
}

#[test]
fn convolutions_and_their_gradients_are_those_of_the_definition() {
    let mut random = Random(1);
    let mut empty = 0;
    for case in 0..300 {
        let (input, geometry) = (random.shape(), random.geometry());
        let depth = case % 2 == 1;
        let out = if depth { input.channels } else { 1 + random.below(40) };
        let output = geometry.output(input, out);
        if output.is_empty() {
            empty += 1;
            continue;
        }
        let groups = if depth { input.channels } else { 1 };
        let weights = random.values(out * input.channels / groups * geometry.kernel[0] * geometry.kernel[1]);
        let (x, dy) = (random.values(input.len()), random.values(output.len()));
        let [y, dx, dw] = convolution(&x, input, &weights, (out, groups), geometry, &dy);
        let what = format!("{input:?} {geometry:?} to {out}");
        if depth {
            assert_near(&depthwise(&x, input, &weights, geometry), &y, &what);
            assert_near(&depthwise_input_gradient(&dy, input, &weights, geometry), &dx, &what);
            assert_near(&depthwise_weight_gradient(&dy, &x, input, geometry), &dw, &what);
        } else {
            assert_near(&dense(&x, input, &weights, out, geometry), &y, &what);
            assert_near(&dense_input_gradient(&dy, input, &weights, out, geometry), &dx, &what);
            assert_near(&dense_weight_gradient(&dy, &x, input, out, geometry), &dw, &what);
        }
    }
    assert!(empty < 150, "{empty} of 300 cases had no output");
}

#[test]
fn batches_larger_than_a_piece_of_work_are_computed_whole() {
    let mut random = Random(2);
    let input = Shape { batch: 5, height: 24, width: 20, channels: 24 };
    for geometry in [Geometry::square(3, 1, 1), Geometry::square(1, 1, 0), Geometry::square(3, 2, 1)] {
        let out = 16;
        let output = geometry.output(input, out);
        let weights = random.values(out * input.channels * geometry.kernel[0] * geometry.kernel[1]);
        let (x, dy) = (random.values(input.len()), random.values(output.len()));
        let [y, dx, dw] = convolution(&x, input, &weights, (out, 1), geometry, &dy);
        assert_near(&dense(&x, input, &weights, out, geometry), &y, "output");
        assert_near(&dense_input_gradient(&dy, input, &weights, out, geometry), &dx, "input");
        assert_near(&dense_weight_gradient(&dy, &x, input, out, geometry), &dw, "weights");
    }
}

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

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::HardSwish];

/// Column `channel` of rows of `channels` values.
fn column(values: &[f32], channel: usize, channels: usize) -> Vec<f64> {
    values.iter().skip(channel).step_by(channels).map(|value| f64::from(*value)).collect()
}

#[test]
fn batch_norm_and_its_gradients_are_those_of_the_definition() {
    const EPSILON: f32 = 1e-3;
    let mut random = Random(3);
    for case in 0..40 {
        let activation = ACTIVATIONS[case % 4];
        let (rows, channels) = (2 + random.below(2500), 1 + random.below(40));
        // A mean far from zero, and values on both sides of the activations' kinks.
        let x: Vec<f32> = random.values(rows * channels).iter().map(|value| 10.0 + 4.0 * value).collect();
        let gamma: Vec<f32> = random.values(channels).iter().map(|value| 4.0 * value).collect();
        let (beta, dy) = (random.values(channels), random.values(rows * channels));
        let residual = (case % 3 == 0).then(|| random.values(rows * channels));
        let (y, statistics) = batch_norm(&x, &gamma, &beta, EPSILON, residual.as_deref(), activation);
        let found = batch_norm_gradient(
            &dy,
            &x,
            &gamma,
            &beta,
            &statistics,
            EPSILON,
            residual.as_deref(),
            activation,
        );
        assert_eq!(found.residual.is_some(), residual.is_some());
        for channel in 0..channels {
            let (x, dy) = (column(&x, channel, channels), column(&dy, channel, channels));
            let count = rows as f64;
            let mean = x.iter().sum::<f64>() / count;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
            assert!((f64::from(statistics.mean[channel]) - mean).abs() < 1e-5);
            assert!((f64::from(statistics.variance[channel]) - variance).abs() < 1e-4);
            let inverse = 1.0 / (variance + f64::from(EPSILON)).sqrt();
            let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
            let hat: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
            let added = residual.as_ref().map(|residual| column(residual, channel, channels));
            let sums =
                |index: usize| gamma * hat[index] + beta + added.as_ref().map_or(0.0, |added| added[index]);
            // A value that rounding moves over a kink has another slope: compared where none is near.
            let away =
                |index: usize| [-3.0, 0.0, 3.0, 6.0].iter().all(|kink| (sums(index) - kink).abs() > 1e-4);
            let dz: Vec<f64> =
                dy.iter().enumerate().map(|(index, dy)| dy * activate(activation, sums(index)).1).collect();
            let (by_beta, by_gamma) =
                (dz.iter().sum::<f64>(), dz.iter().zip(&hat).map(|(dz, hat)| dz * hat).sum::<f64>());
            let near = |found: f32, expected: f64, limit: f64| {
                assert!((f64::from(found) - expected).abs() < limit, "{case}: {found} is not {expected}");
            };
            let share = (0..rows).all(away);
            for index in (0..rows).filter(|&index| away(index)) {
                near(y[index * channels + channel], activate(activation, sums(index)).0, 1e-4);
                if share {
                    let dx = gamma * inverse * (dz[index] - (by_beta + hat[index] * by_gamma) / count);
                    near(found.x[index * channels + channel], dx, 1e-4);
                }
                if let Some(residual) = &found.residual {
                    near(residual[index * channels + channel], dz[index], 1e-4);
                }
            }
            if share {
                near(found.beta[channel], by_beta, 1e-3);
                near(found.gamma[channel], by_gamma, 1e-3);
            }
        }
    }
}

#[test]
fn an_affine_map_has_the_gradients_of_its_input_offset_and_residual() {
    let mut random = Random(4);
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

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// For a linear map, `<dy, map(x)> = <gradient(dy), x>`.
#[track_caller]
fn assert_transposed(dy: &[f32], y: &[f32], dx: &[f32], x: &[f32]) {
    let (a, b) = (dot(dy, y), dot(dx, x));
    assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} is not {b}");
}

#[test]
fn means_gates_and_resizes_have_the_gradients_that_fit_their_outputs() {
    let mut random = Random(5);
    for _ in 0..50 {
        let input = random.shape();
        let x = random.values(input.len());
        let dy = random.values(input.batch * input.channels);
        assert_transposed(&dy, &mean(&x, input), &mean_gradient(&dy, input), &x);
        let (gate, dy) = (random.values(input.batch * input.channels), random.values(input.len()));
        let y = scale(&x, input, &gate);
        let (by_x, by_gate) = scale_gradient(&dy, &x, input, &gate);
        assert_transposed(&dy, &y, &by_x, &x);
        assert_transposed(&dy, &y, &by_gate, &gate);
        let size = [1 + random.below(20), 1 + random.below(20)];
        let dy = random.values(input.batch * size[0] * size[1] * input.channels);
        assert_transposed(&dy, &resize(&x, input, size), &resize_gradient(&dy, input, size), &x);
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
fn what_is_not_a_number_stays_visible() {
    let nan = f32::NAN;
    let map = Affine { scale: vec![1.0], shift: vec![0.0] };
    for activation in ACTIVATIONS {
        assert!(affine(&[nan, 1.0], &map, None, activation)[0].is_nan(), "{activation:?}");
    }
    let statistics = Statistics::of(&[1.0, nan, 2.0, 3.0], 1);
    assert!(statistics.mean[0].is_nan() && statistics.variance[0].is_nan());
    let input = Shape { batch: 1, height: 2, width: 2, channels: 1 };
    assert!(max_pool(&[1.0, nan, 2.0, 3.0], input, Geometry::square(2, 2, 0))[0].is_nan());
}

#[test]
fn adamw_is_the_rule_of_its_paper() {
    let mut random = Random(6);
    let mut parameter = random.values(1000);
    let mut expected: Vec<f64> = parameter.iter().map(|value| f64::from(*value)).collect();
    let (mut first, mut second) = (vec![0f32; 1000], vec![0f32; 1000]);
    let (mut m, mut v) = (vec![0f64; 1000], vec![0f64; 1000]);
    for time in 1..=3 {
        let gradient = random.values(1000);
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.03, time };
        adamw(&mut parameter, &gradient, &mut first, &mut second, step);
        for index in 0..1000 {
            let g = f64::from(gradient[index]);
            m[index] = 0.9 * m[index] + 0.1 * g;
            v[index] = 0.999 * v[index] + 0.001 * g * g;
            let corrected = (m[index] / (1.0 - 0.9f64.powi(time)))
                / ((v[index] / (1.0 - 0.999f64.powi(time))).sqrt() + 1e-8);
            expected[index] -= 0.01 * (0.03 * expected[index] + corrected);
        }
    }
    assert_near(&parameter, &expected, "parameters");
}

#[test]
fn the_same_inputs_on_the_same_number_of_threads_give_the_same_bits() {
    let mut random = Random(7);
    let input = Shape { batch: 4, height: 17, width: 13, channels: 40 };
    let geometry = Geometry::square(3, 1, 1);
    let (x, dy) = (random.values(input.len()), random.values(input.len()));
    let (weights, filters) = (random.values(40 * 40 * 9), random.values(40 * 9));
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = || {
            [
                dense(&x, input, &weights, 40, geometry),
                dense_input_gradient(&dy, input, &weights, 40, geometry),
                dense_weight_gradient(&dy, &x, input, 40, geometry),
                depthwise(&x, input, &filters, geometry),
                depthwise_weight_gradient(&dy, &x, input, geometry),
                Statistics::of(&x, 40).variance,
            ]
        };
        let first = pool.install(run);
        for _ in 0..3 {
            assert!(pool.install(run) == first, "{threads} threads");
        }
    }
}
