//! Quantized graphs that are broken in every part: each is refused, or still gives a prediction.
//!
//! The mutations are drawn from seeds, so that a failure can be reproduced. This is a test and not a fuzz target: it
//! needs no other tool, takes seconds, and tries the same graphs on every machine.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::Context;
use comet_engine::model::ModelError;
use comet_engine::prediction::Explanation;
use comet_engine::run::{Kernels, Options, Session};
use comet_onnx::proto::{GraphProto, Message, ModelProto};
use comet_tests::closeness::{largest_difference, mean_difference};
use comet_tests::foreign::{golden, parse, proto};
use comet_tests::mutation::MUTATIONS;
use comet_tests::program::comet_edge;
use comet_tests::random::SplitMix64;
use comet_tests::small_model::{floats, integers, ints, node, value};
use comet_tests::surgery::{
    bytes_of, constant, inputs, insert_before, maker, node_named, position, reals, set_attribute, set_raw,
    set_reals, tensor_named, wholes,
};
use image::RgbImage;

/// As many of each mutation.
const ROUNDS: usize = 16;
const BASES: [&str; 4] = ["one_region", "u8_per_channel", "s8_symmetric", "one_conv_left_out"];
/// The name that the models are given.
const FILE: &str = "hostile";
/// Most take a hundredth of a second.
const AT_ONCE: Duration = Duration::from_secs(10);

type Change = fn(&mut GraphProto) -> anyhow::Result<()>;

fn changed(base: &str, change: Change) -> anyhow::Result<ModelProto> {
    let mut proto = proto(base)?;
    change(proto.graph.get_or_insert_default())?;
    Ok(proto)
}

fn explain(proto: &ModelProto, kernels: Kernels, image: &RgbImage) -> Result<Explanation, ModelError> {
    Session::with_options(&parse(FILE, proto)?, Options { threads: 1, kernels })?.explain(image)
}

/// As [`explain`]; a panic that comes through is a failure of the test, and so are a long time, a map of another size,
/// and a refusal that does not name the file.
fn outcome(what: &str, proto: &ModelProto, image: &RgbImage) -> Result<Explanation, ModelError> {
    let begun = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| explain(proto, Kernels::Auto, image)));
    let outcome = ended.unwrap_or_else(|_| unreachable!("{what} made the engine panic"));
    assert!(begun.elapsed() < AT_ONCE, "{what} took {:?}", begun.elapsed());
    match &outcome {
        Ok(prediction) => {
            let pixels = image.width() as usize * image.height() as usize;
            assert_eq!(prediction.mask.values().len(), pixels, "{what}");
        }
        Err(refusal) => assert!(refusal.to_string().contains(FILE), "{what}: {refusal}"),
    }
    outcome
}

#[test]
fn a_broken_graph_is_refused_or_still_gives_a_prediction() -> anyhow::Result<()> {
    let golden = golden()?;
    let image = &golden.images[0];
    let (mut predicted, mut refused) = (0, 0);
    for number in 0..ROUNDS * MUTATIONS.len() {
        let (name, mutate) = MUTATIONS[number % MUTATIONS.len()];
        let base = BASES[number / MUTATIONS.len() % BASES.len()];
        let mut proto = proto(base)?;
        let mut random = SplitMix64::named(&format!("hostile_qdq {number}"));
        if mutate(proto.graph.get_or_insert_default(), &mut random).is_none() {
            continue;
        }
        match outcome(&format!("number {number}, {name} of {base},"), &proto, image) {
            Ok(_) => predicted += 1,
            Err(_) => refused += 1,
        }
    }
    // Otherwise the mutations would be too harmless, or too rough to get past the first check.
    assert!(predicted > 80 && refused > 80, "{predicted} gave a prediction, {refused} were refused");
    Ok(())
}

