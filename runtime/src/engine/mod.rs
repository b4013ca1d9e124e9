//! The network: the only folder that names tract.

mod part;
mod plan;
pub mod proto;
mod session;

pub use part::{MASKED, PredictorSession, Probe};
pub use session::{ENGINE, Explanation, Session, softmax};
