//! Quantized graphs that are valid and unusual: whatever integer kernels take over must mean what the operators say.
//! Each is a small change of a file from another quantizer, and is compared with tract without our kernels.

use comet_engine::run::{Kernels, Options, PlanReport, Session};
use comet_onnx::proto::{GraphProto, ModelProto};
use comet_tests::closeness::{largest_difference, mean_difference};
use comet_tests::foreign::{golden, parse, proto};
use comet_tests::small_model::{floats, int, integers, ints, node, text, value};
use comet_tests::surgery::{
    constant, inputs, insert_before, maker, node_named, reals, rewire, set_attribute, set_raw, set_reals,
    tensor_named, wholes,
};

/// A map may differ by one step of 8 bits.
const MAP_MAE: f32 = 0.004;
/// In steps of an 8-bit logit.
const LOGIT_STEPS: f32 = 8.0;

type Change = fn(&mut GraphProto) -> anyhow::Result<()>;
type Case = (&'static str, &'static str, Change);

const WHOLE: &str = "one_region";
const UNQUANTIZED: &str = "no_quantizer_after_conv";
const SYMMETRIC: &str = "s8_symmetric";

/// How far ours and tract's predictions are apart: of the maps, and of the logits in steps.
fn distance(what: &str, proto: &ModelProto) -> anyhow::Result<(f32, f32, PlanReport)> {
    let golden = golden()?;
    let model = parse(what, proto)?;
    let session = |kernels| Session::with_options(&model, Options { threads: 1, kernels });
    let (mut ours, mut tract) = (session(Kernels::Auto)?, session(Kernels::Tract)?);
    let (mut map, mut logits) = (0f32, 0f32);
    for image in &golden.images {
        let (ours, tract) = (ours.explain(image)?, tract.explain(image)?);
        anyhow::ensure!(ours.is_valid() && tract.is_valid(), "{what}: a prediction that is not valid");
        map = map.max(mean_difference(ours.mask.values(), tract.mask.values()));
        logits = logits.max(largest_difference(&ours.logits, &tract.logits) / golden.logit_step);
    }
    Ok((map, logits, ours.plan().clone()))
}

/// Every case that does not mean the same to us and to tract.
fn faults(cases: &[Case]) -> Vec<String> {
    let fault = |(name, base, change): &Case| {
        let compare = || -> anyhow::Result<(f32, f32, PlanReport)> {
            let mut proto = proto(base)?;
            change(proto.graph.get_or_insert_default())?;
            distance(name, &proto)
        };
        match compare() {
            Ok((map, logits, plan)) if map <= MAP_MAE && logits <= LOGIT_STEPS => {
                // Else the case says nothing about integer kernels.
                (plan.fused_multiplications == 0).then(|| format!("{name}: nothing is fused"))
            }
            Ok((map, logits, _)) => Some(format!("{name}: maps {map:.4} apart, logits {logits:.1} steps")),
            Err(error) => Some(format!("{name}: {error:#}")),
        }
    };
    cases.iter().filter_map(fault).collect()
}

/// Makes a Clip of a function.
fn clip(graph: &mut GraphProto, name: &str, low: Option<f32>, high: Option<f32>) -> anyhow::Result<()> {
    let mut limits = Vec::new();
    for (limit, value) in [("low", low), ("high", high)] {
        limits.push(if value.is_some() { limit.to_owned() } else { String::new() });
        graph.initializer.extend(value.map(|value| floats(limit, &[], &[value])));
    }
    let node = node_named(graph, name)?;
    node.op_type = "Clip".into();
    node.input.truncate(1);
    node.input.extend(limits);
    Ok(())
}

/// A second Resize before the one that ends at the map's size.
fn resize(graph: &mut GraphProto, mode: &str, inputs: &[&str]) -> anyhow::Result<()> {
    let head = node_named(graph, "resize")?.input[0].clone();
    let mut first = node("Resize", &[&[head.as_str()][..], inputs].concat(), "middle");
    first.attribute = vec![text("mode", "linear"), text("coordinate_transformation_mode", mode)];
    insert_before(graph, "resize", first)
}

fn transposed_layer(graph: &mut GraphProto) -> anyhow::Result<()> {
    let weights = inputs(graph, "logits")?[1].clone();
    let dequantize = maker(graph, &weights)?;
    set_attribute(dequantize, int("axis", 1));
    let name = dequantize.input[0].clone();
    let tensor = tensor_named(graph, &name)?;
    let (kind, outputs, each) = (tensor.data_type, tensor.dims[0] as usize, tensor.dims[1] as usize);
    let bytes = (0..outputs * each).map(|at| tensor.raw_data[at % outputs * each + at / outputs]).collect();
    set_raw(tensor, kind, vec![each as i64, outputs as i64], bytes);
    set_attribute(node_named(graph, "logits")?, int("transB", 0));
    Ok(())
}

fn real_bias(graph: &mut GraphProto) -> anyhow::Result<()> {
    let bias = inputs(graph, "conv1")?[2].clone();
    let names = maker(graph, &bias)?.input.clone();
    let integers = wholes(tensor_named(graph, &names[0])?);
    let scales = reals(tensor_named(graph, &names[1])?);
    let values: Vec<f32> = integers.iter().zip(&scales).map(|(whole, scale)| *whole as f32 * scale).collect();
    graph.initializer.push(floats("real_bias", &[values.len() as i64], &values));
    node_named(graph, "conv1")?.input[2] = "real_bias".into();
    Ok(())
}

