//! The arguments of `run`. The same names serve in configuration files and, as `COMET_EDGE_*`, in the environment.

#[cfg(feature = "web")]
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, value_parser};

use super::shared::{ModelArgs, OutputArgs, ThreadArgs};
use super::values::{degrees, duration, frames_a_second, ratio};
#[cfg(feature = "web")]
use crate::sink::parse_web_address;
use crate::source::SourceSpec;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge run                                   camera 0
  comet-edge run --camera 0 --http                 with the live page on http://127.0.0.1:8080/
  comet-edge run --source csi://0                  the ribbon camera of a Raspberry Pi or a Jetson
  comet-edge run --source rtsp://user:secret@cam/1 --record clips --quota 2GiB
  comet-edge run --source photos/ --json           a folder, one JSON object a line
  ffmpeg -i clip.mp4 -f yuv4mpegpipe - | comet-edge run --source -
  comet-edge run --source synthetic:320x240,10,7 --frames 50 --overlay out
  comet-edge run --config /etc/comet-edge.toml     every option from a file

Cameras are live: a frame that arrives while another is being predicted replaces the one that waits. Of everything \
else each frame is predicted, unless --live is given. Ctrl-C and SIGTERM end a run with exit code 0; SIGHUP reads the \
model file again and changes to it if it passes its checks. A run over files ends with exit code 5 if no image could \
be read or a result could not be written.")]
pub(crate) struct RunArgs {
    /// Read options from a TOML file; typed options and COMET_EDGE_* variables take precedence
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Number of a camera; short for --source N [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "source")]
    pub(crate) camera: Option<u32>,
    /// Camera, csi://N, image, video, folder, 'pattern', rtsp:// or http:// address, exec:COMMAND, - (MJPEG or Y4M on
    /// stdin), or synthetic[:WxH,fps,seed,frames]
    #[arg(long, value_name = "SOURCE", value_parser = OsStringValueParser::new().try_map(SourceSpec::try_from))]
    pub(crate) source: Option<SourceSpec>,
    /// Print one JSON object a line (the default where stdout is not a terminal)
    #[arg(long)]
    pub(crate) json: bool,
    /// Print one line of text a frame (the default on a terminal)
    #[arg(long, conflicts_with = "json")]
    pub(crate) text: bool,
    /// Append one JSON object a line to FILE; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) jsonl: Option<PathBuf>,
    /// End after N predictions
    #[arg(long, value_name = "N")]
    pub(crate) frames: Option<u64>,
    /// End after this time: 10s, 500ms, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Predict every Nth frame only
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// Predict at most N frames a second
    #[arg(long, value_name = "N", value_parser = frames_a_second)]
    pub(crate) max_fps: Option<f64>,
    /// Start again at the end of files
    #[arg(long = "loop")]
    pub(crate) repeat: bool,
    /// Drop frames of a stream that arrive too late, as for a camera
    #[arg(long)]
    pub(crate) live: bool,
    /// Show a window with the overlay
    #[cfg(feature = "window")]
    #[arg(long)]
    pub(crate) window: bool,
    #[command(flatten)]
    pub(crate) camera_settings: CameraArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[cfg(feature = "web")]
    #[command(flatten)]
    pub(crate) page: PageArgs,
    #[command(flatten)]
    pub(crate) recording: RecordingArgs,
    #[cfg(feature = "mqtt")]
    #[command(flatten)]
    pub(crate) mqtt: MqttArgs,
    #[command(flatten)]
    pub(crate) board: BoardArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadArgs,
    #[command(flatten)]
    pub(crate) outputs: OutputArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Camera")]
