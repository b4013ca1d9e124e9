//! What a user types after `--source`, and opening it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::error::{SourceError, SourceErrorKind};
use super::files::{FilesSource, expand, is_pattern};
use super::stdin::InterruptibleReader;
use super::stream::StreamSource;
use super::synthetic::{SyntheticScene, SyntheticSource};
use super::{Source, pictures_in};

/// A source as the user named it. Parsing touches no file and no device; [`open`](Self::open) does.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// `0` or `/dev/video0`.
    Camera(u32),
    /// A link to a camera that stays the same when others are plugged in: `/dev/v4l/by-id/...`.
    CameraLink(PathBuf),
    /// A picture, a stream file, or a folder of pictures.
    Path(PathBuf),
    /// A pattern of file names, such as `day*/*.jpg`.
    Pattern(String),
    /// `-`: MJPEG or Y4M on standard input.
    Stdin,
    /// A drawn scene.
    Synthetic(SyntheticScene),
}

/// How to open a source.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Set when the program shall end; sources that wait look at it.
    pub stop: Arc<AtomicBool>,
    /// Treat streams and the drawn scene as live: late frames are dropped. Cameras always are.
    pub live: bool,
    /// Begin again at the end of files.
    pub repeat: bool,
    /// What to ask of a camera.
    pub camera: CameraOptions,
}

/// What to ask of a camera; it may give something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameraOptions {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// How long to try to open it again after it broke off; zero gives up at once.
    pub reconnect: Duration,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self { width: 640, height: 480, fps: 30, reconnect: Duration::from_secs(30) }
    }
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = |why: &str| Err(SourceError::new(text, SourceErrorKind::Unknown(why.into())));
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if text.is_empty() {
            return unknown("it is empty");
        }
        let number = text.strip_prefix("/dev/video").unwrap_or(text);
        if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() {
            return match number.parse() {
                Ok(number) => Ok(Self::Camera(number)),
                Err(_) => unknown("no camera has such a number"),
            };
        }
        if text.starts_with("/dev/v4l/") {
            return Ok(Self::CameraLink(text.into()));
        }
        if let Some(settings) = text.strip_prefix("synthetic")
            && (settings.is_empty() || settings.starts_with(':'))
        {
            let settings = settings.trim_start_matches(':');
            return match settings.parse() {
                Ok(scene) => Ok(Self::Synthetic(scene)),
                Err(why) => unknown(&why),
            };
        }
        if text.contains("://") || text.starts_with("exec:") {
            return unknown("addresses and commands are not read; pipe them in with --source -");
        }
        if is_video(Path::new(text)) {
            return unknown("videos are not decoded; pipe one in: ffmpeg -i FILE -f yuv4mpegpipe -");
        }
        match is_pattern(text) {
            true => Ok(Self::Pattern(text.into())),
            false => Ok(Self::Path(text.into())),
        }
    }
}

impl SourceSpec {
    /// Opens the source.
    ///
    /// # Errors
    /// It does not exist, holds no picture, or is a camera that cannot be opened.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
        match self {
            Self::Camera(index) => open_camera(*index, options),
            Self::CameraLink(link) => open_camera(resolve(link)?, options),
            Self::Path(path) => open_path(path, options),
            Self::Pattern(pattern) => {
                let files = FilesSource::new(pattern, expand(Path::new(pattern))?);
                Ok(Box::new(files.repeating(options.repeat)))
            }
            Self::Stdin => {
                let reader = InterruptibleReader::new(std::io::stdin(), Arc::clone(&options.stop))
                    .map_err(|error| SourceError::new("stdin", error))?;
                Ok(Box::new(StreamSource::new("stdin", reader, options.live)))
            }
            Self::Synthetic(scene) => {
                let stop = Arc::clone(&options.stop);
                Ok(Box::new(SyntheticSource::new(scene.clone(), options.live, stop)))
            }
        }
    }
}

