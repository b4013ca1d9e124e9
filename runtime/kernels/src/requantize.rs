//! From 32-bit sums and real numbers to bytes.

use crate::Fault;

/// How bytes stand for real numbers: `real = (byte - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Size of one step.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
}

impl Quantization {
    /// Bytes in steps of `scale`.
    ///
    /// # Errors
    /// [`Fault::Scale`] unless the scale is a positive, finite number whose reciprocal is one, too.
    pub fn new(scale: f32, zero_point: u8) -> Result<Self, Fault> {
        check_scale(scale)?;
        Ok(Self { scale, zero_point })
    }

    /// Fails if the fields were set to something that [`new`](Self::new) refuses.
    pub(crate) fn check(self) -> Result<Self, Fault> {
        Self::new(self.scale, self.zero_point)
    }

    /// The real number that `byte` stands for.
    pub fn real(self, byte: u8) -> f32 {
        (i32::from(byte) - i32::from(self.zero_point)) as f32 * self.scale
    }

    /// The byte for `real`: ONNX `QuantizeLinear`, which rounds half to even and saturates. NaN gives byte 0.
    pub fn byte(self, real: f32) -> u8 {
        let rounding = Rounding::new(self.zero_point, 0, 255);
        rounding.byte(real / self.scale)
    }
}

pub(crate) fn check_scale(scale: f32) -> Result<(), Fault> {
    // A subnormal scale has no finite reciprocal, and no network needs one.
    if scale.is_normal() && scale > 0.0 && scale.recip().is_normal() { Ok(()) } else { Err(Fault::Scale) }
}

/// Rounds real numbers in units of the output's scale to bytes `low..=high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    pub(crate) zero_point: i32,
    /// `low - zero_point` and `high - zero_point`: clamping before the conversion makes every processor's conversion
    /// agree, whatever it does out of range.
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// Adding and subtracting 1.5 * 2^23 rounds a number below 2^22 to the nearest integer, half to even, with two
/// additions that every processor has.
const ROUNDER: f32 = 12_582_912.0;

impl Rounding {
    pub(crate) fn new(zero_point: u8, low: u8, high: u8) -> Self {
        let zero = i32::from(zero_point);
        Self {
            zero_point: zero,
            low: (i32::from(low) - zero) as f32,
            high: (i32::from(high.max(low)) - zero) as f32,
        }
    }

    /// The smallest byte.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 read it"))]
    pub(crate) fn lowest(self) -> u8 {
        (self.low as i32 + self.zero_point) as u8
    }

    /// The largest byte.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 read it"))]
    pub(crate) fn highest(self) -> u8 {
        (self.high as i32 + self.zero_point) as u8
    }

    #[inline(always)]
    pub(crate) fn byte(self, real: f32) -> u8 {
        // Comparisons in this form are one instruction on x86, and send NaN to `low`.
        let real = if real > self.low { real } else { self.low };
        let real = if real < self.high { real } else { self.high };
        // The integer now stands in the lowest bits of the sum's mantissa.
        ((real + ROUNDER).to_bits() as u8).wrapping_add(self.zero_point as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_half_to_even_and_saturate() {
        let q = Quantization::new(1.0, 10).unwrap();
        let cases =
            [(0.5, 10), (1.5, 12), (2.5, 12), (-0.5, 10), (-1.5, 8), (1e9, 255), (-1e9, 0), (f32::NAN, 0)];
        for (real, byte) in cases {
            assert_eq!(q.byte(real), byte, "{real}");
        }
    }

    #[test]
    fn every_byte_survives_dequantization_and_quantization() {
        for scale in [1e-6, 0.019_336_527, 0.3, 7e4] {
            for zero_point in [0, 1, 128, 255] {
                let q = Quantization::new(scale, zero_point).unwrap();
                for byte in 0..=255 {
                    assert_eq!(q.byte(q.real(byte)), byte);
                }
            }
        }
    }

    #[test]
    fn invalid_scales_are_refused() {
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-42] {
            assert_eq!(Quantization::new(scale, 0), Err(Fault::Scale));
        }
    }
}
