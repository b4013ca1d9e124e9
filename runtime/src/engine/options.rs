//! How a model is to be run.

use comet_kernels::Tier;

/// The environment variable that forces the kernels of a run.
pub const KERNEL_VARIABLE: &str = "COMET_EDGE_KERNEL";

/// Which kernels run the quantized parts of a model. Float models always run through tract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest integer kernels of this processor. One that multiplies bytes no faster than floats is timed when the
    /// model is prepared, with [`Kernels::Float`] as the alternative.
    #[default]
    Auto,
    /// The integer kernels of one family of processors.
    Tier(Tier),
    /// None of ours: tract as it comes.
    Tract,
    /// None of ours, and no rounding: tract on the same file with its weights multiplied out and its activations left
    /// as they are. The answers are those of the float model, nearly.
    Float,
}

impl Kernels {
    /// What [`KERNEL_VARIABLE`] asks for.
    ///
    /// # Errors
    /// It names nothing that this processor has; the text says what there is.
    pub fn from_environment() -> Result<Self, String> {
        match std::env::var(KERNEL_VARIABLE) {
            Ok(name) if !name.is_empty() => Self::named(&name),
            _ => Ok(Self::Auto),
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        match name {
            "tract" => return Ok(Self::Tract),
            "float" => return Ok(Self::Float),
            _ => (),
        }
        match Tier::named(name).filter(|tier| tier.is_available()) {
            Some(tier) => Ok(Self::Tier(tier)),
            None => {
                let names: Vec<&str> = Tier::available().map(Tier::name).chain(["tract", "float"]).collect();
                Err(format!("{KERNEL_VARIABLE}={name}: this processor has {}", names.join(", ")))
            }
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
    /// Threads inside a run. The answers do not depend on it.
    pub threads: usize,
    /// Kernels of the quantized parts.
    pub kernels: Kernels,
}

impl Options {
    /// `threads` threads, and the kernels that [`KERNEL_VARIABLE`] asks for.
    ///
    /// # Errors
    /// As [`Kernels::from_environment`].
    pub fn threads(threads: usize) -> Result<Self, String> {
        Ok(Self { threads: threads.max(1), kernels: Kernels::from_environment()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name_and_others_are_refused_with_a_list() {
        assert_eq!(Kernels::named("scalar"), Ok(Kernels::Tier(Tier::Scalar)));
        assert_eq!(Kernels::named("tract"), Ok(Kernels::Tract));
        let fault = Kernels::named("z80").unwrap_err();
        assert!(fault.contains("z80") && fault.contains("scalar"), "{fault}");
    }
}
