//! Every kind of layer and its gradients against PyTorch: `tests/golden/layers.json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
#[path = "../../../../tests/src/random.rs"]
#[allow(dead_code, unreachable_pub, reason = "the end-to-end tests use all of it")]
mod random;

use case::{Case, channels_first, golden, numbers};
use comet_training_kernels::{
    Activation, AdamStep, Affine, Geometry, Shape, Statistics, adamw, affine, affine_gradient, batch_norm,
    batch_norm_gradient, channel_sums, dense, dense_input_gradient, dense_weight_gradient, depthwise,
    depthwise_input_gradient, depthwise_weight_gradient, max_pool, max_pool_gradient, mean, mean_gradient,
    resize, resize_gradient, scale, scale_gradient,
};
use random::{SplitMix64, fnv1a};
use serde_json::Value;

/// Runs `check` on every case of a kind, with the work cut for one thread and for several.
fn for_cases(kind: &str, check: fn(&Case)) {
    let cases = Case::all(kind);
    assert!(!cases.is_empty());
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| cases.iter().for_each(check));
    }
}

#[test]
fn inputs_are_drawn_as_the_file_says() {
    let golden = golden();
    let check = &golden["formula_check"];
    let key = check["key"].as_str().unwrap();
    assert_eq!(format!("{:#018x}", fnv1a(key)), check["fnv1a64"].as_str().unwrap());
    let mut random = SplitMix64::named(key);
    for expected in numbers(&check["u"]) {
        assert_eq!(random.uniform(), expected);
    }
}

#[test]
fn convolutions_are_those_of_pytorch() {
    for_cases("convolutions", convolution);
}

fn convolution(case: &Case) {
    let (input, out, kernel) = (case.input(), case.size("out"), case.size("kernel"));
    let geometry = Geometry {
        kernel: [kernel; 2],
        stride: [case.size("stride"); 2],
        dilation: [case.size("dilation"); 2],
        padding: case.sizes("padding"),
    };
    let (output, by_channel) = (geometry.output(input, out), case.flag("depthwise"));
    let inside = if by_channel { 1 } else { input.channels };
    let fan_in = inside * kernel * kernel;
    let x = case.draw_images("x", input, |u| 1.5 * u);
    let weights = case.draw("weight", out * fan_in, |u| u * (3.0 / fan_in as f64).sqrt());
    let dy = case.draw_images("cotangent", output, |u| u);
    let [mut y, by_x, by_weights] = if by_channel {
        [
            depthwise(&x, input, &weights, geometry),
            depthwise_input_gradient(&dy, input, &weights, geometry),
            depthwise_weight_gradient(&dy, &x, input, geometry),
        ]
    } else {
        [
            dense(&x, input, &weights, out, geometry),
            dense_input_gradient(&dy, input, &weights, out, geometry),
            dense_weight_gradient(&dy, &x, input, out, geometry),
        ]
    };
    let mut found = vec![("d_x", channels_first(&by_x, input)), ("d_weight", by_weights)];
    if case.flag("bias") {
        let map = Affine { scale: vec![1.0; out], shift: case.draw("bias", out, |u| u) };
        y = affine(&y, &map, None, Activation::Identity);
        found.push(("d_bias", channel_sums(&dy, out)));
    }
    found.push(("y", channels_first(&y, output)));
    case.compare(&found);
}

#[test]
fn norms_with_residual_and_activation_are_those_of_pytorch() {
    for_cases("norms", norm);
}

