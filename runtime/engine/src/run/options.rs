//! How a model is to be run.

use std::fmt;

use comet_kernels::Tier;

/// The environment variable in which the programs take the name of the kernels; this library never reads it.
pub const KERNEL_VARIABLE: &str = "COMET_EDGE_KERNEL";

/// Kernels that this processor does not have, or that do not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct KernelError {
    /// The name that was asked for.
    pub name: String,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Tier::available().map(Tier::name).chain(["tract", "float"]).collect();
        write!(f, "kernels '{}' are not available: this processor has {}", self.name, names.join(", "))
    }
}

/// Which kernels run the quantized parts of a model. Float models always run through tract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest integer kernels of this processor. One that multiplies bytes no faster than floats is timed when the
    /// model is prepared, with [`Kernels::Float`] as the alternative.
    #[default]
    Auto,
    /// The integer kernels of one family of processors.
    Tier(Tier),
    /// No kernels of this crate: tract alone.
    Tract,
    /// No kernels of this crate, and no rounding: tract on the same file with its weights multiplied out and its
    /// activations left as they are. The predictions are those of the float model, nearly.
    Float,
}

impl Kernels {
    /// The kernels of this name: a tier's, `tract`, or `float`.
    ///
    /// # Errors
    /// The name is not one of these, or this processor lacks what that tier needs.
    pub fn named(name: &str) -> Result<Self, KernelError> {
        match name {
            "tract" => return Ok(Self::Tract),
            "float" => return Ok(Self::Float),
            _ => (),
        }
        match Tier::named(name).filter(|tier| tier.is_available()) {
            Some(tier) => Ok(Self::Tier(tier)),
            None => Err(KernelError { name: name.to_owned() }),
        }
    }

    pub(super) fn tier(self) -> Option<Tier> {
        match self {
            Self::Auto => Some(Tier::detect()),
            Self::Tier(tier) => Some(tier),
            Self::Tract | Self::Float => None,
        }
    }
}

/// How a model is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads inside a run. The predictions do not depend on it.
    pub threads: usize,
    /// Kernels of the quantized parts.
    pub kernels: Kernels,
}

impl Options {
    /// `threads` threads, at least one, and the fastest kernels.
    pub fn threads(threads: usize) -> Self {
        Self { threads: threads.max(1), kernels: Kernels::Auto }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name_and_others_are_refused_with_a_list() {
        assert_eq!(Kernels::named("scalar"), Ok(Kernels::Tier(Tier::Scalar)));
        assert_eq!(Kernels::named("tract"), Ok(Kernels::Tract));
        let fault = Kernels::named("z80").unwrap_err().to_string();
        assert!(fault.contains("z80") && fault.contains("scalar"), "{fault}");
    }
}
