//! What a user types after `--source`, and opening it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::address::Address;
use super::commands::{self, CommandLine, TypedCommand};
use super::error::{SourceError, SourceErrorKind};
use super::files::{FilesSource, expand, is_pattern};
use super::piped::Pipe;
use super::repeating::Repeating;
use super::stdin::{Deadline, InterruptibleReader};
use super::stream::StreamSource;
use super::supervised::{Rules, Supervised};
use super::synthetic::{SyntheticScene, SyntheticSource};
use super::{Opened, Source, http, pictures_in};

/// A source as the user named it. Parsing touches no file and no device; [`open`](Self::open) does.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// `0` or `/dev/video0`.
    Camera(u32),
    /// A link to a camera that stays the same when others are plugged in: `/dev/v4l/by-id/...`.
    CameraLink(PathBuf),
    /// `csi://0`: a ribbon-cable camera of a Raspberry Pi or a Jetson, read by the maker's program.
    Csi(u32),
    /// `rtsp://`, read by ffmpeg, or `http://` with multipart MJPEG.
    Address(Address),
    /// `exec:COMMAND`: a program that writes MJPEG or Y4M. It is started again whenever it ends.
    Command(TypedCommand),
    /// A picture, a stream file, a video, or a folder of pictures.
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
    /// Treat streams, videos and the drawn scene as live: late frames are dropped. Cameras, addresses and
    /// commands always are.
    pub live: bool,
    /// Begin again at the end of files, streams and videos in files included.
    pub repeat: bool,
    /// What to ask of a camera.
    pub camera: CameraOptions,
}

/// What to ask of a camera; it may give something else. Addresses and commands take only what concerns
/// opening them again.
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
        if let Some(index) = text.strip_prefix("csi://") {
            return match index.parse() {
                Ok(index) => Ok(Self::Csi(index)),
                Err(_) => unknown("a CSI camera has a number: csi://0"),
            };
        }
        // What is wrong with these is told when they are opened, without their secrets: whoever parses
        // arguments repeats a refused one word by word.
        if let Some(command) = text.strip_prefix("exec:") {
            return Ok(Self::Command(TypedCommand::new(command)));
        }
        if text.contains("://") {
            return Ok(Self::Address(Address::new(text)));
        }
        match is_pattern(text) && !is_video(Path::new(text)) {
            true => Ok(Self::Pattern(text.into())),
            false => Ok(Self::Path(text.into())),
        }
    }
}

impl SourceSpec {
    /// A word for topics and titles: `camera0`, the name of a file, or the kind of the source. No credentials are in it.
    pub fn short_name(&self) -> String {
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        match self {
            Self::Camera(index) => format!("camera{index}"),
            Self::Csi(index) => format!("csi{index}"),
            Self::CameraLink(path) | Self::Path(path) => stem(path).unwrap_or_else(|| "files".into()),
            Self::Address(_) => "stream".into(),
            Self::Command(_) => "program".into(),
            Self::Pattern(_) => "files".into(),
            Self::Stdin => "stdin".into(),
            Self::Synthetic(_) => "synthetic".into(),
        }
    }

    /// Whether its frames come at their own pace; `live` is [`OpenOptions::live`].
    pub fn is_live(&self, live: bool) -> bool {
        let paced = matches!(
            self,
            Self::Camera(_) | Self::CameraLink(_) | Self::Csi(_) | Self::Address(_) | Self::Command(_)
        );
        paced || live
    }

