//! Evidence: everything that one answer was made from, in a folder that proves itself.
//!
//! A bundle holds the picture, the model's input, the map, the masked input and the logits, and the SHA-256 of each.
//! [`prove`] runs the model on them again: the masked picture alone must give the same logits, bit for bit. That is
//! COMET's claim (section 3): the map is not a comment on the decision, it is what the decision was made on.

mod bundle;
mod prove;

pub use bundle::{BUNDLE_FORMAT, Bundle, BundleError, BundleErrorKind, BundleInfo, Exhibit, write_bundle};
pub use prove::{Proof, ProofStep, prove};
