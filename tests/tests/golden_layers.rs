//! Every kind of layer that the trainer computes on the CPU, with its gradients, against PyTorch:
//! `tests/golden/layers.json`.
//!
//! The file holds no inputs and no weights: both sides draw them from the names of the cases. The formula is in the
//! file and in `tests/reference/README.md`.

use std::fs;

use anyhow::{Context, bail};
use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use comet_tests::random::{SplitMix64, fnv1a};
use comet_tests::repository;
use comet_trainer::model::{Activation, ConvBn, Features};
use serde_json::Value;

/// Largest error of a value as a share of the tensor's root mean square, and of the norm and of a dot product as a
/// share of the norm. PyTorch's own float32 run is off by up to 2e-6, see `float32_deviation` in the file.
const TOLERANCE: f64 = 2e-5;

fn golden() -> anyhow::Result<Value> {
    let path = repository().join("tests/golden/layers.json");
    Ok(serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)?)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap_or_default() as usize
}

fn is_set(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn sizes<const N: usize>(value: &Value) -> [usize; N] {
    std::array::from_fn(|index| size(&value[index]))
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap_or_default()
}

/// A case of the file, what was found for it, and what is wrong with that.
struct Case<'a> {
    golden: &'a Value,
    key: &'a str,
    device: Device,
    faults: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(golden: &'a Value) -> anyhow::Result<Self> {
        let key = golden["key"].as_str().context("a case without a key")?;
        Ok(Self { golden, key, device: Device::flex().autodiff(), faults: Vec::new() })
    }

    fn draw<const D: usize>(&self, what: &str, shape: [usize; D], value: impl Fn(f64) -> f64) -> Tensor<D> {
        let mut random = SplitMix64::named(&format!("{}/{what}", self.key));
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| value(random.uniform()) as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// The input, through which a gradient flows.
    fn x(&self, value: impl Fn(f64) -> f64) -> Tensor<4> {
        self.draw("x", sizes(&self.golden["input"]), value).require_grad()
    }

    /// Compares the output with the file, and gives the gradients of the case's loss.
    fn output(&mut self, y: Features) -> Gradients {
        let y = y.leave();
        let cotangent = self.draw("cotangent", y.dims(), |u| u);
        let gradients = (y.clone() * cotangent).sum().backward();
        self.check("y", y);
        gradients
    }

    fn gradient<const D: usize>(&mut self, name: &str, of: &Tensor<D>, gradients: &Gradients) {
        match of.grad(gradients) {
            Some(gradient) => self.check(name, gradient),
            None => self.faults.push(format!("{}: there is no {name}", self.key)),
        }
    }

    fn check<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        let expected = &self.golden["tensors"][name];
        let shape = sizes::<D>(&expected["shape"]);
        if found.dims() != shape {
            return self.faults.push(format!("{}, {name}: {:?} is not {shape:?}", self.key, found.dims()));
        }
        let found: Vec<f64> = floats(found).into_iter().map(f64::from).collect();
        let norm = number(&expected["norm"]);
        let root_mean_square = norm / (found.len() as f64).sqrt();
        let mut compared = vec![("norm", root(&found), norm, norm)];
        for (index, dot) in numbers(&expected["dots"]).into_iter().enumerate() {
            let mut random = SplitMix64::named(&format!("{}/{name}/{index}", self.key));
            let sum: f64 = found.iter().map(|value| value * random.uniform()).sum();
            compared.push(("dot product", sum, dot, norm));
        }
        let all = numbers(&expected["all"]);
        let is_whole = !all.is_empty();
        let entries = if is_whole { all } else { numbers(&expected["at_eighths"]) };
        let stored = if is_whole { found.len() } else { 8 };
        if entries.len() != stored {
            self.faults.push(format!("{}, {name}: {} values in the file", self.key, entries.len()));
        }
        for (index, value) in entries.iter().enumerate() {
            let at = if is_whole { index } else { index * found.len() / 8 };
            let at = found.get(at).copied().unwrap_or(f64::NAN);
            compared.push(("value", at, *value, root_mean_square));
        }
        for (what, found, expected, scale) in compared {
            // Written so that a value that is not a number does not pass.
            let is_close = (found - expected).abs() <= TOLERANCE * scale;
            if !is_close {
                self.faults.push(format!("{}, {name}: {what} {found}, expected {expected}", self.key));
            }
        }
    }
}

