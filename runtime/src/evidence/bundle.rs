//! The folder of a bundle: writing it whole, and reading it without trusting it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::engine::Explanation;
use crate::explain::masked;
use crate::image::{ImageError, encode_png, read_rgb};
use crate::model::sha256_hex;
use crate::monitor::ModelState;
use crate::storage::write_atomically;

/// The bundle format that this version reads and writes.
pub const BUNDLE_FORMAT: u32 = 1;
/// The largest file of a bundle that is read.
const MAX_BYTES: u64 = 512 << 20;

const SUMS: &str = "SHA256SUMS";
const INFO: &str = "evidence.json";
const PICTURE: &str = "frame.png";
const OWN_JPEG: &str = "frame.jpg";
const MAP_VIEW: &str = "mask.png";
const INPUT: &str = "input.f32";
const MAP: &str = "mask.f32";
const MASKED: &str = "masked.f32";
const LOGITS: &str = "logits.f32";
/// What [`Bundle::read`] needs.
const NEEDED: [&str; 6] = [INFO, PICTURE, INPUT, MAP, MASKED, LOGITS];

/// Why a bundle cannot be read or written; `name` is the folder or the file.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct BundleError {
    /// The folder or the file.
    pub name: String,
    /// What was wrong.
    pub kind: BundleErrorKind,
}

/// The ways in which a bundle can be unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleErrorKind {
    /// A file cannot be read or written.
    #[error("cannot be read or written ({0})")]
    Io(#[from] io::Error),
    /// The list of sums is none.
    #[error("is no list of SHA-256 sums of files of the bundle (line {0})")]
    Sums(usize),
    /// A file that a bundle must have is not among the sums.
    #[error("does not list '{0}'; was the run cut off while it wrote the bundle?")]
    Missing(&'static str),
    /// `evidence.json` is none.
    #[error("is no description of a bundle ({0})")]
    Info(String),
    /// The format is another.
    #[error("has format {0}; this program reads format {BUNDLE_FORMAT}")]
    Format(u32),
    /// A file of numbers has a length that cannot be.
    #[error("holds no whole 32-bit numbers")]
    Numbers,
    /// The picture is damaged.
    #[error("{0}")]
    Picture(String),
}

impl BundleError {
    fn new(path: &Path, kind: impl Into<BundleErrorKind>) -> Self {
        Self { name: path.display().to_string(), kind: kind.into() }
    }
}

/// `evidence.json`: where the answer came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleInfo {
    /// [`BUNDLE_FORMAT`] of the writer.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Architecture of the processor.
    pub processor: String,
    /// The kernels that the model ran on.
    pub kernels: String,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// `int8` or `float32`.
    pub precision: String,
    /// Wall clock, UTC.
    pub time: String,
    /// The record of the frame, as in the JSON lines.
    pub record: serde_json::Value,
}

/// A bundle in memory.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where the answer came from.
    pub info: BundleInfo,
    /// The picture.
    pub picture: RgbImage,
    /// The model's input, `[3, height, width]`, normalised.
    pub input: Vec<f32>,
    /// The map, `[height, width]`.
    pub mask: Vec<f32>,
    /// The predictor's input: input times map.
    pub masked: Vec<f32>,
    /// The logits.
    pub logits: Vec<f32>,
    /// Files whose sum is not the listed one.
    pub altered: Vec<String>,
}

/// An answer, and everything that it was made from.
#[derive(Clone, Debug)]
pub struct Exhibit<'a> {
    /// The record of the frame, as in the JSON lines.
    pub record: serde_json::Value,
    /// The picture, upright.
    pub picture: &'a RgbImage,
    /// The source's own JPEG, if it gave one.
    pub jpeg: Option<&'a [u8]>,
    /// The model's input, `[3, height, width]`, normalised.
    pub input: &'a [f32],
    /// The model's own answer, not an average over frames.
    pub explanation: &'a Explanation,
}

/// Writes a bundle of `exhibit` as a folder `name` below `folder`: it is there as a whole or not at all.
///
/// # Errors
/// A file cannot be written.
pub fn write_bundle(
    folder: &Path,
    name: &str,
    exhibit: &Exhibit<'_>,
    model: &ModelState,
    time: &str,
) -> Result<PathBuf, BundleError> {
    let place = folder.join(name);
    let draft = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_files(&draft, exhibit, model, time)
        .and_then(|()| fs::rename(&draft, &place))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    if let Err(error) = written {
        // It has failed already; a draft that cannot be removed either changes nothing.
        let _ = fs::remove_dir_all(&draft);
        return Err(BundleError::new(&place, error));
    }
    Ok(place)
}

