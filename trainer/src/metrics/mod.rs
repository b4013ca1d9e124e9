//! How good the classes and the maps are: the paper's measures with its settings (COMET, section 4).
//!
//! Conventions, the same as in the independent implementation `tests/reference/metrics.py`:
//! a pixel is predicted at threshold `t` when its map value is at least `t`; values and thresholds are
//! compared as 64-bit floats; results are in percent.

mod audit;
mod calibration;
mod classification;
mod collect;
mod coverage;
mod engine_model;
mod error;
mod evaluate;
mod fidelity;
mod localisation;
mod masked;
mod model_under_test;
mod noise;
mod paired;
mod result;
mod tally;

pub use audit::Audit;
pub use calibration::{Calibration, LabelledLogits, Reliability, TemperatureSource, fit_temperature};
pub use classification::{ClassRow, Classification, top_class};
pub use coverage::{Coverage, iou};
pub use engine_model::EngineModel;
pub use error::MetricsError;
pub use evaluate::{EvaluationOptions, evaluate, evaluate_stream};
pub use fidelity::{Deletion, dropped_pixels};
pub use localisation::{CurvePoint, Localisation};
pub use model_under_test::{ModelUnderTest, Predictions};
pub use noise::noisy;
pub use result::{Evaluation, Example, FidelityScores, MetricRow, Unit};
pub use tally::{Mean, Ratio};

#[cfg(test)]
mod golden;
