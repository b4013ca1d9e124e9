//! Time of the kernels on every tier of this processor, on one thread, at shapes of ResNet-18, LR-ASPP and a
//! top-down head for images of 224x224 pixels. Elements are multiplications for convolutions, values of the output for everything else.
//!
//! `cargo bench -p comet-kernels -- depthwise` runs those with this word in their names.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/reference/random.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod random;

use std::time::Duration;

use comet_kernels::{
    Add, ChannelScale, Compose, Conv, ConvShape, ConvSpec, Depthwise, Halo, Layout, MaxPool, Pool,
    Quantization, Quantize, Resize, ResizeBytes, Table, Target, Tier,
};
use criterion::{Criterion, Throughput};

use random::Random;

const SEED: u64 = 1;
const ZERO_POINT: u8 = 117;
const STEPS: Quantization = Quantization { scale: 0.02, zero_point: ZERO_POINT };
const BYTES: Target = Target::Bytes { zero_point: ZERO_POINT, low: 0, high: 255 };

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for layer in LAYERS {
        layer.time(&mut criterion);
    }
    add(&mut criterion);
    table(&mut criterion);
    channel_scale(&mut criterion);
    max_pool(&mut criterion);
    quantize(&mut criterion);
    compose(&mut criterion);
    resize(&mut criterion);
    resize_bytes(&mut criterion);
    criterion.final_summary();
}

/// Times what `prepare` makes for each tier.
fn each_tier<R: FnMut()>(
    criterion: &mut Criterion,
    name: &str,
    elements: usize,
    prepare: impl Fn(Tier) -> R,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(elements as u64));
    for tier in Tier::available() {
        let mut run = prepare(tier);
        group.bench_function(tier.name(), |bencher| bencher.iter(&mut run));
    }
    group.finish();
}

/// A convolution whose padding keeps the sides, but for its stride.
struct Layer {
    depthwise: bool,
    channels: [usize; 2],
    /// Height and width of the input.
    side: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
}

impl Layer {
    const fn dense(from: usize, to: usize, side: usize, kernel: usize) -> Self {
        Self { depthwise: false, channels: [from, to], side, kernel, stride: 1, dilation: 1 }
    }

    const fn depthwise(channels: usize, side: usize, kernel: usize) -> Self {
        Self { depthwise: true, ..Self::dense(channels, channels, side, kernel) }
    }

