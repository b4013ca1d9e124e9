//! A region as a list of kernel calls on planned memory.

use std::ops::Range;
use std::time::{Duration, Instant};

use comet_kernels::{
    Add, ChannelScale, Compose, Conv, Depthwise, Dequantize, Fault, GlobalAverage, Layout, MaxPool, Pool,
    Quantize, Resize, ResizeBytes, Table, Tier, add_real, sigmoid,
};

/// A tensor of bytes in the arena.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) place: Range<usize>,
    pub(crate) layout: Layout,
    /// What its halo holds.
    pub(crate) zero_point: u8,
}

/// A tensor of floats.
#[derive(Clone, Debug)]
pub(crate) enum Real {
    /// An input of the region.
    Input(usize),
    /// In the arena.
    Arena(Range<usize>),
}

/// One kernel call.
#[derive(Debug)]
pub(crate) enum Step {
    Quantize { kernel: Quantize, from: Real, to: Tensor },
    Compose { kernel: Compose, image: Real, mask: Real, to: Tensor },
    Convolve { kernel: Conv, from: Range<usize>, to: Tensor },
    ConvolveReal { kernel: Conv, from: Range<usize>, to: Range<usize> },
    Depthwise { kernel: Depthwise, from: Range<usize>, to: Tensor },
    Add { kernel: Add, left: Range<usize>, right: Range<usize>, to: Tensor },
    Table { kernel: Table, from: Range<usize>, to: Tensor },
    TableInPlace { kernel: Table, tensor: Tensor },
    MaxPool { kernel: MaxPool, from: Range<usize>, to: Tensor },
    Average { kernel: GlobalAverage, from: Range<usize>, to: Tensor },
    Scale { kernel: ChannelScale, from: Range<usize>, weight: Range<usize>, to: Tensor },
    ResizeBytes { kernel: ResizeBytes, from: Range<usize>, to: Tensor },
    Dequantize { kernel: Dequantize, from: Range<usize>, to: Range<usize> },
    Resize { kernel: Resize, from: Real, to: Range<usize> },
    AddReal { left: Real, right: Real, to: Range<usize> },
    Sigmoid { from: Real, to: Range<usize> },
}

/// A region, ready to run. It is never changed by running, so that threads can share it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) tier: Tier,
    pub(crate) steps: Vec<Step>,
    /// A name for each step, for profiles.
    pub(crate) names: Vec<String>,
    /// Lengths of the inputs.
    pub(crate) inputs: Vec<usize>,
    /// Where the outputs lie among the floats, and their shapes.
    pub(crate) outputs: Vec<(Range<usize>, Vec<usize>)>,
    pub(crate) bytes: usize,
    pub(crate) reals: usize,
}

/// The memory that a program works in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    bytes: Vec<u8>,
    reals: Vec<f32>,
}

impl Memory {
    /// The output at `place`.
    pub(crate) fn reals(&self, place: &Range<usize>) -> &[f32] {
        self.reals.get(place.clone()).unwrap_or_default()
    }
}

impl Program {
    /// Memory for runs of this program.
    pub(crate) fn memory(&self) -> Memory {
        Memory { bytes: vec![0; self.bytes], reals: vec![0.0; self.reals] }
    }

    /// Runs every step; `times`, if given, gets the duration of each.
    pub(crate) fn run(
        &self,
        pool: &Pool,
        memory: &mut Memory,
        inputs: &[&[f32]],
        mut times: Option<&mut Vec<Duration>>,
    ) -> Result<(), Fault> {
        if inputs.len() != self.inputs.len() || inputs.iter().zip(&self.inputs).any(|(i, n)| i.len() != *n) {
            return Err(Fault::Shape("an input of another size than the model's"));
        }
        for step in &self.steps {
            let started = times.is_some().then(Instant::now);
            step.run(self.tier, pool, memory, inputs)?;
            if let Some((times, started)) = times.as_mut().zip(started) {
                times.push(started.elapsed());
            }
        }
        Ok(())
    }
}

/// Two tensors of the plan lie on one another: a fault of the planning, not of the model.
const OVERLAP: Fault = Fault::Shape("two tensors share a place");

