//! What tests of model files share.

use comet_engine::image::{Fit, Preprocess};
use comet_engine::model::{DataSummary, FORMAT_VERSION, Manifest, Precision, TrainingSummary};

/// The manifest of a small model for images of 64 x 64, with classes named by their numbers.
pub(crate) fn manifest(classes: usize, precision: Precision) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        name: "test".into(),
        writer: "test".into(),
        classes: (0..classes).map(|class| class.to_string()).collect(),
        preprocess: Preprocess { width: 64, height: 64, fit: Fit::Crop, mean: [0.5; 3], std: [0.25; 3] },
        fill: 0.0,
        temperature: 1.0,
        precision,
        preset: "small".into(),
        training: TrainingSummary::default(),
        data: DataSummary::default(),
        metrics: None,
        float_sha256: None,
        fidelity: None,
        limits: None,
    }
}
