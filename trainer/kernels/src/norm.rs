//! BatchNorm with the residual and the activation that follow it (Ioffe and Szegedy, 2015).

use rayon::prelude::*;

use crate::elementwise::{Activate, Activation, with_activation};
use crate::parallel::{for_pieces, rows_of_piece, sum_in_order, vectorized};

/// A factor and an offset for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Factors.
    pub scale: Vec<f32>,
    /// Offsets.
    pub shift: Vec<f32>,
}

/// What a batch says of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Mean squared deviations (not corrected for the number of values).
    pub variance: Vec<f32>,
}

impl Statistics {
    /// Of each column of `x`, which has rows of `channels` values.
    pub fn of(x: &[f32], channels: usize) -> Self {
        let first = x.get(..channels).unwrap_or_default();
        let rows = rows_of_piece(channels);
        // Differences from the first row: sums of squares of the values themselves lose the small deviations of
        // channels with a large mean.
        let parts: Vec<Vec<f32>> = x
            .par_chunks(rows * channels)
            .map(|piece| {
                let mut sums = vec![0f32; 2 * channels];
                let (sum, squares) = sums.split_at_mut(channels);
                vectorized(|| add_moments(piece, first, sum, squares));
                sums
            })
            .collect();
        let sums = sum_in_order(&parts, 2 * channels);
        let (sum, squares) = sums.split_at(channels);
        let count = (x.len() / channels.max(1)) as f64;
        let moments = sum.iter().zip(squares).map(|(sum, squares)| (sum / count, squares / count));
        let mean = moments.clone().zip(first).map(|((mean, _), first)| (mean + f64::from(*first)) as f32);
        let variance = moments.map(|(mean, square)| (square - mean * mean).max(0.0) as f32);
        // `max` turns what is not a number into 0; it must stay visible in the output.
        let mean: Vec<f32> = mean.collect();
        let variance = variance.zip(&mean).map(|(variance, mean)| variance + 0.0 * mean).collect();
        Self { mean, variance }
    }

    fn inverse_deviations(&self, epsilon: f32) -> impl Iterator<Item = f32> + '_ {
        self.variance.iter().map(move |variance| 1.0 / (variance + epsilon).sqrt())
    }

    /// The map `gamma (x - mean) / sqrt(variance + epsilon) + beta`.
    pub fn affine(&self, gamma: &[f32], beta: &[f32], epsilon: f32) -> Affine {
        let scale: Vec<f32> =
            self.inverse_deviations(epsilon).zip(gamma).map(|(inverse, gamma)| inverse * gamma).collect();
        let shift = self.mean.iter().zip(beta).zip(&scale).map(|((mean, beta), scale)| beta - mean * scale);
        Affine { shift: shift.collect(), scale }
    }
}

#[inline(always)]
fn add_moments(piece: &[f32], first: &[f32], sum: &mut [f32], squares: &mut [f32]) {
    for row in piece.chunks_exact(first.len()) {
        for (((value, first), sum), squares) in
            row.iter().zip(first).zip(sum.iter_mut()).zip(squares.iter_mut())
        {
            let difference = value - first;
            *sum += difference;
            *squares += difference * difference;
        }
    }
}

/// BatchNorm in training: normalises by the batch's own statistics. `x` has rows of `gamma.len()` channels; a
/// `residual` of the same shape is added before the activation.
pub fn batch_norm(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    residual: Option<&[f32]>,
    activation: Activation,
) -> (Vec<f32>, Statistics) {
    let statistics = Statistics::of(x, gamma.len());
    let map = statistics.affine(gamma, beta, epsilon);
    (affine(x, &map, residual, activation), statistics)
}

/// `activation(scale * x + shift + residual)`, channel by channel.
pub fn affine(x: &[f32], map: &Affine, residual: Option<&[f32]>, activation: Activation) -> Vec<f32> {
    with_activation!(activation, A => affine_with::<A>(x, map, residual))
}

