//! Bilinear resizes of bytes, on every tier and any number of threads, against the ONNX formula.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::array::from_fn;

use comet_kernels::{Fault, Halo, Layout, Pool, Quantization, ResizeBytes, Target, Tier};

use reference::buffer::{Buffer, assert_writes};
use reference::formulas::{ideal, requantize, resize, steps};
use reference::random::Random;
use reference::{pools, seeds};

/// A resize, its input, and the blends that it must round, in steps of the input from its zero point.
struct Case {
    input: Layout,
    output: Layout,
    from: Quantization,
    scale: f32,
    target: Target,
    values: Vec<u8>,
    blends: Vec<f64>,
}

impl Case {
    /// From `[height, width]` to `[height, width]`.
    fn new(random: &mut Random, channels: usize, small: [usize; 2], large: [usize; 2]) -> Self {
        let [input, output] = [small, large].map(|[rows, columns]| random.layout([channels, rows, columns]));
        let from = random.quantization();
        let scale = if random.chance(50) { from.scale } else { random.real(0.002..=0.1) };
        let values = random.bytes(channels * small[0] * small[1]);
        let plane = |channel: usize| {
            let of_channel = values.iter().skip(channel).step_by(channels);
            let plane: Vec<f32> = of_channel.map(|byte| steps(*byte, from.zero_point) as f32).collect();
            resize(&plane, small, large)
        };
        let planes: Vec<Vec<f64>> = (0..channels).map(plane).collect();
        let pixels = large[0] * large[1];
        let blends = (0..channels * pixels).map(|index| planes[index % channels][index / channels]).collect();
        Self { input, output, from, scale, target: random.target(), values, blends }
    }

    fn name(&self) -> String {
        let Self { input, output, from, scale, target, .. } = self;
        format!("{input:?} -> {output:?}, {from:?} -> {scale} {target:?}")
    }

    fn kernel(&self, tier: Tier) -> ResizeBytes {
        ResizeBytes::new(tier, (self.input, self.from), self.output, self.scale, self.target).unwrap()
    }

    /// The bytes where every blend is a number of single precision.
    fn exact(&self) -> Vec<u8> {
        let factor = self.from.scale / self.scale;
        self.blends.iter().map(|blend| requantize(*blend as f32 * factor, self.target)).collect()
    }

    /// Runs it on every tier and pool.
    fn assert_gives(&self, expected: &[u8], pools: &[Pool], random: &mut Random) {
        let source = Buffer::input(self.input, &self.values, random.byte(), random);
        for tier in Tier::available() {
            let kernel = self.kernel(tier);
            for pool in pools {
                let name = format!("{tier:?}, {} threads, {}", pool.threads(), self.name());
                assert_writes(&name, self.output, expected, |output| {
                    kernel.run(pool, source.slice(), output)
                });
            }
        }
        source.assert_untouched(&self.name());
    }
}

