//! Convolutions with all that they are made of, what they run on, and what they must give.

use comet_kernels::{Conv, ConvShape, ConvSpec, Depthwise, Halo, Layout, Pool, Target, Tier};

use super::buffer::{Buffer, assert_writes, assert_writes_reals};
use super::formulas::{self, Tensor, output_size, requantize};
use super::random::{Random, ZERO_POINTS};

/// Multiplications of the largest random case.
const LARGEST: usize = if cfg!(miri) { 2_000 } else { 300_000 };
const KERNELS: [usize; 4] = [1, 3, 5, 7];

/// Shape of a convolution, and how its numbers are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) depthwise: bool,
    /// Of the input.
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) shape: ConvShape,
    pub(crate) zero_point: u8,
    /// All weights; `None` for random ones.
    pub(crate) weight: Option<i8>,
    /// All bytes of the input; `None` for random ones.
    pub(crate) byte: Option<u8>,
}

impl Plan {
    /// Every input channel into every output channel, step by step, without padding.
    pub(crate) fn dense([from, to]: [usize; 2], [height, width]: [usize; 2], kernel: [usize; 2]) -> Self {
        let shape =
            ConvShape { channels: to, kernel, stride: [1; 2], dilation: [1; 2], padding: Halo::default() };
        Self {
            depthwise: false,
            channels: from,
            height,
            width,
            shape,
            zero_point: 117,
            weight: None,
            byte: None,
        }
    }

    /// One filter a channel.
    pub(crate) fn depthwise(channels: usize, sides: [usize; 2], kernel: [usize; 2]) -> Self {
        Self { depthwise: true, ..Self::dense([channels; 2], sides, kernel) }
    }

    /// The same with padding.
    pub(crate) fn padded(mut self, [top, left, bottom, right]: [usize; 4]) -> Self {
        self.shape.padding = Halo { top, left, bottom, right };
        self
    }

    /// The same with steps.
    pub(crate) fn strided(mut self, stride: [usize; 2]) -> Self {
        self.shape.stride = stride;
        self
    }

    fn random(random: &mut Random, depthwise: bool) -> Self {
        loop {
            let plan = Self::draw(random, depthwise);
            if plan.multiplications().is_some_and(|count| count <= LARGEST) {
                return plan;
            }
        }
    }

    fn draw(random: &mut Random, depthwise: bool) -> Self {
        let channels = random.channels();
        let longest = random.pick(&[3, 6, 10, 20]);
        let pair = |random: &mut Random, choices: &[usize], uneven: usize| {
            let both = random.pick(choices);
            if random.chance(uneven) { [both, random.pick(choices)] } else { [both; 2] }
        };
        let shape = ConvShape {
            channels: if depthwise { channels } else { random.channels() },
            kernel: pair(random, &KERNELS, 30),
            stride: pair(random, &[1, 1, 2, 3], 30),
            dilation: pair(random, &[1, 1, 2, 3], 30),
            padding: {
                let most = random.pick(&[0, 1, 3, 9]);
                random.halo(most)
            },
        };
        Self {
            depthwise,
            channels,
            height: random.size(1..=longest),
            width: random.size(1..=longest),
            shape,
            zero_point: random.pick(&ZERO_POINTS),
            weight: random.pick(&[None, None, None, None, None, None, Some(-128), Some(127)]),
            byte: random.pick(&[None, None, None, None, None, None, Some(0), Some(255)]),
        }
    }

    /// `None` if no window fits.
    pub(crate) fn multiplications(&self) -> Option<usize> {
        let [height, width] = output_size(self.shape, self.height, self.width)?;
        Some(height * width * self.weights())
    }

    fn weights(&self) -> usize {
        let from = if self.depthwise { 1 } else { self.channels };
        self.shape.channels * from * self.shape.kernel[0] * self.shape.kernel[1]
    }
}

/// A convolution and its sums by the formula.
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) target: Target,
    seed: u64,
    input: Layout,
    output: Layout,
    values: Vec<u8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    /// `[height, width, channels]`
    sums: Vec<i64>,
}

impl Case {
    /// Everything is random.
    pub(crate) fn random(seed: u64, depthwise: bool) -> Self {
        Self::new(Plan::random(&mut Random::new(!seed), depthwise), seed)
    }

