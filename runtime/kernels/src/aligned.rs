//! Numbers that begin at a line of the cache: vectors of 64 bytes then never lie across two.

use std::marker::PhantomData;

/// Bytes of a line, and of the widest vector.
const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Integers for which every pattern of bits is a value.
///
/// # Safety
/// Only for types for which any bytes of their size are a value.
pub(crate) unsafe trait Integer: Copy {}
// SAFETY: an integer.
unsafe impl Integer for i8 {}
// SAFETY: an integer.
unsafe impl Integer for i16 {}
// SAFETY: an integer.
unsafe impl Integer for i32 {}

/// Like a `Vec`, of a fixed length.
pub(crate) struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    kind: PhantomData<T>,
}

impl<T: Integer> Aligned<T> {
    /// Zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let lines = vec![Line([0; LINE]); (length * size_of::<T>()).div_ceil(LINE)];
        Self { lines, length, kind: PhantomData }
    }

    pub(crate) fn as_ptr(&self) -> *const T {
        self.lines.as_ptr().cast()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: the lines hold at least as many numbers, all of them initialized, and are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }

    /// Makes room for `length` numbers; their values are not defined.
    pub(crate) fn grow(&mut self, length: usize) {
        if length > self.length {
            *self = Self::zeros(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_cache_line_and_none_is_missing() {
        for length in [0, 1, 15, 16, 17, 1000] {
            let mut numbers = Aligned::<i32>::zeros(length);
            assert!(numbers.as_ptr().addr().is_multiple_of(LINE) && numbers.as_mut_slice().len() == length);
            numbers.grow(length + 1);
            numbers.as_mut_slice()[length] = 7;
            assert_eq!(numbers.as_mut_slice().iter().sum::<i32>(), 7);
        }
    }
}
