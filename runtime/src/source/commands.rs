//! Which program gives the frames of a CSI camera, a video or an RTSP camera, and with which arguments.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::options::CameraOptions;

const RASPBERRY: [&str; 2] = ["rpicam-vid", "libcamera-vid"];
const JETSON: &str = "gst-launch-1.0";
const FFMPEG: &str = "ffmpeg";
/// Most videos are tagged BT.709, and the header of Y4M has no room for that: ffmpeg converts them to BT.601, which
/// is what [`RawImage`](super::raw::RawImage) reads.
const FRAMES: &str = "-vf scale=out_color_matrix=bt601 -f yuv4mpegpipe -pix_fmt yuv420p -";

/// Why there is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    #[error("a quotation mark after exec: is not closed")]
    OpenQuotation,
    #[error("there is no command after exec:")]
    Empty,
    #[error(
        "none of rpicam-vid, libcamera-vid and gst-launch-1.0 is installed; on a Raspberry Pi: \
         sudo apt install rpicam-apps, on a Jetson: sudo apt install gstreamer1.0-tools"
    )]
    NoCameraProgram,
    #[error("ffmpeg is not installed, which decodes videos and RTSP; sudo apt install ffmpeg")]
    NoFfmpeg,
}

/// A program and its arguments, word by word: no shell looks at them.
pub(super) struct CommandLine {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl CommandLine {
    /// The program's file name. The arguments may hold secrets.
    pub(super) fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A command as the user typed it after `exec:`. Shown, it hides its arguments, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedCommand(String);

impl TypedCommand {
    /// Takes any text; whether it is a command is seen when it is opened.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The command as it was typed, with its secrets.
    #[cfg(feature = "mqtt")]
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// The words of the command, with the quoting rules of a shell.
    pub(super) fn split(&self) -> Result<CommandLine, CommandError> {
        let words = shlex::split(&self.0).ok_or(CommandError::OpenQuotation)?;
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or(CommandError::Empty)?.into();
        Ok(CommandLine { program, arguments: words.map(OsString::from).collect() })
    }
}

impl fmt::Display for TypedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.split().map(|line| line.name()).unwrap_or_default();
        write!(f, "exec:{name}")
    }
}

impl fmt::Debug for TypedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What reads CSI camera `index` of a Raspberry Pi or a Jetson, as MJPEG.
pub(super) fn csi(index: u32, camera: CameraOptions) -> Result<CommandLine, CommandError> {
    csi_among(index, camera, &search_path())
}

fn csi_among(index: u32, camera: CameraOptions, folders: &OsStr) -> Result<CommandLine, CommandError> {
    let CameraOptions { width, height, fps, .. } = camera;
    if let Some(program) = RASPBERRY.iter().find_map(|name| find(name, folders)) {
        let words = format!(
            "-t 0 -n --camera {index} --codec mjpeg --width {width} --height {height} --framerate {fps} -o -"
        );
        return Ok(CommandLine { program, arguments: split_words(&words) });
    }
    if let Some(program) = find(JETSON, folders) {
        let words = format!(
            "-q nvarguscamerasrc sensor-id={index} ! \
             video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! nvjpegenc ! fdsink"
        );
        return Ok(CommandLine { program, arguments: split_words(&words) });
    }
    Err(CommandError::NoCameraProgram)
}

/// What decodes a video file; at its own pace if `live`.
pub(super) fn video(path: &Path, live: bool) -> Result<CommandLine, CommandError> {
    // Behind 'file:' a name is neither an option nor another protocol, whatever it looks like.
    let mut input = OsString::from("file:");
    input.push(path);
    ffmpeg(if live { "-re" } else { "" }, input, &search_path())
}

/// What decodes an RTSP camera.
pub(super) fn rtsp(address: &Address) -> Result<CommandLine, CommandError> {
    ffmpeg("-rtsp_transport tcp", address.secret().into(), &search_path())
}

fn ffmpeg(options: &str, input: OsString, folders: &OsStr) -> Result<CommandLine, CommandError> {
    let program = find(FFMPEG, folders).ok_or(CommandError::NoFfmpeg)?;
    let mut arguments = split_words(&format!("-nostdin -hide_banner -loglevel error {options} -i"));
    arguments.push(input);
    arguments.extend(split_words(FRAMES));
    Ok(CommandLine { program, arguments })
}

fn split_words(words: &str) -> Vec<OsString> {
    words.split_whitespace().map(OsString::from).collect()
}

fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_default()
}

/// The first executable file of this name in the folders of a search path.
fn find(name: &str, folders: &OsStr) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(folders).map(|folder| folder.join(name)).find(is_executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &CommandLine) -> Vec<&str> {
        line.arguments.iter().map(|word| word.to_str().unwrap()).collect()
    }

    fn install(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_program_for_a_csi_camera_that_can_be_run_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let camera = CameraOptions::default();
        let fault = csi_among(0, camera, path).err().unwrap().to_string();
        for name in RASPBERRY.into_iter().chain([JETSON, "apt install"]) {
            assert!(fault.contains(name), "{fault}");
        }
        install(folder.path(), "rpicam-vid", 0o644);
        install(folder.path(), JETSON, 0o755);
        let line = csi_among(1, camera, path).unwrap();
        assert_eq!(line.name(), JETSON);
        let caps = "video/x-raw(memory:NVMM),width=640,height=480,framerate=30/1";
        let expected = ["-q", "nvarguscamerasrc", "sensor-id=1", "!", caps, "!", "nvjpegenc", "!", "fdsink"];
        assert_eq!(words(&line), expected);
        install(folder.path(), "libcamera-vid", 0o755);
        let line = csi_among(1, camera, path).unwrap();
        assert_eq!(line.name(), "libcamera-vid");
        assert!(words(&line).join(" ").contains("--camera 1 --codec mjpeg --width 640"));
    }

    #[test]
    fn no_file_name_becomes_an_option_of_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let fault = ffmpeg("", "x".into(), path).err().unwrap();
        assert!(fault.to_string().contains("apt install ffmpeg"), "{fault}");
        install(folder.path(), FFMPEG, 0o755);
        let line = ffmpeg("", "file:-x.mp4".into(), path).unwrap();
        let expected = ["-nostdin", "-hide_banner", "-loglevel", "error", "-i", "file:-x.mp4"];
        assert_eq!(words(&line)[..6], expected);
    }

    #[test]
    fn colours_tagged_bt709_are_converted_by_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        install(folder.path(), FFMPEG, 0o755);
        for options in ["", "-re", "-rtsp_transport tcp"] {
            let line = ffmpeg(options, "x".into(), path).unwrap();
            let filter = words(&line).iter().position(|word| *word == "-vf").unwrap();
            assert_eq!(words(&line)[filter + 1], "scale=out_color_matrix=bt601");
            assert_eq!(words(&line)[filter - 2..filter], ["-i", "x"]);
        }
    }

    #[test]
    fn a_typed_command_is_split_as_a_shell_does_and_shows_its_program_only() {
        let command = TypedCommand::new("/usr/bin/cat 'a b' --token=secret");
        assert_eq!(words(&command.split().unwrap()), ["a b", "--token=secret"]);
        assert_eq!(format!("{command} {command:?}"), "exec:cat \"exec:cat\"");
        for (text, fault) in
            [("", CommandError::Empty), ("''", CommandError::Empty), ("cat 'a", CommandError::OpenQuotation)]
        {
            assert_eq!(TypedCommand::new(text).split().err(), Some(fault), "{text}");
        }
    }
}
