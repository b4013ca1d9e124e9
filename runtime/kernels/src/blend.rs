//! Where a bilinear resize takes its values from, along one side.

use crate::Fault;

/// `value[first] + (value[second] - value[first]) * share`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blend {
    pub(crate) first: u32,
    pub(crate) second: u32,
    pub(crate) share: f32,
}

/// Longest side of a plane: a row of this many real numbers still fits on the stack.
pub(crate) const LONGEST: usize = 4096;

/// The blends of rows and of columns from `[height, width]` to `[height, width]`, between half-pixel centres.
///
/// # Errors
/// [`Fault::Shape`] if a side is zero or larger than [`LONGEST`].
pub(crate) fn both_sides(from: [usize; 2], to: [usize; 2]) -> Result<[Vec<Blend>; 2], Fault> {
    if from.iter().chain(&to).any(|side| !(1..=LONGEST).contains(side)) {
        return Err(Fault::Shape("a plane to resize has a side outside 1 to 4096"));
    }
    Ok([blends(from[0], to[0]), blends(from[1], to[1])])
}

fn blends(from: usize, to: usize) -> Vec<Blend> {
    let scale = from as f64 / to as f64;
    let last = from - 1;
    let blend = |index: usize| {
        let centre = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = (centre as usize).min(last);
        Blend {
            first: first as u32,
            second: (first + 1).min(last) as u32,
            share: (centre - first as f64) as f32,
        }
    };
    (0..to).map(blend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_twice_as_long_takes_quarters_of_its_neighbours() {
        let [rows, columns] = both_sides([3, 1], [6, 2]).unwrap();
        let found = |blends: &[Blend]| -> Vec<(u32, u32, f32)> {
            blends.iter().map(|blend| (blend.first, blend.second, blend.share)).collect()
        };
        let expected = [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 2, 0.25), (1, 2, 0.75), (2, 2, 0.0)];
        assert_eq!(found(&rows), expected);
        assert_eq!(found(&columns), [(0, 0, 0.0); 2]);
    }

    #[test]
    fn sides_without_values_and_sides_beyond_any_image_are_refused() {
        for (from, to) in [([0, 1], [1, 1]), ([1, 1], [1, 0]), ([4097, 1], [1, 1]), ([1, 1], [1, 4097])] {
            assert!(matches!(both_sides(from, to), Err(Fault::Shape(_))), "{from:?} -> {to:?}");
        }
    }
}
