//! From a frame to a result.

use std::sync::Arc;
use std::time::Instant;

use super::smoothing::Smoother;
use crate::engine::{Options, Session};
use crate::explain::{Checker, Flag, TrustLimits};
use crate::image::{ImageError, Preprocess};
use crate::model::{ModelError, ModelFile};
use crate::monitor::ModelState;
use crate::sink::{FrameResult, Record, Timings};
use crate::source::Frame;

/// Why a frame got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The frame cannot be decoded: the next one may be good.
    #[error(transparent)]
    Picture(#[from] ImageError),
    /// The model failed: it will fail on the next frame too.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// How answers are made of what the network says.
#[derive(Clone, Debug)]
pub struct InferenceOptions {
    /// Threads inside the network.
    pub threads: usize,
    /// Classes in each record.
    pub top_k: usize,
    /// Limits of the flags.
    pub limits: TrustLimits,
    /// Withholds classes that are less probable than this.
    pub abstain_below: Option<f32>,
    /// Averages scores and maps over time; the weight of the newest frame, in `(0, 1]`.
    pub smoothing: Option<f32>,
    /// Checks the explanation of every N-th answer; 0 for none.
    pub check_every: u64,
}

impl Default for InferenceOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            top_k: 1,
            limits: TrustLimits::default(),
            abstain_below: None,
            smoothing: None,
            check_every: 0,
        }
    }
}

/// A prepared model with everything that turns its answers into records.
pub struct Inference {
    session: Session,
    options: InferenceOptions,
    smoother: Option<Smoother>,
    checker: Option<Checker>,
    state: ModelState,
    answered: u64,
}

impl Inference {
    /// Prepares `model` to use `threads` threads; nothing is smoothed, checked or withheld.
    ///
    /// # Errors
    /// The engine cannot prepare the model.
    pub fn new(model: &ModelFile, threads: usize) -> Result<Self, ModelError> {
        Self::with_options(model, None, InferenceOptions { threads, ..InferenceOptions::default() })
    }

    /// Prepares `model` as `options` say; checks hold it against `reference`, if one is given.
    ///
    /// # Errors
    /// The engine cannot prepare the model, or the reference does not fit it.
    pub fn with_options(
        model: &ModelFile,
        reference: Option<&ModelFile>,
        options: InferenceOptions,
    ) -> Result<Self, ModelError> {
        let engine = Options::threads(options.threads).map_err(|fault| model.error(fault))?;
        let session = Session::with_options(model, engine)?;
        let checker = match options.check_every {
            0 => None,
            _ => Some(Checker::new(model, &session, reference, engine, options.limits)?),
        };
        let smoother = options.smoothing.map(Smoother::new);
        let state = describe(model, &session);
        Ok(Self { session, options, smoother, checker, state, answered: 0 })
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

    /// The model, for those who watch the run.
    pub fn model_state(&self) -> &ModelState {
        &self.state
    }

    /// How answers are made.
    pub fn options(&self) -> &InferenceOptions {
        &self.options
    }

    /// Decodes, preprocesses, explains and, if it is its turn, checks a frame.
    ///
    /// # Errors
    /// The frame is damaged, or the model fails.
    pub fn answer(&mut self, frame: Frame) -> Result<FrameResult, AnswerError> {
        let begun = Instant::now();
        let picture = frame.decode()?;
        let decoded = Instant::now();
        let preprocess = self.session.preprocess();
        let model_size = (preprocess.width, preprocess.height);
        let region = preprocess.fit.region(picture.dimensions(), model_size);
        let tensor = preprocess.tensor(&picture);
        let prepared = Instant::now();
        let own = self.session.run(&tensor)?;
        let inferred = Instant::now();
        let checks = match &mut self.checker {
            Some(checker) if own.is_valid() && self.answered.is_multiple_of(self.options.check_every) => {
                Some(checker.check(&tensor, &own)?)
            }
            _ => None,
        };
        self.answered += 1;
        let (explanation, unsmoothed) = match &mut self.smoother {
            Some(smoother) => (smoother.add(&own), Some(own)),
            None => (own, None),
        };
        let ms = Timings {
            decode: milliseconds(begun, decoded),
            preprocess: milliseconds(decoded, prepared),
            inference: milliseconds(prepared, inferred),
            total: milliseconds(frame.captured, Instant::now()),
        };
        let place = (frame.source.as_str(), frame.number);
        let mut record = Record::new(place, &explanation, &self.state.classes, self.options.top_k, ms);
        record.smoothed = unsmoothed.is_some();
        record.flags.extend(self.options.limits.map_flag(&record.mask));
        record.flags.extend(checks.iter().flat_map(|checks| checks.flags()));
        record.checks = checks;
        self.abstain(&mut record);
        let captured = frame.captured;
        Ok(FrameResult {
            record,
            picture: Arc::new(picture),
            region,
            tensor: Arc::new(tensor),
            explanation,
            unsmoothed,
            jpeg: frame.into_jpeg().map(Arc::new),
            captured,
        })
    }

    /// Takes back a class that is not probable enough. Scores and ranking stay: they are what was measured.
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
