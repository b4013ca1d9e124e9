//! The float graph of a trained pair, with or without its detector, in the form that goes into files.

use comet_onnx::GraphEditor;

use super::capture::capture;
use super::commute::{commute_resize, spell_out_sizes};
use super::error::ExportError;
use super::fold::fold_batch_norm;
use super::fuse::fuse;
use super::name::name_values;
use crate::model::{Classifier, Comet};

/// Records `comet` at `height x width`, folds BatchNorm, fuses and names; with a `detector` there is a third output, its
/// logits for what the map leaves out.
///
/// Takes the networks: recording leaves their BatchNorm statistics on the recording device.
pub fn float_graph(
    comet: Comet,
    detector: Option<Classifier>,
    height: usize,
    width: usize,
) -> Result<GraphEditor, ExportError> {
    let mut graph = capture(&comet, detector.as_ref(), height, width)?;
    if let Some(name) = graph.first_not_finite() {
        return Err(ExportError::NotFinite(name));
    }
    fold_batch_norm(&mut graph)?;
    fuse(&mut graph);
    commute_resize(&mut graph);
    spell_out_sizes(&mut graph)?;
    name_values(&mut graph)?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor};
    use comet_engine::explain::left_out;
    use comet_engine::model::{LEFT_OUT, LEFT_OUT_LOGITS, MASKED, ModelFile, Precision};
    use comet_engine::run::{DetectorSession, PredictorSession, Probe, Session};
    use comet_onnx::{attribute, tensor};

    use super::*;
    use crate::export::fixture::manifest;
    use crate::export::package::package;
    use crate::model::{CometConfig, Preset};

    fn networks(preset: Preset) -> (Comet, Classifier) {
        let device = Device::flex();
        device.seed(3);
        let config = CometConfig { preset, width: 8, classes: 4, momentum: 0.1, head: preset.default_head() };
        (config.init(&device), config.classifier().init(&device))
    }

    fn file(graph: GraphEditor) -> ModelFile {
        let bytes = package(graph, &manifest(4, Precision::Float32)).unwrap();
        ModelFile::parse("test", &bytes, true).unwrap()
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[track_caller]
    fn assert_close(a: &[f32], b: &[f32], limit: f32) {
        assert_eq!(a.len(), b.len());
        let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(largest < limit, "{largest}");
    }

    #[test]
    fn the_graph_holds_single_nodes_and_known_names_only() {
        // Resizes, HardSwish, and ReLU6 of the selector and of a classifier.
        let counts =
            [(Preset::Small, 2, 18, [0, 0]), (Preset::Full, 2, 20, [0, 0]), (Preset::Lite, 3, 0, [32, 33])];
        for (preset, resizes, hard_swish, clips) in counts {
            for classifiers in [1, 2] {
                let (comet, detector) = networks(preset);
                let detector = (classifiers == 2).then_some(detector);
                let graph = float_graph(comet, detector, 64, 64).unwrap();
                let count =
                    |operator: &str| graph.nodes.iter().filter(|node| node.op_type == operator).count();
                let refused = ["BatchNormalization", "MatMul", "Reshape", "Neg"];
                assert_eq!(refused.map(count), [0; 4]);
                let found = ["Sub", "Gemm", "Resize", "HardSwish", "Clip"].map(count);
                let clips = clips[0] + classifiers * clips[1];
                assert_eq!(found, [classifiers - 1, classifiers, resizes, hard_swish, clips], "{preset:?}");
                let all = [("mask", "Sigmoid"), ("logits", "Gemm"), (LEFT_OUT_LOGITS, "Gemm")];
                let outputs = &all[..=classifiers];
                assert_eq!(graph.outputs, outputs.iter().map(|(name, _)| *name).collect::<Vec<_>>());
                let inside = [(MASKED, "Mul"), (LEFT_OUT, "Mul")];
                for (value, operator) in outputs.iter().chain(&inside[..classifiers]) {
                    assert_eq!(graph.producer(value).unwrap().op_type, *operator, "{value}");
                }
                let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), graph.nodes.len(), "node names are unique");
            }
        }
    }

    #[test]
    fn strided_layers_of_lite_are_padded_behind_as_tensorflow_pads_and_no_resize_names_axes() {
        let (comet, _) = networks(Preset::Lite);
        let graph = float_graph(comet, None, 64, 64).unwrap();
        let strided = graph.nodes.iter().filter(|node| attribute::ints_of(node, "strides") == [2, 2]);
        let mut found: Vec<(usize, &[i64])> = strided
            .map(|node| (graph.floats(&node.input[1]).unwrap().dims[2], attribute::ints_of(node, "pads")))
            .collect();
        found.sort_unstable();
        // The stem and two blocks with windows of 3, two with windows of 5; in both networks.
        const THREE: (usize, &[i64]) = (3, &[0, 0, 1, 1]);
        const FIVE: (usize, &[i64]) = (5, &[1, 1, 2, 2]);
        assert_eq!(found, [[THREE; 6].as_slice(), [FIVE; 4].as_slice()].concat());
        let sizes = |name: &String| tensor::integers(&graph.constants[name]).unwrap();
        let resizes = graph.nodes.iter().filter(|node| node.op_type == "Resize");
        let sizes: Vec<Vec<i64>> = resizes.map(|node| sizes(&node.input[3])).collect();
        assert_eq!(sizes, [[1, 96, 8, 8], [1, 48, 16, 16], [1, 1, 64, 64]]);
    }

    #[test]
    fn the_engine_predicts_as_burn_does_and_the_predictor_alone_gives_the_same_logits() {
        for preset in [Preset::Small, Preset::Lite] {
            let (comet, _) = networks(preset);
            let x = Tensor::<4>::random([1, 3, 64, 64], Distribution::Normal(0.0, 1.0), &Device::flex());
            let (mask, logits) = comet.forward(x.clone());
            let pixels = values(x);
            let file = file(float_graph(comet, None, 64, 64).unwrap());
            let prediction = Session::new(&file).unwrap().run(&pixels).unwrap();
            assert_close(prediction.mask.values(), &values(mask), 1e-5);
            assert_close(&prediction.logits, &values(logits), 1e-4);
            let plane = prediction.mask.values();
            let masked: Vec<f32> =
                pixels.iter().zip(plane.iter().cycle()).map(|(x, mask)| x * mask).collect();
            let alone = PredictorSession::new(&file).unwrap().run(&masked).unwrap();
            assert_close(&alone, &prediction.logits, 1e-5);
        }
    }

    #[test]
    fn the_detector_predicts_as_in_burn_and_changes_no_bit_of_map_and_logits() {
        let (comet, detector) = networks(Preset::Small);
        let x = Tensor::<4>::random([1, 3, 64, 64], Distribution::Normal(0.0, 1.0), &Device::flex());
        let (mask, _) = comet.forward(x.clone());
        let expected = values(detector.forward(x.clone() * (mask.neg() + 1.0)));
        let pixels = values(x);
        let graph = float_graph(comet, Some(detector), 64, 64).unwrap();
        let mut pair = graph.clone();
        pair.outputs.truncate(2);
        pair.remove_dead();
        let (with, without) = (file(graph), file(pair));

        let prediction = Session::new(&with).unwrap().run(&pixels).unwrap();
        let alone = Session::new(&without).unwrap().run(&pixels).unwrap();
        assert!(prediction.mask.values() == alone.mask.values() && prediction.logits == alone.logits);

        assert!(DetectorSession::new(&without).unwrap().is_none());
        let detector = DetectorSession::new(&with).unwrap().unwrap();
        assert_close(&detector.run(&left_out(&pixels, &prediction.mask)).unwrap(), &expected, 1e-4);
        // The whole file at once, as an engine runs it that knows nothing of parts.
        let probe = Probe::new(with.proto(), [1, 3, 64, 64], &[LEFT_OUT_LOGITS.to_owned()]).unwrap();
        assert_close(&probe.run(&pixels).unwrap()[0], &expected, 1e-4);
    }
}
