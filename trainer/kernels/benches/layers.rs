//! Forward pass and gradients of layers of the presets, with rayon's threads (`RAYON_NUM_THREADS`):
//! `cargo bench -p comet-training-kernels`, or `-- depthwise` for those with this word in their names.
//!
//! Elements are multiplications for convolutions, values of the layer's input for everything else.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::Duration;

use comet_training_kernels::{
    Activation, AdamStep, Geometry, Shape, adamw, batch_norm, batch_norm_gradient, dense,
    dense_input_gradient, dense_weight_gradient, depthwise, depthwise_input_gradient,
    depthwise_weight_gradient, max_pool, max_pool_gradient, resize, resize_gradient,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 251) as f32 / 125.0 - 1.0).collect()
}

fn shape(side: usize, channels: usize) -> Shape {
    Shape { batch: 16, height: side, width: side, channels }
}

/// A square window with the zeros of PyTorch's networks, or after the image only: TensorFlow's for even sizes.
fn window(kernel: usize, stride: usize, after: bool) -> Geometry {
    let (total, around) = (kernel - stride.min(kernel), Geometry::square(kernel, stride, kernel / 2));
    let (before, behind) = (total / 2, total - total / 2);
    if after { Geometry { padding: [before, before, behind, behind], ..around } } else { around }
}

/// Side, channels in and out, window, stride, zeros after the image only.
type Dense = (usize, usize, usize, usize, usize, bool);

/// Of `full` at 64 px: ResNet-18 and the 1x1 layers of MobileNetV3. Then of `lite` at 128 px.
const DENSE: [Dense; 11] = [
    (64, 3, 64, 7, 2, false),
    (16, 64, 64, 3, 1, false),
    (16, 64, 128, 1, 2, false),
    (8, 128, 128, 3, 1, false),
    (4, 256, 256, 3, 1, false),
    (2, 512, 512, 3, 1, false),
    (4, 160, 960, 1, 1, false),
    (128, 3, 32, 3, 2, true),
    (32, 24, 144, 1, 1, false),
    (8, 672, 112, 1, 1, false),
    (4, 320, 1280, 1, 1, false),
];

/// Side, channels, window, stride, zeros after the image only.
type Depthwise = (usize, usize, usize, usize, bool);

/// Of `full` at 64 px, then of `lite` at 128 px.
const DEPTHWISE: [Depthwise; 7] = [
    (32, 64, 3, 2, false),
    (4, 672, 5, 1, false),
    (64, 32, 3, 1, false),
    (64, 96, 3, 2, true),
    (32, 144, 5, 2, true),
    (8, 672, 5, 1, false),
    (4, 1152, 5, 1, false),
];

fn group<'a>(criterion: &'a mut Criterion, name: &str, elements: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(elements as u64));
    group
}

fn dense_layers(criterion: &mut Criterion) {
    for (side, input, out, kernel, stride, after) in DENSE {
        let geometry = window(kernel, stride, after);
        let (input, name) =
            (shape(side, input), format!("dense {kernel}x{kernel}/{stride} {input} to {out} at {side}"));
        let output = geometry.output(input, out);
        let (x, dy) = (values(input.len()), values(output.len()));
        let weights = values(out * input.channels * kernel * kernel);
        let mut group = group(criterion, &name, output.len() * input.channels * kernel * kernel);
        group.bench_function("forward", |b| b.iter(|| black_box(dense(&x, input, &weights, out, geometry))));
        group.bench_function("by input", |b| {
            b.iter(|| black_box(dense_input_gradient(&dy, input, &weights, out, geometry)));
        });
        group.bench_function("by weights", |b| {
            b.iter(|| black_box(dense_weight_gradient(&dy, &x, input, out, geometry)));
        });
    }
}

fn depthwise_layers(criterion: &mut Criterion) {
    for (side, channels, kernel, stride, after) in DEPTHWISE {
        let geometry = window(kernel, stride, after);
        let (input, name) =
            (shape(side, channels), format!("depthwise {kernel}x{kernel}/{stride} {channels} at {side}"));
        let output = geometry.output(input, channels);
        let (x, dy) = (values(input.len()), values(output.len()));
        let weights = values(channels * kernel * kernel);
        let mut group = group(criterion, &name, output.len() * kernel * kernel);
        group.bench_function("forward", |b| b.iter(|| black_box(depthwise(&x, input, &weights, geometry))));
        group.bench_function("by input", |b| {
            b.iter(|| black_box(depthwise_input_gradient(&dy, input, &weights, geometry)));
        });
        group.bench_function("by weights", |b| {
            b.iter(|| black_box(depthwise_weight_gradient(&dy, &x, input, geometry)));
        });
    }
}

fn norms(criterion: &mut Criterion) {
    for (side, channels, activation) in [(16, 64, Activation::Relu), (32, 144, Activation::Relu6)] {
        let x = values(shape(side, channels).len());
        let (dy, ones) = (x.clone(), vec![1.0; channels]);
        for residual in [None, Some(x.as_slice())] {
            let added = if residual.is_some() { ", residual" } else { "" };
            let name = format!("BatchNorm{added}, {activation:?}, {channels} at {side}");
            let (_, statistics) = batch_norm(&x, &ones, &ones, 1e-3, residual, activation);
            let mut group = group(criterion, &name, x.len());
            group.bench_function("forward", |b| {
                b.iter(|| black_box(batch_norm(&x, &ones, &ones, 1e-3, residual, activation)));
            });
            group.bench_function("gradients", |b| {
                b.iter(|| {
                    black_box(batch_norm_gradient(
                        &dy,
                        &x,
                        &ones,
                        &ones,
                        &statistics,
                        1e-3,
                        residual,
                        activation,
                    ))
                });
            });
        }
    }
}

fn others(criterion: &mut Criterion) {
    let (input, geometry) = (shape(32, 64), Geometry::square(3, 2, 1));
    let x = values(input.len());
    let y = max_pool(&x, input, geometry);
    let mut pool = group(criterion, "max pool, 64 at 32", x.len());
    pool.bench_function("forward", |b| b.iter(|| black_box(max_pool(&x, input, geometry))));
    pool.bench_function("gradient", |b| b.iter(|| black_box(max_pool_gradient(&y, &x, &y, input, geometry))));
    pool.finish();

    // Of the top-down head.
    let input = shape(16, 48);
    let (x, dy) = (values(input.len()), values(4 * input.len()));
    let mut twice = group(criterion, "resize, 48 at 16 to 32", x.len());
    twice.bench_function("forward", |b| b.iter(|| black_box(resize(&x, input, [32; 2]))));
    twice.bench_function("gradient", |b| b.iter(|| black_box(resize_gradient(&dy, input, [32; 2]))));
    twice.finish();

    let (mut parameter, gradient) = (values(1 << 20), values(1 << 20));
    let (mut first, mut second) = (vec![0.0; 1 << 20], vec![0.0; 1 << 20]);
    let step = AdamStep { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.03, time: 3 };
    group(criterion, "AdamW", 1 << 20).bench_function("step", |b| {
        b.iter(|| adamw(black_box(&mut parameter), &gradient, &mut first, &mut second, step));
    });
}

criterion_group!(benches, dense_layers, depthwise_layers, norms, others);
criterion_main!(benches);
