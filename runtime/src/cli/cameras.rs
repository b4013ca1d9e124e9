//! `cameras`: the cameras that could be opened.

use serde::Serialize;

use super::args::CamerasArgs;
use super::exit::Exit;
use super::print::{print_json, print_text, say};
use crate::source::{VideoDevice, video_devices};

#[derive(Serialize)]
struct Camera {
    #[serde(flatten)]
    device: VideoDevice,
    /// Such as `640x480 MJPG 30 fps`; empty if the device could not be queried.
    formats: Vec<String>,
    /// Why it could not be queried.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

pub(super) fn cameras(args: &CamerasArgs) -> anyhow::Result<Exit> {
    let cameras: Vec<Camera> = video_devices().into_iter().map(query).collect();
    if args.json {
        print_json(&cameras)?;
        return Ok(Exit::Ok);
    }
    if cameras.is_empty() {
        say("no video devices");
        say("hint: plug a USB camera in, or try --source DIR or --source synthetic");
    }
    for camera in &cameras {
        let VideoDevice { index, path, name } = &camera.device;
        print_text(format_args!("{index}  {}  {name}", path.display()))?;
        for format in &camera.formats {
            print_text(format_args!("   {format}"))?;
        }
        if let Some(fault) = &camera.fault {
            say(format_args!("   {fault}"));
        }
    }
    Ok(Exit::Ok)
}

#[cfg(feature = "camera")]
fn query(device: VideoDevice) -> Camera {
    use crate::source::{SourceErrorKind, camera_formats};

    let (formats, fault) = match camera_formats(device.index) {
        Ok(formats) => (formats, None),
        // The list of devices is what is being printed anyway.
        Err(error) => match error.kind {
            SourceErrorKind::Camera { fault, .. } => (Vec::new(), Some(fault)),
            kind => (Vec::new(), Some(kind.to_string())),
        },
    };
    Camera { device, formats, fault }
}

#[cfg(not(feature = "camera"))]
fn query(device: VideoDevice) -> Camera {
    let fault = Some("this build has no camera support".into());
    Camera { device, formats: Vec::new(), fault }
}