/// Our prediction and tract's agree, or neither gives one.
fn agree(what: &str, proto: &ModelProto, image: &RgbImage) -> anyhow::Result<()> {
    let golden = golden()?;
    match (outcome(what, proto, image), explain(proto, Kernels::Tract, image)) {
        (Ok(ours), Ok(tract)) => {
            let map = mean_difference(ours.mask.values(), tract.mask.values());
            let steps = largest_difference(&ours.logits, &tract.logits) / golden.logit_step;
            anyhow::ensure!(map <= 0.004 && steps <= 4.0, "{what}: map by {map}, logits by {steps} steps");
        }
        (Err(_), Err(_)) => (),
        (ours, tract) => anyhow::bail!("{what}: ours {:?}, tract {:?}", ours.err(), tract.err()),
    }
    Ok(())
}

/// Scales that a QuantizeLinear, a DequantizeLinear, weights or a bias read.
const SCALES: [&str; 7] = [
    "image_scale",
    "depthwise_scale",
    "gate_scale",
    "masked_scale",
    "conv1.weight_scale",
    "mean_scale",
    "stem.bias_quantized_scale",
];

#[test]
fn scales_that_are_not_valid_are_left_to_tract_or_refused() -> anyhow::Result<()> {
    let golden = golden()?;
    let image = &golden.images[0];
    for name in SCALES {
        for scale in [0.0, -0.01, 1e-42, f32::NAN, f32::INFINITY] {
            let mut proto = proto("one_region")?;
            let graph = proto.graph.get_or_insert_default();
            let tensor = tensor_named(graph, name)?;
            let (dims, count) = (tensor.dims.clone(), reals(tensor).len());
            set_reals(tensor, &dims, &vec![scale; count]);
            let what = format!("{name} = {scale}");
            if scale.is_finite() {
                agree(&what, &proto, image)?;
                continue;
            }
            let named = |what: &str, proto: &ModelProto| {
                let refusal = outcome(what, proto, image).unwrap_err().to_string();
                assert!(
                    refusal.contains(name) && refusal.contains("not a finite number"),
                    "{what}: {refusal}"
                );
            };
            named(&what, &proto);
            // A constant that stands in a node has to keep the same rule.
            let graph = proto.graph.get_or_insert_default();
            let index = graph.initializer.iter().position(|tensor| tensor.name == name).unwrap_or_default();
            let tensor = graph.initializer.remove(index);
            graph.node.insert(0, constant(tensor));
            named(&format!("{what}, as a node,"), &proto);
        }
    }
    Ok(())
}

#[test]
fn weights_with_one_scale_are_fused_and_right() -> anyhow::Result<()> {
    let proto = changed("one_region", |graph| {
        let weights = inputs(graph, "conv1")?[1].clone();
        let names = maker(graph, &weights)?.input.clone();
        maker(graph, &weights)?.attribute.clear();
        let scale = tensor_named(graph, &names[1])?;
        let largest = reals(scale).into_iter().fold(0.0, f32::max);
        set_reals(scale, &[], &[largest]);
        let zero_point = tensor_named(graph, &names[2])?;
        let kind = zero_point.data_type;
        set_raw(zero_point, kind, Vec::new(), vec![0]);
        Ok(())
    })?;
    let session =
        Session::with_options(&parse("one scale", &proto)?, Options { threads: 1, kernels: Kernels::Auto })?;
    assert_eq!((session.plan().fused_share(), session.plan().regions), (100.0, 1));
    golden()?.images.iter().try_for_each(|image| agree("one scale", &proto, image))
}

#[test]
fn a_bias_at_the_edge_of_overflow_is_left_to_tract_and_right() -> anyhow::Result<()> {
    for extreme in [i32::MAX - 2000, i32::MIN + 2000] {
        let mut proto = proto("one_region")?;
        let graph = proto.graph.get_or_insert_default();
        let bias = inputs(graph, "block_1")?[2].clone();
        let integers = maker(graph, &bias)?.input[0].clone();
        let tensor = tensor_named(graph, &integers)?;
        let mut values = wholes(tensor);
        values[0] = extreme;
        let (kind, dims) = (tensor.data_type, tensor.dims.clone());
        set_raw(tensor, kind, dims, bytes_of(&values));
        let options = Options { threads: 1, kernels: Kernels::Auto };
        let session = Session::with_options(&parse("edge", &proto)?, options)?;
        let layers =
            session.plan().nodes.iter().filter(|node| matches!(node.operator.as_str(), "Conv" | "Gemm"));
        for layer in layers {
            assert_eq!(layer.runs_as == "tract", layer.name == "block_1", "{}", layer.name);
        }
        golden()?.images.iter().try_for_each(|image| agree("edge", &proto, image))?;
    }
    Ok(())
}

