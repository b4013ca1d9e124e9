//! Handing a new model to a run that is under way.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::inference::Inference;

/// Holds at most one prepared model. Clones share it.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Mutex<Option<Box<Inference>>>>);

impl Exchange {
    /// Offers a model, which is used from the next frame on. One that was offered before and not yet taken is dropped.
    pub fn offer(&self, inference: Inference) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(inference));
    }

    pub(super) fn take(&self) -> Option<Box<Inference>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}
