//! Chooses the inner loops of a convolution by its tier: the only place that knows all of them.

use std::ops::Range;

use crate::task::conv::ConvTask;
use crate::task::depthwise::DepthwiseTask;
use crate::task::winograd::Strip;
use crate::{Tier, scalar};

/// Runs a share of a convolution: some of its pixels for some of its blocks of channels.
///
/// # Safety
/// The task must be checked and the tier available.
pub(crate) unsafe fn conv(tier: Tier, task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    // SAFETY: passed on.
    unsafe {
        match tier {
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni => crate::x86::avx512::conv(task, pixels, blocks),
            #[cfg(all(test, target_arch = "x86_64"))]
            Tier::AvxVnni if !std::arch::is_x86_feature_detected!("avxvnni") => {
                crate::x86::avx_vnni::evex::conv(task, pixels, blocks);
            }
            #[cfg(target_arch = "x86_64")]
            Tier::AvxVnni => crate::x86::avx_vnni::conv(task, pixels, blocks),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => crate::x86::avx2::conv(task, pixels, blocks),
            #[cfg(target_arch = "aarch64")]
            Tier::NeonI8mm => crate::aarch64::i8mm::conv(task, pixels, blocks),
            #[cfg(target_arch = "aarch64")]
            Tier::NeonDot => crate::aarch64::dot::conv(task, pixels, blocks),
            #[cfg(target_arch = "aarch64")]
            Tier::Neon => crate::aarch64::neon::conv(task, pixels, blocks),
            _ => scalar::conv(task, pixels, blocks),
        }
    }
}

/// Runs some rows of a depthwise convolution.
///
/// # Safety
/// The task must be checked and the tier available.
pub(crate) unsafe fn depthwise(tier: Tier, task: &DepthwiseTask<'_>, rows: Range<usize>) {
    // SAFETY: passed on.
    unsafe {
        match tier {
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni => crate::x86::avx512::depthwise(task, rows),
            #[cfg(target_arch = "x86_64")]
            Tier::AvxVnni | Tier::Avx2 => crate::x86::avx2::depthwise(task, rows),
            #[cfg(target_arch = "aarch64")]
            Tier::NeonI8mm | Tier::NeonDot | Tier::Neon => crate::aarch64::neon::depthwise(task, rows),
            _ => scalar::depthwise(task, rows),
        }
    }
}

/// Runs a strip of minimal filtering, which no tier but [`Tier::Avx512Vnni`] has.
///
/// # Safety
/// The strip must be as it says, and that tier available.
pub(crate) unsafe fn winograd(strip: &Strip<'_>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: passed on.
    unsafe {
        crate::x86::avx512::winograd(strip);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = strip;
}
