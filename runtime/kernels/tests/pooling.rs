//! Global averages and max pooling of every tier against their formulas.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::array::from_fn;

use comet_kernels::{ConvShape, Fault, GlobalAverage, Halo, Layout, MaxPool, Target, Tier};

use reference::buffer::{Buffer, assert_writes};
use reference::formulas::{Tensor, ideal, max_pool, output_size, requantize, steps};
use reference::random::Random;
use reference::{pools, seeds};

#[test]
fn averages_are_those_of_the_formula() {
    for seed in seeds(80) {
        let random = &mut Random::new(seed);
        let [mut channels, height, width] = random.shape();
        if seed % 10 == 9 {
            channels = random.pick(&[63, 64, 65, 128, 130, 200]);
        }
        let input = random.layout([channels, height, width]);
        let output = random.layout([channels, 1, 1]);
        let [from, to] = from_fn(|_| random.quantization());
        let values = random.bytes(channels * height * width);
        let source = Buffer::input(input, &values, random.byte(), random);
        let case = format!("seed {seed}, {input:?} -> {output:?}, {from:?} -> {to:?}");

        let target = Target::Bytes { zero_point: to.zero_point, low: 0, high: 255 };
        let pixels = height * width;
        let factor = from.scale / (to.scale * pixels as f32);
        let mut expected = Vec::new();
        for channel in 0..channels {
            let of_channel = values.iter().skip(channel).step_by(channels);
            let sum: i32 = of_channel.map(|byte| steps(*byte, from.zero_point)).sum();
            let byte = requantize(sum as f32 * factor, target);
            let mean = f64::from(sum) / pixels as f64 * f64::from(from.scale);
            assert!(byte.abs_diff(ideal(mean, to.scale, target)) <= 1, "{case}");
            expected.push(byte);
        }
        for tier in Tier::available() {
            let average = GlobalAverage::new(tier, (input, from), (output, to)).unwrap();
            let name = format!("{tier:?}, {case}");
            assert_writes(&name, output, &expected, |output| average.run(source.slice(), output));
            source.assert_untouched(&name);
        }
    }
}

/// Windows that reach beyond the padding.
fn windows(random: &mut Random, channels: usize) -> ConvShape {
    let kernel = [random.size(1..=5), random.size(1..=5)];
    let dilation = [1; 2];
    let mut before = |axis: usize| {
        let reach = (kernel[axis] - 1) * dilation[axis];
        random.size(0..=reach.min(3))
    };
    let padding = Halo { top: before(0), left: before(1), bottom: before(0), right: before(1) };
    let stride = [random.size(1..=3), random.size(1..=3)];
    ConvShape { channels, kernel, stride, dilation, padding }
}

#[test]
fn the_largest_value_of_each_window_wins_and_padding_never() {
    let pools = pools();
    let mut checked = 0;
    for seed in seeds(160) {
        let random = &mut Random::new(seed);
        let [channels, height, width] = random.shape();
        let shape = windows(random, channels);
        let size = output_size(shape, height, width);
        assert_eq!(shape.output(height, width), size, "seed {seed}, {shape:?}");
        let Some([rows, columns]) = size else { continue };
        let (input, output) =
            (random.layout([channels, height, width]), random.layout([channels, rows, columns]));
        // Small values, so that whatever comes from outside would win.
        let most = random.pick(&[255, 100, 1]);
        let bytes = random.bytes(channels * height * width);
        let values: Vec<u8> = bytes.iter().map(|byte| *byte % most).collect();
        let source = Buffer::input(input, &values, 255, random);
        let case = format!("seed {seed}, {shape:?}, {input:?} -> {output:?}");
        let expected = max_pool(shape, Tensor { values: &values, channels, height, width });
        for tier in Tier::available() {
            let pooling = MaxPool::new(tier, shape, input, output).unwrap();
            for pool in &pools {
                let name = format!("{tier:?}, {} threads, {case}", pool.threads());
                assert_writes(&name, output, &expected, |output| pooling.run(pool, source.slice(), output));
            }
            source.assert_untouched(&case);
        }
        checked += 1;
    }
    assert!(cfg!(miri) || checked > 60, "only {checked} windows fitted");
}

#[test]
fn impossible_windows_are_refused() {
    const NONE: Halo = Halo { top: 0, left: 0, bottom: 0, right: 0 };
    let huge = usize::MAX / 4;
    let valid = ConvShape { channels: 5, kernel: [3, 1], stride: [1; 2], dilation: [1; 2], padding: NONE };
    let beyond = ConvShape { kernel: [usize::MAX; 2], dilation: [usize::MAX; 2], ..valid };
    let padding = Halo { top: huge - 1, bottom: huge - 1, ..NONE };
    let endless = ConvShape { kernel: [huge, 1], stride: [huge, 1], padding, ..valid };
    let cases = [
        ("no rows", ConvShape { kernel: [0, 1], ..valid }, [4, 7]),
        ("no steps", ConvShape { stride: [1, 0], ..valid }, [4, 7]),
        ("taps in one place", ConvShape { dilation: [0; 2], ..valid }, [6, 7]),
        ("another size", valid, [4, 6]),
        ("numbers that are too large", beyond, [4, 7]),
        ("padding alone above", ConvShape { padding: Halo { top: 3, ..NONE }, ..valid }, [7, 7]),
        ("padding alone below", ConvShape { padding: Halo { bottom: 3, ..NONE }, ..valid }, [7, 7]),
        ("more taps than can ever be computed", endless, [2, 7]),
    ];
    let layout = |height: usize, width: usize| Layout::new(5, height, width, NONE).unwrap();
    for tier in Tier::available() {
        assert!(MaxPool::new(tier, valid, layout(6, 7), layout(4, 7)).is_ok());
        for (name, shape, [height, width]) in cases {
            let pooling = MaxPool::new(tier, shape, layout(6, 7), layout(height, width));
            assert!(matches!(pooling, Err(Fault::Shape(_))), "{tier:?}: {name}");
        }
    }
}
