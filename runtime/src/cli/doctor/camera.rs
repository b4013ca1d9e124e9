//! Cameras: is there one, may it be opened, does it list its formats?

use std::fs::OpenOptions;
use std::io::ErrorKind;

use super::check::Check;
use crate::source::{VideoDevice, describe_devices};

pub(super) fn camera(devices: &[VideoDevice]) -> Check {
    let name = "camera";
    if !cfg!(feature = "camera") {
        let fix = "build with the default features";
        return Check::warn(name, "this build has no camera support", fix);
    }
    match devices.is_empty() {
        true => Check::warn(name, "no video devices", "plug a USB camera in; without one use --source DIR"),
        false => Check::ok(name, describe_devices(devices)),
    }
}

/// Opening a node starts no capture, and works while another program uses the camera.
pub(super) fn permissions(devices: &[VideoDevice]) -> Check {
    let name = "permissions";
    let opened = |device: &VideoDevice| OpenOptions::new().read(true).write(true).open(&device.path);
    let denied: Vec<String> = devices
        .iter()
        .filter(|device| {
            opened(device).err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
        })
        .map(|device| device.path.display().to_string())
        .collect();
    match denied.is_empty() {
        true => Check::ok(name, format!("{} video devices, all may be opened", devices.len())),
        false => Check::fail(
            name,
            format!("may not open {}", denied.join(", ")),
            "sudo usermod -aG video $USER, then log in again",
        ),
    }
}

/// Many nodes are not cameras (metadata, codecs), so one that lists its formats is enough.
pub(super) fn formats(
    devices: &[VideoDevice],
    query: impl Fn(&VideoDevice) -> Result<Vec<String>, String>,
) -> Check {
    let name = "formats";
    let (mut listed, mut faults) = (Vec::new(), Vec::new());
    for device in devices {
        let path = device.path.display();
        match query(device) {
            Ok(formats) => match formats.last() {
                Some(format) => listed.push(format!("{path}: {} formats, such as {format}", formats.len())),
                None => faults.push(format!("{path}: it lists none")),
            },
            Err(fault) => faults.push(format!("{path}: {fault}")),
        }
    }
    match (listed.is_empty(), faults.is_empty()) {
        (true, true) => Check::ok(name, "there is no device to query"),
        (true, false) => {
            let fix = "end other programs that use it; a camera module is opened with --source csi://0";
            Check::warn(name, format!("no device lists its formats: {}", faults.join("; ")), fix)
        }
        (false, _) => Check::ok(name, listed.join("; ")),
    }
}

/// The formats of a device, or why it does not list them.
#[cfg(feature = "camera")]
pub(super) fn query(device: &VideoDevice) -> Result<Vec<String>, String> {
    use crate::source::{SourceErrorKind, camera_formats};

    camera_formats(device.index).map_err(|error| match error.kind {
        SourceErrorKind::Camera { fault, .. } => fault,
        kind => kind.to_string(),
    })
}

#[cfg(not(feature = "camera"))]
pub(super) fn query(_: &VideoDevice) -> Result<Vec<String>, String> {
    Err("this build has no camera support".into())
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    fn device(index: u32) -> VideoDevice {
        VideoDevice { index, path: format!("/dev/video{index}").into(), name: "a webcam".into() }
    }

    #[test]
    fn a_machine_without_cameras_is_warned_once() {
        assert_eq!(camera(&[]).status, Status::Warn);
        assert_eq!(permissions(&[]).status, Status::Ok);
        assert_eq!(formats(&[], |_| Ok(Vec::new())).status, Status::Ok);
    }

    #[test]
    fn one_device_that_lists_its_formats_is_enough() {
        let query = |device: &VideoDevice| match device.index {
            0 => Ok(vec!["320x240 MJPG 30 fps".into(), "640x480 MJPG 30 fps".into()]),
            1 => Ok(Vec::new()),
            _ => Err("busy".into()),
        };
        let check = formats(&[device(0), device(1), device(2)], query);
        assert_eq!(check.status, Status::Ok);
        assert_eq!(check.detail, "/dev/video0: 2 formats, such as 640x480 MJPG 30 fps");
        let check = formats(&[device(1), device(2)], query);
        assert!(check.status == Status::Warn && check.fix.is_some());
        assert!(check.detail.contains("/dev/video1: it lists none; /dev/video2: busy"), "{}", check.detail);
    }
}
