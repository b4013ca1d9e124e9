//! Runs COMET models: an attribution map, and a class that was decided on the pixels inside the map only.
//!
//! The parts, in the order in which a frame passes them: [`source`] (where frames come from), [`pipeline`]
//! (the hand-off between threads), [`image`] (decoding and the one preprocessing), [`engine`] (the network),
//! [`explain`] (what the map is worth) and [`sink`] (where results go). [`model`] reads and checks model files;
//! [`monitor`] is what a run knows about itself.
//!
//! ```no_run
//! use comet_edge::{engine::Session, image::read_rgb, model::ModelFile};
//!
//! let model = ModelFile::read("models/hands.int8.onnx".as_ref())?;
//! let mut session = Session::new(&model)?;
//! let answer = session.explain(&read_rgb("hand.jpg".as_ref())?)?;
//! println!("{} {:.2}", model.manifest().classes[answer.top()], answer.mask.mean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "cli")]
pub mod cli;
pub mod engine;
pub mod evidence;
pub mod explain;
mod guard;
pub mod image;
pub mod model;
pub mod monitor;
pub mod pipeline;
#[cfg(feature = "web")]
mod priority;
pub mod sink;
mod slot;
pub mod source;
pub mod storage;
