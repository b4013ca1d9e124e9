//! Quantization of a whole graph, run in the engine.

use burn::tensor::Device;
use comet_engine::explain::left_out;
use comet_engine::model::{ModelFile, Precision};
use comet_engine::prediction::largest;
use comet_engine::run::{DetectorSession, Kernels, Options, Probe, Session, Tier};
use comet_onnx::GraphEditor;
use comet_onnx::check::MAX_NODES;
use comet_onnx::proto::{Message, ModelProto};
use image::{Rgb, RgbImage};
use rand::RngExt;

use super::fixture::{SIDE, model, two_layers};
use super::*;
use crate::data::{Sample, generator};
use crate::export::fixture::manifest;
use crate::export::{float_graph, package};
use crate::model::{CometConfig, Head, Preset};

fn images(count: usize) -> Vec<Vec<f32>> {
    let image = |index| {
        let mut rng = generator(5, "test", 0, index);
        let base: f32 = rng.random_range(-1.0..1.0);
        (0..3 * 64 * 64).map(|_| base + rng.random_range(-0.5..0.5)).collect()
    };
    (0..count).map(image).collect()
}

#[test]
fn every_method_gives_an_int8_file_close_to_the_float_one() {
    let device = Device::flex();
    device.seed(11);
    let comet =
        CometConfig { preset: Preset::Small, width: 8, classes: 3, momentum: 0.1, head: Head::LrAspp }
            .init(&device);
    let graph = float_graph(comet, None, 64, 64).unwrap();
    let float = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(float.as_slice()).unwrap();
    let mut reference = Session::new(&ModelFile::parse("float", &float, true).unwrap()).unwrap();
    let scheme = Scheme::of(&graph).unwrap();
    for method in [Method::MinMax, Method::Percentile, Method::Mse] {
        let found = observe(&graph, &proto, (64, 64), &scheme, &images(4), method).unwrap();
        let integer = quantize(&graph, &scheme, &found, true).unwrap();
        let layers = |operator: &str| integer.nodes.iter().filter(|node| node.op_type == operator).count();
        assert!(
            integer
                .nodes
                .iter()
                .filter(|node| ["Conv", "Gemm"].contains(&node.op_type.as_str()))
                .all(|node| node.input.iter().all(|input| input.ends_with("/dequantized")))
        );
        assert!(layers("QuantizeLinear") > 90);
        let bytes = package(integer, &manifest(3, Precision::Int8)).unwrap();
        let mut session = Session::new(&ModelFile::parse("int8", &bytes, true).unwrap()).unwrap();
        for image in images(2) {
            let (a, b) = (reference.run(&image).unwrap(), session.run(&image).unwrap());
            let mae = a.mask.values().iter().zip(b.mask.values()).map(|(a, b)| (a - b).abs()).sum::<f32>();
            assert!(mae / 4096.0 < 0.02, "{method:?}: {}", mae / 4096.0);
        }
        assert!(bytes.len() * 2 < float.len());
    }
}

#[test]
fn no_calibration_images_and_images_that_are_not_numbers_are_errors() {
    let device = Device::flex();
    let comet =
        CometConfig { preset: Preset::Small, width: 8, classes: 3, momentum: 0.1, head: Head::LrAspp }
            .init(&device);
    let graph = float_graph(comet, None, 64, 64).unwrap();
    let scheme = Scheme::of(&graph).unwrap();
    let bytes = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let none = observe(&graph, &proto, (64, 64), &scheme, &[], Method::Mse);
    assert!(matches!(none, Err(QuantError::NoImages)));
    let broken = [vec![f32::NAN; 3 * 64 * 64]];
    assert!(matches!(
        observe(&graph, &proto, (64, 64), &scheme, &broken, Method::Mse),
        Err(QuantError::NotFinite(_))
    ));
}

/// A graph with a detector, of random networks.
fn graph_with_detector(preset: Preset) -> GraphEditor {
    let device = Device::flex();
    device.seed(11);
    let config = CometConfig { preset, width: 8, classes: 3, momentum: 0.1, head: preset.default_head() };
    let detector = config.classifier().init(&device);
    float_graph(config.init(&device), Some(detector), 64, 64).unwrap()
}

/// The float and the int8 file of a graph.
fn files(graph: &GraphEditor) -> [ModelFile; 2] {
    let float = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(float.as_slice()).unwrap();
    let scheme = Scheme::of(graph).unwrap();
    let found = observe(graph, &proto, (64, 64), &scheme, &images(4), Method::Mse).unwrap();
    let integer = quantize(graph, &scheme, &found, true).unwrap();
    let integer = package(integer, &manifest(3, Precision::Int8)).unwrap();
    [float, integer].map(|bytes| ModelFile::parse("test", &bytes, true).unwrap())
}

