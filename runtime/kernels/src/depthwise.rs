//! Depthwise convolution: one filter a channel.

use crate::layout::BLOCK;
use crate::requantize::Rounding;
use crate::task::depthwise::{DepthwiseTask, QUAD, WIDE};
use crate::threads::{Shares, WORTH_A_THREAD};
use crate::{ConvSpec, Fault, Layout, Pool, Target, Tier, dispatch};

/// A depthwise convolution with packed weights.
pub struct Depthwise {
    tier: Tier,
    input: Layout,
    output: Layout,
    rounding: Rounding,
    /// As [`Packing`] says.
    weights: Vec<i16>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    bounded: bool,
    /// As many as are taken together, or a multiple of that: the last one is repeated with weight 0.
    taps: Vec<usize>,
    start: usize,
    stride: [usize; 2],
    /// Pixels that a vector holds.
    pixels: usize,
    /// Taps without the repeated ones.
    kernel: usize,
}

impl std::fmt::Debug for Depthwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tier, input, output, .. } = self;
        f.debug_struct("Depthwise")
            .field("tier", tier)
            .field("input", input)
            .field("output", output)
            .finish_non_exhaustive()
    }
}

/// Order of the weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// `[tap][channels]`
    Plain,
    /// `[channels / 16][taps / 2][2][8][2 taps]`: of each 8 channels the first half of a block takes 4, the
    /// second the other 4. That is the order in which x86 interleaves and packs vectors.
    Pairs,
    /// `[channels / 64][taps / 4][16 of 64][4 taps]` in bytes, two of them in a word. Of each 16 channels the first four
    /// stand in the first quarter, and so on: the order in which bytes are interleaved and packed.
    Quads,
}

impl Packing {
    fn of(tier: Tier) -> Self {
        match tier {
            Tier::Avx512Vnni => Self::Quads,
            Tier::AvxVnni | Tier::Avx2 => Self::Pairs,
            _ => Self::Plain,
        }
    }

    /// Where channel `channel` of the arrays with one value a channel goes.
    fn place(self, channel: usize) -> usize {
        match self {
            Self::Plain => channel,
            Self::Pairs => {
                let (block, lane) = (channel / BLOCK * BLOCK, channel % BLOCK);
                block + lane % 8 / 4 * (BLOCK / 2) + lane / 8 * 4 + lane % 4
            }
            Self::Quads => {
                let (block, lane) = (channel / WIDE * WIDE, channel % WIDE);
                block + lane % BLOCK / QUAD * BLOCK + lane / BLOCK * QUAD + lane % QUAD
            }
        }
    }

    /// Writes the weight of a tap for a channel among the weights of `taps` taps and `padded` channels.
    fn put(self, packed: &mut [i16], [taps, padded]: [usize; 2], [tap, channel]: [usize; 2], weight: i8) {
        let at = |width: usize, together: usize| {
            let block = channel / width * taps * width;
            block
                + tap / together * together * width
                + self.place(channel) % width * together
                + tap % together
        };
        match self {
            Self::Plain => packed[tap * padded + channel] = i16::from(weight),
            Self::Pairs => packed[at(BLOCK, 2)] = i16::from(weight),
            Self::Quads => {
                let at = at(WIDE, QUAD);
                packed[at / 2] |= i16::from(weight.cast_unsigned()) << (at % 2 * 8);
            }
        }
    }

    /// Channels are padded to a multiple of the first, taps to one of the second.
    fn units(self) -> (usize, usize) {
        match self {
            Self::Plain => (BLOCK, 1),
            Self::Pairs => (BLOCK, 2),
            Self::Quads => (WIDE, QUAD),
        }
    }
}

impl Depthwise {
    /// Packs a depthwise convolution: weights are `[channels, 1, rows, columns]`, and the target is bytes.
    ///
    /// # Errors
    /// As [`Conv::new`](crate::Conv::new).
    pub fn new(tier: Tier, spec: &ConvSpec<'_>) -> Result<Self, Fault> {
        let tier = tier.check()?;
        let ConvSpec { shape, input, output, target, .. } = *spec;
        let channels = shape.channels;
        if input.channels() != channels || !input.is_blocked() || !output.is_blocked() {
            return Err(Fault::Shape("a depthwise convolution keeps its channels, in whole blocks"));
        }
        let mut taps = spec.taps(1)?;
        let count = taps.len();
        let Target::Bytes { zero_point, low, high } = target else {
            return Err(Fault::Shape("a depthwise convolution gives bytes"));
        };
        let packing = Packing::of(tier);
        let (width, together) = packing.units();
        let repeated = taps.last().copied().unwrap_or_default();
        taps.resize(count.next_multiple_of(together), repeated);
        // Vectors that are wider than a pixel take several pixels where these lie side by side as their windows do.
        let pixels = if shape.stride[1] == 1 && output.pixel() < width { width / output.pixel() } else { 1 };
        let pixels = if width.is_multiple_of(output.pixel()) { pixels } else { 1 };
        let padded = (pixels * channels).next_multiple_of(width);
        let mut packed = vec![0i16; padded * taps.len()];
        let (mut bias, mut multipliers) = (vec![0; padded], vec![0.0; padded]);
        let mut bounded = true;
        for (index, weights) in spec.weights.chunks_exact(count).enumerate() {
            let channel = spec.channel(index, weights)?;
            bounded &= channel.bounded;
            for pixel in 0..pixels {
                let lane = pixel * output.pixel() + index;
                bias[packing.place(lane)] = channel.bias;
                multipliers[packing.place(lane)] = channel.multiplier;
                for (tap, weight) in weights.iter().enumerate() {
                    packing.put(&mut packed, [taps.len(), padded], [tap, lane], *weight);
                }
            }
        }
        Ok(Self {
            tier,
            input,
            output,
            rounding: Rounding::new(zero_point, low, high),
            weights: packed,
            bias,
            multipliers,
            bounded,
            start: shape.start(&input),
            stride: shape.stride,
            taps,
            pixels,
            kernel: count,
        })
    }

    /// Multiplications of one run.
    pub fn multiplications(&self) -> usize {
        self.kernel * self.output.channels() * self.output.height() * self.output.width()
    }

    /// Convolves `input` into `output`.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let (pixel, width) = (self.output.pixel(), self.output.width());
        let task = DepthwiseTask {
            source: input[self.start..].as_ptr(),
            row: self.stride[0] * self.input.row(),
            column: self.stride[1] * self.input.pixel() * self.pixels,
            taps: &self.taps,
            weights: self.weights.as_ptr(),
            bias: self.bias.as_ptr(),
            multipliers: self.multipliers.as_ptr(),
            bounded: self.bounded,
            channels: pixel * self.pixels,
            padded: self.bias.len(),
            width: width.div_ceil(self.pixels),
            last: ((width - 1) % self.pixels + 1) * pixel,
            output: Shares::new(output),
            origin: self.output.origin(),
            output_row: self.output.row(),
            output_pixel: pixel * self.pixels,
            rounding: self.rounding,
        };
        // A byte costs a depthwise kernel several times what it costs a dot product.
        let worth = self.multiplications() * 8 >= WORTH_A_THREAD;
        let grain = if worth { 1 } else { self.output.height() };
        pool.split(self.output.height(), grain, &|rows| {
            // SAFETY: `new` proved that every window lies inside the input's layout and every pixel inside the
            // output's; the slices are as long as these layouts; the tier was checked; rows belong to one thread each.
            unsafe { dispatch::depthwise(self.tier, &task, rows) }
        })
    }
}
