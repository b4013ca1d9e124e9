//! Tensors in the middle of larger allocations, which show what a kernel has touched.

use std::fmt::Debug;

use comet_kernels::{Fault, Layout};

use super::random::Random;

/// Bytes (or real numbers) before and behind every tensor that no kernel may touch.
const GUARD: usize = 256;
const MARK: u8 = 0xA5;

/// Bytes of a tensor, exactly as many as its layout asks for, between two guards.
pub(crate) struct Buffer {
    layout: Layout,
    start: usize,
    bytes: Vec<u8>,
    before: Vec<u8>,
}

impl Buffer {
    /// A tensor of `values` (`[height, width, channels]`) in a halo of `padding`. Everything else, padding
    /// lanes (those of the halo, too) and the bytes behind the last pixel, is garbage.
    pub(crate) fn input(layout: Layout, values: &[u8], padding: u8, random: &mut Random) -> Self {
        assert_eq!(values.len(), layout.height() * layout.width() * layout.channels());
        let mut tensor = random.bytes(layout.len());
        let garbage = tensor.clone();
        layout.fill_halo(&mut tensor, padding).unwrap();
        let pixels = tensor[..layout.bytes()].chunks_exact_mut(layout.pixel());
        for (pixel, garbage) in pixels.zip(garbage.chunks_exact(layout.pixel())) {
            pixel[layout.channels()..].copy_from_slice(&garbage[layout.channels()..]);
        }
        for (place, value) in places(layout).zip(values) {
            tensor[place] = *value;
        }
        // An odd place now and then: no kernel may rely on an alignment.
        Self::around(layout, tensor, random.size(0..=15))
    }

    /// A tensor to write to, filled with a pattern.
    pub(crate) fn output(layout: Layout) -> Self {
        let tensor = (0..layout.len()).map(|index| (index % 251) as u8 ^ 0x5A).collect();
        Self::around(layout, tensor, 3)
    }

    fn around(layout: Layout, tensor: Vec<u8>, shift: usize) -> Self {
        let start = GUARD + shift;
        let mut bytes = vec![MARK; start];
        bytes.extend(tensor);
        bytes.extend([MARK; GUARD]);
        Self { layout, start, before: bytes.clone(), bytes }
    }

    pub(crate) fn slice(&self) -> &[u8] {
        &self.bytes[self.start..][..self.layout.len()]
    }

    pub(crate) fn slice_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.layout.len()]
    }

    /// The values, `[height, width, channels]`.
    pub(crate) fn values(&self) -> Vec<u8> {
        let tensor = self.slice();
        places(self.layout).map(|place| tensor[place]).collect()
    }

    pub(crate) fn assert_untouched(&self, name: &str) {
        assert!(self.bytes == self.before, "{name}: an input was written");
    }

    /// Only pixels may have changed, padding lanes included: no halo, no byte behind the tensor, no guard.
    pub(crate) fn assert_written_inside(&self, name: &str) {
        let (halo, row) = (self.layout.halo(), self.layout.row());
        for (index, (now, before)) in self.bytes.iter().zip(&self.before).enumerate() {
            if now == before {
                continue;
            }
            let at = index.checked_sub(self.start).filter(|at| *at < self.layout.bytes());
            let inside = at.is_some_and(|at| {
                let (y, x) = (at / row, at % row / self.layout.pixel());
                (halo.top..halo.top + self.layout.height()).contains(&y)
                    && (halo.left..halo.left + self.layout.width()).contains(&x)
            });
            let at = index as i64 - self.start as i64;
            assert!(inside, "{name}: byte {at}, which belongs to no pixel, was written");
        }
    }
}

/// Where the values of a tensor lie, in the order `[height, width, channels]`.
fn places(layout: Layout) -> impl Iterator<Item = usize> {
    (0..layout.height()).flat_map(move |y| {
        (0..layout.width()).flat_map(move |x| {
            let pixel = layout.origin() + y * layout.row() + x * layout.pixel();
            pixel..pixel + layout.channels()
        })
    })
}

/// Runs `task` on a guarded output and compares the values that it wrote.
pub(crate) fn assert_writes(
    name: &str,
    layout: Layout,
    expected: &[u8],
    task: impl FnOnce(&mut [u8]) -> Result<(), Fault>,
) {
    let mut output = Buffer::output(layout);
    assert_eq!(task(output.slice_mut()), Ok(()), "{name}");
    output.assert_written_inside(name);
    assert_same(name, &output.values(), expected);
}

/// Runs `task` on as many guarded real numbers as are expected and compares them bit for bit.
pub(crate) fn assert_writes_reals(
    name: &str,
    expected: &[f32],
    task: impl FnOnce(&mut [f32]) -> Result<(), Fault>,
) {
    let got = guarded_reals(name, expected.len(), task);
    let bits = |reals: &[f32]| reals.iter().map(|real| real.to_bits()).collect::<Vec<_>>();
    assert_same(name, &bits(&got), &bits(expected));
}

/// What `task` writes into `count` real numbers between guards.
pub(crate) fn guarded_reals(
    name: &str,
    count: usize,
    task: impl FnOnce(&mut [f32]) -> Result<(), Fault>,
) -> Vec<f32> {
    let mark = f32::from_bits(u32::from_ne_bytes([MARK; 4]));
    let mut reals = vec![mark; GUARD + count + GUARD];
    let inner = GUARD..GUARD + count;
    assert_eq!(task(&mut reals[inner.clone()]), Ok(()), "{name}");
    let mut guards = reals[..inner.start].iter().chain(&reals[inner.end..]);
    assert!(guards.all(|real| real.to_bits() == mark.to_bits()), "{name}: written outside the output");
    reals[inner].to_vec()
}

/// Equality with a message that can be read.
pub(crate) fn assert_same<T: PartialEq + Debug>(name: &str, got: &[T], expected: &[T]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let pairs = || got.iter().zip(expected).enumerate();
    let wrong = pairs().find(|(_, (got, expected))| got != expected);
    let count = pairs().filter(|(_, (got, expected))| got != expected).count();
    assert!(wrong.is_none(), "{name}: {count} values differ, first (index, (is, should be)) = {wrong:?}");
}
