//! Pictures: decoding, the one preprocessing of both programs, maps and how they are drawn.

mod decode;
mod encode;
mod mask;
mod overlay;
mod preprocess;

pub use decode::{ImageError, ImageErrorKind, MAX_PIXELS, decode_rgb, read_rgb};
pub use encode::{encode_jpeg, encode_png};
pub use mask::Mask;
pub use overlay::{Colormap, OverlayStyle, draw_overlay};
pub use preprocess::{Fit, Preprocess, resize};