impl Step {
    fn run(&self, tier: Tier, pool: &Pool, memory: &mut Memory, inputs: &[&[f32]]) -> Result<(), Fault> {
        let Memory { bytes, reals } = memory;
        match self {
            Self::Quantize { kernel, from, to } => {
                let output = bytes.get_mut(to.place.clone()).ok_or(OVERLAP)?;
                kernel.run(pool, real(from, inputs, reals)?, output)?;
                to.layout.fill_halo(output, to.zero_point)
            }
            Self::Compose { kernel, image, mask, to } => {
                let output = bytes.get_mut(to.place.clone()).ok_or(OVERLAP)?;
                kernel.run(pool, real(image, inputs, reals)?, real(mask, inputs, reals)?, output)?;
                to.layout.fill_halo(output, to.zero_point)
            }
            Self::Convolve { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(pool, input, output))
            }
            Self::ConvolveReal { kernel, from, to } => {
                let input = bytes.get(from.clone()).ok_or(OVERLAP)?;
                kernel.run_real(pool, input, reals.get_mut(to.clone()).ok_or(OVERLAP)?)
            }
            Self::Depthwise { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(pool, input, output))
            }
            Self::Add { kernel, left, right, to } => {
                two_to_one(bytes, left, right, to, |left, right, output| {
                    kernel.run(pool, left, right, output)
                })
            }
            Self::Table { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(pool, input, output))
            }
            Self::TableInPlace { kernel, tensor } => {
                let values = bytes.get_mut(tensor.place.clone()).ok_or(OVERLAP)?;
                kernel.run_in_place(pool, values)?;
                tensor.layout.fill_halo(values, tensor.zero_point)
            }
            Self::MaxPool { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(pool, input, output))
            }
            Self::Average { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(input, output))
            }
            Self::Scale { kernel, from, weight, to } => {
                two_to_one(bytes, from, weight, to, |input, weight, output| {
                    kernel.run(pool, input, weight, output)
                })
            }
            Self::ResizeBytes { kernel, from, to } => {
                one_to_one(bytes, from, to, |input, output| kernel.run(pool, input, output))
            }
            Self::Dequantize { kernel, from, to } => {
                let input = bytes.get(from.clone()).ok_or(OVERLAP)?;
                kernel.run(input, reals.get_mut(to.clone()).ok_or(OVERLAP)?)
            }
            Self::Resize { kernel, from, to } => {
                real_to_real(from, to, inputs, reals, |input, output| kernel.run(input, output))
            }
            Self::AddReal { left, right, to } => {
                real_to_real(left, to, inputs, reals, copy)?;
                real_to_real(right, to, inputs, reals, |input, output| add_real(tier, input, output))
            }
            Self::Sigmoid { from, to } => {
                if !matches!(from, Real::Arena(place) if place == to) {
                    real_to_real(from, to, inputs, reals, copy)?;
                }
                sigmoid(tier, reals.get_mut(to.clone()).ok_or(OVERLAP)?)
            }
        }
    }
}

fn copy(input: &[f32], output: &mut [f32]) -> Result<(), Fault> {
    if input.len() != output.len() {
        return Err(Fault::Shape("a sum of tensors of different shapes"));
    }
    output.copy_from_slice(input);
    Ok(())
}

fn real<'a>(value: &Real, inputs: &[&'a [f32]], reals: &'a [f32]) -> Result<&'a [f32], Fault> {
    match value {
        Real::Input(index) => inputs.get(*index).copied(),
        Real::Arena(place) => reals.get(place.clone()),
    }
    .ok_or(OVERLAP)
}

fn one_to_one(
    bytes: &mut [u8],
    from: &Range<usize>,
    to: &Tensor,
    kernel: impl FnOnce(&[u8], &mut [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let [input, output] = bytes.get_disjoint_mut([from.clone(), to.place.clone()]).map_err(|_| OVERLAP)?;
    kernel(input, output)?;
    to.layout.fill_halo(output, to.zero_point)
}

fn two_to_one(
    bytes: &mut [u8],
    left: &Range<usize>,
    right: &Range<usize>,
    to: &Tensor,
    kernel: impl FnOnce(&[u8], &[u8], &mut [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let output = if left == right {
        let [both, output] = bytes.get_disjoint_mut([left.clone(), to.place.clone()]).map_err(|_| OVERLAP)?;
        kernel(both, both, output)?;
        output
    } else {
        let places = [left.clone(), right.clone(), to.place.clone()];
        let [left, right, output] = bytes.get_disjoint_mut(places).map_err(|_| OVERLAP)?;
        kernel(left, right, output)?;
        output
    };
    to.layout.fill_halo(output, to.zero_point)
}

fn real_to_real(
    from: &Real,
    to: &Range<usize>,
    inputs: &[&[f32]],
    reals: &mut [f32],
    kernel: impl FnOnce(&[f32], &mut [f32]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    match from {
        Real::Input(index) => {
            kernel(inputs.get(*index).ok_or(OVERLAP)?, reals.get_mut(to.clone()).ok_or(OVERLAP)?)
        }
        Real::Arena(place) => {
            let [input, output] = reals.get_disjoint_mut([place.clone(), to.clone()]).map_err(|_| OVERLAP)?;
            kernel(input, output)
        }
    }
}
