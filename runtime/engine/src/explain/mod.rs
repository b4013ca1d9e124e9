//! What a map is worth: its statistics, whether the explanation holds, and how close two maps, two models, or a
//! model and its stored float predictions are.

mod agreement;
mod checker;
mod compare;
mod reference;
mod statistics;
mod trust;

pub use agreement::{AgreementSummary, MaskAgreement};
pub use checker::{Checker, left_out, masked};
pub use compare::{CompareError, compare, compare_sessions};
pub use reference::{
    REFERENCE_FORMAT, ReferenceCase, ReferenceError, ReferenceErrorKind, ReferenceImage, ReferenceIndex,
    ReferenceSet, ReferenceWriter,
};
pub use statistics::MaskStatistics;
pub use trust::{Checks, Completeness, Cut, Drift, Flag, Judge, Stability, Sufficiency, TrustLimits};
