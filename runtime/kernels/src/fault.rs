//! Why a kernel cannot be prepared or run.

use std::fmt;

/// Why a kernel cannot be prepared or run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two shapes, or a shape and a slice, do not belong together.
    Shape(&'static str),
    /// A scale is zero, negative, infinite or not a number.
    Scale,
    /// With these weights and this bias a 32-bit sum could overflow in the given output channel.
    Overflow(usize),
    /// The processor lacks what the tier needs, or the tier is not in this build.
    Tier(&'static str),
    /// A thread could not be started, or died while it ran a kernel.
    Thread,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(what) => write!(f, "{what}"),
            Self::Scale => write!(f, "a quantization scale is not a positive, finite number"),
            Self::Overflow(channel) => {
                write!(f, "the sums of output channel {channel} could overflow 32 bits")
            }
            Self::Tier(name) => write!(f, "the kernels '{name}' do not run on this processor"),
            Self::Thread => write!(f, "a kernel thread could not be started or ended early"),
        }
    }
}

impl std::error::Error for Fault {}
