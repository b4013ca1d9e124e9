//! Burn networks as a [`Subject`] of the metrics.

use anyhow::Context;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::session::TrainedRun;
use crate::data::Batch;
use crate::metrics::{Answers, Subject};
use crate::model::{Comet, ResNet18};

/// A pair of networks with BatchNorm in evaluation mode.
pub struct BurnSubject {
    comet: Comet,
    classes: Vec<String>,
    device: Device,
}

impl BurnSubject {
    /// A snapshot of networks in training.
    pub fn snapshot(comet: &Comet, classes: &[String], device: &Device) -> Self {
        Self { comet: comet.valid(), classes: classes.to_vec(), device: device.clone().inner() }
    }
}

impl From<TrainedRun> for BurnSubject {
    fn from(run: TrainedRun) -> Self {
        Self { comet: run.comet, classes: run.info.classes, device: run.device }
    }
}

impl Subject for BurnSubject {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, batch: &Batch) -> anyhow::Result<Answers> {
        let (masks, logits) = self.comet.forward(batch.images(&self.device));
        Ok(Answers { masks: values(masks)?, logits: values(logits)? })
    }

    fn predict(&mut self, masked: &Batch) -> anyhow::Result<Vec<f32>> {
        values(self.comet.predictor.forward(masked.images(&self.device)))
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> anyhow::Result<Vec<f32>> {
    let data = tensor.try_into_data().context("the device did not answer")?;
    data.try_to_vec().map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Accuracy of a classifier on full pictures, in percent.
pub(super) fn classifier_accuracy(
    network: &ResNet18,
    batches: &[Batch],
    device: &Device,
) -> anyhow::Result<f64> {
    let network = network.valid();
    let device = device.clone().inner();
    let (mut right, mut count) = (0usize, 0usize);
    for batch in batches {
        let logits = values(network.forward(batch.images(&device)))?;
        let classes = logits.len() / batch.len().max(1);
        for (row, &label) in logits.chunks(classes.max(1)).zip(&batch.labels) {
            let top = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            right += usize::from(top.is_some_and(|(index, _)| index as i64 == label));
            count += 1;
        }
    }
    Ok(100.0 * right as f64 / count.max(1) as f64)
}
