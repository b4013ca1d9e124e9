//! A float model's predictions, kept beside calibration images, so that a board without the float file can
//! still compare its own predictions with them.
//!
//! ```text
//! calib/reference.json               names, sizes, logits
//! calib/images/<class>/<name>.png    or .jpg: the images
//! calib/masks/<class>/<name>.png     the float model's maps, 8-bit grey, of the model's input size
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::image::{ImageError, ImageErrorKind, Mask, encode_png, read_rgb};
use crate::model::{Manifest, ModelFile, Precision};
use crate::prediction::Explanation;
use crate::storage::write_atomically;

/// The format of `reference.json` that this version reads and writes.
pub const REFERENCE_FORMAT: u32 = 1;
const INDEX: &str = "reference.json";
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// Why a reference set cannot be used; `name` is the folder or the file.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct ReferenceError {
    /// The folder or file.
    pub name: String,
    /// What was wrong.
    pub kind: ReferenceErrorKind,
}

/// The ways in which a reference set can be unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceErrorKind {
    /// A file could not be read or written.
    #[error("cannot be read or written ({0})")]
    Io(#[from] io::Error),
    /// `reference.json` is not a valid index.
    #[error("is not a valid index of a reference set ({0})")]
    BadIndex(String),
    /// The index is of another format.
    #[error("has format {found}; this program reads format {REFERENCE_FORMAT}")]
    Format {
        /// Format in the file.
        found: u64,
    },
    /// The index contradicts itself or the model.
    #[error("field '{field}' does not fit: {fault}")]
    Field {
        /// The index's field.
        field: &'static str,
        /// What does not fit.
        fault: String,
    },
    /// An image or a map is damaged.
    #[error("{0}")]
    Image(ImageErrorKind),
}

impl ReferenceError {
    fn new(path: &Path, kind: impl Into<ReferenceErrorKind>) -> Self {
        Self { name: path.display().to_string(), kind: kind.into() }
    }
}

impl From<ImageError> for ReferenceError {
    fn from(error: ImageError) -> Self {
        Self { name: error.name, kind: ReferenceErrorKind::Image(error.kind) }
    }
}

fn misfit<T>(field: &'static str, fault: impl Into<String>) -> Result<T, ReferenceErrorKind> {
    Err(ReferenceErrorKind::Field { field, fault: fault.into() })
}

/// The contents of `reference.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceIndex {
    /// [`REFERENCE_FORMAT`] of the writer.
    pub format: u32,
    /// Name of the model, as in its manifest.
    pub model: String,
    /// SHA-256 of the float file that made the predictions.
    pub float_sha256: String,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Width of the model's input and of the maps.
    pub width: u32,
    /// Height of the model's input and of the maps.
    pub height: u32,
    /// The images.
    pub images: Vec<ReferenceImage>,
}

/// One image of a [`ReferenceIndex`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceImage {
    /// `<class>/<name>` below `images/`; the class is the true one.
    pub file: String,
    /// `<class>/<name>.png` below `masks/`.
    pub mask: String,
    /// The float model's logits.
    pub logits: Vec<f32>,
}

