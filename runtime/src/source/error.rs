//! What can go wrong with a source, and what that means for the frames after it.

use std::time::Duration;

/// What `--source` takes, for messages.
pub const GRAMMAR: &str = "valid sources: a camera's number (0), /dev/videoN or /dev/v4l/by-id/NAME, csi://N, \
rtsp://HOST/PATH, http://HOST/PATH (MJPEG), 'exec:COMMAND ARGUMENTS' (MJPEG or Y4M on its standard output), \
an image (.jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff), a stream file (.mjpeg, .y4m), \
a video (.mp4, .mkv, .avi, .mov, .webm, .m4v, .h264, .ts), a directory of images, a quoted 'glob*.jpg', \
- (MJPEG or Y4M on standard input), synthetic[:WxH,fps,seed,frames]";

/// Why a source gave no frame; `name` is the source, the file or the argument.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct SourceError {
    /// The source's name, the file's path, or what the user typed.
    pub name: String,
    /// What was wrong.
    pub kind: SourceErrorKind,
}

/// The ways in which a source can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The argument is of no known form.
    #[error("is not a valid source ({0}); {GRAMMAR}")]
    Unknown(String),
    /// The path does not exist.
    #[error("does not exist; {GRAMMAR}")]
    NotFound,
    /// A file could not be opened or read.
    #[error("cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// One file or folder of several could not be opened or read.
    #[error("cannot be read ({0})")]
    Unreadable(std::io::Error),
    /// A directory without images.
    #[error("holds no images (.jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff); hidden files are not read")]
    NoImages,
    /// A pattern without matches.
    #[error("matches no image (.jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff)")]
    NoMatch,
    /// One image or frame is larger than is read.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
    /// One frame is damaged.
    #[error("is damaged ({0})")]
    Damaged(String),
    /// A stream of no known kind.
    #[error("is neither MJPEG (FF D8) nor Y4M (YUV4MPEG2): {0}")]
    NotAStream(String),
    /// A stream header that cannot be used.
    #[error("has a Y4M header that cannot be used: {0}")]
    Header(String),
    /// The camera could not be opened.
    #[error("cannot be opened ({fault}); found: {found}")]
    Camera {
        /// What the driver or the library said.
        fault: String,
        /// The video devices of this machine.
        found: String,
    },
    /// A program or a server that should give frames does not.
    #[error("cannot be opened ({0})")]
    NotOpened(String),
    /// The program was built without cameras.
    #[error("this build has no camera support (it was built without the feature 'camera')")]
    NoCameraSupport,
    /// No frame came for too long; the source is being opened again.
    #[error("gave no frame for {}", silence(.waited, .stuck))]
    Stalled {
        /// How long it was silent.
        waited: Duration,
        /// Whether the thread did not come back from the driver either.
        stuck: bool,
    },
    /// The connection to the source was lost; it is being opened again.
    #[error("disconnected ({0})")]
    Disconnected(String),
    /// The source did not come back.
    #[error("is lost: it did not come back ({fault}; without images for {} s)", .after.as_secs())]
    Lost {
        /// How long re-opening was tried.
        after: Duration,
        /// The last fault.
        fault: String,
    },
}

fn silence(waited: &Duration, stuck: &bool) -> String {
    let seconds = waited.as_secs_f64();
    match stuck {
        false => format!("{seconds:.1} s"),
        true => format!("{seconds:.1} s; its thread hangs in the driver and was replaced"),
    }
}

/// What an error means for the frames after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// One frame is lost; the next one may be good.
    NextFrame,
    /// The source is opening itself again.
    Reconnecting,
    /// There will be no more frames.
    Lost,
}

impl SourceError {
    /// An error about `name`.
    pub fn new(name: impl Into<String>, kind: impl Into<SourceErrorKind>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }

    /// What the error means for the frames after it.
    pub fn recovery(&self) -> Recovery {
        match self.kind {
            SourceErrorKind::Damaged(_)
            | SourceErrorKind::TooLarge { .. }
            | SourceErrorKind::Unreadable(_) => Recovery::NextFrame,
            SourceErrorKind::Stalled { .. } | SourceErrorKind::Disconnected(_) => Recovery::Reconnecting,
            _ => Recovery::Lost,
        }
    }

    /// Whether a reader stopped waiting because its deadline had passed.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(&self.kind, SourceErrorKind::Io(fault) if fault.kind() == std::io::ErrorKind::TimedOut)
    }

    /// What to try next, where there is something to try.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.kind {
            // The camera library passes errors on as text only.
            SourceErrorKind::Camera { fault, .. } if fault.contains("os error 13") => {
                Some("join the group of the device: sudo usermod -aG video $USER, then log in again")
            }
            SourceErrorKind::Camera { fault, .. } if fault.contains("os error 16") => {
                Some("another program holds the camera: close it, or find it with 'fuser /dev/video*'")
            }
            SourceErrorKind::Camera { .. } | SourceErrorKind::Lost { .. } => Some(
                "'comet-edge doctor' looks for the cause; without a camera try --source DIR or --source synthetic",
            ),
            SourceErrorKind::NoCameraSupport => {
                Some("build with the default features, or try --source DIR or --source synthetic")
            }
            SourceErrorKind::NotAStream(_) | SourceErrorKind::Header(_) => Some(
                "ffmpeg makes one: ffmpeg -i FILE -vf scale=out_color_matrix=bt601 \
                 -f yuv4mpegpipe -pix_fmt yuv420p - | comet-edge run --source -",
            ),
            _ => None,
        }
    }
}
