//! The same bits again.

use comet_training_kernels::{
    Activation, AdamStep, Geometry, Shape, adamw, batch_norm, batch_norm_gradient, channel_sums, dense,
    dense_input_gradient, dense_weight_gradient, depthwise, depthwise_input_gradient,
    depthwise_weight_gradient, max_pool, max_pool_gradient, mean, mean_gradient, resize, resize_gradient,
    scale, scale_gradient,
};

use crate::random::Random;

const CHANNELS: usize = 40;
const INPUT: Shape = Shape { batch: 4, height: 17, width: 13, channels: CHANNELS };

/// Results of every function on the same random inputs.
fn everything() -> Vec<Vec<f32>> {
    let mut random = Random::new(7);
    let geometry = Geometry::square(3, 1, 1);
    let (x, dy) = (random.values(INPUT.len()), random.values(INPUT.len()));
    let (weights, filters) = (random.values(CHANNELS * CHANNELS * 9), random.values(CHANNELS * 9));
    let (pointwise, gate) = (random.values(CHANNELS * CHANNELS), random.values(4 * CHANNELS));
    let flat = Geometry::square(1, 1, 0);
    let (y, statistics) =
        batch_norm(&x, &gate[..CHANNELS], &filters[..CHANNELS], 1e-3, Some(&dy), Activation::Relu6);
    let norm = batch_norm_gradient(
        &dy,
        &x,
        &gate[..CHANNELS],
        &filters[..CHANNELS],
        &statistics,
        1e-3,
        Some(&dy),
        Activation::Relu6,
    );
    let pooled = max_pool(&x, INPUT, geometry);
    let (scaled, by_gate) = scale_gradient(&dy, &x, INPUT, &gate);
    let (mut parameter, mut first, mut second) = (x.clone(), vec![0.0; x.len()], vec![0.0; x.len()]);
    let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.03, time: 1 };
    adamw(&mut parameter, &dy, &mut first, &mut second, step);
    let larger = random.values(4 * 34 * 30 * CHANNELS);
    vec![
        dense(&x, INPUT, &weights, CHANNELS, geometry),
        dense_input_gradient(&dy, INPUT, &weights, CHANNELS, geometry),
        dense_weight_gradient(&dy, &x, INPUT, CHANNELS, geometry),
        dense(&x, INPUT, &pointwise, CHANNELS, flat),
        dense_input_gradient(&dy, INPUT, &pointwise, CHANNELS, flat),
        dense_weight_gradient(&dy, &x, INPUT, CHANNELS, flat),
        depthwise(&x, INPUT, &filters, geometry),
        depthwise_input_gradient(&dy, INPUT, &filters, geometry),
        depthwise_weight_gradient(&dy, &x, INPUT, geometry),
        y,
        statistics.mean,
        statistics.variance,
        norm.x,
        norm.gamma,
        norm.beta,
        norm.residual.unwrap(),
        channel_sums(&x, CHANNELS),
        max_pool_gradient(&dy, &x, &pooled, INPUT, geometry),
        pooled,
        mean(&x, INPUT),
        mean_gradient(&gate, INPUT),
        scale(&x, INPUT, &gate),
        scaled,
        by_gate,
        resize(&x, INPUT, [34, 30]),
        resize_gradient(&larger, INPUT, [34, 30]),
        parameter,
        first,
        second,
    ]
}

fn bits(results: &[Vec<f32>]) -> Vec<Vec<u32>> {
    results.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn the_same_inputs_on_the_same_number_of_threads_give_the_same_bits() {
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let first = bits(&pool.install(everything));
        for _ in 0..3 {
            assert!(bits(&pool.install(everything)) == first, "{threads} threads");
        }
        // Threads of other pools have other scratch memory in them.
        let other = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(bits(&other.install(everything)) == first, "{threads} other threads");
    }
}

#[test]
fn more_threads_change_no_more_than_rounding() {
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(everything)
    };
    let first = on(1);
    for threads in [2, 3, 7] {
        for (index, (one, other)) in first.iter().zip(on(threads)).enumerate() {
            let largest = one.iter().fold(1f32, |largest, value| largest.max(value.abs()));
            let is_near = one.len() == other.len()
                && one.iter().zip(&other).all(|(a, b)| (a - b).abs() <= 2e-5 * largest);
            assert!(is_near, "result {index} with {threads} threads");
        }
    }
}