#[test]
fn a_detector_in_the_file_is_quantized_and_changes_no_bit_of_map_and_logits() {
    let graph = graph_with_detector(Preset::Small);
    let mut pair = graph.clone();
    pair.outputs.truncate(2);
    pair.remove_dead();
    let ([float, with], [_, without]) = (files(&graph), files(&pair));
    let (mut session, mut alone) = (Session::new(&with).unwrap(), Session::new(&without).unwrap());
    let [float, integer] = [&float, &with].map(|file| DetectorSession::new(file).unwrap().unwrap());
    let grey = float.run(&[0.0; 3 * 64 * 64]).unwrap();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    for image in images(2) {
        let (found, expected) = (session.run(&image).unwrap(), alone.run(&image).unwrap());
        assert!(found.mask.values() == expected.mask.values() && found.logits == expected.logits);
        // It is given what is left out, and whole images.
        for image in [left_out(&image, &found.mask), image] {
            let expected = float.run(&image).unwrap();
            let (error, signal) =
                (distance(&integer.run(&image).unwrap(), &expected), distance(&expected, &grey));
            assert!(error < 0.25 * signal, "{error} of {signal}");
        }
    }
}

#[test]
fn the_largest_pairs_with_their_detectors_keep_the_runtimes_limit_of_nodes() {
    for (preset, least) in [(Preset::Full, 800), (Preset::Lite, 950)] {
        let graph = graph_with_detector(preset);
        let scheme = Scheme::of(&graph).unwrap();
        let range = QuantRange { scale: 0.1, zero_point: 128 };
        let ranges = scheme.values.iter().map(|value| (value.clone(), range)).collect();
        let found = Observations { ranges, ..Observations::default() };
        let nodes = quantize(&graph, &scheme, &found, false).unwrap().nodes.len();
        assert!((least..=MAX_NODES).contains(&nodes), "{preset:?}: {nodes}");
    }
}

#[test]
fn integer_kernels_do_every_multiplication_of_every_preset() {
    for preset in [Preset::Small, Preset::Full, Preset::Lite] {
        let [_, integer] = files(&graph_with_detector(preset));
        for tier in Tier::available() {
            let options = Options { threads: 1, kernels: Kernels::Tier(tier) };
            let session = Session::with_options(&integer, options).unwrap();
            let plan = session.plan();
            let left: Vec<&str> = plan
                .nodes
                .iter()
                .filter(|node| node.runs_as == "tract")
                .map(|node| node.name.as_str())
                .collect();
            assert_eq!(left, [""; 0], "{preset:?}");
            assert_eq!((plan.regions, plan.fused_share()), (1, 100.0), "{preset:?}");
            DetectorSession::with_options(&integer, options).unwrap().unwrap();
        }
    }
}

/// ReLU6 of calibration images never leaves `[0, 6]`, and neither does its range.
#[test]
fn values_behind_relu6_have_a_range_from_0_to_at_most_6() {
    let graph = graph_with_detector(Preset::Lite);
    let float = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(float.as_slice()).unwrap();
    let scheme = Scheme::of(&graph).unwrap();
    let clipped: Vec<&String> =
        graph.nodes.iter().filter(|node| node.op_type == "Clip").map(|node| &node.output[0]).collect();
    assert!(clipped.iter().all(|value| scheme.values.contains(value)), "what is clipped is rounded");
    for method in [Method::MinMax, Method::Percentile, Method::Mse] {
        let found = observe(&graph, &proto, (64, 64), &scheme, &images(2), method).unwrap();
        for value in &clipped {
            let range = found.ranges[*value];
            assert_eq!(range.zero_point, 0, "{method:?}: {value}");
            assert!(range.scale * 255.0 < 6.001, "{method:?}: {value} reaches {}", range.scale * 255.0);
        }
    }
}

/// Images of [`two_layers`], all of whose channels have a mean far from 0.
fn bright_images() -> Vec<Vec<f32>> {
    let image = |index| {
        let mut rng = generator(6, "test", 0, index);
        (0..3 * SIDE * SIDE).map(|_| rng.random_range(0.0..1.0)).collect()
    };
    (0..4).map(image).collect()
}

/// For each channel of the last layer, the mean over pixels and images.
fn output_means(graph: &GraphEditor) -> Vec<f64> {
    let probe = Probe::new(&model(graph.clone()), [1, 3, SIDE, SIDE], &graph.outputs).unwrap();
    let mut means = vec![0.0; 4];
    for image in bright_images() {
        let values = probe.run(&image).unwrap().remove(0);
        assert_eq!(values.len(), 4 * SIDE * SIDE);
        for (mean, channel) in means.iter_mut().zip(values.chunks(SIDE * SIDE)) {
            *mean += channel.iter().map(|&value| f64::from(value)).sum::<f64>() / (4 * SIDE * SIDE) as f64;
        }
    }
    means
}

