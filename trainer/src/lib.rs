//! Trains COMET (Zhang, Lee, Wang, ECCV 2024) on folders of photographs, measures it and exports it.
//!
//! [`data`] reads and changes images, [`model`] holds the networks, [`train`] the objective and the loop,
//! [`metrics`] what the paper reports, [`export`] and [`quant`] turn a run into model files for `comet-edge`,
//! and [`report`] draws for people.

pub mod cli;
pub mod data;
pub mod export;
pub(crate) mod layers;
pub mod metrics;
pub mod model;
pub mod quant;
pub mod report;
pub mod train;
