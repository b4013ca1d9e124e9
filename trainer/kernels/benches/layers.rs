//! Forward pass and both gradients of layers of the presets: `cargo bench -p comet-training-kernels`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use comet_training_kernels::{
    Activation, Geometry, Shape, batch_norm, dense, dense_input_gradient, dense_weight_gradient, depthwise,
    depthwise_input_gradient, depthwise_weight_gradient,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 251) as f32 / 125.0 - 1.0).collect()
}

fn shape(side: usize, channels: usize) -> Shape {
    Shape { batch: 16, height: side, width: side, channels }
}

/// Side, channels in and out, window, stride: of ResNet-18 at 64 px and EfficientNet-Lite0 at 128 px.
const DENSE: [(usize, usize, usize, usize, usize); 6] = [
    (64, 3, 64, 7, 2),
    (16, 64, 64, 3, 1),
    (4, 256, 256, 3, 1),
    (2, 512, 512, 3, 1),
    (32, 24, 144, 1, 1),
    (8, 672, 112, 1, 1),
];

/// Side, channels, window, stride.
const DEPTHWISE: [(usize, usize, usize, usize); 4] =
    [(64, 32, 3, 1), (32, 144, 5, 2), (16, 240, 5, 1), (4, 1152, 5, 1)];

fn layers(criterion: &mut Criterion) {
    for (side, input, out, kernel, stride) in DENSE {
        let geometry = Geometry::square(kernel, stride, kernel / 2);
        let input = shape(side, input);
        let (x, dy) = (values(input.len()), values(geometry.output(input, out).len()));
        let weights = values(out * input.channels * kernel * kernel);
        let mut group = criterion
            .benchmark_group(format!("{kernel}x{kernel}/{stride} {} to {out} at {side}", input.channels));
        group.bench_function("forward", |b| b.iter(|| black_box(dense(&x, input, &weights, out, geometry))));
        group.bench_function("by input", |b| {
            b.iter(|| black_box(dense_input_gradient(&dy, input, &weights, out, geometry)));
        });
        group.bench_function("by weights", |b| {
            b.iter(|| black_box(dense_weight_gradient(&dy, &x, input, out, geometry)));
        });
    }
    for (side, channels, kernel, stride) in DEPTHWISE {
        let geometry = Geometry::square(kernel, stride, kernel / 2);
        let input = shape(side, channels);
        let (x, dy) = (values(input.len()), values(geometry.output(input, channels).len()));
        let weights = values(channels * kernel * kernel);
        let mut group =
            criterion.benchmark_group(format!("depthwise {kernel}x{kernel}/{stride} {channels} at {side}"));
        group.bench_function("forward", |b| b.iter(|| black_box(depthwise(&x, input, &weights, geometry))));
        group.bench_function("by input", |b| {
            b.iter(|| black_box(depthwise_input_gradient(&dy, input, &weights, geometry)));
        });
        group.bench_function("by weights", |b| {
            b.iter(|| black_box(depthwise_weight_gradient(&dy, &x, input, geometry)));
        });
    }
    let (x, ones) = (values(16 * 32 * 32 * 144), vec![1.0; 144]);
    criterion.bench_function("BatchNorm and ReLU6, 144 at 32", |b| {
        b.iter(|| black_box(batch_norm(&x, &ones, &ones, 1e-3, None, Activation::Relu6)));
    });
}

criterion_group!(benches, layers);
criterion_main!(benches);
