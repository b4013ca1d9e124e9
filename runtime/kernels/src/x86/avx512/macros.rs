//! What every loop of the tier is written with.

/// Gives a function the features of the tier; `Tier::is_available` asks for the same.
macro_rules! tier {
    ($(#[$meta:meta])* $visibility:vis unsafe fn $($rest:tt)*) => {
        $(#[$meta])*
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        $visibility unsafe fn $($rest)*
    };
}

/// The body once for each of up to 8 constants below the limit: sums that a loop counts through would live in memory.
macro_rules! each {
    ($index:ident < $limit:ident, $body:expr) => {
        each!($index, $limit, $body; 0, 1, 2, 3, 4, 5, 6, 7)
    };
    ($index:ident, $limit:ident, $body:expr; $($value:literal),*) => {
        $(if $value < $limit {
            // For limits that do not reach this far the index must still be one that exists.
            const { assert!($limit > 0) };
            let $index = const { if $value < $limit { $value } else { 0 } };
            $body;
        })*
    };
}

pub(super) use {each, tier};
