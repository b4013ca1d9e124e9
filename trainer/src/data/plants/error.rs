//! Why plants could not be drawn or written.

use std::io;
use std::path::PathBuf;

use super::size::SIZES;
use super::variant::Variant;

/// Why plants could not be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The variant has no class of this index.
    #[error("plant class {class} is out of range: `{variant}` has {count} classes, counted from 0")]
    Class {
        /// The variant that was asked for.
        variant: Variant,
        /// The class that was asked for.
        class: usize,
        /// How many classes the variant has.
        count: usize,
    },
    /// The side of the image is outside [`SIZES`].
    #[error("plants of {size} px cannot be drawn: ask for {} to {} px", SIZES.start(), SIZES.end())]
    Size {
        /// The side that was asked for, in pixels.
        size: u32,
    },
    /// An outline came out empty or not finite.
    #[error("a plant outline of no area came up at {size} px: try another seed or size")]
    Outline {
        /// The side of the image, in pixels.
        size: u32,
    },
    /// The name of the split is not one plain folder name.
    #[error("{split:?} cannot name a split: write one plain folder name such as `train`")]
    Split {
        /// What was written instead.
        split: String,
    },
    /// A folder of the set could not be made.
    #[error("cannot make the folder {}: check that its parent is writable", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An image or mask could not be encoded.
    #[error("cannot encode {} as PNG", .path.display())]
    Encode {
        /// The file that would have been written.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// An image or mask could not be written.
    #[error("cannot write {}: check the free space and the permissions", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
