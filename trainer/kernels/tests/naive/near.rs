//! Comparisons.

/// The same up to the rounding of single precision, beside the largest value.
#[track_caller]
pub(crate) fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 2e-5 * largest, "{what}, value {index}: {found} is not {expected}");
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn norm(values: &[f32]) -> f64 {
    dot(values, values).sqrt()
}

/// For a linear map, `<dy, map(x)> = <gradient(dy), x>`. The limit is what rounding does to random values; a single
/// value that is wrong does more.
#[track_caller]
pub(crate) fn assert_transposed([dy, y]: [&[f32]; 2], [dx, x]: [&[f32]; 2], what: &str) {
    let (a, b) = (dot(dy, y), dot(dx, x));
    let fewest = x.len().min(y.len()) as f64;
    let limit = 1e-5 / fewest.sqrt() * (norm(dy) * norm(y) + norm(dx) * norm(x));
    assert!((a - b).abs() <= limit, "{what}: {a} is not {b}");
}
