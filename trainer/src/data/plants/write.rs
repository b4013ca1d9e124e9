//! A balanced set of plants on disk: images in one tree, their masks in a twin of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use image::{DynamicImage, ImageFormat};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::error::PlantError;
use super::render::render;
use super::size::SIZES;
use super::variant::Variant;

/// What to write.
#[derive(Clone, Debug)]
pub struct PlantSet {
    /// Which parts may carry the colour.
    pub variant: Variant,
    /// How many images, over all classes.
    pub count: usize,
    /// The side of every image, in pixels; within [`SIZES`].
    pub size: u32,
    /// Which images: the same seed gives the same ones. Give each split a seed of its own, or
    /// they hold the same plants.
    pub seed: u64,
    /// The folder the images go to, such as `train` or `val`: one plain name.
    pub split: String,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct WriteSummary {
    /// The folder that holds a folder of images for each class.
    pub images: PathBuf,
    /// The folder that holds a folder of masks for each class.
    pub masks: PathBuf,
    /// The name of each class and how many images it has, sorted by name.
    pub classes: Vec<(String, usize)>,
}

impl WriteSummary {
    /// How many images were written, over all classes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.classes.iter().map(|(_, images)| images).sum()
    }
}

/// The generator that draws image `index` of a seed, however many images are drawn.
///
/// The seed is the cipher's key and the index its stream, so that no two pairs share a sequence.
#[must_use]
pub fn image_generator(seed: u64, index: u64) -> ChaCha8Rng {
    // The first eight bytes give way to the seed; the rest keeps other uses of a seed apart.
    // The word stays as it was first written: another one would draw other plants.
    let mut key = *b"seed----comet-edge plant picture";
    for (slot, byte) in key.iter_mut().zip(seed.to_le_bytes()) {
        *slot = byte;
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// Writes a set below `out`, classes in turn, and reports to `progress` how many images are done.
///
/// Image `i` goes to `images/<split>/<class>/<seed>-<i>.png`, its mask to the same name below
/// `masks`. Every class has its folder, even one without an image. Files of the same name are
/// replaced, others are left alone. The mask is written first and each file appears only when it is
/// complete: whenever the run is cut short, each image there is has its mask.
///
/// # Errors
///
/// When the split is not one plain folder name, when the size cannot be drawn, and when a folder
/// or file cannot be written; the message names it.
pub fn write_set(
    out: &Path,
    set: &PlantSet,
    progress: &mut dyn FnMut(usize),
) -> Result<WriteSummary, PlantError> {
    if !is_plain_name(&set.split) {
        return Err(PlantError::Split { split: set.split.clone() });
    }
    if !SIZES.contains(&set.size) {
        return Err(PlantError::Size { size: set.size });
    }
    let images = out.join("images").join(&set.split);
    let masks = out.join("masks").join(&set.split);
    let mut classes: Vec<(String, usize)> = Vec::new();
    for name in set.variant.classes() {
        for folder in [images.join(&name), masks.join(&name)] {
            fs::create_dir_all(&folder).map_err(|source| PlantError::Folder { path: folder, source })?;
        }
        classes.push((name, 0));
    }

    let mut written = 0;
    while written < set.count {
        for (class, (name, count)) in classes.iter_mut().enumerate() {
            if written == set.count {
                break;
            }
            let mut rng = image_generator(set.seed, written as u64);
            let plant = render(set.variant, class, set.size, &mut rng)?;
            let file = format!("{}-{written}.png", set.seed);
            let mask = masks.join(&*name).join(&file);
            save(&DynamicImage::ImageLuma8(plant.mask), mask)?;
            let image = images.join(&*name).join(&file);
            save(&DynamicImage::ImageRgb8(plant.image), image)?;
            *count += 1;
            written += 1;
            progress(written);
        }
    }
    Ok(WriteSummary { images, masks, classes })
}

/// Whether a name stays one folder deep wherever it is joined to a path.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        // Compared with the whole, which a trailing slash or dot would have been dropped from.
        (Some(Component::Normal(part)), None) => part == OsStr::new(name),
        _ => false,
    }
}

/// Writes a PNG beside its place and moves it there once complete.
fn save(image: &DynamicImage, path: PathBuf) -> Result<(), PlantError> {
    let mut encoded = Cursor::new(Vec::new());
    if let Err(source) = image.write_to(&mut encoded, ImageFormat::Png) {
        return Err(PlantError::Encode { path, source });
    }
    let partial = path.with_extension("partial");
    let moved = fs::write(&partial, encoded.into_inner()).and_then(|()| fs::rename(&partial, &path));
    moved.map_err(|source| PlantError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    fn set(count: usize) -> PlantSet {
        PlantSet { variant: Variant::Double, count, size: 64, seed: 5, split: "train".to_owned() }
    }

    #[test]
    fn images_and_masks_lie_in_twin_folders() -> Result<(), Box<dyn Error>> {
        let out = tempfile::tempdir()?;
        let mut seen = Vec::new();
        let summary = write_set(out.path(), &set(14), &mut |done| seen.push(done))?;
        assert_eq!(summary.count(), 14);
        assert_eq!(seen, (1..=14).collect::<Vec<_>>());
        for (class, (name, images)) in summary.classes.iter().enumerate() {
            assert_eq!(*images, if class < 2 { 2 } else { 1 });
            for index in (class..14).step_by(12) {
                let file = Path::new(name).join(format!("5-{index}.png"));
                let image = image::open(out.path().join("images/train").join(&file))?;
                let mask = image::open(out.path().join("masks/train").join(&file))?;
                assert_eq!((image.width(), image.height()), (64, 64));
                assert!(mask.to_luma8().pixels().any(|pixel| pixel.0 == [255]));
            }
            let files = fs::read_dir(summary.images.join(name))?.count();
            assert_eq!(files, *images, "no partial file is left in {name}");
        }
        Ok(())
    }

    #[test]
    fn an_image_does_not_depend_on_the_count() -> Result<(), Box<dyn Error>> {
        let (few, many) = (tempfile::tempdir()?, tempfile::tempdir()?);
        write_set(few.path(), &set(3), &mut |_| ())?;
        write_set(many.path(), &set(20), &mut |_| ())?;
        let file = "images/train/flower-pink/5-2.png";
        assert_eq!(fs::read(few.path().join(file))?, fs::read(many.path().join(file))?);
        Ok(())
    }

    #[test]
    fn a_split_outside_its_folder_is_refused() {
        for split in ["", ".", "..", "../train", "/train", "a/b", "train/"] {
            let set = PlantSet { split: split.to_owned(), ..set(1) };
            let written = write_set(Path::new("never-made"), &set, &mut |_| ());
            assert!(matches!(written, Err(PlantError::Split { .. })), "{split:?}");
        }
        assert!(!Path::new("never-made").exists());
    }
}