fn write_files(draft: &Path, exhibit: &Exhibit<'_>, model: &ModelState, time: &str) -> io::Result<()> {
    fs::create_dir_all(draft)?;
    let Explanation { mask, logits } = exhibit.explanation;
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        program: format!("comet-edge {}", env!("CARGO_PKG_VERSION")),
        processor: std::env::consts::ARCH.to_owned(),
        kernels: model.kernels.clone(),
        model: model.name.clone(),
        model_sha256: model.sha256.clone(),
        precision: model.precision.clone(),
        time: time.to_owned(),
        record: exhibit.record.clone(),
    };
    let mut files = vec![
        (INFO, serde_json::to_vec_pretty(&info)?),
        (PICTURE, encode_png(exhibit.picture)?),
        (MAP_VIEW, encode_png(&mask.to_gray8())?),
        (INPUT, bytes(exhibit.input)),
        (MAP, bytes(mask.values())),
        (MASKED, bytes(&masked(exhibit.input, mask))),
        (LOGITS, bytes(logits)),
    ];
    if let Some(jpeg) = exhibit.jpeg {
        files.push((OWN_JPEG, jpeg.to_vec()));
    }
    let mut sums = String::new();
    for (name, contents) in &files {
        write_atomically(&draft.join(name), contents)?;
        sums.push_str(&format!("{}  {name}\n", sha256_hex(contents)));
    }
    write_atomically(&draft.join(SUMS), sums.as_bytes())
}

/// Little-endian on every machine.
fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

impl Bundle {
    /// Reads a bundle. Files whose sum is another are read too, and named in [`Bundle::altered`].
    ///
    /// # Errors
    /// A file is missing, or is not what its name says.
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        let sums = folder.join(SUMS);
        let listed = parse_sums(&sums)?;
        for needed in NEEDED {
            if !listed.iter().any(|(_, name)| name == needed) {
                return Err(BundleError::new(&sums, BundleErrorKind::Missing(needed)));
            }
        }
        let mut altered = Vec::new();
        for (sum, name) in &listed {
            let found = sha256_hex(&read(&folder.join(name))?);
            if !found.eq_ignore_ascii_case(sum) {
                altered.push(name.clone());
            }
        }
        let info = folder.join(INFO);
        let parsed: BundleInfo = serde_json::from_slice(&read(&info)?)
            .map_err(|error| BundleError::new(&info, BundleErrorKind::Info(error.to_string())))?;
        if parsed.format != BUNDLE_FORMAT {
            return Err(BundleError::new(&info, BundleErrorKind::Format(parsed.format)));
        }
        let picture = folder.join(PICTURE);
        let unreadable = |error: ImageError| BundleErrorKind::Picture(error.kind.to_string());
        Ok(Self {
            info: parsed,
            picture: read_rgb(&picture).map_err(|error| BundleError::new(&picture, unreadable(error)))?,
            input: numbers(&folder.join(INPUT))?,
            mask: numbers(&folder.join(MAP))?,
            masked: numbers(&folder.join(MASKED))?,
            logits: numbers(&folder.join(LOGITS))?,
            altered,
        })
    }
}

/// Lines as `sha256sum` writes them. Names are plain: a list must not lead out of its folder.
fn parse_sums(path: &Path) -> Result<Vec<(String, String)>, BundleError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut listed = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let parsed = line.split_once("  ").filter(|(sum, name)| {
            let plain =
                matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
            sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && plain
        });
        let (sum, name) = parsed.ok_or_else(|| BundleError::new(path, BundleErrorKind::Sums(number + 1)))?;
        listed.push((sum.to_owned(), name.to_owned()));
    }
    Ok(listed)
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    let too_large = || io::Error::other(format!("it is larger than {MAX_BYTES} bytes"));
    let fail = |error: io::Error| BundleError::new(path, error);
    if fs::metadata(path).map_err(fail)?.len() > MAX_BYTES {
        return Err(fail(too_large()));
    }
    fs::read(path).map_err(fail)
}

fn numbers(path: &Path) -> Result<Vec<f32>, BundleError> {
    let bytes = read(path)?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(BundleError::new(path, BundleErrorKind::Numbers));
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(text: &str) -> Result<Vec<(String, String)>, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SUMS);
        fs::write(&path, text).unwrap();
        parse_sums(&path)
    }

    #[test]
    fn a_list_that_leads_out_of_its_folder_is_refused() {
        let sum = "0".repeat(64);
        assert_eq!(sums(&format!("{sum}  a.f32\n")).unwrap().len(), 1);
        for name in ["../a", "/etc/passwd", "a/b", "..", ""] {
            let error = sums(&format!("{sum}  ok\n{sum}  {name}\n")).unwrap_err();
            assert!(matches!(error.kind, BundleErrorKind::Sums(2)), "{name}: {error}");
        }
        assert!(sums("short  a\n").is_err());
    }

    #[test]
    fn a_folder_that_is_no_bundle_names_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Bundle::read(folder.path()).unwrap_err().kind, BundleErrorKind::Io(_)));
        fs::write(folder.path().join(SUMS), "").unwrap();
        assert!(matches!(Bundle::read(folder.path()).unwrap_err().kind, BundleErrorKind::Missing(INFO)));
    }
}
