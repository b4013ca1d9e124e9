//! The images of both splits on disk.

use std::fs;
use std::path::{Path, PathBuf};

use comet_engine::image::encode_jpeg;
use image::RgbImage;

use super::error::NothingError;
use super::frames::{Frames, Part};
use super::picture::Picture;
use super::surface::{IN_TURN, Surface};
use crate::data::generator;

/// The name of the class, and of its folders.
pub const CLASS: &str = "nothing";

const JPEG_QUALITY: u8 = 88;

/// What to write.
#[derive(Clone, Debug)]
pub struct NothingSet {
    /// Images in the split `train`.
    pub train: usize,
    /// Images in the split `val`.
    pub val: usize,
    /// Which images: the same seed, with the same frames, gives the same ones.
    pub seed: u64,
    /// Folders with photographs or video frames in which there is nothing of any class; half of the images are parts of
    /// them, the folders in turn. With none, everything is drawn. A folder that is a data set, with `images/train` and
    /// `images/val`, keeps its splits; of any other one the last sixth by path is used for `val`.
    pub frames: Vec<PathBuf>,
}

/// Writes a set below `out`. What was left out is told to `notice`.
///
/// Image `i` of a split goes to `images/<split>/nothing/<kind>-<seed>-<i>.jpg`, [`WIDTH`](super::WIDTH) x
/// [`HEIGHT`](super::HEIGHT) pixels; the kind is what was drawn, or `frame`. Files of the same name are replaced, others
/// are left alone; each file appears only when it is complete. An image does not depend on how many are written.
///
/// # Errors
/// A folder has no frames, none can be read, or a folder or file cannot be written; the message names it.
pub fn write_nothing(out: &Path, set: &NothingSet, notice: &mut dyn FnMut(&str)) -> Result<(), NothingError> {
    // Both are searched before anything is written.
    let train = Frames::find(&set.frames, Part::Train)?;
    let val = Frames::find(&set.frames, Part::Val)?;
    for (split, count, mut frames) in [("train", set.train, train), ("val", set.val, val)] {
        let folder = out.join("images").join(split).join(CLASS);
        if let Err(source) = fs::create_dir_all(&folder) {
            return Err(NothingError::Folder { path: folder, source });
        }
        for index in 0..count {
            let (kind, image) = image(split, set.seed, index, &mut frames, notice)?;
            save(&image, folder.join(format!("{kind}-{}-{index:05}.jpg", set.seed)))?;
        }
    }
    Ok(())
}

/// Image `index` of a split, and what it is made from: every second one of a frame, if there are frames.
fn image(
    split: &str,
    seed: u64,
    index: usize,
    frames: &mut Frames,
    notice: &mut dyn FnMut(&str),
) -> Result<(&'static str, RgbImage), NothingError> {
    let mut rng = generator(seed, &format!("nothing {split}"), 0, index);
    let turn = index / 2;
    if index % 2 == 1 && !frames.is_empty() {
        let part = frames.part(turn, &mut rng, notice)?;
        return Ok(("frame", Picture::of(&part).photograph(&mut rng)));
    }
    // Without frames all indices are drawn, and the kinds must still come in turn.
    let turn = if frames.is_empty() { index } else { turn };
    let surface = IN_TURN.get(turn % IN_TURN.len()).copied().unwrap_or(Surface::Board);
    let picture = surface.draw(&mut rng);
    Ok((surface.name(), picture.photograph(&mut rng)))
}

/// Writes a JPEG beside its place and moves it there once complete.
fn save(image: &RgbImage, path: PathBuf) -> Result<(), NothingError> {
    let jpeg = match encode_jpeg(image, JPEG_QUALITY) {
        Ok(jpeg) => jpeg,
        Err(source) => return Err(NothingError::Encode { path, source }),
    };
    let partial = path.with_extension("partial");
    let moved = fs::write(&partial, jpeg).and_then(|()| fs::rename(&partial, &path));
    moved.map_err(|source| NothingError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use std::collections::BTreeMap;

    fn set(train: usize, val: usize, seed: u64, frames: &[&Path]) -> NothingSet {
        NothingSet { train, val, seed, frames: frames.iter().map(|&folder| folder.to_owned()).collect() }
    }

    /// The files of a split, by name.
    fn written(out: &Path, split: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(out.join("images").join(split).join(CLASS)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
            .collect()
    }

    #[test]
    fn the_same_seed_writes_the_same_files_whatever_the_count() {
        let (few, many, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_nothing(few.path(), &set(4, 2, 7, &[]), &mut |_| ()).unwrap();
        write_nothing(many.path(), &set(13, 3, 7, &[]), &mut |_| ()).unwrap();
        write_nothing(other.path(), &set(4, 2, 8, &[]), &mut |_| ()).unwrap();
        let (first, second) = (written(few.path(), "train"), written(many.path(), "train"));
        assert_eq!((first.len(), second.len()), (4, 13));
        assert!(first.iter().all(|(name, bytes)| second.get(name) == Some(bytes)));
        assert!(first.keys().all(|name| name.ends_with(".jpg") && name.contains("-7-0000")), "{first:?}");
        let other: Vec<_> = written(other.path(), "train").into_values().collect();
        assert!(first.values().all(|bytes| !other.contains(bytes)));
        let val: Vec<_> = written(few.path(), "val").into_values().collect();
        assert!(first.values().all(|bytes| !val.contains(bytes)), "the splits are different images");
    }

    #[test]
    fn half_of_the_images_are_parts_of_frames_and_the_splits_share_none() {
        let (frames, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // By name: ten red frames to learn from, two blue ones to validate on.
        for number in 0..12_u32 {
            let colour = if number < 10 { [200, 20, 20] } else { [20, 20, 200] };
            let image = RgbImage::from_pixel(400, 300, Rgb(colour));
            image.save(frames.path().join(format!("{number:02}.png"))).unwrap();
        }
        write_nothing(out.path(), &set(12, 6, 1, &[frames.path()]), &mut |_| ()).unwrap();
        for (split, count, red) in [("train", 6, true), ("val", 3, false)] {
            let files = written(out.path(), split);
            let parts: Vec<_> = files.iter().filter(|(name, _)| name.starts_with("frame-")).collect();
            assert_eq!(parts.len(), count, "{split}");
            for (name, bytes) in parts {
                let image = image::load_from_memory(bytes).unwrap().to_rgb8();
                assert_eq!(image.dimensions(), (super::super::WIDTH, super::super::HEIGHT));
                let [r, _, b] = image.get_pixel(112, 84).0;
                assert_eq!(r > b, red, "{split} {name}");
            }
        }
    }

    #[test]
    fn nothing_is_written_when_a_folder_has_no_frames() {
        let (empty, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = write_nothing(out.path(), &set(2, 1, 1, &[empty.path()]), &mut |_| ()).unwrap_err();
        assert!(matches!(error, NothingError::NoFrames(_)), "{error}");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
