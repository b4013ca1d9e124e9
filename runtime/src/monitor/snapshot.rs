//! The state of a run at one moment, as the page and `/api/state` show it.

use serde::Serialize;

use super::counters::Counts;

/// The state of a [`Monitor`](super::Monitor) at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Version of the program.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// The source.
    pub source: SourceState,
    /// The model.
    pub model: ModelState,
    /// What happened to frames.
    pub counts: Counts,
    /// Predictions a second, over the last ones.
    pub fps: f64,
    /// Milliseconds in the network.
    pub inference_ms: Quantiles,
    /// Milliseconds from capture to prediction.
    pub latency_ms: Quantiles,
    /// The last prediction.
    pub last: Option<Last>,
    /// The last checks.
    pub trust: TrustSummary,
    /// Temperature, where there is a sensor.
    pub thermal: Option<ThermalState>,
    /// Every how many predictions the checks run; 0 for never.
    pub check_every: u64,
    /// Weight of the newest frame in smoothed predictions, if they are smoothed.
    pub smoothing: Option<f32>,
    /// The prediction that is under way.
    pub prediction: PredictionState,
}

/// For how long a prediction has been under way, writing its result included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PredictionState {
    /// Seconds since it started; `None` between two frames.
    pub running_s: Option<f64>,
    /// Seconds after which it counts as hanging.
    pub limit_s: f64,
}

/// The source of a run.
#[derive(Clone, Debug, Serialize)]
pub struct SourceState {
    /// Its name; credentials are not part of it.
    pub name: String,
    /// Whether frames come.
    pub signal: bool,
    /// Why none come.
    pub fault: Option<String>,
    /// For how many seconds none have come.
    pub since_s: f64,
}

/// The model of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelState {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// `int8` or `float32`.
    pub precision: String,
    /// The kernels that it runs on.
    pub kernels: String,
    /// Width of its input.
    pub width: u32,
    /// Height of its input.
    pub height: u32,
    /// Its classes.
    pub classes: Vec<String>,
    /// Its whole manifest.
    pub manifest: serde_json::Value,
    /// How often the model was exchanged while the run went on.
    pub reloads: u64,
    /// Why the last exchange failed, if it did.
    pub reload_fault: Option<String>,
}

/// Median and 95th percentile of the last values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Values that they are of.
    pub n: u64,
}

/// The last prediction.
#[derive(Clone, Debug, Serialize)]
pub struct Last {
    /// Number of the frame.
    pub frame: u64,
    /// The class, if there is one.
    pub class: Option<String>,
    /// Its probability.
    pub probability: Option<f32>,
    /// Seconds since.
    pub age_s: f64,
}

/// The last checks: shares that hold, in `[0, 1]`, and means.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrustSummary {
    /// Checks of the model in use.
    pub checked: u64,
    /// Share of the last checks in which the class held on what the map shows.
    pub sufficiency: f64,
    /// Share in which the class was not recognised in what was left out.
    pub completeness: f64,
    /// Mean IoU of the map and the shifted image's map.
    pub stability_iou: f64,
    /// Share of the last checks in which the class stayed the same with the map cut at 0.5, where overlays draw its
    /// contour; a soft map lets through some of what is outside.
    pub same_class_at_contour: Option<f64>,
    /// Mean IoU with the float reference's map, if there is one.
    pub drift_iou: Option<f64>,
    /// Mean Pearson correlation with it.
    pub drift_pearson: Option<f64>,
    /// Share of frames with its class.
    pub drift_agreement: Option<f64>,
    /// Present alarms, a sentence each.
    pub alarms: Vec<String>,
}

/// Temperature of the board, and what was done about it.
#[derive(Clone, Debug, Serialize)]
pub struct ThermalState {
    /// Of the hottest sensor.
    pub celsius: Option<f64>,
    /// Whether the processor has slowed itself down.
    pub throttled: bool,
    /// 0 is full speed; each step predicts less often.
    pub step: u8,
}
