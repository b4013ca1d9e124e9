//! Where real numbers become bytes and bytes real numbers: quantize, dequantize, compose, resize.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::array::from_fn;

use comet_kernels::{Compose, Dequantize, Layout, Quantization, Quantize, Resize, Tier, add_real};

use reference::buffer::{Buffer, assert_writes, assert_writes_reals, guarded_reals};
use reference::formulas::{dequantize, interleave, quantize, resize};
use reference::random::{Random, ZERO_POINTS};
use reference::{pools, seeds};

/// What a camera never gives and a network might.
const SPECIAL: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    0.0,
    -0.0,
    2_147_483_648.0,
    -8_388_609.0,
];

/// Shapes whose rows are shorter and longer than the pieces that kernels work on.
fn shape(random: &mut Random, seed: u64) -> [usize; 3] {
    if seed % 4 == 3 && !cfg!(miri) {
        return [random.size(1..=4), random.size(1..=2), random.pick(&[127, 128, 129, 255, 256, 257, 300])];
    }
    random.shape()
}

/// A tensor for bytes that come from real numbers: an image now and then.
fn layout(random: &mut Random, [channels, height, width]: [usize; 3]) -> Layout {
    let new = if random.chance(40) { Layout::image } else { Layout::new };
    new(channels, height, width, random.halo(2)).unwrap()
}

/// A power of two every other time: halves between two steps are then exact.
fn quantization(random: &mut Random) -> Quantization {
    let scale = if random.chance(50) { 0.25 } else { random.real(0.001..=0.3) };
    Quantization::new(scale, random.pick(&ZERO_POINTS)).unwrap()
}

/// Real numbers over the bytes of `to` and beyond, some half way between two steps, some special.
fn reals(random: &mut Random, count: usize, to: Quantization) -> Vec<f32> {
    let real = |_| match random.size(0..=9) {
        0 => random.pick(&SPECIAL),
        1..=4 => (random.integer(-300..=300) as f32 + 0.5) * to.scale,
        _ => random.real(-400.0..=400.0) * to.scale,
    };
    (0..count).map(real).collect()
}

#[test]
fn quantization_rounds_half_to_even_and_saturates() {
    let pools = pools();
    for seed in seeds(80) {
        let random = &mut Random::new(seed);
        let shape = shape(random, seed);
        let output = layout(random, shape);
        let to = quantization(random);
        let planes = reals(random, shape.iter().product(), to);
        let pixels = interleave(&planes, shape[0]);
        let expected: Vec<u8> = pixels.iter().map(|real| quantize(*real, to)).collect();
        for tier in Tier::available() {
            let kernel = Quantize::new(tier, output, to).unwrap();
            for pool in &pools {
                let name = format!("seed {seed}, {tier:?}, {} threads, {output:?}, {to:?}", pool.threads());
                assert_writes(&name, output, &expected, |output| kernel.run(pool, &planes, output));
            }
        }
    }
}

#[test]
fn single_numbers_are_quantized_alike() {
    for seed in seeds(40) {
        let random = &mut Random::new(seed);
        let to = quantization(random);
        for real in reals(random, 200, to) {
            assert_eq!(to.byte(real), quantize(real, to), "{real} {to:?}");
        }
        for byte in 0..=255 {
            assert_eq!(to.real(byte).to_bits(), dequantize(byte, to).to_bits(), "{byte} {to:?}");
        }
    }
}

#[test]
fn dequantization_gives_planes() {
    for seed in seeds(60) {
        let random = &mut Random::new(seed);
        let shape = shape(random, seed);
        let input = random.layout(shape);
        let from = quantization(random);
        let values = random.bytes(shape.iter().product());
        let source = Buffer::input(input, &values, from.zero_point, random);
        let (channels, pixels) = (shape[0], shape[1] * shape[2]);
        let expected: Vec<f32> = (0..values.len())
            .map(|index| dequantize(values[index % pixels * channels + index / pixels], from))
            .collect();
        let name = format!("seed {seed}, {input:?}, {from:?}");
        let kernel = Dequantize::new(input, from);
        assert_writes_reals(&name, &expected, |output| kernel.run(source.slice(), output));
        source.assert_untouched(&name);
    }
}

