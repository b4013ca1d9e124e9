//! Real frames without a thing of any class, and random parts of them.

use std::path::{Path, PathBuf};

use comet_engine::image::{read_rgb, resize};
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::error::NothingError;
use super::picture::{HEIGHT, WIDTH};
use crate::data::drawing::between;
use crate::data::findings::Findings;
use crate::data::walk;

/// Of a folder of frames, the last one in so many becomes part of the split `val`: frames that follow each other in a
/// video must not be in both.
const VAL_SHARE: usize = 6;
/// The least share of a frame's sides that a part of it has.
const LEAST_SHARE: f32 = 0.5;

/// Which frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Those to learn from.
    Train,
    /// Those to validate on.
    Val,
}

/// The frames of one split, in the folders that they are from.
#[derive(Debug)]
pub(super) struct Frames {
    folders: Vec<Vec<PathBuf>>,
    faults: Vec<String>,
}

impl Frames {
    /// The frames in folders and below them. A folder that is a data set, with `images/train` and `images/val`, keeps its
    /// splits; of any other one the last sixth by path is `val`.
    pub(super) fn find(folders: &[PathBuf], part: Part) -> Result<Self, NothingError> {
        let mut found = Vec::new();
        for folder in folders {
            let files = files(folder, part)?;
            if !files.is_empty() {
                found.push(files);
            }
        }
        Ok(Self { folders: found, faults: Vec::new() })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// A random part of a random frame, `WIDTH` x `HEIGHT` pixels; the folders take turns. A frame that cannot be read is
    /// named to `notice`, once, and another one takes its place.
    pub(super) fn part(
        &mut self,
        turn: usize,
        rng: &mut ChaCha8Rng,
        notice: &mut dyn FnMut(&str),
    ) -> Result<RgbImage, NothingError> {
        while !self.folders.is_empty() {
            let place = turn % self.folders.len();
            let Some(files) = self.folders.get_mut(place) else { break };
            if files.is_empty() {
                self.folders.remove(place);
                continue;
            }
            let index = rng.random_range(0..files.len());
            let Some(path) = files.get(index) else { break };
            match read_rgb(path) {
                Ok(frame) => return Ok(random_part(&frame, rng)),
                Err(fault) => {
                    let fault = fault.to_string();
                    notice(&fault);
                    self.faults.push(fault);
                    files.remove(index);
                }
            }
        }
        let fault = self.faults.first().cloned().unwrap_or_default();
        Err(NothingError::NothingReadable { count: self.faults.len(), fault })
    }
}

/// The files of one split in a folder.
fn files(folder: &Path, part: Part) -> Result<Vec<PathBuf>, NothingError> {
    let images = |folder: &Path| walk::content(folder, &mut Findings::default()).images;
    let (train, val) = (folder.join("images").join("train"), folder.join("images").join("val"));
    if train.is_dir() && val.is_dir() {
        let files = images(if part == Part::Train { &train } else { &val });
        return if files.is_empty() { Err(NothingError::NoFrames(folder.to_owned())) } else { Ok(files) };
    }
    let files = images(folder);
    if files.is_empty() {
        return Err(NothingError::NoFrames(folder.to_owned()));
    }
    let val = (files.len() / VAL_SHARE).max(usize::from(files.len() > 1));
    let train = files.len() - val;
    let files = files.into_iter();
    Ok(match part {
        Part::Train => files.take(train).collect(),
        Part::Val => files.skip(train).collect(),
    })
}

/// A part of a frame in the images' shape: of at least half its sides, not enlarged where the frame is large enough, and
/// mirrored in half of the cases.
fn random_part(frame: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
    let (width, height) = frame.dimensions();
    // How many times as large as an image the largest part is.
    let largest = (width as f32 / WIDTH as f32).min(height as f32 / HEIGHT as f32);
    let scale = largest * between(rng, (1.0 / largest).clamp(LEAST_SHARE, 1.0), 1.0);
    let side = |pixels: u32, most: u32| ((scale * pixels as f32).round() as u32).clamp(1, most.max(1));
    let (part_width, part_height) = (side(WIDTH, width), side(HEIGHT, height));
    let left = rng.random_range(0..=width.saturating_sub(part_width));
    let top = rng.random_range(0..=height.saturating_sub(part_height));
    let part = resize(frame, (left, top, part_width, part_height), (WIDTH, HEIGHT));
    if rng.random::<bool>() { image::imageops::flip_horizontal(&part) } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use rand::SeedableRng;
    use std::fs;

    fn write(folder: &Path, name: &str, size: (u32, u32), colour: [u8; 3]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(size.0, size.1, Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn the_last_frames_by_name_are_kept_for_validation() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..13 {
            write(folder.path(), &format!("{number:02}.png"), (8, 8), [0; 3]);
        }
        let names = |part| -> Vec<String> {
            let files = files(folder.path(), part).unwrap();
            files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(Part::Val), ["11", "12"]);
        assert_eq!(names(Part::Train).len(), 11);
    }

    #[test]
    fn a_data_set_keeps_its_splits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, count) in [("images/train/a", 3), ("images/val/b", 2)] {
            for number in 0..count {
                write(folder.path(), &format!("{name}/{number}.png"), (8, 8), [0; 3]);
            }
        }
        write(folder.path(), "masks/train/a/0.png", (8, 8), [0; 3]);
        assert_eq!(files(folder.path(), Part::Train).unwrap().len(), 3);
        assert_eq!(files(folder.path(), Part::Val).unwrap().len(), 2);
    }

    #[test]
    fn frames_of_any_size_give_parts_of_one_size() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for size in [(1, 1), (1, 900), (900, 1), (100, 100), (224, 168), (768, 432), (223, 2000)] {
            let frame = RgbImage::from_pixel(size.0, size.1, Rgb([10, 200, 90]));
            for _ in 0..20 {
                let part = random_part(&frame, &mut rng);
                assert_eq!(part.dimensions(), (WIDTH, HEIGHT), "{size:?}");
                let [r, g, b] = part.get_pixel(100, 100).0;
                let apart = r.abs_diff(10).max(g.abs_diff(200)).max(b.abs_diff(90));
                assert!(apart <= 1, "{size:?}: {r} {g} {b}");
            }
        }
    }

    #[test]
    fn a_damaged_frame_is_named_once_and_another_one_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..6 {
            fs::write(folder.path().join(format!("bad{number}.jpg")), b"x").unwrap();
        }
        write(folder.path(), "good.png", (300, 300), [9; 3]);
        write(folder.path(), "later.png", (300, 300), [9; 3]);
        let mut frames = Frames::find(&[folder.path().to_owned()], Part::Train).unwrap();
        let mut named = Vec::new();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for turn in 0..40 {
            frames.part(turn, &mut rng, &mut |fault| named.push(fault.to_owned())).unwrap();
        }
        assert_eq!(named.len(), 6, "{named:?}");
        assert!(named.iter().all(|fault| fault.contains("bad")), "{named:?}");
    }

    #[test]
    fn a_folder_without_frames_and_one_of_damaged_frames_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let found = |name: &str| Frames::find(&[folder.path().join(name)], Part::Train);
        assert!(found("missing").unwrap_err().to_string().contains("missing: no frames found"));
        fs::create_dir(folder.path().join("bad")).unwrap();
        fs::write(folder.path().join("bad/1.jpg"), b"x").unwrap();
        let mut frames = found("bad").unwrap();
        let error = frames.part(0, &mut ChaCha8Rng::seed_from_u64(2), &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("none of the 1 frames") && error.contains("1.jpg"), "{error}");
    }
}
