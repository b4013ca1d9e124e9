//! Every layer against loops that do nothing but what its definition says, in double precision, on random shapes; and
//! what holds for all of them: values that are not numbers stay visible, the same inputs give the same bits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adam;
mod convolution;
mod near;
mod norm;
mod not_a_number;
mod pool;
mod random;
mod repeat;
