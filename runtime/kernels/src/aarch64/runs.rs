//! Taps that lie one behind another.

use crate::layout::GROUP;

/// The input of a window as runs of neighbouring bytes: where each starts, and how many groups of 4 channels
/// it has.
///
/// A tap that begins where the one before it ends belongs to the same run, for its weights follow as well.
/// The pixels of an image are one group each: there, a row of the kernel is one run, and fills vectors that
/// one tap cannot.
#[inline(always)]
pub(super) fn runs(mut taps: &[usize], groups: usize) -> impl Iterator<Item = (usize, usize)> {
    std::iter::from_fn(move || {
        let (first, mut rest) = taps.split_first()?;
        let mut length = groups;
        while let Some((next, behind)) = rest.split_first()
            && *next == first.wrapping_add(length.wrapping_mul(GROUP))
        {
            length = length.wrapping_add(groups);
            rest = behind;
        }
        taps = rest;
        Some((*first, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_taps_are_one_run() {
        let join = |taps: &[usize], groups| runs(taps, groups).collect::<Vec<_>>();
        assert_eq!(join(&[0, 4, 8, 100, 104, 108], 1), [(0, 3), (100, 3)]);
        assert_eq!(join(&[0, 64, 128], 16), [(0, 48)]);
        assert_eq!(join(&[0, 80, 160], 18), [(0, 18), (80, 18), (160, 18)]);
        assert_eq!(join(&[7], 5), [(7, 5)]);
        assert!(join(&[], 5).is_empty());
    }
}
