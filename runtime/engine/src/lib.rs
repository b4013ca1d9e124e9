//! What a small computer needs to classify and explain one image with a COMET model.
//!
//! - [`image`]: the one decoder and the one preprocessing of both programs; attribution maps and how they are drawn;
//! - [`model`]: what a model file says about itself, and the checks before anything of it is trusted;
//! - [`run`]: prepared models; quantized ones run on integer kernels, float ones through tract;
//! - [`explain`]: what a map is worth, and how close two maps or two models are;
//! - [`prediction`]: the result types;
//! - [`storage`]: files that are either the old or the new.
//!
//! It reads models and reference sets, writes nothing but reference sets, starts no threads but those of the kernels,
//! and never looks at the environment.
//!
//! ```no_run
//! use comet_engine::{image::read_rgb, model::ModelFile, run::Session};
//!
//! let model = ModelFile::read("models/hands.int8.onnx".as_ref())?;
//! let mut session = Session::new(&model)?;
//! let explanation = session.explain(&read_rgb("hand.jpg".as_ref())?)?;
//! println!("{} {:.2}", model.manifest().classes[explanation.top()], explanation.mask.mean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod explain;
pub mod guard;
pub mod image;
pub mod model;
mod plan;
pub mod prediction;
pub mod run;
pub mod storage;
