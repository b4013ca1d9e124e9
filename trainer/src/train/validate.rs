//! Validation: networks in training, measured on images that they do not learn from.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::error::TrainError;
use super::trained::TrainedRun;
use crate::data::{Batch, EvaluationImages, Sample, SampleStore, Scenes};
use crate::metrics::{
    Evaluation, EvaluationOptions, MetricsError, ModelUnderTest, Predictions, evaluate_stream, top_class,
};
use crate::model::{Classifier, Comet};

/// Images on a contact sheet.
const SHEET: usize = 24;
const BATCH: usize = 64;

/// A pair of networks with BatchNorm in evaluation mode.
pub struct BurnModel {
    comet: Comet,
    classes: Vec<String>,
    device: Device,
}

impl BurnModel {
    /// A snapshot of networks in training.
    pub fn snapshot(comet: &Comet, classes: &[String], device: &Device) -> Self {
        Self { comet: comet.valid(), classes: classes.to_vec(), device: device.clone().inner() }
    }

    /// The networks of a run, which stays usable.
    pub fn of(run: &TrainedRun) -> Self {
        Self { comet: run.comet.clone(), classes: run.info.classes.clone(), device: run.device.clone() }
    }
}

impl From<TrainedRun> for BurnModel {
    fn from(run: TrainedRun) -> Self {
        Self { comet: run.comet, classes: run.info.classes, device: run.device }
    }
}

impl ModelUnderTest for BurnModel {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, batch: &Batch) -> Result<Predictions, MetricsError> {
        let (masks, logits) = self.comet.forward(batch.images(&self.device));
        Ok(Predictions { masks: values(masks)?, logits: values(logits)? })
    }

    fn predict(&mut self, masked: &Batch) -> Result<Vec<f32>, MetricsError> {
        values(self.comet.predictor.forward(masked.images(&self.device)))
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, MetricsError> {
    let data = tensor.try_into_data().map_err(|error| MetricsError::Device(format!("{error:?}")))?;
    data.try_to_vec().map_err(|error| MetricsError::Device(format!("{error:?}")))
}

/// The validation images of a run, a share of them pasted on scenes: the same in every epoch.
pub(super) struct ValidationSet {
    pub store: SampleStore,
    pub scenes: Option<Arc<Scenes>>,
    pub paste: f64,
    pub seed: u64,
}

/// What validation found.
pub(super) struct Validated {
    pub evaluation: Evaluation,
    /// The images of the evaluation's examples, which are numbered by their place in here.
    pub samples: Vec<Sample>,
}

impl ValidationSet {
    fn images(&self) -> EvaluationImages<'_> {
        EvaluationImages::new(&self.store, self.scenes.as_deref(), self.paste, self.seed)
    }

    /// Accuracy of the detector on full images, in percent.
    pub(super) fn detector_accuracy(
        &self,
        detector: &Classifier,
        device: &Device,
    ) -> Result<f64, TrainError> {
        let network = detector.valid();
        let device = device.clone().inner();
        let (mut right, mut count) = (0usize, 0usize);
        for chunk in self.images().chunks(BATCH) {
            let batch = Batch::new(&chunk, self.store.preprocess());
            let logits = values(network.forward(batch.images(&device))).map_err(failed)?;
            let classes = logits.len() / batch.len().max(1);
            for (row, sample) in logits.chunks(classes.max(1)).zip(&chunk) {
                right += usize::from(top_class(row) == Some(sample.class));
                count += 1;
            }
        }
        self.warn_of_lost_images();
        Ok(100.0 * right as f64 / count.max(1) as f64)
    }

    /// Measures selector and predictor.
    pub(super) fn evaluate(
        &self,
        comet: &Comet,
        classes: &[String],
        device: &Device,
    ) -> Result<Validated, TrainError> {
        let mut model = BurnModel::snapshot(comet, classes, device);
        let options =
            EvaluationOptions { batch: BATCH, seed: self.seed, full: false, keep: SHEET, logits: false };
        let (evaluation, kept) =
            evaluate_stream(&mut model, self.images(), &options, &mut |_, _| {}).map_err(failed)?;
        self.warn_of_lost_images();
        Ok(Validated { evaluation, samples: kept })
    }

    fn warn_of_lost_images(&self) {
        for fault in self.store.take_faults() {
            eprintln!("warning: left out of validation from now on: {fault}");
        }
    }
}

fn failed(error: MetricsError) -> TrainError {
    TrainError::Validation(Box::new(error))
}
