//! What the kernels are checked against: the ONNX formulas in 64-bit integers, written without any regard to
//! speed, and buffers that notice every byte that a kernel should have left alone.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod buffer;
pub(crate) mod case;
pub(crate) mod formulas;
pub(crate) mod random;

use std::ops::Range;

use comet_kernels::Pool;

/// Seeds of `count` random cases; a handful of them under Miri, which takes seconds for milliseconds.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    0..if cfg!(miri) { count.min(4) } else { count }
}

/// Pools of 1, 2 and 3 threads.
pub(crate) fn pools() -> Vec<Pool> {
    let threads = if cfg!(miri) { 1..=2 } else { 1..=3 };
    threads.map(|threads| Pool::new(threads).unwrap()).collect()
}
