//! From a frame to a result.

use std::sync::Arc;
use std::time::Instant;

use comet_engine::explain::{Checker, Flag, TrustLimits};
use comet_engine::image::Preprocess;
use comet_engine::model::{ModelError, ModelFile};
use comet_engine::prediction::{EncodedJpeg, FrameResult, Record, Timings};
use comet_engine::run::{Kernels, Options, Session};

use super::error::PredictError;
use super::smoothing::Smoother;
use crate::monitor::ModelState;
use crate::source::Frame;

/// How predictions are made of what the network gives.
#[derive(Clone, Debug)]
pub struct InferenceOptions {
    /// Threads inside the network.
    pub threads: usize,
    /// Kernels of the quantized parts of the network.
    pub kernels: Kernels,
    /// Classes in each record.
    pub top_k: usize,
    /// Limits of the flags.
    pub limits: TrustLimits,
    /// Withholds classes that are less probable than this.
    pub abstain_below: Option<f32>,
    /// Averages scores and maps over time; the weight of the newest frame, in `(0, 1]`.
    pub smoothing: Option<f32>,
    /// Checks the explanation of every Nth prediction; 0 for none.
    pub check_every: u64,
}

impl Default for InferenceOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            kernels: Kernels::Auto,
            top_k: 1,
            limits: TrustLimits::default(),
            abstain_below: None,
            smoothing: None,
            check_every: 0,
        }
    }
}

/// A prepared model with everything that turns its outputs into records.
pub struct Inference {
    session: Session,
    options: InferenceOptions,
    smoother: Option<Smoother>,
    checker: Option<Checker>,
    state: ModelState,
    predicted: u64,
}

impl Inference {
    /// Prepares `model` to use `threads` threads; nothing is smoothed, checked or withheld.
    ///
    /// # Errors
    /// The engine cannot prepare the model.
    pub fn new(model: &ModelFile, threads: usize) -> Result<Self, ModelError> {
        Self::with_options(model, None, InferenceOptions { threads, ..InferenceOptions::default() })
    }

    /// Prepares `model` as `options` say; checks compare it with `reference`, if one is given.
    ///
    /// # Errors
    /// The engine cannot prepare the model, or the reference does not fit it.
    pub fn with_options(
        model: &ModelFile,
        reference: Option<&ModelFile>,
        options: InferenceOptions,
    ) -> Result<Self, ModelError> {
        let engine = Options { threads: options.threads.max(1), kernels: options.kernels };
        let session = Session::with_options(model, engine)?;
        let checker = match options.check_every {
            0 => None,
            _ => Some(Checker::new(model, &session, reference, engine, options.limits)?),
        };
        let smoother = options.smoothing.map(Smoother::new);
        let state = describe(model, &session);
        Ok(Self { session, options, smoother, checker, state, predicted: 0 })
    }

    /// Lists this many classes in each record.
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.options.top_k = top_k;
        self
    }

    /// The model's class names.
    pub fn classes(&self) -> &[String] {
        &self.state.classes
    }

    /// The model's preprocessing.
    pub fn preprocess(&self) -> &Preprocess {
        self.session.preprocess()
    }

    /// The model, as the monitor shows it.
    pub fn model_state(&self) -> &ModelState {
        &self.state
    }

    /// How predictions are made.
    pub fn options(&self) -> &InferenceOptions {
        &self.options
    }

    /// Decodes, preprocesses and explains a frame, and checks the explanation of every Nth one.
    ///
    /// # Errors
    /// The frame is damaged, or the model fails.
    pub fn predict(&mut self, frame: Frame) -> Result<FrameResult, PredictError> {
        let started = Instant::now();
        let image = frame.decode()?;
        let decoded = Instant::now();
        let preprocess = self.session.preprocess();
        let model_size = (preprocess.width, preprocess.height);
        let region = preprocess.fit.region(image.dimensions(), model_size);
        let tensor = preprocess.tensor(&image);
        let prepared = Instant::now();
        let own = self.session.run(&tensor)?;
        let inferred = Instant::now();
        let checks = match &mut self.checker {
            Some(checker) if own.is_valid() && self.predicted.is_multiple_of(self.options.check_every) => {
                Some(checker.check(&tensor, &own)?)
            }
            _ => None,
        };
        self.predicted += 1;
        let (explanation, unsmoothed) = match &mut self.smoother {
            Some(smoother) => (smoother.add(&own), Some(own)),
            None => (own, None),
        };
        let ms = Timings {
            decode: milliseconds(started, decoded),
            preprocess: milliseconds(decoded, prepared),
            inference: milliseconds(prepared, inferred),
            total: milliseconds(frame.captured, Instant::now()),
        };
        let origin = (frame.source.as_str(), frame.number);
        let mut record = Record::new(origin, &explanation, &self.state.classes, self.options.top_k, ms);
        record.smoothed = unsmoothed.is_some();
        record.flags.extend(self.options.limits.map_flag(&record.mask));
        record.flags.extend(checks.iter().flat_map(|checks| checks.flags()));
        record.checks = checks;
        self.abstain(&mut record);
        let captured = frame.captured;
        Ok(FrameResult {
            record,
            image: Arc::new(image),
            region,
            tensor: Arc::new(tensor),
            explanation,
            unsmoothed,
            jpeg: frame.into_jpeg().map(Arc::new),
            encoded: EncodedJpeg::default(),
            captured,
        })
    }

    /// Withholds a class that is not probable enough. Scores and ranking stay: they are what was measured.
    fn abstain(&self, record: &mut Record) {
        if let (Some(limit), Some(probability)) = (self.options.abstain_below, record.probability)
            && probability < limit
        {
            (record.class, record.index, record.probability) = (None, None, None);
            record.flags.push(Flag::Abstained);
        }
    }
}

fn describe(model: &ModelFile, session: &Session) -> ModelState {
    let manifest = model.manifest();
    ModelState {
        name: manifest.name.clone(),
        sha256: model.sha256().to_owned(),
        precision: manifest.precision.to_string(),
        kernels: session.plan().kernels.clone(),
        width: manifest.preprocess.width,
        height: manifest.preprocess.height,
        classes: manifest.classes.clone(),
        manifest: serde_json::to_value(manifest).unwrap_or_default(),
        ..ModelState::default()
    }
}

/// Rounded to microseconds: more digits are noise, and they fill logs.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_micros() as f64 / 1000.0
}
