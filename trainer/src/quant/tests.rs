//! Quantization of a whole graph, run in the engine.

use burn::tensor::Device;
use comet_edge::engine::proto::{Message, ModelProto};
use comet_edge::engine::{DetectorSession, Session};
use comet_edge::explain::left_out;
use comet_edge::model::{MAX_NODES, ModelFile, Precision};
use rand::RngExt;

use super::*;
use crate::export::fixture::manifest;
use crate::export::{Graph, float_graph, package};
use crate::model::{CometConfig, Preset};

fn pictures(count: usize) -> Vec<Vec<f32>> {
    let picture = |index| {
        let mut rng = crate::data::generator(5, "test", 0, index);
        let base: f32 = rng.random_range(-1.0..1.0);
        (0..3 * 64 * 64).map(|_| base + rng.random_range(-0.5..0.5)).collect()
    };
    (0..count).map(picture).collect()
}

#[test]
fn every_method_gives_an_int8_file_close_to_the_float_one() {
    let device = Device::flex();
    device.seed(11);
    let comet = CometConfig { preset: Preset::Small, width: 8, classes: 3, momentum: 0.1 }.init(&device);
    let graph = float_graph(comet, None, 64, 64).unwrap();
    let float = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(float.as_slice()).unwrap();
    let mut reference = Session::new(&ModelFile::parse("float", &float, true).unwrap()).unwrap();
    let scheme = Scheme::of(&graph).unwrap();
    for method in [Method::MinMax, Method::Percentile, Method::Mse] {
        let found = observe(&graph, &proto, (64, 64), &scheme, &pictures(4), method).unwrap();
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
        for picture in pictures(2) {
            let (a, b) = (reference.run(&picture).unwrap(), session.run(&picture).unwrap());
            let mae = a.mask.values().iter().zip(b.mask.values()).map(|(a, b)| (a - b).abs()).sum::<f32>();
            assert!(mae / 4096.0 < 0.02, "{method:?}: {}", mae / 4096.0);
        }
        assert!(bytes.len() * 2 < float.len());
    }
}

#[test]
fn no_calibration_pictures_and_pictures_that_are_no_numbers_are_errors() {
    let device = Device::flex();
    let comet = CometConfig { preset: Preset::Small, width: 8, classes: 3, momentum: 0.1 }.init(&device);
    let graph = float_graph(comet, None, 64, 64).unwrap();
    let scheme = Scheme::of(&graph).unwrap();
    let bytes = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let none = observe(&graph, &proto, (64, 64), &scheme, &[], Method::Mse);
    assert!(matches!(none, Err(QuantError::NoPictures)));
    let broken = [vec![f32::NAN; 3 * 64 * 64]];
    assert!(matches!(
        observe(&graph, &proto, (64, 64), &scheme, &broken, Method::Mse),
        Err(QuantError::NotFinite(_))
    ));
}

/// A graph with a detector, of random networks.
fn graph_with_detector(preset: Preset) -> Graph {
    let device = Device::flex();
    device.seed(11);
    let config = CometConfig { preset, width: 8, classes: 3, momentum: 0.1 };
    let detector = config.classifier().init(&device);
    float_graph(config.init(&device), Some(detector), 64, 64).unwrap()
}

/// The float and the int8 file of a graph.
fn files(graph: &Graph) -> [ModelFile; 2] {
    let float = package(graph.clone(), &manifest(3, Precision::Float32)).unwrap();
    let proto = ModelProto::decode(float.as_slice()).unwrap();
    let scheme = Scheme::of(graph).unwrap();
    let found = observe(graph, &proto, (64, 64), &scheme, &pictures(4), Method::Mse).unwrap();
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
    for picture in pictures(2) {
        let (answer, expected) = (session.run(&picture).unwrap(), alone.run(&picture).unwrap());
        assert!(answer.mask.values() == expected.mask.values() && answer.logits == expected.logits);
        // It is asked about what is left out, and about whole pictures.
        for picture in [left_out(&picture, &answer.mask), picture] {
            let expected = float.run(&picture).unwrap();
            let (error, signal) =
                (distance(&integer.run(&picture).unwrap(), &expected), distance(&expected, &grey));
            assert!(error < 0.25 * signal, "{error} of {signal}");
        }
    }
}

#[test]
fn the_largest_pair_with_its_detector_keeps_the_runtimes_limit_of_nodes() {
    let graph = graph_with_detector(Preset::Full);
    let scheme = Scheme::of(&graph).unwrap();
    let range = QuantRange { scale: 0.1, zero_point: 128 };
    let ranges = scheme.values.iter().map(|value| (value.clone(), range)).collect();
    let found = Observations { ranges, ..Observations::default() };
    let nodes = quantize(&graph, &scheme, &found, false).unwrap().nodes.len();
    assert!((800..=MAX_NODES).contains(&nodes), "{nodes}");
}
