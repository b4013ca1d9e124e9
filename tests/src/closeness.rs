//! How far two predictions are apart. A value that is not a number is never close to anything.

/// Mean absolute difference; infinite if there is nothing to compare.
pub fn mean_difference(left: &[f32], right: &[f32]) -> f32 {
    if left.len() != right.len() || left.is_empty() {
        return f32::INFINITY;
    }
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).sum::<f32>() / left.len() as f32
}

/// Largest absolute difference; infinite if there is nothing to compare.
pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    if left.len() != right.len() {
        return f32::INFINITY;
    }
    // In this order NaN is the largest number.
    let differences = left.iter().zip(right).map(|(a, b)| (a - b).abs());
    differences.max_by(f32::total_cmp).unwrap_or(f32::INFINITY)
}

/// The bits of the values: equal where `==` would let 0 and -0 pass.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_those_of_the_values_and_nan_is_far_from_everything() {
        assert_eq!(mean_difference(&[1.0, 2.0], &[1.5, 0.5]), 1.0);
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.5, 0.5]), 1.5);
        let far = |difference: f32| difference.is_nan() || difference > 1e30;
        for other in [&[1.0][..], &[1.0, f32::NAN], &[]] {
            assert!(far(mean_difference(&[1.0, 2.0], other)), "{other:?}");
            assert!(far(largest_difference(&[1.0, 2.0], other)), "{other:?}");
        }
        assert_ne!(bits(&[0.0]), bits(&[-0.0]));
    }
}