fn open_path(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    let name = path.display().to_string();
    if path.is_dir() {
        let files = FilesSource::new(name, pictures_in(path)?);
        return Ok(Box::new(files.repeating(options.repeat)));
    }
    if !path.exists() {
        return Err(SourceError::new(name, SourceErrorKind::NotFound));
    }
    if has_extension(path, &["mjpeg", "mjpg", "y4m"]) {
        let file = File::open(path).map_err(|error| SourceError::new(&name, error))?;
        return Ok(Box::new(StreamSource::new(name, file, options.live)));
    }
    let files = FilesSource::new(name, vec![path.to_path_buf()]);
    Ok(Box::new(files.repeating(options.repeat)))
}

#[cfg(feature = "camera")]
fn open_camera(index: u32, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    let stop = Arc::clone(&options.stop);
    let camera = super::camera::CameraSource::open(index, options.camera, stop)?;
    Ok(Box::new(camera))
}

#[cfg(not(feature = "camera"))]
fn open_camera(index: u32, _: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::new(format!("camera{index}"), SourceErrorKind::NoCameraSupport))
}

/// The number behind a link: the camera library takes numbers only.
fn resolve(link: &Path) -> Result<u32, SourceError> {
    let name = link.display().to_string();
    let node = link.canonicalize().map_err(|error| SourceError::new(&name, error))?;
    let number = node.file_name().and_then(|node| node.to_str()?.strip_prefix("video")?.parse().ok());
    let not_a_camera = || {
        let why = format!("it leads to {}", node.display());
        SourceError::new(&name, SourceErrorKind::Unknown(why))
    };
    number.ok_or_else(not_a_camera)
}

fn is_video(path: &Path) -> bool {
    has_extension(path, &["mp4", "mkv", "avi", "mov", "webm", "m4v", "h264", "ts"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    known.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SourceSpec {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(parse("0"), SourceSpec::Camera(0));
        assert_eq!(parse("/dev/video12"), SourceSpec::Camera(12));
        assert_eq!(parse("/dev/v4l/by-id/usb-x"), SourceSpec::CameraLink("/dev/v4l/by-id/usb-x".into()));
        assert_eq!(parse("-"), SourceSpec::Stdin);
        assert_eq!(parse("photo.jpg"), SourceSpec::Path("photo.jpg".into()));
        assert_eq!(parse("./0"), SourceSpec::Path("./0".into()));
        assert_eq!(parse("synthetics/"), SourceSpec::Path("synthetics/".into()));
        assert_eq!(parse("a*.jpg"), SourceSpec::Pattern("a*.jpg".into()));
        assert_eq!(parse("synthetic"), SourceSpec::Synthetic(SyntheticScene::default()));
        let scene = SyntheticScene { width: 320, height: 240, fps: 0, seed: 7, frames: Some(9) };
        assert_eq!(parse("synthetic:320x240,0,7,9"), SourceSpec::Synthetic(scene));
    }

    #[test]
    fn everything_else_is_refused_with_the_list_of_forms() {
        let texts =
            ["", "99999999999", "rtsp://host/1", "exec:cat", "clip.MP4", "synthetic:axb", "synthetic:1x1"];
        for text in texts {
            let error = text.parse::<SourceSpec>().unwrap_err();
            let message = error.to_string();
            assert!(message.contains("understood are") && message.contains("synthetic["), "{message}");
        }
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        let error = parse("no/such.jpg").open(&OpenOptions::default()).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::NotFound));
        assert_eq!(error.name, "no/such.jpg");
    }

    #[test]
    fn a_stream_file_is_recognised_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.y4m");
        std::fs::write(&path, b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x80").unwrap();
        let mut source = SourceSpec::Path(path).open(&OpenOptions::default()).unwrap();
        assert_eq!(source.next().unwrap().unwrap().decode().unwrap().dimensions(), (1, 1));
    }

    #[cfg(not(feature = "camera"))]
    #[test]
    fn a_build_without_cameras_says_so() {
        let error = parse("0").open(&OpenOptions::default()).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::NoCameraSupport));
    }
}