/// Two functions in a cycle, entered through a second output: a search that goes from reader to maker never ends.
fn circle_of_two_outputs(graph: &mut GraphProto) -> anyhow::Result<()> {
    let swish = node_named(graph, "depthwise_swish")?.output[0].clone();
    let readers = graph.node.iter_mut().filter(|node| node.input.first() == Some(&swish));
    readers.for_each(|node| node.input[0] = "first".into());
    let index = position(graph, "depthwise_swish")?;
    let mut twin = node("Relu", &["back"], "first");
    twin.output.push("second".into());
    graph.node.insert(index, twin);
    graph.node.insert(index, node("Relu", &["second"], "back"));
    graph.value_info.push(value("second", &[1, 12, 16, 16]));
    Ok(())
}

/// A Resize before the one of the map, to `inputs`.
fn resized(graph: &mut GraphProto, inputs: &[&str]) -> anyhow::Result<()> {
    let head = node_named(graph, "resize")?.input[0].clone();
    let attribute = node_named(graph, "resize")?.attribute.clone();
    let mut first = node("Resize", &[&[head.as_str()][..], inputs].concat(), "middle");
    first.attribute = attribute;
    insert_before(graph, "resize", first)
}

/// Each file has a few kilobytes, and asks for gigabytes or for endless time. An abort would end the whole test program,
/// so every case is a program of its own.
#[test]
fn a_small_file_cannot_ask_for_gigabytes_or_endless_time() -> anyhow::Result<()> {
    let cases: [(&str, Change); 4] = [
        ("a circle of functions with two outputs", circle_of_two_outputs),
        ("padding of 4,096", |graph| {
            set_attribute(node_named(graph, "stem")?, ints("pads", &[4096; 4]));
            Ok(())
        }),
        ("a resize by 4,096", |graph| {
            graph.initializer.push(floats("scales", &[4], &[1.0, 1.0, 4096.0, 4096.0]));
            resized(graph, &["", "scales"])
        }),
        ("a resize to a size that is a node", |graph| {
            graph.node.insert(0, constant(integers("large", &[1, 1, 1 << 20, 1 << 20])));
            resized(graph, &["", "", "large"])
        }),
    ];
    let folder = tempfile::tempdir()?;
    let (file, photo) = (folder.path().join("bomb.onnx"), folder.path().join("photo.png"));
    golden()?.images[0].save(&photo)?;
    let mut faults = Vec::new();
    for (name, change) in cases {
        let model = parse("bomb", &changed("one_region", change)?);
        if let Ok(model) = model {
            fs::write(&file, model.proto().encode_to_vec())?;
            let program = comet_edge("predict --skip-hash --threads 1 --model")?.arg(&file).arg(&photo);
            match program.memory(1024).limit(AT_ONCE).run() {
                Ok(ended) if matches!(ended.code, Some(0 | 3)) => drop(ended.says(&[])?),
                Ok(ended) => faults.push(format!("{name}: {:?} {}", ended.signal, ended.stderr)),
                Err(fault) => faults.push(format!("{name}: {fault:#}")),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Found by fuzzing: the engine took seconds to list the taps of such a window, and twice as large a side would have taken
/// gigabytes.
#[test]
fn a_window_that_is_larger_than_an_image_is_refused_by_name() -> anyhow::Result<()> {
    let proto = changed("one_region", |graph| {
        let pool = graph.node.iter_mut().find(|node| node.op_type == "MaxPool");
        set_attribute(pool.context("no pooling")?, ints("kernel_shape", &[4096; 2]));
        Ok(())
    })?;
    let refusal = parse(FILE, &proto).err().context("it was accepted")?.to_string();
    anyhow::ensure!(refusal.contains("has a window of 16777216 pixels"), "{refusal}");
    Ok(())
}