#[test]
fn compositing_is_a_product_that_is_quantized() {
    let pools = pools();
    for seed in seeds(80) {
        let random = &mut Random::new(seed);
        let shape = shape(random, seed);
        let output = layout(random, shape);
        let to = quantization(random);
        let pixels = shape[1] * shape[2];
        let image = reals(random, shape[0] * pixels, to);
        let mut mask = random.reals(pixels, 0.0..=1.0);
        for value in &mut mask {
            *value = if random.chance(40) { random.pick(&[0.0, 0.5, 1.0]) } else { *value };
        }
        let products = interleave(&image, shape[0]);
        let products = products.iter().enumerate().map(|(index, real)| *real * mask[index / shape[0]]);
        let expected: Vec<u8> = products.map(|real| quantize(real, to)).collect();
        for tier in Tier::available() {
            let kernel = Compose::new(tier, output, to).unwrap();
            for pool in &pools {
                let name = format!("seed {seed}, {tier:?}, {} threads, {output:?}, {to:?}", pool.threads());
                assert_writes(&name, output, &expected, |output| kernel.run(pool, &image, &mask, output));
            }
        }
    }
}

#[test]
fn resizing_is_bilinear_between_half_pixel_centres() {
    const RANGE: f32 = 4.0;
    for seed in seeds(100) {
        let random = &mut Random::new(seed);
        let most = if cfg!(miri) { 4 } else { 40 };
        let [from, to]: [[usize; 2]; 2] = from_fn(|_| [random.size(1..=most), random.size(1..=most)]);
        let planes = random.size(1..=3);
        let input = random.reals(planes * from[0] * from[1], -RANGE..=RANGE);
        let planes_of_input = input.chunks(from[0] * from[1]);
        let exact: Vec<f64> = planes_of_input.flat_map(|plane| resize(plane, from, to)).collect();
        let case = format!("seed {seed}, {planes} planes, {from:?} -> {to:?}");

        let reference = Resize::new(Tier::Scalar, from, to).unwrap();
        let first = guarded_reals(&case, exact.len(), |output| reference.run(&input, output));
        for (index, (real, exact)) in first.iter().zip(&exact).enumerate() {
            let off = (f64::from(*real) - exact).abs();
            assert!(off <= 1e-6 * 2.0 * f64::from(RANGE), "{case}: value {index} is {real}, not {exact}");
        }
        for tier in Tier::available() {
            let kernel = Resize::new(tier, from, to).unwrap();
            assert_writes_reals(&format!("{tier:?}, {case}"), &first, |output| kernel.run(&input, output));
        }
    }
}

#[test]
fn a_constant_plane_stays_what_it_is() {
    for (from, to) in [([1, 1], [5, 7]), ([3, 4], [9, 2]), ([7, 7], [20, 20])] {
        for tier in Tier::available() {
            let kernel = Resize::new(tier, from, to).unwrap();
            let (input, expected) = (vec![0.1f32; from[0] * from[1]], vec![0.1f32; to[0] * to[1]]);
            let name = format!("{tier:?}, {from:?} -> {to:?}");
            assert_writes_reals(&name, &expected, |output| kernel.run(&input, output));
        }
    }
}

#[test]
fn real_numbers_are_added_in_place() {
    for count in [0, 1, 7, 16, 33, 100] {
        let random = &mut Random::new(count as u64);
        let [left, right]: [Vec<f32>; 2] = from_fn(|_| random.reals(count, -1e3..=1e3));
        let expected: Vec<f32> = left.iter().zip(&right).map(|(left, right)| left + right).collect();
        for tier in Tier::available() {
            assert_writes_reals(&format!("{tier:?}, {count} values"), &expected, |output| {
                output.copy_from_slice(&right);
                add_real(tier, &left, output)
            });
        }
    }
}
