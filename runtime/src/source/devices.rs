//! The video devices of this machine, read from sysfs: works without opening any of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{SourceError, SourceErrorKind};

/// A node `/dev/videoN`. Not each of them is a camera: most webcams have a second node for metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VideoDevice {
    /// The number `N`, as `--camera N` takes it.
    pub index: u32,
    /// The node.
    pub path: PathBuf,
    /// The name that the driver gives it.
    pub name: String,
}

/// All video devices, by number.
pub fn video_devices() -> Vec<VideoDevice> {
    devices_in(Path::new("/sys/class/video4linux"), Path::new("/dev"))
}

fn devices_in(sysfs: &Path, dev: &Path) -> Vec<VideoDevice> {
    let device = |node: String| {
        let index = node.strip_prefix("video")?.parse().ok()?;
        let name = fs::read_to_string(sysfs.join(&node).join("name")).unwrap_or_default();
        Some(VideoDevice {
            index,
            path: dev.join(&node),
            name: name.trim().chars().filter(|c| !c.is_control()).take(80).collect(),
        })
    };
    // A container may show the node without sysfs, or sysfs without the node.
    let nodes = [sysfs, dev].into_iter().flat_map(device_names);
    let mut found: Vec<VideoDevice> = nodes.filter_map(device).collect();
    found.sort_by_key(|device| device.index);
    found.dedup_by_key(|device| device.index);
    found
}

fn device_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The number of the camera behind a link such as `/dev/v4l/by-id/...`: the camera library takes numbers only.
pub(super) fn camera_behind(link: &Path) -> Result<u32, SourceError> {
    let name = link.display().to_string();
    let node = link.canonicalize().map_err(|error| SourceError::new(&name, error))?;
    let number = node.file_name().and_then(|node| node.to_str()?.strip_prefix("video")?.parse().ok());
    let not_a_camera = || {
        let why = format!("it leads to {}", node.display());
        SourceError::new(&name, SourceErrorKind::Unknown(why))
    };
    number.ok_or_else(not_a_camera)
}

/// The devices in one line, for messages.
pub fn describe_devices(devices: &[VideoDevice]) -> String {
    if devices.is_empty() {
        return "no video devices".into();
    }
    let describe = |device: &VideoDevice| match device.name.as_str() {
        "" => device.path.display().to_string(),
        name => format!("{} ({name})", device.path.display()),
    };
    devices.iter().map(describe).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_number_with_their_names() {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (root.path().join("sys"), root.path().join("dev"));
        fs::create_dir_all(sysfs.join("video10")).unwrap();
        fs::create_dir_all(sysfs.join("video2")).unwrap();
        fs::write(sysfs.join("video2/name"), "HD \u{7}Webcam\n").unwrap();
        fs::create_dir_all(&dev).unwrap();
        fs::write(dev.join("video2"), "").unwrap();
        fs::write(dev.join("null"), "").unwrap();
        let devices = devices_in(&sysfs, &dev);
        let found: Vec<_> = devices.iter().map(|d| (d.index, d.name.as_str())).collect();
        assert_eq!(found, [(2, "HD Webcam"), (10, "")]);
        assert!(describe_devices(&devices).contains("video2 (HD Webcam)"));
    }

    #[test]
    fn a_link_leads_to_the_number_of_its_camera() {
        let folder = tempfile::tempdir().unwrap();
        for (node, link) in [("video12", "camera"), ("null", "other")] {
            fs::write(folder.path().join(node), "").unwrap();
            std::os::unix::fs::symlink(node, folder.path().join(link)).unwrap();
        }
        assert_eq!(camera_behind(&folder.path().join("camera")).unwrap(), 12);
        let error = camera_behind(&folder.path().join("other")).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::Unknown(_)), "{error}");
        let error = camera_behind(&folder.path().join("gone")).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::Io(_)), "{error}");
    }

    #[test]
    fn a_machine_without_devices_says_so() {
        let nowhere = Path::new("/no such folder");
        assert_eq!(describe_devices(&devices_in(nowhere, nowhere)), "no video devices");
    }
}
