//! Quantization of a whole graph, run in the engine.

use burn::tensor::Device;
use comet_edge::engine::Session;
use comet_edge::engine::proto::{Message, ModelProto};
use comet_edge::model::{ModelFile, Precision};
use rand::RngExt;

use super::*;
use crate::export::fixture::manifest;
use crate::export::{float_graph, package};
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
    let graph = float_graph(comet, 64, 64).unwrap();
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
    let graph = float_graph(comet, 64, 64).unwrap();
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