#[test]
fn bias_correction_reduces_the_mean_error_of_the_outputs() {
    let graph = two_layers();
    let values = ["image", "first#relu"].map(str::to_owned).into();
    let scheme = Scheme { values, ..Scheme::default() };
    let images = bright_images();
    let proto = model(graph.clone());
    let found = observe(&graph, &proto, (SIDE, SIDE), &scheme, &images, Method::MinMax).unwrap();
    let float = output_means(&graph);
    // Rounding activations averages out over so many pixels; what rounding the weights shifts does not.
    let error = |correct_bias| {
        let means = output_means(&quantize(&graph, &scheme, &found, correct_bias).unwrap());
        means.iter().zip(&float).map(|(a, b)| (a - b).abs()).sum::<f64>()
    };
    let (plain, corrected) = (error(false), error(true));
    assert!(plain > 5e-4, "rounding shifts the means: {plain}");
    assert!(corrected < 0.4 * plain, "{corrected} with correction, {plain} without");
}

#[test]
fn the_means_and_the_range_of_the_input_are_those_of_the_images() {
    let graph = two_layers();
    let values = ["image", "first#relu"].map(str::to_owned).into();
    let scheme = Scheme { values, ..Scheme::default() };
    // The channels hold 0 and 1, 0 and 2, 0 and 4 in turns; the second image is half as bright.
    let image = |light: f32| {
        let value = |index: usize| [1.0, 2.0, 4.0][index / (SIDE * SIDE)] * (index % 2) as f32 * light;
        (0..3 * SIDE * SIDE).map(value).collect::<Vec<f32>>()
    };
    let images = [image(1.0), image(0.5)];
    let proto = model(graph.clone());
    let found = observe(&graph, &proto, (SIDE, SIDE), &scheme, &images, Method::MinMax).unwrap();
    assert_eq!(found.channel_means["image"], [0.375, 0.75, 1.5]);
    assert_eq!(found.ranges["image"], QuantRange::covering(0.0, 4.0));
    assert_eq!(found.ranges.len(), 2);
    assert_eq!(found.channel_means.keys().collect::<Vec<_>>(), ["first#relu", "image"]);
}

/// Images of the size of the nets above.
fn samples(count: usize) -> Vec<Sample> {
    let sample = |index: usize| {
        let mut rng = generator(7, "test", 0, index);
        let image = RgbImage::from_fn(64, 64, |_, _| Rgb([0; 3].map(|_: u8| rng.random_range(0..=255))));
        Sample { image, mask: None, class: index % 3 }
    };
    (0..count).map(sample).collect()
}

#[test]
fn the_gate_finds_no_distance_from_a_model_to_itself() {
    let [float, integer] = files(&graph_with_detector(Preset::Small));
    let samples = samples(3);
    let same = measure(&float, &float, &samples).unwrap();
    assert_eq!((same.n, same.mask_mae, same.agreement, same.accuracy_drop), (3, 0.0, 100.0, Some(0.0)));
    let other = measure(&float, &integer, &samples).unwrap();
    assert!(other.n == 3 && other.mask_mae > 0.0, "{other:?}");
    assert_eq!(detector_agreement(&float, &float, &samples).unwrap(), Some(100.0));
}

#[test]
fn the_detectors_agreement_is_counted_on_what_each_files_own_map_leaves_out() {
    let graph = graph_with_detector(Preset::Small);
    let [float, integer] = files(&graph);
    // Exchanging the rows of a detector's last layer exchanges its classes.
    let mut turned = graph.clone();
    let layer = turned.producer(&turned.outputs[2]).unwrap().input[1].clone();
    let mut weight = turned.floats(&layer).unwrap();
    let row = weight.values.len() / 3;
    weight.values.rotate_right(row);
    turned.set_floats(&layer, &weight);
    let [turned, _] = files(&turned);
    let samples = samples(4);
    let tops = |file: &ModelFile| -> Vec<usize> {
        let mut session = Session::new(file).unwrap();
        let detector = DetectorSession::new(file).unwrap().unwrap();
        let top = |sample: &Sample| {
            let tensor = session.preprocess().tensor(&sample.image);
            let mask = session.run(&tensor).unwrap().mask;
            largest(&detector.run(&left_out(&tensor, &mask)).unwrap())
        };
        samples.iter().map(top).collect()
    };
    for other in [&integer, &turned] {
        let equal = tops(&float).iter().zip(tops(other)).filter(|(a, b)| **a == *b).count();
        let found = detector_agreement(&float, other, &samples).unwrap();
        assert_eq!(found, Some(25.0 * equal as f64));
    }

    let mut pair = graph;
    pair.outputs.truncate(2);
    pair.remove_dead();
    let [without, _] = files(&pair);
    assert_eq!(detector_agreement(&float, &without, &samples).unwrap(), None);
    assert_eq!(detector_agreement(&without, &float, &samples).unwrap(), None);
}
