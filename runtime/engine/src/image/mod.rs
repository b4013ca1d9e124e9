//! Images: the one decoder and the one preprocessing of both programs, attribution maps and how they are drawn.

mod decode;
mod encode;
mod error;
mod exif;
mod formats;
pub mod jpeg;
mod mask;
mod overlay;
mod preprocess;
mod text;

pub use decode::{decode_rgb, read_rgb};
pub use encode::{encode_jpeg, encode_png};
pub use error::{ImageError, ImageErrorKind, MAX_FILE_BYTES, MAX_PIXELS};
pub use formats::{FORMATS, IMAGE_SUFFIXES, has_image_extension};
pub use mask::Mask;
pub use overlay::{Colormap, OverlayBackground, OverlayStyle, UnknownName, draw_overlay};
pub use preprocess::{Fit, Preprocess, resize};
pub use text::{draw_text, text_width};
