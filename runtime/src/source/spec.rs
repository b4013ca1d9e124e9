//! What a user types after `--source`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::address::Address;
use super::commands::TypedCommand;
use super::error::{SourceError, SourceErrorKind};
use super::synthetic::SyntheticScene;
use super::walk::is_pattern;

/// A source as the user named it. Parsing touches no file and no device; [`open`](Self::open) does.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// `0` or `/dev/video0`.
    Camera(u32),
    /// A link to a camera that stays the same when others are plugged in: `/dev/v4l/by-id/...`.
    CameraLink(PathBuf),
    /// `csi://0`: a ribbon-cable camera of a Raspberry Pi or a Jetson, read by the maker's program.
    Csi(u32),
    /// `rtsp://`, read by ffmpeg, or `http://` with MJPEG.
    Address(Address),
    /// `exec:COMMAND`: a program that writes MJPEG or Y4M. It is started again whenever it ends.
    Command(TypedCommand),
    /// An image, a stream file, a video, or a folder of images.
    Path(PathBuf),
    /// A pattern of file names, such as `day*/*.jpg`, or a file whose name looks like one.
    Pattern(String),
    /// `-`: MJPEG or Y4M on standard input.
    Stdin,
    /// A drawn scene.
    Synthetic(SyntheticScene),
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
                Err(fault) => unknown(&fault.to_string()),
            };
        }
        if let Some(index) = text.strip_prefix("csi://") {
            return match index.parse() {
                Ok(index) => Ok(Self::Csi(index)),
                Err(_) => unknown("a CSI camera has a number: csi://0"),
            };
        }
        // What is wrong with these is reported when they are opened, without their secrets: a parser
        // of arguments repeats a refused one word by word.
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

impl TryFrom<OsString> for SourceSpec {
    type Error = SourceError;

    /// Reads an argument. One that is not valid UTF-8 can only be a path.
    fn try_from(argument: OsString) -> Result<Self, Self::Error> {
        match argument.into_string() {
            Ok(text) => text.parse(),
            Err(path) => Ok(Self::Path(path.into())),
        }
    }
}

impl SourceSpec {
    /// Text by which this source differs from every other one of this machine. It may hold secrets and is meant to be
    /// hashed, not shown; a login is left out, so that a new password does not make another source.
    #[cfg(feature = "mqtt")]
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Address(address) => address.split_login().0,
            Self::Command(command) => command.secret().to_owned(),
            Self::Pattern(pattern) => pattern.clone(),
            Self::Path(path) | Self::CameraLink(path) => {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                whole.display().to_string()
            }
            Self::Synthetic(scene) => format!("{scene:?}"),
            _ => self.short_name(),
        }
    }

    /// A short name for topics and titles: `camera0`, the name of a file, or the kind of the source. No credentials are
    /// in it.
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

    /// Whether its frames come at their own pace; `live` is
    /// [`OpenOptions::live`](super::options::OpenOptions::live).
    pub fn is_live(&self, live: bool) -> bool {
        let paced = matches!(
            self,
            Self::Camera(_) | Self::CameraLink(_) | Self::Csi(_) | Self::Address(_) | Self::Command(_)
        );
        paced || live
    }
}

/// Whether the name ends as that of a video which ffmpeg decodes.
pub(super) fn is_video(path: &Path) -> bool {
    has_extension(path, &["mp4", "mkv", "avi", "mov", "webm", "m4v", "h264", "ts"])
}

/// Whether the name ends as that of a stream which is read as it is.
pub(super) fn is_stream(path: &Path) -> bool {
    has_extension(path, &["mjpeg", "mjpg", "y4m"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    known.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn parse(text: &str) -> SourceSpec {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(feature = "mqtt")]
    fn two_sources_differ_by_what_is_never_shown_of_them() {
        let identity = |text: &str| text.parse::<SourceSpec>().unwrap().identity();
        for (one, other) in [
            ("exec:cat one.mjpeg", "exec:cat two.mjpeg"),
            ("http://cam/stream?channel=1", "http://cam/stream?channel=2"),
            ("synthetic:64x64,20,1", "synthetic:64x64,20,2"),
        ] {
            assert_ne!(identity(one), identity(other));
        }
        assert_eq!(identity("http://user:old@cam/1"), identity("http://user:new@cam/1"));
    }

    #[test]
    fn every_form_is_recognised() {
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
        for text in ["", "99999999999", "csi://", "csi://a", "synthetic:axb", "synthetic:1x1"] {
            let error = text.parse::<SourceSpec>().unwrap_err();
            assert!(matches!(error.kind, SourceErrorKind::Unknown(_)));
            let message = error.to_string();
            assert!(message.contains("valid sources: ") && message.contains("synthetic["), "{message}");
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_is_taken_as_it_is() {
        let bytes = b"caf\xe9*.jpg".to_vec();
        let spec = SourceSpec::try_from(OsString::from_vec(bytes.clone())).unwrap();
        assert_eq!(spec, SourceSpec::Path(OsString::from_vec(bytes).into()));
        assert_eq!(SourceSpec::try_from(OsString::from("csi://1")).unwrap(), SourceSpec::Csi(1));
    }

    #[test]
    fn what_was_typed_is_shown_without_its_secrets() {
        for text in ["rtsp://u:secret@host/1", "http://host/?secret", "exec:cat --token secret"] {
            let shown = format!("{:?}", parse(text));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
