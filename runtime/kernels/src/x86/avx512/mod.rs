//! AVX-512 VNNI: `vpdpbusd` multiplies 64 pairs of bytes.

mod conv;
mod depthwise;
mod macros;
mod round;
pub(crate) mod scale;
mod table;
mod tile;
mod winograd;

pub(crate) use conv::conv;
pub(crate) use depthwise::depthwise;
pub(crate) use table::look_up;
pub(crate) use winograd::winograd;