    const fn strided(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    const fn dilated(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    fn name(&self) -> String {
        let Self { depthwise, channels: [from, to], side, kernel, stride, dilation } = self;
        let kind = if *depthwise { "depthwise" } else { "convolution" };
        let stride = if *stride > 1 { format!(" stride {stride}") } else { String::new() };
        let dilation = if *dilation > 1 { format!(" dilation {dilation}") } else { String::new() };
        format!("{kind} {kernel}x{kernel}{stride}{dilation} {from} to {to} at {side}x{side}")
    }

    fn time(&self, criterion: &mut Criterion) {
        let Self { channels: [from, to], side, kernel, stride, dilation, .. } = *self;
        let border = (kernel - 1) / 2 * dilation;
        let padding = Halo { top: border, left: border, bottom: border, right: border };
        let shape = ConvShape {
            channels: to,
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            padding,
        };
        let [height, width] = shape.output(side, side).unwrap();
        let output = plain(to, height, width);
        // Images have a layout of their own.
        let layout = if from == 3 { Layout::image } else { Layout::new };
        let input = layout(from, side, side, padding).unwrap();

        let random = &mut Random::new(SEED);
        let bytes = &random.bytes(input.len());
        let each = kernel * kernel * if self.depthwise { 1 } else { from };
        // Without -128, which sends one tier to the reference code.
        let weights: Vec<i8> = (0..to * each).map(|_| random.integer(-127..=127) as i8).collect();
        let (bias, factors) = (vec![0; to], vec![1e-4; to]);
        let spec = ConvSpec {
            shape,
            input,
            zero_point: ZERO_POINT,
            weights: &weights,
            bias: &bias,
            multipliers: &factors,
            output,
            target: BYTES,
        };
        let pool = &Pool::new(1).unwrap();
        let (name, count) = (self.name(), to * each * height * width);
        if self.depthwise {
            each_tier(criterion, &name, count, |tier| {
                let conv = Depthwise::new(tier, &spec).unwrap();
                let mut target = vec![0; output.len()];
                move || conv.run(pool, bytes, &mut target).unwrap()
            });
        } else {
            each_tier(criterion, &name, count, |tier| {
                let conv = Conv::new(tier, &spec).unwrap();
                let mut target = vec![0; output.len()];
                move || conv.run(pool, bytes, &mut target).unwrap()
            });
        }
    }
}

const LAYERS: [Layer; 10] = [
    Layer::dense(3, 64, 224, 7).strided(2),
    Layer::dense(64, 64, 56, 3),
    Layer::dense(128, 128, 28, 3),
    Layer::dense(256, 256, 14, 3),
    Layer::dense(512, 512, 7, 3),
    Layer::dense(16, 64, 112, 1),
    Layer::dense(160, 960, 14, 1),
    Layer::depthwise(64, 112, 3).strided(2),
    Layer::depthwise(672, 14, 5).dilated(2),
    Layer::depthwise(672, 14, 5).strided(2),
];

/// A tensor without a halo.
fn plain(channels: usize, height: usize, width: usize) -> Layout {
    Layout::new(channels, height, width, Halo::default()).unwrap()
}

/// The first layer's input, an image of 224x224 pixels.
fn image() -> Layout {
    Layout::image(3, 224, 224, Halo { top: 3, left: 3, bottom: 3, right: 3 }).unwrap()
}

fn values(layout: Layout) -> usize {
    layout.channels() * layout.height() * layout.width()
}

fn add(criterion: &mut Criterion) {
    let layout = plain(64, 56, 56);
    let random = &mut Random::new(SEED);
    let (left, right) = (&random.bytes(layout.len()), &random.bytes(layout.len()));
    let pool = &Pool::new(1).unwrap();
    each_tier(criterion, "add 64 at 56x56", values(layout), |tier| {
        let add = Add::new(tier, [layout; 2], [STEPS; 2], layout, 0.03, BYTES).unwrap();
        let mut target = vec![0; layout.len()];
        move || add.run(pool, left, right, &mut target).unwrap()
    });
}

fn table(criterion: &mut Criterion) {
    let layout = plain(960, 14, 14);
    let bytes = &Random::new(SEED).bytes(layout.len());
    let pool = &Pool::new(1).unwrap();
    let hard_swish = |x: f32| x * (x + 3.0).clamp(0.0, 6.0) / 6.0;
    each_tier(criterion, "table 960 at 14x14", values(layout), |tier| {
        let table = Table::new(tier, (layout, STEPS), (layout, STEPS), hard_swish).unwrap();
        let mut target = vec![0; layout.len()];
        move || table.run(pool, bytes, &mut target).unwrap()
    });
}

fn channel_scale(criterion: &mut Criterion) {
    let (layout, one) = (plain(672, 14, 14), plain(672, 1, 1));
    let random = &mut Random::new(SEED);
    let (bytes, factors) = (&random.bytes(layout.len()), &random.bytes(one.len()));
    let pool = &Pool::new(1).unwrap();
    each_tier(criterion, "channel scale 672 at 14x14", values(layout), |tier| {
        let scale = ChannelScale::new(tier, (layout, STEPS), (one, STEPS), (layout, STEPS)).unwrap();
        let mut target = vec![0; layout.len()];
        move || scale.run(pool, bytes, factors, &mut target).unwrap()
    });
}

fn max_pool(criterion: &mut Criterion) {
    for channels in [32, 64] {
        max_pool_of(criterion, channels);
    }
}

fn max_pool_of(criterion: &mut Criterion, channels: usize) {
    let (input, output) = (plain(channels, 112, 112), plain(channels, 56, 56));
    let bytes = &Random::new(SEED).bytes(input.len());
    let pool = &Pool::new(1).unwrap();
    let padding = Halo { top: 1, left: 1, bottom: 1, right: 1 };
    let shape = ConvShape { channels, kernel: [3; 2], stride: [2; 2], dilation: [1; 2], padding };
    let name = format!("max pool 3x3 stride 2 {channels} at 112x112");
    each_tier(criterion, &name, values(output), |tier| {
        let pooling = MaxPool::new(tier, shape, input, output).unwrap();
        let mut target = vec![0; output.len()];
        move || pooling.run(pool, bytes, &mut target).unwrap()
    });
}

fn quantize(criterion: &mut Criterion) {
    let layout = image();
    let image = &Random::new(SEED).reals(values(layout), -2.0..=2.0);
    let pool = &Pool::new(1).unwrap();
    each_tier(criterion, "quantize 3 at 224x224", values(layout), |tier| {
        let quantize = Quantize::new(tier, layout, STEPS).unwrap();
        let mut target = vec![0; layout.len()];
        move || quantize.run(pool, image, &mut target).unwrap()
    });
}

fn compose(criterion: &mut Criterion) {
    let layout = image();
    let random = &mut Random::new(SEED);
    let image = &random.reals(values(layout), -2.0..=2.0);
    let mask = &random.reals(layout.height() * layout.width(), 0.0..=1.0);
    let pool = &Pool::new(1).unwrap();
    each_tier(criterion, "compose 3 at 224x224", values(layout), |tier| {
        let compose = Compose::new(tier, layout, STEPS).unwrap();
        let mut target = vec![0; layout.len()];
        move || compose.run(pool, image, mask, &mut target).unwrap()
    });
}

fn resize(criterion: &mut Criterion) {
    let logits = &Random::new(SEED).reals(28 * 28, -4.0..=4.0);
    each_tier(criterion, "resize 1 from 28x28 to 224x224", 224 * 224, |tier| {
        let resize = Resize::new(tier, [28; 2], [224; 2]).unwrap();
        let mut target = vec![0.0; 224 * 224];
        move || resize.run(logits, &mut target).unwrap()
    });
}

fn resize_bytes(criterion: &mut Criterion) {
    let (small, large) = (plain(48, 28, 28), plain(48, 56, 56));
    let bytes = &Random::new(SEED).bytes(small.len());
    let pool = &Pool::new(1).unwrap();
    each_tier(criterion, "resize 48 from 28x28 to 56x56", values(large), |tier| {
        let resize = ResizeBytes::new(tier, (small, STEPS), large, STEPS.scale, BYTES).unwrap();
        let mut target = vec![0; large.len()];
        move || resize.run(pool, bytes, &mut target).unwrap()
    });
}