    /// Opens the source.
    ///
    /// # Errors
    /// It does not exist, holds no picture, is a camera that cannot be opened, or needs a program that is not
    /// installed. What a network says is told by the first frame: opening does not wait for it.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
        match self {
            Self::Camera(index) => open_camera(*index, options),
            Self::CameraLink(link) => open_link(link, options),
            Self::Csi(index) => open_csi(*index, options),
            Self::Address(address) => open_address(address, options),
            Self::Command(command) => open_command(command, options),
            Self::Path(path) => open_path(path, options),
            Self::Pattern(pattern) => {
                let files = FilesSource::new(pattern, expand(Path::new(pattern))?);
                Ok(Box::new(files.repeating(options.repeat)))
            }
            Self::Stdin => {
                let reader = InterruptibleReader::new("stdin", std::io::stdin(), Arc::clone(&options.stop))
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
    if !path.is_file() {
        let fault = "it is no regular file; a pipe is read with 'exec:cat PIPE'";
        return Err(not_opened(&name, fault.into()));
    }
    if is_video(path) {
        let line = commands::video(path, options.live).map_err(|fault| not_opened(&name, fault))?;
        let stop = Arc::clone(&options.stop);
        let pipe = Pipe { name, line, is_mjpeg: false, live: options.live, is_endless: false, stop };
        return open_file(options, move || pipe.open(&Deadline::default()));
    }
    if has_extension(path, &["mjpeg", "mjpg", "y4m"]) {
        let (path, live) = (path.to_path_buf(), options.live);
        return open_file(options, move || {
            let file = File::open(&path).map_err(|error| SourceError::new(&name, error))?;
            Ok(Box::new(StreamSource::new(&name, file, live)))
        });
    }
    let files = FilesSource::new(name, vec![path.to_path_buf()]);
    Ok(Box::new(files.repeating(options.repeat)))
}

/// Opens a stream in a file, again and again if asked.
fn open_file(options: &OpenOptions, mut open: impl FnMut() -> Opened + Send + 'static) -> Opened {
    match options.repeat {
        true => Ok(Box::new(Repeating::open(open, Arc::clone(&options.stop))?)),
        false => open(),
    }
}

fn open_csi(index: u32, options: &OpenOptions) -> Opened {
    let name = format!("csi{index}");
    let line = commands::csi(index, options.camera).map_err(|fault| not_opened(&name, fault))?;
    // nvarguscamerasrc writes words between the pictures.
    let is_mjpeg = true;
    open_endless(name, line, is_mjpeg, rules(options, false))
}

fn open_command(command: &TypedCommand, options: &OpenOptions) -> Opened {
    let name = command.to_string();
    let line = command.split().map_err(|fault| SourceError::new(&name, SourceErrorKind::Unknown(fault)))?;
    open_endless(name, line, false, rules(options, false))
}

fn open_address(address: &Address, options: &OpenOptions) -> Opened {
    let name = address.to_string();
    let unknown = |why: &str| Err(SourceError::new(&name, SourceErrorKind::Unknown(why.into())));
    if address.secret().contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return unknown("an address holds no blanks; %20 stands for one");
    }
    match address.scheme().as_str() {
        "http" => {
            let (address, stop) = (address.clone(), Arc::clone(&options.stop));
            let open = move |deadline: &Deadline| http::open(&address, &stop, deadline);
            Ok(Box::new(Supervised::open(name, open, rules(options, true))?))
        }
        "rtsp" | "rtsps" => {
            let line = commands::rtsp(address).map_err(|fault| not_opened(&name, fault))?;
            open_endless(name, line, false, rules(options, true))
        }
        _ => unknown(
            "of addresses, csi://, http:// and rtsp:// are; what ffmpeg reads: \
             'exec:ffmpeg -loglevel error -i ADDRESS -f yuv4mpegpipe -pix_fmt yuv420p -'",
        ),
    }
}

/// A program that is started again whenever it ends.
fn open_endless(name: String, line: CommandLine, is_mjpeg: bool, rules: Rules) -> Opened {
    let stop = Arc::clone(&rules.stop);
    let pipe = Pipe { name: name.clone(), line, is_mjpeg, live: true, is_endless: true, stop };
    let open = move |deadline: &Deadline| pipe.open(deadline);
    Ok(Box::new(Supervised::open(name, open, rules)?))
}

fn rules(options: &OpenOptions, is_remote: bool) -> Rules {
    Rules { reconnect: options.camera.reconnect, is_remote, stop: Arc::clone(&options.stop) }
}

fn not_opened(name: &str, fault: String) -> SourceError {
    SourceError::new(name, SourceErrorKind::NotOpened(fault))
}

#[cfg(feature = "camera")]
fn open_camera(index: u32, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    let stop = Arc::clone(&options.stop);
    let camera = super::camera::CameraSource::open(index, options.camera, stop)?;
    Ok(Box::new(camera))
}

#[cfg(feature = "camera")]
fn open_link(link: &Path, options: &OpenOptions) -> Opened {
    let stop = Arc::clone(&options.stop);
    Ok(Box::new(super::camera::CameraSource::open_link(link, options.camera, stop)?))
}

#[cfg(not(feature = "camera"))]
fn open_link(link: &Path, options: &OpenOptions) -> Opened {
    open_camera(resolve(link)?, options)
}

#[cfg(not(feature = "camera"))]
fn open_camera(index: u32, _: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::new(format!("camera{index}"), SourceErrorKind::NoCameraSupport))
}

/// The number behind a link: the camera library takes numbers only.
pub(super) fn resolve(link: &Path) -> Result<u32, SourceError> {
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
        assert_eq!(parse("csi://1"), SourceSpec::Csi(1));
        let address = "rtsp://user:secret@host/1";
        assert_eq!(parse(address), SourceSpec::Address(Address::new(address)));
        assert_eq!(parse("exec:cat 'a b'"), SourceSpec::Command(TypedCommand::new("cat 'a b'")));
        assert_eq!(parse("-[1].MP4"), SourceSpec::Path("-[1].MP4".into()));
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
        let texts = ["", "99999999999", "csi://", "csi://a", "synthetic:axb", "synthetic:1x1"];
        let refused = texts.map(|text| text.parse::<SourceSpec>().unwrap_err());
        let texts =
            ["https://u:secret@host/1", "udp://host", "http://u:secret@a b", "exec:", "exec:secret 'a"];
        let not_opened = texts.map(|text| parse(text).open(&OpenOptions::default()).err().unwrap());
        for error in refused.into_iter().chain(not_opened) {
            assert!(matches!(error.kind, SourceErrorKind::Unknown(_)));
            let message = error.to_string();
            assert!(message.contains("understood are") && message.contains("synthetic["), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        let error = parse("no/such.jpg").open(&OpenOptions::default()).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::NotFound));
        assert_eq!(error.name, "no/such.jpg");
    }

    #[test]
    fn what_was_typed_is_shown_without_its_secrets() {
        for text in ["rtsp://u:secret@host/1", "http://host/?secret", "exec:cat --token secret"] {
            let shown = format!("{:?}", parse(text));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn a_video_that_does_not_exist_is_named_before_a_program_is_looked_for() {
        let error = parse("no/such.mp4").open(&OpenOptions::default()).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::NotFound), "{error}");
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