pub(crate) struct CameraArgs {
    /// Columns to ask of a camera
    #[arg(long, value_name = "PIXELS", default_value_t = 640, value_parser = value_parser!(u32).range(16..=16_384))]
    pub(crate) width: u32,
    /// Rows to ask of a camera
    #[arg(long, value_name = "PIXELS", default_value_t = 480, value_parser = value_parser!(u32).range(16..=16_384))]
    pub(crate) height: u32,
    /// Frames a second to ask of a camera
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) fps: u32,
    /// End when a camera or stream disconnects, instead of opening it again
    #[arg(long)]
    pub(crate) no_reconnect: bool,
    /// How long to try to open a disconnected camera or stream again [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "no_reconnect")]
    pub(crate) reconnect: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// Check every Nth prediction (sufficiency, completeness, stability, contour, drift); 0 for never
    /// [default: 32; with --reference 96]
    #[arg(long, value_name = "N")]
    pub(crate) check_every: Option<u64>,
    /// Float model to measure drift against, in the checks
    #[arg(long, value_name = "FILE")]
    pub(crate) reference: Option<PathBuf>,
    /// Withhold a class that is less probable than P, 0 to 1
    #[arg(long, value_name = "P", value_parser = ratio)]
    pub(crate) abstain_below: Option<f64>,
    /// Average class probabilities and map over time; W is the weight of the newest frame, 0 (off) to 1
    /// [default if given: 0.3]
    #[arg(long, value_name = "W", value_parser = ratio, num_args = 0..=1, default_missing_value = "0.3", require_equals = true)]
    pub(crate) smooth: Option<f64>,
    /// Smallest IoU of the map under a shift of two pixels
    #[arg(long, value_name = "IOU", value_parser = ratio)]
    pub(crate) min_stability: Option<f64>,
    /// Smallest IoU with the map of --reference
    #[arg(long, value_name = "IOU", value_parser = ratio)]
    pub(crate) min_drift_iou: Option<f64>,
    /// Raise an alarm when less than this share of the last 64 checks holds
    #[arg(long, value_name = "SHARE", value_parser = ratio)]
    pub(crate) alarm_below: Option<f64>,
    /// Write bundles of evidence for flagged predictions, at most one a minute, and when the page asks for one
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
    /// Write no more bundles once the folder holds N
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "evidence")]
    pub(crate) evidence_limit: usize,
}

#[cfg(feature = "web")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Live page")]
pub(crate) struct PageArgs {
    /// Serve the live page, metrics and state; a port alone is one of this machine [default if given: 127.0.0.1:8080]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:8080",
        require_equals = false,
        value_parser = parse_web_address
    )]
    pub(crate) http: Option<SocketAddr>,
    /// File with the token that viewers must give; needed for addresses other than 127.0.0.1
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) token_file: Option<PathBuf>,
    /// Host name by which viewers may call this machine, beside its address; may be repeated
    #[arg(long, value_name = "HOST", requires = "http")]
    pub(crate) http_host: Vec<String>,
    /// Most connections at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) http_clients: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordingArgs {
    /// Record images (MJPEG-AVI) and results (JSON lines) in segments
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Keep the recording below this size by removing its oldest segments: 500MB, 2GiB
    #[arg(long, value_name = "SIZE", requires = "record")]
    pub(crate) quota: Option<crate::sink::ByteSize>,
    /// Length of a segment
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) segment: Duration,
}

#[cfg(feature = "mqtt")]
#[derive(Debug, Args)]
#[command(next_help_heading = "MQTT")]
pub(crate) struct MqttArgs {
    /// Publish results and state: mqtt://[user:password@]host[:port]
    #[arg(long, value_name = "URL")]
    pub(crate) mqtt: Option<String>,
    /// First part of the topics
    #[arg(long, value_name = "PREFIX", default_value = "comet-edge")]
    pub(crate) mqtt_topic: String,
    /// Second part of the topics [default: made of the names of machine and source]
    #[arg(long, value_name = "NAME")]
    pub(crate) camera_name: Option<String>,
    /// Do not announce the camera to Home Assistant
    #[arg(long)]
    pub(crate) no_discovery: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Board")]
pub(crate) struct BoardArgs {
    /// Predict less often above this temperature, in degrees Celsius
    #[arg(long, value_name = "DEGREES", default_value_t = 80.0, value_parser = degrees)]
    pub(crate) max_temp: f64,
    /// Where /sys is found, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) sysfs_root: PathBuf,
}