#[test]
fn blends_at_powers_of_two_are_rounded_exactly() {
    let (pools, mut seen) = (pools(), [false; 256]);
    for seed in seeds(60) {
        let random = &mut Random::new(seed);
        let [channels, height, width] = random.shape();
        let factors: [usize; 2] = from_fn(|_| random.pick(&[1, 2, 2, 2, 4, 8]));
        let case = Case::new(random, channels, [height, width], [height * factors[0], width * factors[1]]);
        let expected = case.exact();
        expected.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        case.assert_gives(&expected, &pools, random);
    }
    assert!(cfg!(miri) || seen.iter().all(|seen| *seen));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn any_number_of_channels() {
    let pools = pools();
    for channels in 1..=145 {
        let random = &mut Random::new(channels as u64);
        let case = Case::new(random, channels, [3, 4], [6, 8]);
        case.assert_gives(&case.exact(), &pools, random);
    }
}

#[test]
fn resizes_to_any_size_are_the_same_on_every_tier_and_near_the_formula() {
    let pools = pools();
    for seed in seeds(100) {
        let random = &mut Random::new(seed);
        let channels = random.channels();
        let most = if cfg!(miri) { 3 } else { 12 };
        let [small, large]: [[usize; 2]; 2] = from_fn(|_| [random.size(1..=most), random.size(1..=most)]);
        let case = Case::new(random, channels, small, large);
        let source = Buffer::input(case.input, &case.values, random.byte(), random);
        let mut reference = Buffer::output(case.output);
        case.kernel(Tier::Scalar).run(&pools[0], source.slice(), reference.slice_mut()).unwrap();
        let expected = reference.values();
        let exact = |blend: &f64| ideal(blend * f64::from(case.from.scale), case.scale, case.target);
        let exact = case.blends.iter().map(exact);
        let near = expected.iter().zip(exact).all(|(byte, exact)| byte.abs_diff(exact) <= 1);
        assert!(near, "seed {seed}, {}", case.name());
        case.assert_gives(&expected, &pools, random);
    }
}

#[test]
fn half_a_step_goes_to_the_even_byte() {
    // Between 0 and 2 lie 0.5 and 1.5, between 2 and 4 lie 2.5 and 3.5.
    let (pool, none) = (&pools()[0], Halo::default());
    let [input, output] = [3, 6].map(|width| Layout::new(1, 1, width, none).unwrap());
    let from = Quantization::new(0.5, 0).unwrap();
    let target = Target::Bytes { zero_point: 0, low: 0, high: 3 };
    for tier in Tier::available() {
        let kernel = ResizeBytes::new(tier, (input, from), output, 0.5, target).unwrap();
        let source = Buffer::input(input, &[0, 2, 4], 9, &mut Random::new(1));
        let expected = [0, 0, 2, 2, 3, 3];
        assert_writes(tier.name(), output, &expected, |output| kernel.run(pool, source.slice(), output));
    }
}

#[test]
fn tensors_that_do_not_belong_together_are_refused() {
    let (pool, none) = (&pools()[0], Halo::default());
    let layout = |channels, height, width| Layout::new(channels, height, width, none).unwrap();
    let from = Quantization::new(0.5, 3).unwrap();
    let bytes = Target::Bytes { zero_point: 3, low: 0, high: 255 };
    let made = |input, output, scale, target| {
        ResizeBytes::new(Tier::Scalar, (input, from), output, scale, target).map(|_| ())
    };
    let (small, large) = (layout(5, 2, 2), layout(5, 4, 4));
    assert_eq!(made(small, large, 0.5, bytes), Ok(()));
    let image = Layout::image(3, 2, 2, none).unwrap();
    let shapes = [
        ("other channels", made(small, layout(6, 4, 4), 0.5, bytes)),
        ("an image", made(image, layout(3, 4, 4), 0.5, bytes)),
        ("a side that is too long", made(small, layout(5, 4097, 1), 0.5, bytes)),
        ("real numbers", made(small, large, 0.5, Target::Reals)),
    ];
    for (name, outcome) in shapes {
        assert!(matches!(outcome, Err(Fault::Shape(_))), "{name}: {outcome:?}");
    }
    for scale in [0.0, -1.0, f32::NAN, 1e-42] {
        assert_eq!(made(small, large, scale, bytes), Err(Fault::Scale), "{scale}");
    }
    let kernel = ResizeBytes::new(Tier::Scalar, (small, from), large, 0.5, bytes).unwrap();
    let (mut input, mut output) = (vec![0; small.len()], vec![0; large.len()]);
    assert_eq!(kernel.run(pool, &input, &mut output), Ok(()));
    output.pop();
    assert!(matches!(kernel.run(pool, &input, &mut output), Err(Fault::Shape(_))));
    output.push(0);
    input.pop();
    assert!(matches!(kernel.run(pool, &input, &mut output), Err(Fault::Shape(_))));
}
