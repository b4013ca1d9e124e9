//! From a frame to a result.

use std::time::Instant;

use crate::engine::Session;
use crate::image::{ImageError, Preprocess};
use crate::model::{ModelError, ModelFile};
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

/// A prepared model with its class names.
pub struct Inference {
    session: Session,
    classes: Vec<String>,
    top_k: usize,
}

impl Inference {
    /// Prepares `model` to use `threads` threads.
    ///
    /// # Errors
    /// The engine cannot prepare the model.
    pub fn new(model: &ModelFile, threads: usize) -> Result<Self, ModelError> {
        Ok(Self {
            session: Session::with_threads(model, threads)?,
            classes: model.manifest().classes.clone(),
            top_k: 1,
        })
    }

    /// Lists this many classes in each record.
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// The model's class names.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The model's preprocessing.
    pub fn preprocess(&self) -> &Preprocess {
        self.session.preprocess()
    }

    /// Decodes, preprocesses and explains a frame.
    ///
    /// # Errors
    /// The frame is damaged, or the model fails.
    pub fn answer(&mut self, frame: &Frame) -> Result<FrameResult, AnswerError> {
        let begun = Instant::now();
        let picture = frame.decode()?;
        let decoded = Instant::now();
        let preprocess = self.session.preprocess();
        let model_size = (preprocess.width, preprocess.height);
        let region = preprocess.fit.region(picture.dimensions(), model_size);
        let tensor = preprocess.tensor(&picture);
        let prepared = Instant::now();
        let explanation = self.session.run(&tensor)?;
        let answered = Instant::now();
        let ms = Timings {
            decode: milliseconds(begun, decoded),
            preprocess: milliseconds(decoded, prepared),
            inference: milliseconds(prepared, answered),
            total: milliseconds(frame.captured, answered),
        };
        let place = (frame.source.as_str(), frame.number);
        Ok(FrameResult {
            record: Record::new(place, &explanation, &self.classes, self.top_k, ms),
            picture,
            region,
            tensor,
            explanation,
        })
    }
}

/// Rounded to microseconds: more digits are noise, and they fill logs.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_micros() as f64 / 1000.0
}
