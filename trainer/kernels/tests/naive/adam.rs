//! AdamW.

use comet_training_kernels::{AdamStep, adamw};

use crate::near::assert_near;
use crate::random::Random;

#[test]
fn adamw_is_the_rule_of_its_paper() {
    // More than a piece of work.
    const COUNT: usize = 70_001;
    let mut random = Random::new(6);
    let mut parameter = random.values(COUNT);
    let mut expected: Vec<f64> = parameter.iter().map(|value| f64::from(*value)).collect();
    let (mut first, mut second) = (vec![0f32; COUNT], vec![0f32; COUNT]);
    let (mut m, mut v) = (vec![0f64; COUNT], vec![0f64; COUNT]);
    for time in 1..=3 {
        let gradient = random.values(COUNT);
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.03, time };
        adamw(&mut parameter, &gradient, &mut first, &mut second, step);
        for index in 0..COUNT {
            let g = f64::from(gradient[index]);
            m[index] = 0.9 * m[index] + 0.1 * g;
            v[index] = 0.999 * v[index] + 0.001 * g * g;
            let corrected = (m[index] / (1.0 - 0.9f64.powi(time)))
                / ((v[index] / (1.0 - 0.999f64.powi(time))).sqrt() + 1e-8);
            expected[index] -= 0.01 * (0.03 * expected[index] + corrected);
        }
    }
    assert_near(&parameter, &expected, "parameters");
}
