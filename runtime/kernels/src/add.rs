//! Sum of two tensors: the residual connections.

use crate::requantize::{Rounding, check_scale};
use crate::rows::each_row;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{Fault, Layout, Pool, Quantization, Target, Tier};

/// `output = left + right`, each with its own quantization, with a fused ReLU or clip.
#[derive(Debug)]
pub struct Add {
    tier: Tier,
    left: Layout,
    right: Layout,
    output: Layout,
    term: Sum,
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    zero_points: [i32; 2],
    factors: [f32; 2],
    rounding: Rounding,
}

impl Add {
    /// Adds tensors of one shape; `scale` is that of the output.
    ///
    /// # Errors
    /// [`Fault`] if the shapes differ or a scale is not valid.
    pub fn new(
        tier: Tier,
        [left, right]: [Layout; 2],
        quantization: [Quantization; 2],
        output: Layout,
        scale: f32,
        target: Target,
    ) -> Result<Self, Fault> {
        let same = left.same_shape(&right) && left.same_shape(&output);
        if !same || left.pixel() != output.pixel() || right.pixel() != output.pixel() {
            return Err(Fault::Shape("tensors to add have different shapes"));
        }
        let Target::Bytes { zero_point, low, high } = target else {
            return Err(Fault::Shape("a sum of bytes gives bytes"));
        };
        check_scale(scale)?;
        for q in quantization {
            q.check()?;
        }
        let factors = quantization.map(|q| q.scale / scale);
        check_scale(factors[0])?;
        check_scale(factors[1])?;
        let term = Sum {
            zero_points: quantization.map(|q| i32::from(q.zero_point)),
            factors,
            rounding: Rounding::new(zero_point, low, high),
        };
        Ok(Self { tier: tier.check()?, left, right, output, term })
    }

    /// Adds.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, left: &[u8], right: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.left.check(left.len())?;
        self.right.check(right.len())?;
        self.output.check(output.len())?;
        let start = Shares::new(output);
        each_row(pool, &self.output, start, &|y, row| {
            sum(self.tier, &left[self.left.inner(y)], &right[self.right.inner(y)], self.term, row);
        })
    }
}

versions! {
    fn sum(left: &[u8], right: &[u8], term: Sum, output: &mut [u8]) {
        for ((byte, left), right) in output.iter_mut().zip(left).zip(right) {
            let left = i32::from(*left).wrapping_sub(term.zero_points[0]) as f32 * term.factors[0];
            let right = i32::from(*right).wrapping_sub(term.zero_points[1]) as f32 * term.factors[1];
            *byte = term.rounding.byte(left + right);
        }
    }
}