/// The quantizer behind the pool gets another scale than the one before it.
fn pool_with_another_scale(graph: &mut GraphProto) -> anyhow::Result<()> {
    let before = graph.node.iter_mut().find(|node| node.input.first().is_some_and(|name| name == "pool"));
    let Some(quantize) = before else { anyhow::bail!("no node reads the pool") };
    let (bytes, scale) = (quantize.output[0].clone(), quantize.input[1].clone());
    quantize.input[1] = "other".into();
    for node in graph.node.iter_mut().filter(|node| node.input.first() == Some(&bytes)) {
        node.input[1] = "other".into();
    }
    let mut other = tensor_named(graph, &scale)?.clone();
    other.name = "other".into();
    let (dims, values) = (other.dims.clone(), reals(&other));
    set_reals(&mut other, &dims, &values.iter().map(|scale| scale * 1.3).collect::<Vec<_>>());
    graph.initializer.push(other);
    Ok(())
}

const LAYERS: &[Case] = &[
    ("a clip behind a convolution", UNQUANTIZED, |g| clip(g, "stem_relu", Some(0.1), Some(0.9))),
    ("a clip from above alone", UNQUANTIZED, |g| clip(g, "stem_relu", None, Some(0.9))),
    ("a fully connected layer in the other order", WHOLE, transposed_layer),
    ("a bias in real numbers", WHOLE, real_bias),
    ("no bias", WHOLE, |g| {
        node_named(g, "conv1")?.input.truncate(2);
        Ok(())
    }),
    ("a sum of a tensor with itself", WHOLE, |g| {
        let inputs = &mut node_named(g, "block_add")?.input;
        inputs[0] = inputs[1].clone();
        Ok(())
    }),
    ("weights before their channels", WHOLE, |g| {
        node_named(g, "scaled")?.input.reverse();
        Ok(())
    }),
    ("an identity in between", WHOLE, |g| {
        let input = inputs(g, "depthwise_swish")?[0].clone();
        insert_before(g, "depthwise_swish", node("Identity", &[&input], "same"))
    }),
    ("a pool with padding at two sides", WHOLE, |g| {
        set_attribute(node_named(g, "pool")?, ints("pads", &[2, 2, 0, 0]));
        Ok(())
    }),
    ("a pool with a padding that its size gives", WHOLE, |g| {
        let pool = node_named(g, "pool")?;
        pool.attribute.retain(|attribute| attribute.name != "pads");
        set_attribute(pool, text("auto_pad", "SAME_LOWER"));
        Ok(())
    }),
    ("a pool with another scale behind it", WHOLE, pool_with_another_scale),
    ("a dilated convolution", WHOLE, |g| {
        let conv = node_named(g, "block_1")?;
        set_attribute(conv, ints("dilations", &[2, 2]));
        set_attribute(conv, ints("pads", &[2; 4]));
        Ok(())
    }),
    ("a gate with the usual slope", WHOLE, |g| {
        node_named(g, "gate")?.attribute.clear();
        Ok(())
    }),
    ("every constant as a node", WHOLE, |g| {
        let constants = g.initializer.drain(..).map(constant);
        g.node = constants.chain(g.node.drain(..)).collect();
        Ok(())
    }),
];

#[test]
fn unusual_layers_mean_what_they_say() {
    let faults = faults(LAYERS);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn clips_between_quantizers_mean_what_they_say() {
    let cases: [Case; 3] = [
        ("both limits", WHOLE, |g| clip(g, "depthwise_swish", Some(-0.05), Some(0.3))),
        ("a lower limit", WHOLE, |g| clip(g, "depthwise_swish", Some(0.0), None)),
        ("ReLU6 of signed bytes", SYMMETRIC, |g| clip(g, "conv1_relu", Some(0.0), Some(0.7))),
    ];
    let faults = faults(&cases);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn resizes_mean_what_they_say() {
    let cases: [Case; 4] = [
        ("a scale that gives whole sides", WHOLE, |g| {
            g.initializer.push(floats("scales", &[4], &[1.0, 1.0, 1.25, 1.25]));
            resize(g, "half_pixel", &["", "scales"])
        }),
        ("a scale that gives no whole sides", WHOLE, |g| {
            g.initializer.push(floats("scales", &[4], &[1.0, 1.0, 1.3, 1.3]));
            resize(g, "half_pixel", &["", "scales"])
        }),
        ("one pixel", WHOLE, |g| {
            g.initializer.push(integers("small", &[1, 1, 1, 1]));
            resize(g, "half_pixel", &["", "", "small"])
        }),
        ("one pixel as PyTorch counts", WHOLE, |g| {
            g.initializer.push(integers("small", &[1, 1, 1, 1]));
            resize(g, "pytorch_half_pixel", &["", "", "small"])
        }),
    ];
    let faults = faults(&cases);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A graph that does not depend on its image: everything in it is constant.
#[test]
fn a_graph_of_constants_predicts_as_in_tract() -> anyhow::Result<()> {
    let mut proto = proto(WHOLE)?;
    let graph = proto.graph.get_or_insert_default();
    let pixels: Vec<f32> = (0..3 * 32 * 32).map(|pixel| (pixel % 37) as f32 / 20.0 - 1.0).collect();
    graph.initializer.push(floats("photo", &[1, 3, 32, 32], &pixels));
    graph.value_info.push(value("photo", &[1, 3, 32, 32]));
    rewire(graph, "image", "photo");
    let (map, logits, _) = distance("constants", &proto)?;
    assert!(map <= MAP_MAE && logits <= LOGIT_STEPS, "maps {map} apart, logits {logits} steps");
    Ok(())
}