impl ReferenceIndex {
    /// An index without images, for the predictions of the float file `model`.
    pub fn of(model: &ModelFile) -> Self {
        let manifest = model.manifest();
        Self {
            format: REFERENCE_FORMAT,
            model: manifest.name.clone(),
            float_sha256: model.sha256().to_owned(),
            classes: manifest.classes.clone(),
            width: manifest.preprocess.width,
            height: manifest.preprocess.height,
            images: Vec::new(),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, ReferenceErrorKind> {
        let bad = |error: serde_json::Error| ReferenceErrorKind::BadIndex(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(bad)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(REFERENCE_FORMAT) => {}
            Some(found) => return Err(ReferenceErrorKind::Format { found }),
            None => {
                return Err(ReferenceErrorKind::BadIndex("it has no field 'format'".into()));
            }
        }
        let index: Self = serde_json::from_value(value).map_err(bad)?;
        index.check()?;
        Ok(index)
    }

    fn check(&self) -> Result<(), ReferenceErrorKind> {
        if self.images.is_empty() {
            return misfit("images", "the list is empty");
        }
        for image in &self.images {
            if self.truth(&image.file).is_none() {
                return misfit("file", format!("'{}' is not <class>/<name>", image.file));
            }
            if self.truth(&image.mask).is_none() {
                return misfit("mask", format!("'{}' is not <class>/<name>", image.mask));
            }
            let finite = image.logits.iter().all(|logit| logit.is_finite());
            if image.logits.len() != self.classes.len() || !finite {
                let fault = format!("'{}' does not have {} finite values", image.file, self.classes.len());
                return misfit("logits", fault);
            }
        }
        Ok(())
    }

    /// The class of `<class>/<name>`; `None` for anything else, paths that lead out of the folder included.
    fn truth(&self, file: &str) -> Option<usize> {
        let (class, name) = file.split_once('/')?;
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
        // A class name comes from a folder, so it is a plain name too; an index that was edited has to keep to that.
        let safe = class != "." && class != ".." && !class.contains(['\\', '\0']);
        self.classes.iter().position(|known| plain && safe && known == class)
    }

    /// Whether these are predictions of `manifest`'s model, or of its float parent; `sha256` is the model file's own.
    fn check_manifest(&self, manifest: &Manifest, sha256: &str) -> Result<(), ReferenceErrorKind> {
        let (width, height) = (manifest.preprocess.width, manifest.preprocess.height);
        if self.model != manifest.name {
            let fault = format!("it is '{}', the model is '{}'", self.model, manifest.name);
            return misfit("model", fault);
        }
        if self.classes != manifest.classes {
            return misfit("classes", "the model has other classes, or another order");
        }
        if self.width != width {
            return misfit("width", format!("it is {}, the model's is {width}", self.width));
        }
        if self.height != height {
            return misfit("height", format!("it is {}, the model's is {height}", self.height));
        }
        let float = match manifest.precision {
            Precision::Float32 => sha256,
            Precision::Int8 => manifest.float_sha256.as_deref().unwrap_or("unknown"),
        };
        if !self.float_sha256.eq_ignore_ascii_case(float) {
            let fault = format!("it is {}, the model's float file is {float}", self.float_sha256);
            return misfit("float_sha256", fault);
        }
        Ok(())
    }
}

/// A reference set on disk; the images are read one at a time.
#[derive(Clone, Debug)]
pub struct ReferenceSet {
    folder: PathBuf,
    index: ReferenceIndex,
}

/// One image and the float model's prediction.
#[derive(Clone, Debug)]
pub struct ReferenceCase {
    /// The image.
    pub image: RgbImage,
    /// The float model's map and logits.
    pub prediction: Explanation,
    /// The true class.
    pub truth: usize,
}

impl ReferenceSet {
    /// Reads the index of a folder.
    ///
    /// # Errors
    /// There is no index, or it contradicts itself.
    pub fn read(folder: &Path) -> Result<Self, ReferenceError> {
        let path = folder.join(INDEX);
        let fail = |kind: ReferenceErrorKind| ReferenceError::new(&path, kind);
        let length = fs::metadata(&path).map_err(|error| fail(error.into()))?.len();
        if length > MAX_INDEX_BYTES {
            return Err(fail(ReferenceErrorKind::BadIndex(format!("it has {length} bytes"))));
        }
        let bytes = fs::read(&path).map_err(|error| fail(error.into()))?;
        Ok(Self { folder: folder.to_path_buf(), index: ReferenceIndex::parse(&bytes).map_err(fail)? })
    }

    /// The index.
    pub fn index(&self) -> &ReferenceIndex {
        &self.index
    }

    /// Refuses a set that is not of `model` or its float parent.
    ///
    /// # Errors
    /// [`ReferenceErrorKind::Field`] names the first field that does not fit.
    pub fn check_model(&self, model: &ModelFile) -> Result<(), ReferenceError> {
        let fits = self.index.check_manifest(model.manifest(), model.sha256());
        fits.map_err(|kind| ReferenceError::new(&self.folder.join(INDEX), kind))
    }

    /// The images with their predictions, in the order of the index.
    pub fn cases(&self) -> impl Iterator<Item = Result<ReferenceCase, ReferenceError>> {
        self.index.images.iter().map(|image| self.case(image))
    }

    fn case(&self, image: &ReferenceImage) -> Result<ReferenceCase, ReferenceError> {
        let path = self.folder.join("masks").join(&image.mask);
        let map = first_channel(&read_rgb(&path)?);
        if map.dimensions() != (self.index.width, self.index.height) {
            let fault = format!("the map has {} x {} pixels", map.width(), map.height());
            return misfit("mask", fault).map_err(|kind| ReferenceError::new(&path, kind));
        }
        Ok(ReferenceCase {
            image: read_rgb(&self.folder.join("images").join(&image.file))?,
            prediction: Explanation {
                mask: Mask::from_gray8(&map),
                logits: image.logits.clone(),
                // A set holds logits, and classes follow from them; probabilities are not compared.
                temperature: 1.0,
            },
            // The index was checked when it was read.
            truth: self.index.truth(&image.file).unwrap_or_default(),
        })
    }
}

/// A grey image that was read as RGB has its values in each channel.
fn first_channel(image: &RgbImage) -> GrayImage {
    let values = image.as_raw().iter().step_by(3).copied().collect();
    GrayImage::from_raw(image.width(), image.height(), values).unwrap_or_default()
}

/// Writes a reference set; the index comes last, so that half a set cannot be read as one.
#[derive(Debug)]
pub struct ReferenceWriter {
    folder: PathBuf,
    index: ReferenceIndex,
}

impl ReferenceWriter {
    /// Begins a set in `folder`, with an index from [`ReferenceIndex::of`].
    pub fn new(folder: &Path, index: ReferenceIndex) -> Self {
        Self { folder: folder.to_path_buf(), index }
    }

    /// Adds an image file of class `class`, byte for byte, and the float model's prediction for it.
    ///
    /// # Errors
    /// The class is unknown, the prediction has another size, or a file cannot be written.
    pub fn add(
        &mut self,
        class: &str,
        name: &str,
        image: &[u8],
        prediction: &Explanation,
    ) -> Result<(), ReferenceError> {
        let file = format!("{class}/{name}");
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        let mask = format!("{class}/{stem}.png");
        let fail = |kind| ReferenceError::new(&self.folder.join(&file), kind);
        if self.index.truth(&file).is_none() {
            return misfit("file", "it is not <class>/<name> with a class of the model").map_err(fail);
        }
        if self.index.images.iter().any(|image| image.mask == mask) {
            return misfit("mask", "two images of the class have the same stem").map_err(fail);
        }
        let map = prediction.mask.to_gray8();
        if map.dimensions() != (self.index.width, self.index.height) {
            return misfit("mask", "the map has another size than the model's input").map_err(fail);
        }
        let png = encode_png(&map).map_err(|error| fail(error.into()))?;
        write(&self.folder.join("masks").join(&mask), &png)?;
        write(&self.folder.join("images").join(&file), image)?;
        self.index.images.push(ReferenceImage { file, mask, logits: prediction.logits.clone() });
        Ok(())
    }

    /// Writes the index and returns the finished set.
    ///
    /// # Errors
    /// No image was added, logits are not finite, or the index cannot be written.
    pub fn finish(self) -> Result<ReferenceSet, ReferenceError> {
        let path = self.folder.join(INDEX);
        let fail = |kind| ReferenceError::new(&path, kind);
        self.index.check().map_err(fail)?;
        let text = serde_json::to_vec_pretty(&self.index)
            .map_err(|error| fail(ReferenceErrorKind::Io(error.into())))?;
        write(&path, &text)?;
        Ok(ReferenceSet { folder: self.folder, index: self.index })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ReferenceError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| write_atomically(path, bytes))
        .map_err(|error| ReferenceError::new(path, error))
}

#[cfg(test)]
mod tests;
