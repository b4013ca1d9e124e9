//! Evidence: everything that one prediction was made from, in a folder that proves itself.
//!
//! A bundle holds the image, the model's input, the attribution map, the masked input and the logits, and the SHA-256 of each.
//! [`prove`] runs the model on them again: the masked image alone must give the same logits, bit for bit. That is
//! COMET's claim (section 3): the masked image is the predictor's only input.

mod bundle;
mod prove;
mod read;
mod write;

pub use bundle::{BUNDLE_FORMAT, Bundle, BundleError, BundleErrorKind, BundleInfo, Exhibit};
pub use prove::{Proof, ProofStep, prove};
pub use write::write_bundle;