fn root(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Runs `check` on every case of a kind.
fn check_all(kind: &str, check: impl Fn(&mut Case<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let document = golden()?;
    let cases = document[kind].as_array().context("no cases")?;
    assert!(cases.len() >= 10, "{kind}: {} cases", cases.len());
    let mut faults = Vec::new();
    for golden in cases {
        let mut case = Case::new(golden)?;
        check(&mut case).with_context(|| case.key.to_owned())?;
        faults.append(&mut case.faults);
    }
    assert!(faults.is_empty(), "{} faults, tolerance {TOLERANCE}:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

fn convolution(case: &Case<'_>) -> Conv2d {
    let golden = case.golden;
    let [_, channels, ..] = sizes::<4>(&golden["input"]);
    let (out, kernel, stride) = (size(&golden["out"]), size(&golden["kernel"]), size(&golden["stride"]));
    let [top, left, bottom, right] = sizes(&golden["padding"]);
    let groups = if is_set(&golden["depthwise"]) { channels } else { 1 };
    let has_bias = is_set(&golden["bias"]);
    let mut conv = Conv2dConfig::new([channels, out], [kernel; 2])
        .with_stride([stride; 2])
        .with_dilation([size(&golden["dilation"]); 2])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
        .with_bias(has_bias)
        .init(&case.device);
    let shape = [out, channels / groups, kernel, kernel];
    let fan_in = (channels / groups * kernel * kernel) as f64;
    conv.weight = Param::from_tensor(case.draw("weight", shape, |u| u * (3.0 / fan_in).sqrt()));
    conv.bias = has_bias.then(|| Param::from_tensor(case.draw("bias", [out], |u| u)));
    conv
}

#[test]
fn convolutions_and_their_gradients_equal_pytorch() -> anyhow::Result<()> {
    check_all("convolutions", |case| {
        let (x, conv) = (case.x(|u| 1.5 * u), convolution(case));
        let gradients = case.output(Features::enter(x.clone()).conv(&conv));
        case.gradient("d_x", &x, &gradients);
        case.gradient("d_weight", &conv.weight.val(), &gradients);
        if let Some(bias) = &conv.bias {
            case.gradient("d_bias", &bias.val(), &gradients);
        }
        Ok(())
    })
}

fn activation(name: &Value) -> anyhow::Result<Activation> {
    Ok(match name.as_str() {
        Some("identity") => Activation::Identity,
        Some("relu") => Activation::Relu,
        Some("relu6") => Activation::Relu6,
        Some("hard_swish") => Activation::HardSwish,
        _ => bail!("there is no activation {name}"),
    })
}

/// The BatchNorm of a case behind a convolution that changes nothing.
fn norm(case: &Case<'_>) -> ConvBn {
    let [_, channels, ..] = sizes::<4>(&case.golden["input"]);
    let identity: Vec<f32> =
        (0..channels * channels).map(|index| f32::from(u8::from(index % (channels + 1) == 0))).collect();
    let identity = TensorData::new(identity, [channels, channels, 1, 1]);
    let mut conv = Conv2dConfig::new([channels; 2], [1; 2])
        .with_padding(PaddingConfig2d::Explicit(0, 0, 0, 0))
        .with_bias(false)
        .init(&case.device);
    conv.weight = Param::from_tensor(Tensor::from_data(identity, &case.device));
    // With momentum 1 the running statistics after a step are the batch's.
    let config = BatchNormConfig::new(channels).with_epsilon(number(&case.golden["epsilon"]));
    let mut bn = config.with_momentum(1.0).init(&case.device);
    bn.gamma = Param::from_tensor(case.draw("gamma", [channels], |u| 3.0 + u));
    bn.beta = Param::from_tensor(case.draw("beta", [channels], |u| 1.5 * u));
    if is_set(&case.golden["training"]) {
        return ConvBn { conv, bn };
    }
    bn.running_mean = RunningState::new(case.draw("running_mean", [channels], |u| 0.5 * u));
    bn.running_var = RunningState::new(case.draw("running_var", [channels], |u| 1.0 + 0.5 * u));
    // As the detector while the selector learns.
    ConvBn { conv, bn }.freeze()
}

#[test]
fn normalisations_with_residual_and_activation_equal_pytorch() -> anyhow::Result<()> {
    check_all("norms", |case| {
        let golden = case.golden;
        let offset = number(&golden["offset"]);
        let (x, layer) = (case.x(|u| offset + 1.5 * u), norm(case));
        let (features, activation) = (Features::enter(x.clone()), activation(&golden["activation"])?);
        let residual =
            is_set(&golden["residual"]).then(|| case.draw("residual", x.dims(), |u| 1.5 * u).require_grad());
        let y = match &residual {
            Some(residual) => features.conv_bn_add(&layer, Features::enter(residual.clone()), activation),
            None => features.conv_bn(&layer, activation),
        };
        let gradients = case.output(y);
        case.gradient("d_x", &x, &gradients);
        if let Some(residual) = &residual {
            case.gradient("d_residual", residual, &gradients);
        }
        if is_set(&golden["training"]) {
            case.gradient("d_gamma", &layer.bn.gamma.val(), &gradients);
            case.gradient("d_beta", &layer.bn.beta.val(), &gradients);
            case.check("mean", layer.bn.running_mean.value_sync());
            case.check("variance", layer.bn.running_var.value_sync());
        }
        Ok(())
    })
}

#[test]
fn pooling_gates_and_resizing_equal_pytorch() -> anyhow::Result<()> {
    check_all("others", |case| {
        let golden = case.golden;
        let kind = golden["kind"].as_str().unwrap_or_default();
        // Few different values, so that windows have several largest ones.
        let tied = |u: f64| (2.0 * u).floor() / 2.0 + 0.25;
        let x = case.x(|u| if kind == "max_pool" { tied(u) } else { 1.5 * u });
        let features = Features::enter(x.clone());
        let [batch, channels, ..] = x.dims();
        let gate = case.draw("gate", [batch, channels, 1, 1], |u| 0.5 + 0.5 * u).require_grad();
        let y = match kind {
            "max_pool" => features.max_pool(),
            "mean" => features.mean(),
            "scale" => features.scale(Features::enter(gate.clone())),
            "resize" => {
                let [height, width] = sizes(&golden["size"]);
                features.resize(height, width)
            }
            _ => bail!("there is no layer '{kind}'"),
        };
        let gradients = case.output(y);
        case.gradient("d_x", &x, &gradients);
        if kind == "scale" {
            case.gradient("d_gate", &gate, &gradients);
        }
        Ok(())
    })
}

#[test]
fn both_sides_draw_the_same_numbers() -> anyhow::Result<()> {
    let document = golden()?;
    let check = &document["formula_check"];
    let key = check["key"].as_str().context("a key")?;
    assert_eq!(format!("{:#018x}", fnv1a(key)), check["fnv1a64"].as_str().unwrap_or_default());
    let mut random = SplitMix64::named(key);
    let expected = numbers(&check["u"]);
    assert_eq!(expected.len(), 4);
    for expected in expected {
        assert_eq!(random.uniform(), expected);
    }
    Ok(())
}
