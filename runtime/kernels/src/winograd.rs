//! Exact 3x3 convolution with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).
//!
//! Four rows and columns of the output need six of the input: `Y = A' [ (G g G') * (B' d B) ] A` with 36 products for 16
//! outputs, where the definition has 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section
//! 4). Here it is done in integers, and gives the same sums as the definition, bit for bit:
//!
//! - `B'` is integer. Bytes become numbers of at most 17 340, which fit into 16 bits.
//! - The rows of `G` are fractions. They are taken 24 times (the last one 12 times, which `A` makes up for), so that
//!   transformed weights are integers of at most 18 432, and sums come out `24 * 24 = 576` times too large.
//! - Sums wrap at 32 bits. Of `576 s` modulo 2^32, multiplication with the inverse of 9 leaves `64 s`, and a shift leaves
//!   the lowest 26 bits of `s`, which are all of it if `|s| < 2^25`: [`Winograd::new`] proves that from the weights.
//!
//! Products of 16 bits cost twice what products of bytes cost. So there is up to half of the time to win, less the
//! transforms: with 64 channels and more, where the weights, eight times as many bytes, still fit into a cache.

use std::cell::RefCell;
use std::ops::Range;

use crate::aligned::Aligned;
use crate::layout::BLOCK;
use crate::task::conv::ConvTask;
use crate::task::winograd::{LANES, PANEL, POINTS, REACH, SIDE, Strip, TOGETHER};
use crate::{ConvShape, ConvSpec, Fault, Halo, Pool, Tier, dispatch};

/// Tiles that a thread transforms before it multiplies: as many as stay in a cache.
const STRIP: usize = 18;
/// More transformed weights than this would have to be fetched from memory for every strip.
const MOST_WEIGHTS: usize = 128 * 128 * POINTS;
/// Fewer tiles than this do not pay.
const LEAST_TILES: usize = 12;
/// With sums below this, 26 bits are enough.
const LIMIT: i64 = 1 << 25;

/// `24 G`, the last row 12 times instead.
const FILTER: [[i32; 3]; REACH] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 12]];

/// Transformed weights, and what is needed beside a convolution's other parts.
pub(crate) struct Winograd {
    /// `[36][outputs / 16][inputs / 2][16][2]`
    weights: Aligned<i16>,
    /// Bytes from the first input channel to each pair.
    steps: Vec<u32>,
    /// Tiles in a column and in a row of the output.
    tiles: [usize; 2],
    channels: [usize; 2],
}

impl Winograd {
    /// Transforms the weights, `[outputs, inputs, 3, 3]`, if that is possible and pays.
    pub(crate) fn new(tier: Tier, spec: &ConvSpec<'_>) -> Option<Self> {
        let ConvSpec { shape, input, output, weights, .. } = *spec;
        let ConvShape { channels: outputs, kernel, stride, dilation, padding } = shape;
        let inputs = input.channels();
        let tiles = [output.height() / SIDE, output.width() / SIDE];
        let plain = kernel == [3, 3] && stride == [1, 1] && dilation == [1, 1];
        let whole = output.height().is_multiple_of(SIDE) && output.width().is_multiple_of(SIDE);
        let channels = inputs.is_multiple_of(LANES) && outputs.is_multiple_of(PANEL);
        let pays = tiles[0] * tiles[1] >= LEAST_TILES && inputs >= 64;
        // Other paddings are never met, and would have tiles that begin elsewhere.
        let even = padding == Halo { top: 1, left: 1, bottom: 1, right: 1 };
        if tier != Tier::Avx512Vnni || !plain || !whole || !channels || !pays || !even {
            return None;
        }
        let large = |filter: &[i8]| {
            let size: i64 = filter.iter().map(|weight| i64::from(*weight).abs()).sum();
            size * 255 >= LIMIT
        };
        if POINTS * inputs * outputs > MOST_WEIGHTS || weights.chunks_exact(9 * inputs).any(large) {
            return None;
        }
        let mut transformed = Aligned::zeros(POINTS * inputs * outputs);
        let packed = transformed.as_mut_slice();
        for (index, filter) in weights.as_chunks::<9>().0.iter().enumerate() {
            let (to, from) = (index / inputs, index % inputs);
            for (point, value) in transform(filter).into_iter().enumerate() {
                let block = (point * outputs + to / BLOCK * BLOCK) * inputs;
                packed[block + (from / 2 * BLOCK + to % BLOCK) * 2 + from % 2] = value;
            }
        }
        let steps = (0..inputs as u32 / 2).map(|pair| 4 * pair).collect();
        Some(Self { weights: transformed, steps, tiles, channels: [inputs, outputs] })
    }

