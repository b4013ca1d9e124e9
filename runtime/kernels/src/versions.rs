//! The same loop compiled for several processors.

/// Defines a function whose body the compiler vectorizes once for each family of processors; its first argument chooses
/// by [`Tier`](crate::Tier). Loops of additions, multiplications and comparisons give the same results in all of them:
/// Rust never fuses or reorders floating-point operations.
macro_rules! versions {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $visibility fn $name(tier: $crate::Tier, $($argument: $kind),*) {
            #[inline(always)]
            fn portable($($argument: $kind),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512($($argument: $kind),*) {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $kind),*) {
                    portable($($argument),*)
                }
                match tier {
                    // SAFETY: a kernel is made only for a tier that the processor has.
                    $crate::Tier::Avx512Vnni => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::Tier::AvxVnni | $crate::Tier::Avx2 => return unsafe { avx2($($argument),*) },
                    _ => (),
                }
            }
            let _ = tier;
            portable($($argument),*)
        }
    };
}

pub(crate) use versions;
