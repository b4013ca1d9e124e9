//! AdamW in one pass over parameter, gradient and moments (Loshchilov and Hutter, 2019, algorithm 2).

use rayon::prelude::*;

use crate::parallel::vectorized;

/// Constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Keeps the quotient finite.
    pub epsilon: f32,
    /// Decoupled weight decay: a step shrinks the weights by `rate * weight_decay`.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub time: i32,
}

/// Moves `parameter` along `gradient` and updates both moments.
pub fn adamw(parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: AdamStep) {
    const PIECE: usize = 1 << 15;
    let pieces = parameter.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
    let moments = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
    pieces.zip(moments).for_each(|((parameter, gradient), (first, second))| {
        vectorized(|| update(parameter, gradient, first, second, step));
    });
}

#[inline(always)]
fn update(parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: AdamStep) {
    let keep = 1.0 - step.rate * step.weight_decay;
    let (rest1, rest2) = (1.0 - step.beta1, 1.0 - step.beta2);
    let (correction1, correction2) =
        (1.0 / (1.0 - step.beta1.powi(step.time)), 1.0 / (1.0 - step.beta2.powi(step.time)));
    let values = parameter.iter_mut().zip(gradient).zip(first.iter_mut().zip(second.iter_mut()));
    for ((parameter, gradient), (first, second)) in values {
        *first = step.beta1 * *first + rest1 * gradient;
        *second = step.beta2 * *second + rest2 * gradient * gradient;
        let delta = (*first * correction1) / ((*second * correction2).sqrt() + step.epsilon);
        *parameter = *parameter * keep - step.rate * delta;
    }
}
