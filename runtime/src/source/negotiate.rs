//! Opening a camera in a format that we can read: the only file that names the camera library.
//!
//! The library's own decoding is not used: it panics on damaged frames.

use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
};
use nokhwa::{Camera, NokhwaError};

use super::raw::{Layout, RawPicture, ValueRange};
use super::spec::CameraOptions;
use super::{Pixels, jpeg};

/// What can be decoded, best first: MJPEG leaves room on the USB bus and stays small until it is decoded.
const DECODABLE: [FrameFormat; 6] = [
    FrameFormat::MJPEG,
    FrameFormat::YUYV,
    FrameFormat::NV12,
    FrameFormat::RAWRGB,
    FrameFormat::RAWBGR,
    FrameFormat::GRAY,
];

/// Opens camera `index` in the listed format that is nearest to `wanted`.
pub(super) fn open(index: u32, wanted: CameraOptions) -> Result<Camera, String> {
    // "None" takes the first listed format, and so opens whatever the device lists at all.
    let first_fault = match request(index, RequestedFormatType::None) {
        Ok(camera) => return choose(camera, wanted),
        // Absent, busy or forbidden: another format does not help.
        Err(error @ NokhwaError::OpenDeviceError(..)) => return Err(error.to_string()),
        Err(error) => error.to_string(),
    };
    // Devices with stepwise sizes or without intervals list nothing; they may still take a plain request.
    let sizes = [(wanted.width, wanted.height), (640, 480), (320, 240)];
    for format in DECODABLE {
        for (width, height) in sizes {
            for fps in [wanted.fps, 30, 15] {
                let exact = CameraFormat::new(Resolution::new(width, height), format, fps);
                if let Ok(camera) = request(index, RequestedFormatType::Exact(exact)) {
                    return Ok(camera);
                }
            }
        }
    }
    Err(format!("it takes none of the formats MJPEG, YUYV, NV12, RGB, BGR, GRAY: {first_fault}"))
}

fn request(index: u32, wanted: RequestedFormatType) -> Result<Camera, NokhwaError> {
    let format = RequestedFormat::with_formats(wanted, &DECODABLE);
    Camera::with_backend(CameraIndex::Index(index), format, ApiBackend::Video4Linux)
}

/// Changes to the best listed format; stays with the current one if the device refuses.
fn choose(mut camera: Camera, wanted: CameraOptions) -> Result<Camera, String> {
    let listed = camera.compatible_camera_formats().unwrap_or_default();
    let best = listed.into_iter().min_by_key(|format| distance(format, wanted));
    if let Some(best) = best
        && best != camera.camera_format()
        && camera.set_camera_requset(exactly(best)).is_err()
    {
        camera.refresh_camera_format().map_err(|error| error.to_string())?;
    }
    Ok(camera)
}

fn exactly(format: CameraFormat) -> RequestedFormat<'static> {
    RequestedFormat::with_formats(RequestedFormatType::Exact(format), &DECODABLE)
}

/// Size first, then speed, then our order of formats.
fn distance(format: &CameraFormat, wanted: CameraOptions) -> (u32, u32, usize) {
    let width = format.width().abs_diff(wanted.width);
    let height = format.height().abs_diff(wanted.height);
    let order = DECODABLE.iter().position(|known| *known == format.format());
    (
        width.saturating_add(height),
        wanted.fps.saturating_sub(format.frame_rate()),
        order.unwrap_or(DECODABLE.len()),
    )
}

/// The camera's formats, as text.
pub(super) fn list(index: u32) -> Result<Vec<String>, String> {
    let mut camera = request(index, RequestedFormatType::None).map_err(|error| error.to_string())?;
    let mut formats = camera.compatible_camera_formats().map_err(|error| error.to_string())?;
    formats.sort_by_key(|format| {
        let pixels = u64::from(format.width()) * u64::from(format.height());
        (format.format().to_string(), pixels, format.frame_rate())
    });
    formats.dedup();
    Ok(formats.iter().map(describe).collect())
}

/// `640x480 MJPEG 30 fps`.
pub(super) fn describe(format: &CameraFormat) -> String {
    let (width, height) = (format.width(), format.height());
    format!("{width}x{height} {} {} fps", format.format(), format.frame_rate())
}

/// Takes the picture out of a driver's buffer, which is often longer; `None` if it is not whole.
pub(super) fn picture(buffer: &[u8], format: CameraFormat) -> Option<Pixels> {
    let (layout, range) = match format.format() {
        FrameFormat::MJPEG => return Some(Pixels::Encoded(jpeg::whole(buffer)?.to_vec())),
        FrameFormat::YUYV => (Layout::Yuyv, ValueRange::Limited),
        FrameFormat::NV12 => (Layout::Nv12, ValueRange::Limited),
        FrameFormat::GRAY => (Layout::Gray, ValueRange::Full),
        FrameFormat::RAWRGB => (Layout::Rgb, ValueRange::Full),
        FrameFormat::RAWBGR => (Layout::Bgr, ValueRange::Full),
    };
    let size = (format.width(), format.height());
    let needed = buffer.get(..layout.bytes(size.0, size.1)?)?;
    RawPicture::new(layout, range, size, needed.to_vec()).map(Pixels::Raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_decides_before_the_speed_and_the_format() {
        let format = |width, height, kind, fps| CameraFormat::new(Resolution::new(width, height), kind, fps);
        let listed = [
            format(1920, 1080, FrameFormat::MJPEG, 30),
            format(640, 480, FrameFormat::YUYV, 30),
            format(640, 480, FrameFormat::MJPEG, 30),
            format(640, 480, FrameFormat::MJPEG, 15),
        ];
        let wanted = CameraOptions::default();
        let best = listed.iter().min_by_key(|format| distance(format, wanted)).unwrap();
        assert_eq!(describe(best), "640x480 MJPEG 30 fps");
    }

    #[test]
    fn a_buffer_with_a_tail_is_trimmed_and_a_short_one_refused() {
        let format = CameraFormat::new(Resolution::new(4, 2), FrameFormat::YUYV, 30);
        assert!(picture(&[128; 20], format).is_some());
        assert!(picture(&[128; 15], format).is_none());
        let format = CameraFormat::new(Resolution::new(8, 8), FrameFormat::MJPEG, 30);
        let mut buffer = jpeg::sample::picture(8, 8, 1);
        let length = buffer.len();
        buffer.extend([0xEE; 64]);
        assert!(matches!(picture(&buffer, format), Some(Pixels::Encoded(p)) if p.len() == length));
        assert!(picture(&buffer[..length - 2], format).is_none());
    }
}
