//! A small data set, a small run, and images: as small as training still works with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, anyhow};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

use crate::program::{Program, profile_folder, trainer};

/// Images in the `train` split of [`tiny_data`].
pub const TRAINING: usize = 60;
/// Images in its `val` split.
pub const VALIDATION: usize = 12;
/// Its classes.
pub const CLASSES: usize = 6;
/// Side of its images in pixels.
pub const SIDE: usize = 32;

/// What the tests of one program share; made by the first that asks.
pub type Shared<T> = OnceLock<Result<T, String>>;

/// The value in `cell`, made on the first call. Every caller gets the same failure.
pub fn shared<T>(
    cell: &'static Shared<T>,
    make: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<&'static T> {
    let made = cell.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|fault| anyhow!("{fault}"))
}

/// Plants of six classes with masks, 72 images of 32 x 32 pixels, in the splits `train` and `val`.
pub fn tiny_data() -> anyhow::Result<&'static Path> {
    static DATA: Shared<PathBuf> = Shared::new();
    let data = shared(&DATA, || {
        let data = shared_folder()?.join("plants");
        let words = "data plants --count 72 --size 32 --variant single --seed 1 --out";
        trainer(words)?.arg(&data).run()?.succeeds()?;
        Ok(data)
    })?;
    Ok(data)
}

/// `trainer train` with the smallest networks: one detector epoch and `epochs` COMET epochs of eight batches.
pub fn training(data: &Path, out: &Path, epochs: usize) -> anyhow::Result<Program> {
    let words = "--preset small --width 8 --size 32 --detector-epochs 1 --batch 8 --device cpu --epochs";
    let program = trainer("train")?.arg("--data").arg(data).arg("--out").arg(out);
    Ok(program.words(words).arg(epochs.to_string()))
}

/// A finished run on [`tiny_data`] with two COMET epochs.
pub fn tiny_run() -> anyhow::Result<&'static Path> {
    static RUN: Shared<PathBuf> = Shared::new();
    let run = shared(&RUN, || {
        let run = shared_folder()?.join("tiny");
        training(tiny_data()?, &run, 2)?.run()?.succeeds()?;
        Ok(run)
    })?;
    Ok(run)
}

/// A folder that lives as long as this process; those of earlier processes are removed here.
pub fn shared_folder() -> anyhow::Result<&'static Path> {
    static FOLDER: Shared<PathBuf> = Shared::new();
    let folder = shared(&FOLDER, || {
        let all = profile_folder()?.with_file_name("tmp").join("comet-tests");
        fs::create_dir_all(&all).with_context(|| all.display().to_string())?;
        for entry in fs::read_dir(&all)? {
            let entry = entry?;
            let is_running = Path::new("/proc").join(entry.file_name()).exists();
            if !is_running {
                // Another test process may be removing it too.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let own = all.join(std::process::id().to_string());
        fs::create_dir_all(&own)?;
        Ok(own)
    })?;
    Ok(folder)
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Everything directly in a folder, sorted.
pub fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The first of the files in a folder.
pub fn first_file(folder: &Path) -> anyhow::Result<PathBuf> {
    entries(folder)?.into_iter().next().with_context(|| format!("{}: is empty", folder.display()))
}

/// An image that belongs to a number: no two of them are alike.
pub fn image(width: u32, height: u32, number: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let shade = (x * 255 / width.max(1)) as u8;
        Rgb([shade, number.wrapping_mul(40), (y * 255 / height.max(1)) as u8])
    })
}

/// An image as a JPEG file.
pub fn jpeg(image: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(image)?;
    Ok(bytes)
}
