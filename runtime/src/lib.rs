//! Runs COMET models on cameras, files and streams: a class, and the attribution map that it was decided with.
//!
//! The parts, in the order in which a frame passes them: [`source`] (where frames come from), [`pipeline`] (the hand-off
//! between threads) and [`sink`] (where results go); [`evidence`] keeps results that can be proved later, and [`monitor`]
//! is what a run knows about itself. Decoding, the network and what its map is worth are [`comet_engine`]'s.

mod backoff;
#[cfg(feature = "cli")]
pub mod cli;
mod deadline;
pub mod evidence;
pub mod monitor;
pub mod pipeline;
#[cfg(feature = "web")]
mod priority;
mod random;
pub mod sink;
mod slot;
pub mod source;