fn affine_with<A: Activate>(x: &[f32], map: &Affine, residual: Option<&[f32]>) -> Vec<f32> {
    let channels = map.scale.len();
    let mut y = vec![0f32; x.len()];
    for_pieces(&mut y, channels, |first, y| {
        let from = first * channels;
        let x = &x[from..from + y.len()];
        match residual {
            Some(residual) => {
                let rows = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                let residual = residual[from..from + x.len()].chunks_exact(channels);
                for ((y, x), residual) in rows.zip(residual) {
                    let terms = x.iter().zip(&map.scale).zip(&map.shift).zip(residual);
                    for (y, (((x, scale), shift), residual)) in y.iter_mut().zip(terms) {
                        *y = A::value(x * scale + shift + residual);
                    }
                }
            }
            None => {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for (y, ((x, scale), shift)) in y.iter_mut().zip(x.iter().zip(&map.scale).zip(&map.shift))
                    {
                        *y = A::value(x * scale + shift);
                    }
                }
            }
        }
    });
    y
}

/// The gradient `dz` of a loss before the activation, given its gradient `dy` after it.
fn before_activation<A: Activate>(dy: &[f32], x: &[f32], map: &Affine, residual: Option<&[f32]>) -> Vec<f32> {
    let channels = map.scale.len();
    let mut dz = vec![0f32; x.len()];
    for_pieces(&mut dz, channels, |first, dz| {
        let range = first * channels..first * channels + dz.len();
        let (dy, x) = (&dy[range.clone()], &x[range.clone()]);
        let rows = dz.chunks_exact_mut(channels).zip(dy.chunks_exact(channels)).zip(x.chunks_exact(channels));
        match residual {
            Some(residual) => {
                for (((dz, dy), x), residual) in rows.zip(residual[range].chunks_exact(channels)) {
                    let terms = x.iter().zip(&map.scale).zip(&map.shift).zip(residual);
                    for ((dz, dy), (((x, scale), shift), residual)) in dz.iter_mut().zip(dy).zip(terms) {
                        *dz = dy * A::slope(x * scale + shift + residual);
                    }
                }
            }
            None => {
                for ((dz, dy), x) in rows {
                    let terms = x.iter().zip(&map.scale).zip(&map.shift);
                    for ((dz, dy), ((x, scale), shift)) in dz.iter_mut().zip(dy).zip(terms) {
                        *dz = dy * A::slope(x * scale + shift);
                    }
                }
            }
        }
    });
    dz
}

/// Gradients of a loss by what went into a normalisation.
#[derive(Clone, Debug)]
pub struct NormGradients {
    /// By the input.
    pub x: Vec<f32>,
    /// By the residual, if there was one.
    pub residual: Option<Vec<f32>>,
    /// By the factors `gamma`; empty where they are constant.
    pub gamma: Vec<f32>,
    /// By the offsets `beta`.
    pub beta: Vec<f32>,
}

/// The gradients of [`affine`] by `x`, `residual` and `shift`, given the gradient `dy` by its output.
pub fn affine_gradient(
    dy: &[f32],
    x: &[f32],
    map: &Affine,
    residual: Option<&[f32]>,
    activation: Activation,
) -> NormGradients {
    let channels = map.scale.len();
    let dz = with_activation!(activation, A => before_activation::<A>(dy, x, map, residual));
    let beta = channel_sums(&dz, channels);
    let multiply = |dx: &mut [f32], dz: &[f32]| {
        for (dx, (dz, scale)) in dx.iter_mut().zip(dz.iter().zip(&map.scale)) {
            *dx = dz * scale;
        }
    };
    let mut dx = vec![0f32; x.len()];
    for_pieces(&mut dx, channels, |first, dx| {
        let dz = &dz[first * channels..first * channels + dx.len()];
        for (dx, dz) in dx.chunks_exact_mut(channels).zip(dz.chunks_exact(channels)) {
            multiply(dx, dz);
        }
    });
    NormGradients { x: dx, residual: residual.map(|_| dz), gamma: Vec::new(), beta }
}

