//! What a run knows about itself: counters, times, the state of source and model, and the results of the last checks.
//!
//! One [`Monitor`] is shared by all threads of a run; pages, metrics and watchdogs read a [`Snapshot`] of it.

mod counters;
mod health;
mod prometheus;
mod shared;
mod snapshot;
mod thermal;
mod trust;
mod window;

pub use counters::{Counters, Counts};
pub use health::Health;
pub use prometheus::prometheus;
pub use shared::{Monitor, Predicted};
pub use snapshot::{
    Last, ModelState, PredictionState, Quantiles, Snapshot, SourceState, ThermalState, TrustSummary,
};
pub use thermal::{ThermalLimits, ThermalWatch};
#[cfg(feature = "cli")]
pub(crate) use thermal::{hottest, throttled};
pub use trust::AlarmChange;
