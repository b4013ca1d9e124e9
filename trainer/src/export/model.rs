//! The float graph of a trained pair, in the form that goes into files.

use super::capture::capture;
use super::commute::{commute_resize, spell_out_sizes};
use super::fold::fold_batch_norm;
use super::fuse::fuse;
use super::graph::Graph;
use super::name::name_values;
use crate::model::Comet;

/// Why a run could not be written as a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Burn could not record the forward pass.
    #[error("the networks cannot be recorded as ONNX ({0})")]
    Capture(String),
    /// The recorded graph has another form than expected.
    #[error("the recorded graph is not what was expected: {0}. This is a fault of this program")]
    Graph(String),
    /// Training has gone wrong.
    #[error(
        "the weights '{0}' hold values that are no numbers: training has diverged. Export --checkpoint best, or train again with a lower learning rate"
    )]
    NotFinite(String),
    /// The file does not pass the runtime's checks.
    #[error(
        "the finished file does not pass the runtime's own checks ({0}). This is a fault of this program"
    )]
    SelfCheck(String),
}

/// Records `comet` at `height x width`, folds BatchNorm, fuses and names.
///
/// Takes the networks: recording leaves their BatchNorm statistics on the recording device.
pub fn float_graph(comet: Comet, height: usize, width: usize) -> Result<Graph, ExportError> {
    let mut graph = capture(&comet, height, width)?;
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
    use comet_edge::engine::{MASKED, PredictorSession, Session};
    use comet_edge::model::{ModelFile, Precision};

    use super::*;
    use crate::export::fixture::manifest;
    use crate::export::package;
    use crate::model::{CometConfig, Preset};

    fn comet(preset: Preset) -> Comet {
        let device = Device::flex();
        device.seed(3);
        CometConfig { preset, width: 8, classes: 4, momentum: 0.1 }.init(&device)
    }

    #[test]
    fn the_graph_holds_single_nodes_and_known_names_only() {
        for (preset, hard_swish) in [(Preset::Small, 18), (Preset::Full, 20)] {
            let graph = float_graph(comet(preset), 64, 64).unwrap();
            let count = |operator: &str| graph.nodes.iter().filter(|node| node.op_type == operator).count();
            assert_eq!(count("BatchNormalization") + count("Sub") + count("MatMul") + count("Reshape"), 0);
            assert_eq!(
                (count("Gemm"), count("Resize"), count("HardSwish")),
                (1, 2, hard_swish),
                "{preset:?}"
            );
            assert_eq!(graph.outputs, ["mask", "logits"]);
            assert!(graph.producer(MASKED).is_some_and(|node| node.op_type == "Mul"));
            let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), graph.nodes.len(), "node names are unique");
        }
    }

    #[test]
    fn the_engine_answers_as_burn_does_and_the_predictor_alone_gives_the_same_logits() {
        let comet = comet(Preset::Small);
        let device = Device::flex();
        let x = Tensor::<4>::random([1, 3, 64, 64], Distribution::Normal(0.0, 1.0), &device);
        let values = |tensor: Tensor<1>| -> Vec<f32> { tensor.into_data().try_to_vec().unwrap() };
        let (mask, logits) = comet.forward(x.clone());
        let pixels = values(x.reshape([-1]));
        let bytes = package(float_graph(comet, 64, 64).unwrap(), &manifest(4, Precision::Float32)).unwrap();
        let file = ModelFile::parse("test", &bytes, true).unwrap();
        let answer = Session::new(&file).unwrap().run(&pixels).unwrap();
        let close = |a: &[f32], b: &[f32], limit: f32| {
            assert_eq!(a.len(), b.len());
            let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(largest < limit, "{largest}");
        };
        close(answer.mask.values(), &values(mask.reshape([-1])), 1e-5);
        close(&answer.logits, &values(logits.reshape([-1])), 1e-4);
        let plane = answer.mask.values();
        let masked: Vec<f32> = pixels.iter().zip(plane.iter().cycle()).map(|(x, mask)| x * mask).collect();
        let alone = PredictorSession::new(&file).unwrap().run(&masked).unwrap();
        close(&alone, &answer.logits, 1e-5);
    }
}
