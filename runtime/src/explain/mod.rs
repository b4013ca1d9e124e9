//! What a map is worth: its statistics, and how close two maps, two models, or a model and its stored
//! float answers are.

mod agreement;
mod compare;
mod reference;
mod statistics;

pub use agreement::{AgreementSummary, MaskAgreement};
pub use compare::{CompareError, compare, compare_sessions};
pub use reference::{
    REFERENCE_FORMAT, ReferenceCase, ReferenceError, ReferenceErrorKind, ReferenceImage, ReferenceIndex,
    ReferenceSet, ReferenceWriter,
};
pub use statistics::MaskStatistics;
