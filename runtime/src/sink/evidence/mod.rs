//! Bundles of evidence for predictions that fail a check, and for those that a user asks for.
//!
//! `folder` decides which predictions get a bundle; `writer` is the thread that encodes and writes them.

mod folder;
mod writer;

pub use folder::{EvidenceFolder, EvidenceOf};
