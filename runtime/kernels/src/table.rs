//! Any function of one byte: activations between two quantizations.

use crate::rows::each_row;
use crate::threads::Shares;
use crate::{Fault, Layout, Pool, Quantization, Tier};

/// A function of one byte as a table.
pub struct Table {
    tier: Tier,
    input: Layout,
    output: Layout,
    values: [u8; 256],
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Tabulates `function`, of real numbers, between two quantizations.
    ///
    /// # Errors
    /// [`Fault::Shape`] if the shapes differ.
    pub fn new(
        tier: Tier,
        (input, from): (Layout, Quantization),
        (output, to): (Layout, Quantization),
        function: impl Fn(f32) -> f32,
    ) -> Result<Self, Fault> {
        if !input.same_shape(&output) || input.pixel() != output.pixel() {
            return Err(Fault::Shape("a function of one byte cannot change the shape"));
        }
        for quantization in [from, to] {
            quantization.check()?;
        }
        let values = std::array::from_fn(|byte| to.byte(function(from.real(byte as u8))));
        Ok(Self { tier: tier.check()?, input, output, values })
    }

    /// Looks every byte up.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let start = Shares::new(output);
        each_row(pool, &self.output, start, &|y, row| {
            row.copy_from_slice(&input[self.input.inner(y)]);
            self.look_up(row);
        })
    }

    /// Looks every byte up and writes the result in its place. Input and output must have the same layout.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_in_place(&self, pool: &Pool, tensor: &mut [u8]) -> Result<(), Fault> {
        if self.input != self.output {
            return Err(Fault::Shape("a table in place needs the same layout for input and output"));
        }
        self.output.check(tensor.len())?;
        each_row(pool, &self.output, Shares::new(tensor), &|_, row| self.look_up(row))
    }

    fn look_up(&self, row: &mut [u8]) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if self.tier == Tier::Avx512Vnni && std::arch::is_x86_feature_detected!("avx512vbmi") {
            // SAFETY: the processor has what the function needs.
            return unsafe { crate::x86::avx512::look_up(&self.values, row) };
        }
        #[cfg(target_arch = "aarch64")]
        if self.tier != Tier::Scalar {
            // SAFETY: every AArch64 processor with NEON has what the function needs.
            return unsafe { crate::aarch64::neon::look_up(&self.values, row) };
        }
        for byte in row {
            *byte = self.values[usize::from(*byte)];
        }
    }
}
