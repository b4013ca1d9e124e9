//! The last steps of an attribution map, from logits to pixels: real numbers in planes, the same on every processor.

use crate::blend::{Blend, LONGEST, both_sides};
use crate::versions::versions;
use crate::{Fault, Tier};

/// Bilinear resize of planes with half-pixel centres: ONNX `Resize`, mode `linear`.
#[derive(Debug)]
pub struct Resize {
    tier: Tier,
    from: [usize; 2],
    rows: Vec<Blend>,
    columns: Vec<Blend>,
}

impl Resize {
    /// From `[height, width]` to `[height, width]`.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a side is zero or larger than 4096.
    pub fn new(tier: Tier, from: [usize; 2], to: [usize; 2]) -> Result<Self, Fault> {
        let [rows, columns] = both_sides(from, to)?;
        Ok(Self { tier: tier.check()?, from, rows, columns })
    }

    /// Resizes every plane of `input`.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice has another size.
    pub fn run(&self, input: &[f32], output: &mut [f32]) -> Result<(), Fault> {
        let [height, width] = self.from;
        let (small, large) = (height * width, self.rows.len() * self.columns.len());
        if !input.len().is_multiple_of(small) || input.len() / small * large != output.len() {
            return Err(Fault::Shape("planes do not have the size that the resize was made for"));
        }
        for (input, output) in input.chunks_exact(small).zip(output.chunks_exact_mut(large)) {
            // The rows of the input that were resized last: neighbours in the output share them.
            let mut rows = [[0.0; LONGEST]; 2];
            let [a, b] = rows.each_mut().map(|row| &mut row[..self.columns.len()]);
            let (mut first, mut second) = ((u32::MAX, a), (u32::MAX, b));
            for (blend, output) in self.rows.iter().zip(output.chunks_exact_mut(self.columns.len())) {
                if second.0 == blend.first {
                    std::mem::swap(&mut first, &mut second);
                }
                for (kept, wanted) in [(&mut first, blend.first), (&mut second, blend.second)] {
                    if kept.0 != wanted {
                        let input = &input[wanted as usize * width..][..width];
                        stretch(self.tier, input, &self.columns, kept.1);
                        kept.0 = wanted;
                    }
                }
                mix(self.tier, first.1, second.1, blend.share, output);
            }
        }
        Ok(())
    }
}

versions! {
    fn mix(first: &[f32], second: &[f32], share: f32, output: &mut [f32]) {
        for ((value, first), second) in output.iter_mut().zip(first).zip(second) {
            *value = *first + (*second - *first) * share;
        }
    }
}

versions! {
    fn stretch(row: &[f32], columns: &[Blend], output: &mut [f32]) {
        for (value, blend) in output.iter_mut().zip(columns) {
            let (first, second) = (row[blend.first as usize], row[blend.second as usize]);
            *value = first + (second - first) * blend.share;
        }
    }
}

/// `output += input`.
///
/// # Errors
/// [`Fault::Shape`] if the slices differ in length.
pub fn add_real(tier: Tier, input: &[f32], output: &mut [f32]) -> Result<(), Fault> {
    if input.len() != output.len() {
        return Err(Fault::Shape("tensors to add have different shapes"));
    }
    add(tier.check()?, input, output);
    Ok(())
}

versions! {
    fn add(input: &[f32], output: &mut [f32]) {
        for (value, input) in output.iter_mut().zip(input) {
            *value += *input;
        }
    }
}

/// The logistic function in place, to 4 units in the last place, by operations that every processor rounds alike. NaN
/// stays NaN.
///
/// # Errors
/// [`Fault::Tier`] if the processor lacks the tier.
pub fn sigmoid(tier: Tier, values: &mut [f32]) -> Result<(), Fault> {
    logistic(tier.check()?, values);
    Ok(())
}

/// 1.5 * 2^23: see `requantize`.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts, the first with so few digits that its small multiples are exact.
const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// Taylor coefficients 1/k! of the exponential, the highest first; on |x| <= ln(2)/2 the rest is below 1e-8.
const EXP: [f32; 6] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];

versions! {
    fn logistic(values: &mut [f32]) {
        for value in values {
            #[allow(clippy::manual_clamp, reason = "clamp would let NaN through to the conversion below")]
            let x = (-*value).max(-87.0).min(87.0);
            let turns = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
            let rest = (x - turns * LN2.0) - turns * LN2.1;
            let mut power = EXP[0];
            for coefficient in &EXP[1..] {
                power = power * rest + coefficient;
            }
            power = power * rest + 1.0;
            // SAFETY: |turns| <= 126; `max` above turned NaN into a number.
            let exponent: i32 = unsafe { turns.to_int_unchecked() };
            power *= f32::from_bits((exponent.wrapping_add(127) as u32) << 23);
            let probability = 1.0 / (1.0 + power);
            *value = if value.is_nan() { *value } else { probability };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_is_the_logistic_function_in_every_tier() {
        let inputs: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.03).collect();
        let mut reference = inputs.clone();
        sigmoid(Tier::Scalar, &mut reference).unwrap();
        for (x, y) in inputs.iter().zip(&reference) {
            let exact = 1.0 / (1.0 + (-f64::from(*x)).exp());
            assert!((f64::from(*y) - exact).abs() <= 2.5e-7 * exact + 1e-37, "{x}: {y} {exact}");
        }
        for tier in Tier::available() {
            let mut values = inputs.clone();
            values.push(f32::NAN);
            sigmoid(tier, &mut values).unwrap();
            assert!(values.pop().unwrap().is_nan());
            assert_eq!(values, reference, "{tier:?}");
        }
    }

    #[test]
    fn a_resize_to_the_same_size_changes_nothing() {
        let input: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut output = vec![0.0; 12];
        Resize::new(Tier::Scalar, [3, 4], [3, 4]).unwrap().run(&input, &mut output).unwrap();
        assert_eq!(input, output);
    }

    #[test]
    fn a_resize_agrees_with_values_of_pytorch() {
        // torch.nn.functional.interpolate([[0, 1], [2, 3]], size=(4, 4), mode="bilinear")
        let mut output = vec![0.0; 16];
        Resize::new(Tier::detect(), [2, 2], [4, 4]).unwrap().run(&[0.0, 1.0, 2.0, 3.0], &mut output).unwrap();
        let expected =
            [0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2.0, 2.25, 2.75, 3.0];
        assert_eq!(output, expected);
    }
}