    /// What the plan leaves open is random.
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let Plan { depthwise, channels, height, width, shape, zero_point, .. } = plan;
        let (padding, extra) = (shape.padding, random.halo(2));
        let halo = Halo {
            top: padding.top + extra.top,
            left: padding.left + extra.left,
            bottom: padding.bottom + extra.bottom,
            right: padding.right + extra.right,
        };
        let image = !depthwise && random.chance(25);
        let layout = if image { Layout::image } else { Layout::new };
        let input = layout(channels, height, width, halo).unwrap();
        let size = output_size(shape, height, width);
        assert_eq!(shape.output(height, width), size, "seed {seed}, {plan:?}");
        let [rows, columns] = size.unwrap();
        let output = random.layout([shape.channels, rows, columns]);

        let count = channels * height * width;
        let values = plan.byte.map_or_else(|| random.bytes(count), |byte| vec![byte; count]);
        let lowest = random.pick(&[-127, -127, -128]);
        let weights: Vec<i8> = (0..plan.weights())
            .map(|_| plan.weight.unwrap_or_else(|| random.integer(lowest..=127) as i8))
            .collect();
        let bias: Vec<i32> = (0..shape.channels)
            .map(|_| {
                let reach = if random.chance(10) { 1_000_000_000 } else { 20_000 };
                random.integer(-reach..=reach) as i32
            })
            .collect();
        let groups = if depthwise { channels } else { 1 };
        let tensor = Tensor { values: &values, channels, height, width };
        let sums = formulas::sums(shape, groups, tensor, zero_point, &weights, &bias);
        let multipliers =
            (0..shape.channels).map(|channel| multiplier(random, &sums[channel..], shape.channels)).collect();
        let target = if !depthwise && random.chance(20) { Target::Reals } else { random.target() };
        Self { plan, target, seed, input, output, values, weights, bias, multipliers, sums }
    }

    /// Runs it on every tier and pool.
    pub(crate) fn check(&self, pools: &[Pool]) {
        let Self { plan, target, seed, input, output, .. } = self;
        let case = format!("seed {seed}, {plan:?}, {input:?} -> {output:?}, {target:?}");
        let buffer = Buffer::input(*input, &self.values, plan.zero_point, &mut Random::new(*seed));
        for tier in Tier::available() {
            let name = |pool: &Pool| format!("{tier:?}, {} threads, {case}", pool.threads());
            if plan.depthwise {
                let conv = Depthwise::new(tier, &self.spec()).unwrap();
                for pool in pools {
                    let run = |output: &mut [u8]| conv.run(pool, buffer.slice(), output);
                    assert_writes(&name(pool), self.output, &self.bytes(), run);
                }
            } else {
                let conv = Conv::new(tier, &self.spec()).unwrap();
                for pool in pools {
                    if *target == Target::Reals {
                        let run = |output: &mut [f32]| conv.run_real(pool, buffer.slice(), output);
                        assert_writes_reals(&name(pool), &self.reals(), run);
                    } else {
                        let run = |output: &mut [u8]| conv.run(pool, buffer.slice(), output);
                        assert_writes(&name(pool), self.output, &self.bytes(), run);
                    }
                }
            }
            buffer.assert_untouched(&case);
        }
    }

    fn spec(&self) -> ConvSpec<'_> {
        ConvSpec {
            shape: self.plan.shape,
            input: self.input,
            zero_point: self.plan.zero_point,
            weights: &self.weights,
            bias: &self.bias,
            multipliers: &self.multipliers,
            output: self.output,
            target: self.target,
        }
    }

    /// Sum number `index` in units of the output.
    fn real(&self, index: usize) -> f32 {
        i32::try_from(self.sums[index]).unwrap() as f32 * self.multipliers[index % self.plan.shape.channels]
    }

    /// What a run into bytes must give, `[height, width, channels]`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        (0..self.sums.len()).map(|index| requantize(self.real(index), self.target)).collect()
    }

    /// What a run into real numbers must give, `[channels, height, width]`.
    fn reals(&self) -> Vec<f32> {
        let channels = self.plan.shape.channels;
        let pixels = self.sums.len() / channels;
        (0..self.sums.len()).map(|index| self.real(index % pixels * channels + index / pixels)).collect()
    }
}

/// A multiplier that takes a channel's sums, every `step`-th of `sums`, over the bytes and beyond.
fn multiplier(random: &mut Random, sums: &[i64], step: usize) -> f32 {
    let largest = sums.iter().step_by(step).map(|sum| sum.unsigned_abs()).max().unwrap_or(0).max(1);
    let multiplier = 256.0 / largest as f32 * random.real(0.1..=4.0);
    // With powers of two, sums fall half way between two bytes.
    if random.chance(30) { 2f32.powi(multiplier.log2().round() as i32) } else { multiplier }
}