/// The gradients of [`batch_norm`], given the gradient `dy` by its output. The statistics depend on `x`.
#[allow(clippy::too_many_arguments, reason = "the inputs of the layer and what it computed")]
pub fn batch_norm_gradient(
    dy: &[f32],
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    statistics: &Statistics,
    epsilon: f32,
    residual: Option<&[f32]>,
    activation: Activation,
) -> NormGradients {
    let channels = gamma.len();
    let map = statistics.affine(gamma, beta, epsilon);
    let mut dz = with_activation!(activation, A => before_activation::<A>(dy, x, &map, residual));
    let (by_beta, by_x_centred) = norm_sums(&dz, x, &statistics.mean);
    let count = (x.len() / channels.max(1)) as f64;
    let inverse: Vec<f32> = statistics.inverse_deviations(epsilon).collect();
    let by_gamma: Vec<f32> =
        by_x_centred.iter().zip(&inverse).map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32).collect();
    // dx = scale (dz - mean(dz) - xhat mean(dz xhat))
    let mean_dz: Vec<f32> = by_beta.iter().map(|sum| (sum / count) as f32).collect();
    let slope: Vec<f32> = by_x_centred
        .iter()
        .zip(&inverse)
        .map(|(sum, inverse)| (sum * f64::from(inverse * inverse) / count) as f32)
        .collect();
    let kept = residual.map(|_| dz.clone());
    for_pieces(&mut dz, channels, |first, dz| {
        let x = &x[first * channels..first * channels + dz.len()];
        for (dz, x) in dz.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let constants = map.scale.iter().zip(&mean_dz).zip(&slope).zip(&statistics.mean);
            for ((dz, x), (((scale, mean_dz), slope), mean)) in dz.iter_mut().zip(x).zip(constants) {
                *dz = scale * (*dz - mean_dz - (x - mean) * slope);
            }
        }
    });
    let beta = by_beta.iter().map(|sum| *sum as f32).collect();
    NormGradients { x: dz, residual: kept, gamma: by_gamma, beta }
}

/// Sums over all rows of `dz` and of `dz (x - mean)`, for each channel.
fn norm_sums(dz: &[f32], x: &[f32], mean: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let channels = mean.len();
    let piece = rows_of_piece(channels) * channels;
    let parts: Vec<Vec<f32>> = dz
        .par_chunks(piece)
        .zip(x.par_chunks(piece))
        .map(|(dz, x)| {
            let mut sums = vec![0f32; 2 * channels];
            let (plain, centred) = sums.split_at_mut(channels);
            vectorized(|| add_products(dz, x, mean, plain, centred));
            sums
        })
        .collect();
    let mut sums = sum_in_order(&parts, 2 * channels);
    let centred = sums.split_off(channels);
    (sums, centred)
}

#[inline(always)]
fn add_products(dz: &[f32], x: &[f32], mean: &[f32], plain: &mut [f32], centred: &mut [f32]) {
    for (dz, x) in dz.chunks_exact(mean.len()).zip(x.chunks_exact(mean.len())) {
        let sums = plain.iter_mut().zip(centred.iter_mut());
        for (((dz, x), mean), (plain, centred)) in dz.iter().zip(x).zip(mean).zip(sums) {
            *plain += dz;
            *centred += dz * (x - mean);
        }
    }
}

/// The sum of each column of `x`, which has rows of `channels` values.
pub fn channel_sums(x: &[f32], channels: usize) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = x
        .par_chunks(rows_of_piece(channels) * channels)
        .map(|piece| {
            let mut sums = vec![0f32; channels];
            vectorized(|| {
                for row in piece.chunks_exact(channels) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            });
            sums
        })
        .collect();
    sum_in_order(&parts, channels).into_iter().map(|sum| sum as f32).collect()
}
