//! AdamW against PyTorch: `tests/golden/layers.json`, made by `tests/reference/make_layer_golden.py`.

use serde::Deserialize;

use super::*;

/// Largest accepted difference of a parameter; a step moves it by up to 1e-2.
const TOLERANCE: f32 = 1e-6;

#[derive(Deserialize)]
struct Document {
    adamw: Golden,
}

/// Steps on ordinary, large, tiny and no gradients.
#[derive(Deserialize)]
struct Golden {
    rate: f64,
    weight_decay: f32,
    epsilon: f32,
    parameters: Vec<f32>,
    /// Of each step.
    gradients: Vec<Vec<f32>>,
    /// The parameters after each step.
    after: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/layers.json");
    let document: Document = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    document.adamw
}

/// Takes all steps with `optimizer` and compares after each.
fn check(optimizer: &impl Optimizer, golden: &Golden) {
    let device = Device::flex();
    let mut parameters = Tensor::<1>::from_floats(golden.parameters.as_slice(), &device);
    let mut state = None;
    assert_eq!(golden.gradients.len(), 3);
    for (number, (gradient, expected)) in golden.gradients.iter().zip(&golden.after).enumerate() {
        let gradient = Tensor::<1>::from_floats(gradient.as_slice(), &device);
        (parameters, state) = optimizer.step(golden.rate, parameters, gradient, state);
        let found: Vec<f32> = parameters.clone().into_data().try_to_vec().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let is_close = (found - expected).abs() <= TOLERANCE;
            assert!(is_close, "step {}: {found}, expected {expected}", number + 1);
        }
    }
}

#[test]
fn three_steps_in_one_pass_are_those_of_pytorch() {
    let golden = golden();
    let optimizer = OnePassAdamW::new(golden.weight_decay);
    assert_eq!(optimizer.epsilon, golden.epsilon);
    check(&optimizer, &golden);
}

#[test]
fn three_steps_of_other_devices_are_those_of_pytorch() {
    let golden = golden();
    check(&OnePassAdamW::new(golden.weight_decay).other_devices, &golden);
}
