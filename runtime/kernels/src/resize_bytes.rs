//! Bilinear resize of a tensor of bytes: the way up in a top-down head.

use crate::blend::{Blend, both_sides};
use crate::layout::BLOCK;
use crate::requantize::{Rounding, check_scale};
use crate::rows::each_row;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{Fault, Layout, Pool, Quantization, Target, Tier};

/// Bilinear resize with half-pixel centres, all channels at once: ONNX `Resize`, mode `linear`, of bytes that give bytes,
/// with a fused ReLU or clip.
///
/// The bytes are blended as they are: shares of a blend sum to 1, so that the zero point may be taken off behind it. At
/// two, four or eight times the size every share is a fraction of sixteen, and the blend is exact in single precision.
#[derive(Debug)]
pub struct ResizeBytes {
    tier: Tier,
    input: Layout,
    output: Layout,
    rows: Vec<Blend>,
    columns: Vec<Blend>,
    finish: Finish,
}

/// From a blend of bytes to a byte.
#[derive(Clone, Copy, Debug)]
struct Finish {
    zero_point: f32,
    factor: f32,
    rounding: Rounding,
}

impl ResizeBytes {
    /// From the height and width of `input` to those of `output`; `scale` is that of the output.
    ///
    /// # Errors
    /// [`Fault`] if the tensors have different channels, a side is larger than 4096, or a scale is not valid.
    pub fn new(
        tier: Tier,
        (input, from): (Layout, Quantization),
        output: Layout,
        scale: f32,
        target: Target,
    ) -> Result<Self, Fault> {
        let whole = input.is_blocked() && output.is_blocked();
        if !whole || input.channels() != output.channels() {
            return Err(Fault::Shape("a resize keeps its channels, in whole blocks"));
        }
        let Target::Bytes { zero_point, low, high } = target else {
            return Err(Fault::Shape("a resize of bytes gives bytes"));
        };
        let sides = |layout: &Layout| [layout.height(), layout.width()];
        let [rows, columns] = both_sides(sides(&input), sides(&output))?;
        from.check()?;
        check_scale(scale)?;
        let factor = from.scale / scale;
        check_scale(factor)?;
        let finish = Finish {
            zero_point: f32::from(from.zero_point),
            factor,
            rounding: Rounding::new(zero_point, low, high),
        };
        Ok(Self { tier: tier.check()?, input, output, rows, columns, finish })
    }

    /// Resizes.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let start = Shares::new(output);
        each_row(pool, &self.output, start, &|y, row| {
            let Blend { first, second, share } = self.rows[y];
            let rows = [first, second].map(|y| &input[self.input.inner(y as usize)]);
            blend(self.tier, rows, &self.columns, self.output.pixel(), share, self.finish, row);
        })
    }
}

versions! {
    /// `pixel` is the size of a pixel, `down` the share of the second row.
    fn blend(
        rows: [&[u8]; 2],
        columns: &[Blend],
        pixel: usize,
        down: f32,
        finish: Finish,
        output: &mut [u8],
    ) {
        let [above, below] = rows;
        for (output, column) in output.chunks_exact_mut(pixel).zip(columns) {
            let (left, right) = (column.first as usize * pixel, column.second as usize * pixel);
            let a = above[left..][..pixel].as_chunks::<BLOCK>().0;
            let b = above[right..][..pixel].as_chunks::<BLOCK>().0;
            let c = below[left..][..pixel].as_chunks::<BLOCK>().0;
            let d = below[right..][..pixel].as_chunks::<BLOCK>().0;
            let blocks = output.as_chunks_mut::<BLOCK>().0;
            // Arrays of one length, so that a block is one or a few vectors, with nothing left over.
            for ((((bytes, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                for lane in 0..BLOCK {
                    let (a, b) = (f32::from(a[lane]), f32::from(b[lane]));
                    let (c, d) = (f32::from(c[lane]), f32::from(d[lane]));
                    let top = a + (b - a) * column.share;
                    let bottom = c + (d - c) * column.share;
                    let byte = top + (bottom - top) * down;
                    bytes[lane] = finish.rounding.byte((byte - finish.zero_point) * finish.factor);
                }
            }
        }
    }
}