fn norm(case: &Case) {
    let activation = match case.text("activation") {
        "identity" => Activation::Identity,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "hard_swish" => Activation::HardSwish,
        other => unreachable!("{other} is no activation"),
    };
    let (input, epsilon) = (case.input(), case.number("epsilon") as f32);
    let (channels, offset) = (input.channels, case.number("offset"));
    let x = case.draw_images("x", input, |u| offset + 1.5 * u);
    let residual = case.flag("residual").then(|| case.draw_images("residual", input, |u| 1.5 * u));
    let residual = residual.as_deref();
    let gamma = case.draw("gamma", channels, |u| 3.0 + u);
    let beta = case.draw("beta", channels, |u| 1.5 * u);
    let dy = case.draw_images("cotangent", input, |u| u);
    let mut found = Vec::new();
    let (y, gradients) = if case.flag("training") {
        let (y, statistics) = batch_norm(&x, &gamma, &beta, epsilon, residual, activation);
        let gradients =
            batch_norm_gradient(&dy, &x, &gamma, &beta, &statistics, epsilon, residual, activation);
        found.push(("d_gamma", gradients.gamma.clone()));
        found.push(("mean", statistics.mean));
        found.push(("variance", statistics.variance));
        (y, gradients)
    } else {
        let running = Statistics {
            mean: case.draw("running_mean", channels, |u| 0.5 * u),
            variance: case.draw("running_var", channels, |u| 1.0 + 0.5 * u),
        };
        let map = running.affine(&gamma, &beta, epsilon);
        let y = affine(&x, &map, residual, activation);
        (y, affine_gradient(&dy, &x, &map, residual, activation))
    };
    found.push(("y", channels_first(&y, input)));
    found.push(("d_x", channels_first(&gradients.x, input)));
    found.push(("d_beta", gradients.beta));
    if let Some(by_residual) = &gradients.residual {
        found.push(("d_residual", channels_first(by_residual, input)));
    }
    case.compare(&found);
}

#[test]
fn pooling_gates_and_resizing_are_those_of_pytorch() {
    for_cases("others", other);
}

fn other(case: &Case) {
    let (input, kind) = (case.input(), case.text("kind"));
    let tied = |u: f64| (2.0 * u).floor() / 2.0 + 0.25;
    let x = case.draw_images("x", input, |u| if kind == "max_pool" { tied(u) } else { 1.5 * u });
    let output = match kind {
        "max_pool" => Geometry::square(3, 2, 1).output(input, input.channels),
        "mean" => Shape { height: 1, width: 1, ..input },
        "scale" => input,
        _ => {
            let [height, width] = case.sizes("size");
            Shape { height, width, ..input }
        }
    };
    let size = [output.height, output.width];
    let dy = case.draw_images("cotangent", output, |u| u);
    let mut found = Vec::new();
    let (y, by_x) = match kind {
        "max_pool" => {
            let geometry = Geometry::square(3, 2, 1);
            let y = max_pool(&x, input, geometry);
            let by_x = max_pool_gradient(&dy, &x, &y, input, geometry);
            (y, by_x)
        }
        "mean" => (mean(&x, input), mean_gradient(&dy, input)),
        "scale" => {
            let gate = case.draw("gate", input.batch * input.channels, |u| 0.5 + 0.5 * u);
            let (by_x, by_gate) = scale_gradient(&dy, &x, input, &gate);
            found.push(("d_gate", by_gate));
            (scale(&x, input, &gate), by_x)
        }
        _ => (resize(&x, input, size), resize_gradient(&dy, input, size)),
    };
    found.push(("y", channels_first(&y, output)));
    found.push(("d_x", channels_first(&by_x, input)));
    case.compare(&found);
}

#[test]
fn three_steps_of_adamw_are_those_of_pytorch() {
    let golden = golden();
    let golden = &golden["adamw"];
    let single =
        |value: &Value| -> Vec<f32> { numbers(value).into_iter().map(|value| value as f32).collect() };
    let setting = |key: &str| golden[key].as_f64().unwrap() as f32;
    let mut parameters = single(&golden["parameters"]);
    let (mut first, mut second) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);
    let steps = golden["gradients"].as_array().unwrap().iter().zip(golden["after"].as_array().unwrap());
    for (time, (gradient, after)) in (1..).zip(steps) {
        let step = AdamStep {
            rate: setting("rate"),
            beta1: 0.9,
            beta2: 0.999,
            epsilon: setting("epsilon"),
            weight_decay: setting("weight_decay"),
            time,
        };
        adamw(&mut parameters, &single(gradient), &mut first, &mut second, step);
        for (index, (found, expected)) in parameters.iter().zip(numbers(after)).enumerate() {
            let off = (f64::from(*found) - expected).abs();
            assert!(off <= 1e-6 * (1.0 + expected.abs()), "step {time}, {index}: {found} is not {expected}");
        }
    }
}
