//! Sums, tables and channel factors of every tier against their formulas.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::array::from_fn;

use comet_kernels::{Add, ChannelScale, Layout, Quantization, Table, Target, Tier};

use reference::buffer::{Buffer, assert_same, assert_writes};
use reference::formulas::{dequantize, ideal, quantize, requantize, steps};
use reference::random::Random;
use reference::{pools, seeds};

#[test]
fn sums_are_those_of_the_formula() {
    let pools = pools();
    for seed in seeds(80) {
        let random = &mut Random::new(seed);
        let shape = random.shape();
        let layouts: [Layout; 3] = from_fn(|_| random.layout(shape));
        let from: [Quantization; 2] = from_fn(|_| random.quantization());
        let scale = random.real(0.002..=0.1);
        let target = random.target();
        let values: [Vec<u8>; 2] = from_fn(|_| random.bytes(shape.iter().product()));
        let inputs: [Buffer; 2] =
            from_fn(|side| Buffer::input(layouts[side], &values[side], from[side].zero_point, random));
        let case = format!("seed {seed}, {layouts:?}, {from:?} -> {scale} {target:?}");

        let factors = from.map(|q| q.scale / scale);
        let terms = values[0].iter().zip(&values[1]).map(|(left, right)| {
            [steps(*left, from[0].zero_point) as f32, steps(*right, from[1].zero_point) as f32]
        });
        let sum = |[left, right]: [f32; 2]| requantize(left * factors[0] + right * factors[1], target);
        let expected: Vec<u8> = terms.clone().map(sum).collect();
        let exact = terms.map(|terms| {
            let real = |side: usize| f64::from(terms[side]) * f64::from(from[side].scale);
            ideal(real(0) + real(1), scale, target)
        });
        assert!(expected.iter().zip(exact).all(|(byte, exact)| byte.abs_diff(exact) <= 1), "{case}");

        for tier in Tier::available() {
            let add = Add::new(tier, [layouts[0], layouts[1]], from, layouts[2], scale, target).unwrap();
            for pool in &pools {
                let name = format!("{tier:?}, {} threads, {case}", pool.threads());
                assert_writes(&name, layouts[2], &expected, |output| {
                    add.run(pool, inputs[0].slice(), inputs[1].slice(), output)
                });
            }
            inputs.iter().for_each(|input| input.assert_untouched(&case));
        }
    }
}

/// Functions with kinks, with jumps, without finite values.
/// A name and a function of one number.
type Named = (&'static str, fn(f32) -> f32);

const FUNCTIONS: [Named; 6] = [
    ("the identity", |x| x),
    ("ReLU", |x| x.max(0.0)),
    ("hard swish", |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
    ("the sign, far out of range", |x| if x < 0.0 { -1e30 } else { 1e30 }),
    ("the reciprocal, infinite at zero", |x| 1.0 / x),
    ("the root, not a number below zero", |x| x.sqrt()),
];

#[test]
fn tables_give_the_function_of_every_byte() {
    let pools = pools();
    let bytes: Vec<u8> = (0..=255).collect();
    for (seed, (name, function)) in (0..).zip(FUNCTIONS) {
        let random = &mut Random::new(seed);
        let [input, output] = from_fn(|_| random.layout([16, 4, 4]));
        let [from, to] = from_fn(|_| random.quantization());
        let source = Buffer::input(input, &bytes, 0, random);
        let mapped = |byte: &u8| quantize(function(dequantize(*byte, from)), to);
        let expected: Vec<u8> = bytes.iter().map(mapped).collect();
        for tier in Tier::available() {
            let table = Table::new(tier, (input, from), (output, to), function).unwrap();
            for pool in &pools {
                let name = format!("{name}, {tier:?}, {} threads, {from:?} -> {to:?}", pool.threads());
                assert_writes(&name, output, &expected, |output| table.run(pool, source.slice(), output));
            }
            source.assert_untouched(name);
        }
    }
}

#[test]
fn tables_fit_any_shape_and_work_in_place() {
    let pools = pools();
    for seed in seeds(60) {
        let random = &mut Random::new(seed);
        let shape = random.shape();
        let [input, output] = from_fn(|_| random.layout(shape));
        let [from, to] = from_fn(|_| random.quantization());
        let values = random.bytes(shape.iter().product());
        let source = Buffer::input(input, &values, from.zero_point, random);
        let function = |x: f32| 1.5 - x;
        let mapped = |byte: &u8| quantize(function(dequantize(*byte, from)), to);
        let expected: Vec<u8> = values.iter().map(mapped).collect();
        let case = format!("seed {seed}, {input:?} -> {output:?}");
        for tier in Tier::available() {
            let table = Table::new(tier, (input, from), (output, to), function).unwrap();
            let in_place = Table::new(tier, (input, from), (input, to), function).unwrap();
            for pool in &pools {
                let name = format!("{tier:?}, {} threads, {case}", pool.threads());
                assert_writes(&name, output, &expected, |output| table.run(pool, source.slice(), output));
                let mut tensor = Buffer::input(input, &values, from.zero_point, random);
                assert_eq!(in_place.run_in_place(pool, tensor.slice_mut()), Ok(()), "{name}");
                tensor.assert_written_inside(&name);
                assert_same(&name, &tensor.values(), &expected);
            }
            source.assert_untouched(&case);
        }
    }
}

#[test]
fn channels_are_multiplied_by_their_factors() {
    let pools = pools();
    for seed in seeds(70) {
        let random = &mut Random::new(seed);
        let [mut channels, height, width] = random.shape();
        if seed % 10 == 9 {
            channels = random.pick(&[255, 256, 257, 300, 513]);
        }
        let [input, output] = from_fn(|_| random.layout([channels, height, width]));
        let weight = random.layout([channels, 1, 1]);
        let [from, by] = from_fn(|_| random.quantization());
        let scale = from.scale * by.scale * 255.0 * random.real(0.2..=2.0);
        let to = Quantization::new(scale, random.pick(&[0, 1, 117, 255])).unwrap();
        let (values, weights) = (random.bytes(channels * height * width), random.bytes(channels));
        let source = Buffer::input(input, &values, from.zero_point, random);
        let factors = Buffer::input(weight, &weights, by.zero_point, random);
        let case = format!("seed {seed}, {input:?} x {weight:?} -> {output:?}, {from:?} x {by:?} -> {to:?}");

        let target = Target::Bytes { zero_point: to.zero_point, low: 0, high: 255 };
        let factor = from.scale * by.scale / to.scale;
        let mut expected = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let value = steps(*value, from.zero_point);
            let weight = steps(weights[index % channels], by.zero_point);
            let byte = requantize(value as f32 * (weight as f32 * factor), target);
            let real = f64::from(value * weight) * f64::from(from.scale) * f64::from(by.scale);
            assert!(byte.abs_diff(ideal(real, to.scale, target)) <= 1, "{case}");
            expected.push(byte);
        }
        for tier in Tier::available() {
            let scale = ChannelScale::new(tier, (input, from), (weight, by), (output, to)).unwrap();
            for pool in &pools {
                let name = format!("{tier:?}, {} threads, {case}", pool.threads());
                assert_writes(&name, output, &expected, |output| {
                    scale.run(pool, source.slice(), factors.slice(), output)
                });
            }
            source.assert_untouched(&case);
            factors.assert_untouched(&case);
        }
    }
}
