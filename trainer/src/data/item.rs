//! One image of a data set, not yet read.

use std::path::PathBuf;

/// One image of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The image.
    pub path: PathBuf,
    /// The mask of the region that decides the class, if there is one.
    pub mask: Option<PathBuf>,
    /// Index into [`DataSet::classes`](super::DataSet::classes).
    pub class: usize,
}
