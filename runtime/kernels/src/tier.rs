//! Which instructions the kernels use.

use crate::Fault;

/// A family of processors, by the instructions that its kernels need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// x86-64 with AVX-512 VNNI: 64 products an instruction (`vpdpbusd zmm`).
    Avx512Vnni,
    /// x86-64 with AVX-VNNI: 32 products an instruction (`vpdpbusd ymm`).
    AvxVnni,
    /// x86-64 with AVX2: 16 products an instruction (`vpmaddwd`, which cannot saturate on bytes).
    Avx2,
    /// AArch64 with I8MM: 16 products an instruction of mixed signs (`sudot`).
    NeonI8mm,
    /// AArch64 with dot products: 16 products an instruction (`sdot`).
    NeonDot,
    /// AArch64 without dot products (Cortex-A53, A72): `smull`, `smlal`, `sadalp`.
    Neon,
    /// Portable code, the reference for all others.
    Scalar,
}

impl Tier {
    /// Every tier, the fastest of each architecture first.
    pub const ALL: [Self; 7] = [
        Self::Avx512Vnni,
        Self::AvxVnni,
        Self::Avx2,
        Self::NeonI8mm,
        Self::NeonDot,
        Self::Neon,
        Self::Scalar,
    ];

    /// The name in `COMET_EDGE_KERNEL` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Vnni => "avx512-vnni",
            Self::AvxVnni => "avx-vnni",
            Self::Avx2 => "avx2",
            Self::NeonI8mm => "neon-i8mm",
            Self::NeonDot => "neon-dot",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    /// The tier of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Whether this processor and this build have it.
    pub fn is_available(self) -> bool {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::is_x86_feature_detected as has;
            match self {
                Self::Avx512Vnni => {
                    has!("avx512f")
                        && has!("avx512bw")
                        && has!("avx512vl")
                        && has!("avx512dq")
                        && has!("avx512vnni")
                }
                // Unit tests run the loops of this tier with AVX-512's form of the instruction where there is no other.
                Self::AvxVnni => {
                    let other = cfg!(test) && has!("avx512vnni") && has!("avx512vl");
                    has!("avx2") && (has!("avxvnni") || other)
                }
                Self::Avx2 => has!("avx2"),
                Self::Scalar => true,
                _ => false,
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        {
            use std::arch::is_aarch64_feature_detected as has;
            match self {
                Self::NeonI8mm => has!("i8mm") && has!("dotprod"),
                Self::NeonDot => has!("dotprod"),
                Self::Neon | Self::Scalar => true,
                _ => false,
            }
        }
        #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
        {
            self == Self::Scalar
        }
    }

    /// The fastest tier of this processor.
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|tier| tier.is_available()).unwrap_or(Self::Scalar)
    }

    /// The tiers of this processor.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|tier| tier.is_available())
    }

    /// Whether the tier multiplies bytes faster than the same processor multiplies 32-bit floats.
    pub fn has_dot_products(self) -> bool {
        !matches!(self, Self::Neon | Self::Scalar)
    }

    pub(crate) fn check(self) -> Result<Self, Fault> {
        if self.is_available() { Ok(self) } else { Err(Fault::Tier(self.name())) }
    }
}
