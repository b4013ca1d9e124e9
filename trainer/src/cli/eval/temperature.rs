//! The temperature of a measured model: its file's, or the one that fits validation images.

use std::path::{Path, PathBuf};

use comet_engine::image::Preprocess;

use crate::data::{DataSet, EvaluationImages, SampleStore};
use crate::metrics::{
    Calibration, Evaluation, EvaluationOptions, LabelledLogits, ModelUnderTest, TemperatureSource,
    evaluate_stream, fit_temperature,
};

/// The split that a temperature is fitted on.
const VALIDATION: &str = "val";

/// What is measured, and on what.
pub(super) struct Subject<'a> {
    pub(super) model: &'a mut dyn ModelUnderTest,
    pub(super) preprocess: &'a Preprocess,
    /// The temperature that a model file carries; `None` for a run.
    pub(super) temperature: Option<f64>,
    /// Where validation images may be: with the run's data, or with those that are measured.
    pub(super) data: Vec<&'a PathBuf>,
    /// Whether these are the validation images as they are.
    pub(super) is_validation: bool,
}

/// How far the probabilities of `evaluation` can be trusted, before and after temperature scaling.
///
/// A run's temperature is fitted on validation images as they are, as `trainer export` does it: on those of
/// `evaluation` if it measured these, else they are run now.
///
/// # Errors
/// The model fails on the validation images.
pub(super) fn calibration(subject: Subject<'_>, evaluation: &Evaluation) -> anyhow::Result<Calibration> {
    let logits = &evaluation.logits;
    if let Some(temperature) = subject.temperature {
        return Ok(Calibration::measure(logits, Some(temperature), TemperatureSource::File));
    }
    if subject.is_validation {
        return Ok(Calibration::measure(logits, fit_temperature(logits), TemperatureSource::TheseImages));
    }
    let classes = subject.model.classes().to_vec();
    let found = subject.data.iter().find_map(|folder| validation(folder, &classes, subject.preprocess));
    let Some(store) = found else {
        eprintln!(
            "warning: no temperature was fitted: neither the run's data nor --data has readable images in a split '{VALIDATION}'"
        );
        return Ok(Calibration::measure(logits, None, TemperatureSource::None));
    };
    let held_out = logits_of(subject.model, &store)?;
    Ok(Calibration::measure(logits, fit_temperature(&held_out), TemperatureSource::Validation))
}

/// The readable validation images of a data set; `None` if there are none, or if it is a set for another model.
fn validation(folder: &Path, classes: &[String], preprocess: &Preprocess) -> Option<SampleStore> {
    let items = DataSet::scan(folder).ok()?.split_for(VALIDATION, classes).ok()?;
    // What cannot be read was named when the run was trained, and is left out as it was then.
    let (store, _) = SampleStore::open(items, preprocess.clone());
    (!store.is_empty()).then_some(store)
}

fn logits_of(model: &mut dyn ModelUnderTest, store: &SampleStore) -> anyhow::Result<LabelledLogits> {
    let options = EvaluationOptions { full: false, keep: 0, logits: true, ..EvaluationOptions::default() };
    let images = EvaluationImages::new(store, None, 0.0, 0);
    let (evaluation, _) = evaluate_stream(model, images, &options, &mut |_, _| {})?;
    Ok(evaluation.logits)
}