    /// Convolves; bias, multipliers and sink are the task's. The first run of each thread allocates.
    ///
    /// # Safety
    /// The task must be checked, for the layouts and the tier that this was made for.
    pub(crate) unsafe fn run(&self, pool: &Pool, task: &ConvTask<'_>) -> Result<(), Fault> {
        let [rows, columns] = self.tiles;
        pool.split(rows * columns, TOGETHER, &|share| {
            SCRATCH.with_borrow_mut(|scratch| {
                // Whole tiles of the multiplication, and no short strip behind them.
                let strips = share.len().div_ceil(STRIP).max(1);
                let length = share.len().div_ceil(strips).next_multiple_of(TOGETHER);
                for start in share.clone().step_by(length.max(1)) {
                    let end = (start + length).min(share.end);
                    // SAFETY: passed on; shares and strips cover different tiles.
                    unsafe { self.strip(task, start..end, scratch) };
                }
            });
        })
    }

    /// # Safety
    /// As `run`; the tiles must exist.
    unsafe fn strip(&self, task: &ConvTask<'_>, tiles: Range<usize>, scratch: &mut Scratch) {
        let [inputs, outputs] = self.channels;
        scratch.values.grow(tiles.len() * POINTS * inputs);
        scratch.sums.grow(tiles.len() * POINTS * outputs);
        let strip = Strip {
            task,
            tiles,
            columns: self.tiles[1],
            steps: &self.steps,
            inputs,
            outputs,
            weights: self.weights.as_ptr(),
            values: scratch.values.as_mut_slice().as_mut_ptr(),
            sums: scratch.sums.as_mut_slice().as_mut_ptr(),
        };
        // SAFETY: as the caller proves; both parts of the scratch memory are as large as the strip needs.
        unsafe { dispatch::winograd(&strip) };
    }
}

/// Memory of a thread, which stays for its next runs.
struct Scratch {
    values: Aligned<i16>,
    sums: Aligned<i32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { values: Aligned::zeros(0), sums: Aligned::zeros(0) });
}

/// `G g G'`, 576 times, but for the last row and column.
fn transform(filter: &[i8; 9]) -> [i16; POINTS] {
    std::array::from_fn(|point| {
        let (left, right) = (FILTER[point / REACH], FILTER[point % REACH]);
        let products = filter.iter().enumerate();
        // At most 12 * 12 * 128, see the head of this file.
        products.map(|(at, weight)| left[at / 3] * i32::from(*weight) * right[at % 3]).sum::<i32>() as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Target};

    fn made(channels: [usize; 2], sides: [usize; 2], weight: i8, change: fn(&mut ConvShape)) -> bool {
        let padding = Halo { top: 1, left: 1, bottom: 1, right: 1 };
        let mut shape =
            ConvShape { channels: channels[1], kernel: [3; 2], stride: [1; 2], dilation: [1; 2], padding };
        change(&mut shape);
        let halo = Halo { top: 9, left: 9, bottom: 9, right: 9 };
        let input = Layout::new(channels[0], sides[0], sides[1], halo).unwrap();
        let [height, width] = shape.output(sides[0], sides[1]).unwrap();
        let output = Layout::new(channels[1], height, width, Halo::default()).unwrap();
        let weights = vec![weight; channels[0] * channels[1] * shape.kernel[0] * shape.kernel[1]];
        let spec = ConvSpec {
            shape,
            input,
            zero_point: 0,
            weights: &weights,
            bias: &vec![0; channels[1]],
            multipliers: &vec![1.0; channels[1]],
            output,
            target: Target::Reals,
        };
        Winograd::new(Tier::Avx512Vnni, &spec).is_some()
    }

    #[test]
    fn it_is_taken_where_it_is_exact_and_pays() {
        assert!(made([64, 64], [56, 56], -128, |_| ()));
        assert!(made([128, 128], [28, 28], 114, |_| ()));
        // 115 * 255 * 9 * 128 > 2^25
        assert!(!made([128, 128], [28, 28], 115, |_| ()));
        assert!(!made([64, 64], [54, 56], 1, |_| ()));
        assert!(!made([64, 64], [8, 8], 1, |_| ()));
        assert!(!made([80, 64], [56, 56], 1, |_| ()));
        assert!(!made([64, 80], [56, 56], 1, |_| ()));
        assert!(!made([256, 256], [56, 56], 1, |_| ()));
        assert!(!made([64, 64], [111, 111], 1, |shape| shape.stride = [2; 2]));
        assert!(!made([64, 64], [58, 58], 1, |shape| shape.dilation = [2; 2]));
        assert!(!made([64, 64], [56, 56], 1, |shape| (shape.padding.top, shape.padding.bottom) = (2, 0)));
        assert!(!made([64, 64], [56, 58], 1, |shape| (shape.kernel, shape.padding.top) = ([1, 5], 0)));
    }

    #[test]
    fn weights_of_any_filter_fit() {
        let largest = [i8::MIN, i8::MAX].map(|weight| transform(&[weight; 9]));
        assert_eq!(largest.iter().flatten().map(|value| value.unsigned_abs()).max(), Some(12 * 12 * 128));
        // A filter with one weight: the products of the rows of `G`.
        assert_eq!(transform(&[0, 0, 0, 0, 0, 0, 0, 0, 1])[3 * REACH + 5], 4 * 12);
    }
}
