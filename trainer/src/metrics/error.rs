//! Why something could not be measured.

use comet_engine::model::ModelError;

/// Why a model could not be evaluated, or a map not be compared with a true mask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A map and the true mask of its image have different numbers of pixels.
    #[error("the map has {map} pixels, the true mask {truth}; both must have the model's size")]
    SizeMismatch {
        /// Pixels of the map.
        map: usize,
        /// Pixels of the mask.
        truth: usize,
    },
    /// A class index beyond the model's classes.
    #[error("class {index} was given, but the model knows {classes} classes (counted from 0)")]
    UnknownClass {
        /// The index.
        index: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Nothing to evaluate.
    #[error("there are no images to evaluate")]
    NoImages,
    /// The model's input has a side of 0.
    #[error("the model's input has no pixels")]
    NoPixels,
    /// An image or its mask does not have the model's size.
    #[error("image {index} or its mask does not have the model's size, {width} x {height} pixels")]
    ImageSize {
        /// Index of the image, from 0.
        index: usize,
        /// Columns of the model's input.
        width: u32,
        /// Rows of the model's input.
        height: u32,
    },
    /// An image is of a class that the model does not know.
    #[error(
        "image {index} is of class {class}, the model knows {classes} classes (counted from 0): is it from another data set?"
    )]
    ImageClass {
        /// Index of the image, from 0.
        index: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A model gave another number of values than the images call for.
    #[error("the model gave {found} {what}, {expected} were expected")]
    Count {
        /// What was counted.
        what: &'static str,
        /// Number of values.
        found: usize,
        /// Number that belongs to the images.
        expected: usize,
    },
    /// The engine could not run the model file.
    #[error("the engine could not run the model")]
    Engine(#[from] ModelError),
    /// Burn's device gave no result.
    #[error("the device gave no result ({0})")]
    Device(String),
    /// A batch of images failed.
    #[error("evaluating images {first} to {last} (counted from 0)")]
    Images {
        /// The batch's first image.
        first: usize,
        /// The batch's last image.
        last: usize,
        /// What went wrong.
        #[source]
        error: Box<MetricsError>,
    },
}
