//! Images in which there is nothing to name: a class for "nothing", so that a model that watches a camera all day has a
//! word for the frames without a thing.
//!
//! Half of the images are crops of photographs or video frames, where there are some; the others are drawn: boards under
//! a lamp, walls, wood, cloth, tiles, stripes, blurred colours, lights out of focus, darkness. [`write_nothing`] writes
//! both splits.

mod error;
mod frames;
mod picture;
mod surface;
mod write;

pub use error::NothingError;
pub use picture::{HEIGHT, WIDTH};
pub use write::{CLASS, NothingSet, write_nothing};
