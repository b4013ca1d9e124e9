//! Opening what a user named.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::address::Address;
use super::commands::{self, CommandError, CommandLine, TypedCommand};
#[cfg(not(feature = "camera"))]
use super::devices::camera_behind;
use super::error::{SourceError, SourceErrorKind};
use super::files::FilesSource;
use super::http;
use super::interruptible::InterruptibleReader;
use super::options::OpenOptions;
use super::piped::Pipe;
use super::reader::{Opened, Source};
use super::repeating::Repeating;
use super::spec::{SourceSpec, is_stream, is_video};
use super::stream::StreamSource;
use super::supervised::{Rules, Supervised};
use super::synthetic::SyntheticSource;
use super::walk::{expand, images_in};
use crate::deadline::Deadline;

impl SourceSpec {
    /// Opens the source.
    ///
    /// # Errors
    /// It does not exist, holds no image, is a camera that cannot be opened, or needs a program that is not
    /// installed. What a network says is reported by the first frame: opening does not wait for it.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
        match self {
            Self::Camera(index) => open_camera(*index, options),
            Self::CameraLink(link) => open_link(link, options),
            Self::Csi(index) => open_csi(*index, options),
            Self::Address(address) => open_address(address, options),
            Self::Command(command) => open_command(command, options),
            Self::Path(path) => open_path(path, options),
            // An existing file is that file, whatever its name looks like.
            Self::Pattern(pattern) if Path::new(pattern).exists() => open_path(Path::new(pattern), options),
            Self::Pattern(pattern) => {
                let files = FilesSource::found(pattern, expand(Path::new(pattern))?);
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

fn open_path(path: &Path, options: &OpenOptions) -> Opened {
    let name = path.display().to_string();
    if path.is_dir() {
        let files = FilesSource::found(name, images_in(path)?);
        return Ok(Box::new(files.repeating(options.repeat)));
    }
    if !path.exists() {
        return Err(SourceError::new(name, SourceErrorKind::NotFound));
    }
    if !path.is_file() {
        let fault = "it is not a regular file; a pipe is read with 'exec:cat PIPE'";
        return Err(SourceError::new(name, SourceErrorKind::NotOpened(fault.into())));
    }
    if is_video(path) {
        let line = commands::video(path, options.live).map_err(|fault| not_opened(&name, &fault))?;
        let stop = Arc::clone(&options.stop);
        let pipe = Pipe { name, line, is_mjpeg: false, live: options.live, is_endless: false, stop };
        return open_file(options, move || pipe.open(&Deadline::default()));
    }
    if is_stream(path) {
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
    let line = commands::csi(index, options.camera).map_err(|fault| not_opened(&name, &fault))?;
    // nvarguscamerasrc writes messages between the images.
    let is_mjpeg = true;
    open_endless(name, line, is_mjpeg, rules(options, false))
}

fn open_command(command: &TypedCommand, options: &OpenOptions) -> Opened {
    let name = command.to_string();
    let unknown = |fault: CommandError| SourceError::new(&name, SourceErrorKind::Unknown(fault.to_string()));
    let line = command.split().map_err(unknown)?;
    open_endless(name, line, false, rules(options, false))
}

fn open_address(address: &Address, options: &OpenOptions) -> Opened {
    let name = address.to_string();
    let unknown = |why: &str| Err(SourceError::new(&name, SourceErrorKind::Unknown(why.into())));
    if address.secret().contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return unknown("an address contains no spaces; write %20 for one");
    }
    match address.scheme().as_str() {
        "http" => {
            let (address, stop) = (address.clone(), Arc::clone(&options.stop));
            let open = move |deadline: &Deadline| http::open(&address, &stop, deadline);
            Ok(Box::new(Supervised::open(name, open, rules(options, true))?))
        }
        "rtsp" | "rtsps" => {
            let line = commands::rtsp(address).map_err(|fault| not_opened(&name, &fault))?;
            open_endless(name, line, false, rules(options, true))
        }
        _ => unknown(
            "addresses begin with csi://, http:// or rtsp://; ffmpeg reads others: \
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

fn not_opened(name: &str, fault: &CommandError) -> SourceError {
    SourceError::new(name, SourceErrorKind::NotOpened(fault.to_string()))
}

#[cfg(feature = "camera")]
fn open_camera(index: u32, options: &OpenOptions) -> Opened {
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
    open_camera(camera_behind(link)?, options)
}

#[cfg(not(feature = "camera"))]
fn open_camera(index: u32, _: &OpenOptions) -> Opened {
    Err(SourceError::new(format!("camera{index}"), SourceErrorKind::NoCameraSupport))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    const CLIP: &[u8] = b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x80FRAME\n\x90";

    fn open(spec: &SourceSpec) -> Opened {
        spec.open(&OpenOptions::default())
    }

    fn parse(text: &str) -> SourceSpec {
        text.parse().unwrap()
    }

    fn frames(mut source: Box<dyn Source>) -> usize {
        std::iter::from_fn(|| source.next().unwrap()).count()
    }

    #[test]
    fn what_cannot_be_a_source_is_refused_with_the_list_of_forms_and_without_secrets() {
        for text in
            ["https://u:secret@host/1", "udp://host", "http://u:secret@a b", "exec:", "exec:secret 'a"]
        {
            let error = open(&parse(text)).err().unwrap();
            assert!(matches!(error.kind, SourceErrorKind::Unknown(_)));
            let message = error.to_string();
            assert!(message.contains("valid sources: ") && message.contains("synthetic["), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        // Of a video, before a program is looked for.
        for path in ["no/such.jpg", "no/such.mp4"] {
            let error = open(&parse(path)).err().unwrap();
            assert!(matches!(error.kind, SourceErrorKind::NotFound), "{error}");
            assert_eq!(error.name, path);
        }
    }

    #[test]
    fn an_existing_file_is_opened_even_if_its_name_looks_like_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        // Taken for a pattern, the first name would stand for the second.
        for name in ["clip [1].y4m", "clip 1.y4m"] {
            let count = if name.contains('[') { CLIP.len() } else { CLIP.len() - 7 };
            fs::write(folder.path().join(name), &CLIP[..count]).unwrap();
        }
        let spec = parse(folder.path().join("clip [1].y4m").to_str().unwrap());
        assert!(matches!(spec, SourceSpec::Pattern(_)));
        assert_eq!(frames(open(&spec).unwrap()), 2);
        let folder_with_brackets = folder.path().join("day [1]");
        fs::create_dir(&folder_with_brackets).unwrap();
        fs::write(folder_with_brackets.join("a.jpg"), "x").unwrap();
        let spec = parse(folder_with_brackets.to_str().unwrap());
        assert_eq!(frames(open(&spec).unwrap()), 1);
    }

    #[test]
    fn a_stream_whose_path_is_not_utf8_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsString::from_vec(b"caf\xe9.y4m".to_vec()));
        if fs::write(&path, CLIP).is_err() {
            // Some file systems take UTF-8 only.
            return;
        }
        let spec = SourceSpec::try_from(path.into_os_string()).unwrap();
        assert_eq!(frames(open(&spec).unwrap()), 2);
    }

    #[test]
    fn a_stream_file_is_recognised_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.y4m");
        fs::write(&path, CLIP).unwrap();
        let mut source = open(&SourceSpec::Path(path)).unwrap();
        assert_eq!(source.next().unwrap().unwrap().decode().unwrap().dimensions(), (1, 1));
    }

    #[cfg(not(feature = "camera"))]
    #[test]
    fn a_build_without_cameras_says_so() {
        let error = open(&parse("0")).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::NoCameraSupport));
    }
}
