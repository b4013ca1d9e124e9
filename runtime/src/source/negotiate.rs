//! Agreeing with a camera on how it sends its images.
//!
//! nokhwa asks for exactly what is wanted and sees whether the driver gives it: most webcams do. It knows
//! neither GREY nor JPEG, nor 7.5 frames a second, nor sizes in steps, and it opens no device that was left
//! in H264. There the choice is made from the device's own list, through v4l, the crate below nokhwa.
//!
//! Frames are not read through nokhwa: it waits for ever for one that does not come, gives such a waiting
//! handle to the next caller that opens the camera, and does not say how many bytes of a buffer are new.

use std::fmt;
use std::io;
use std::time::Duration;

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

use super::options::CameraOptions;
use comet_engine::guard::guarded;

/// What can be decoded, best first: MJPEG leaves room on the USB bus and stays small until it is decoded.
pub(super) const DECODABLE: [[u8; 4]; 7] =
    [*b"MJPG", *b"JPEG", *b"YUYV", *b"NV12", *b"RGB3", *b"BGR3", *b"GREY"];
/// How many of a camera's modes an error lists; some have hundreds.
const LISTED: usize = 12;

/// One of the ways in which a camera sends images; written as `640x480 MJPG 30 fps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    /// The four characters of the pixel format.
    pub(super) code: [u8; 4],
    /// Columns and rows.
    pub(super) size: (u32, u32),
    /// Bytes from one row to the next; 0 if they follow each other.
    pub(super) stride: u32,
    /// Between two frames: numerator and denominator, in seconds.
    pub(super) interval: Option<(u32, u32)>,
}

impl Mode {
    /// Time between two frames, if it is known.
    pub(super) fn interval(&self) -> Option<Duration> {
        let (seconds, frames) = self.interval?;
        Duration::from_secs(seconds.into()).checked_div(frames)
    }

    /// Frames in a thousand seconds: a whole number for 7.5 a second, too.
    fn rate(&self) -> Option<u64> {
        let (seconds, frames) = self.interval?;
        (u64::from(frames) * 1000).checked_div(seconds.into())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        write!(f, "{width}x{height} {}", name(self.code))?;
        match self.rate() {
            Some(rate) => write!(f, " {} fps", rate as f64 / 1000.0),
            None => Ok(()),
        }
    }
}

fn name(code: [u8; 4]) -> String {
    // Some end with a space, and nothing keeps a driver from control characters.
    code.escape_ascii().to_string().trim_end().to_owned()
}

/// Opens camera `index` in the mode that is nearest to `wanted`; the result is what the driver made of it.
pub(super) fn open(index: u32, wanted: CameraOptions) -> Result<(Device, Mode), String> {
    // A panic of nokhwa leaves the longer way.
    let agreed = guarded(|| exactly(index, wanted)).flatten();
    let device = connect(index)?;
    let chosen = match agreed {
        Some(mode) => mode,
        None => {
            let offered = modes(&device, wanted);
            nearest(&offered, wanted).ok_or_else(|| refusal(index, &offered))?
        }
    };
    let taken = set(&device, chosen, wanted).map_err(|error| error.to_string())?;
    match DECODABLE.contains(&taken.code) {
        true => Ok((device, taken)),
        false => Err(refusal(index, &modes(&device, wanted))),
    }
}

/// The modes of camera `index`, as text; another program may be using it.
pub(super) fn list(index: u32) -> Result<Vec<String>, String> {
    let mut modes = modes(&connect(index)?, CameraOptions::default());
    modes.sort_by_key(|mode| {
        let (width, height) = mode.size;
        (mode.code, u64::from(width) * u64::from(height), mode.size, mode.rate())
    });
    modes.dedup();
    Ok(modes.iter().map(Mode::to_string).collect())
}

fn connect(index: u32) -> Result<Device, String> {
    Device::new(index as usize).map_err(|error| error.to_string())
}

/// The wanted size and rate in a format that webcams have, if nokhwa gets the driver to agree.
fn exactly(index: u32, wanted: CameraOptions) -> Option<Mode> {
    let size = (wanted.width, wanted.height);
    let formats = [(FrameFormat::MJPEG, *b"MJPG"), (FrameFormat::YUYV, *b"YUYV")];
    formats.into_iter().find_map(|(format, code)| {
        let exact = CameraFormat::new(Resolution::new(size.0, size.1), format, wanted.fps);
        let formats = [format];
        let request = RequestedFormat::with_formats(RequestedFormatType::Exact(exact), &formats);
        // The handle is closed at once: the format belongs to the device, and is set again on our own.
        Camera::with_backend(CameraIndex::Index(index), request, ApiBackend::Video4Linux).ok()?;
        Some(Mode { code, size, stride: 0, interval: Some((1, wanted.fps)) })
    })
}

/// What the device lists. Of sizes and rates in steps: both ends, and what is nearest to `wanted`.
fn modes(device: &Device, wanted: CameraOptions) -> Vec<Mode> {
    let mut modes = Vec::new();
    // Here an error says that there is no such list.
    for format in device.enum_formats().unwrap_or_default() {
        let listed = device.enum_framesizes(format.fourcc).unwrap_or_default();
        let mut sizes: Vec<_> = listed.iter().flat_map(|size| sizes_of(&size.size, wanted)).collect();
        if sizes.is_empty() {
            sizes.push((wanted.width, wanted.height));
        }
        for size in sizes {
            let listed = device.enum_frameintervals(format.fourcc, size.0, size.1).unwrap_or_default();
            let intervals = listed.iter().flat_map(|interval| intervals_of(&interval.interval, wanted.fps));
            let mut intervals: Vec<_> = intervals.map(Some).collect();
            if intervals.is_empty() {
                intervals.push(None);
            }
            let code = format.fourcc.repr;
            modes.extend(intervals.into_iter().map(|interval| Mode { code, size, stride: 0, interval }));
        }
    }
    modes
}

fn sizes_of(listed: &FrameSizeEnum, wanted: CameraOptions) -> Vec<(u32, u32)> {
    match listed {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        FrameSizeEnum::Stepwise(steps) => {
            let (least, most) = ((steps.min_width, steps.min_height), (steps.max_width, steps.max_height));
            let width = on_a_step(wanted.width, least.0, most.0, steps.step_width);
            let height = on_a_step(wanted.height, least.1, most.1, steps.step_height);
            vec![(width, height), least, most]
        }
    }
}

fn on_a_step(wanted: u32, least: u32, most: u32, step: u32) -> u32 {
    let above = wanted.min(most).saturating_sub(least);
    least.saturating_add(above - above % step.max(1))
}

fn intervals_of(listed: &FrameIntervalEnum, fps: u32) -> Vec<(u32, u32)> {
    let pair = |interval: &Fraction| (interval.numerator, interval.denominator);
    match listed {
        FrameIntervalEnum::Discrete(interval) => vec![pair(interval)],
        FrameIntervalEnum::Stepwise(steps) => {
            let (shortest, longest, wanted) = (pair(&steps.min), pair(&steps.max), (1, fps));
            let between = is_ordered(shortest, wanted) && is_ordered(wanted, longest);
            [shortest, longest].into_iter().chain(between.then_some(wanted)).collect()
        }
    }
}

/// Whether the first fraction is not above the second.
fn is_ordered(first: (u32, u32), second: (u32, u32)) -> bool {
    u64::from(first.0) * u64::from(second.1) <= u64::from(second.0) * u64::from(first.1)
}

/// The best mode that can be decoded: size first, then speed, then our order of formats.
fn nearest(modes: &[Mode], wanted: CameraOptions) -> Option<Mode> {
    let fps = u64::from(wanted.fps) * 1000;
    let decodable = modes.iter().filter_map(|mode| {
        let order = DECODABLE.iter().position(|code| *code == mode.code)?;
        Some((order, mode))
    });
    let best = decodable.min_by_key(|(order, mode)| {
        let (width, height) = mode.size;
        let distance = width.abs_diff(wanted.width).saturating_add(height.abs_diff(wanted.height));
        // A camera that lists no rates may well have the wanted one.
        let rate = mode.rate().unwrap_or(fps);
        // 29.97 is as good as 30.
        (distance, fps.saturating_sub(rate) / 1000, *order, rate.abs_diff(fps))
    });
    best.map(|(_, mode)| *mode)
}

/// Sets the device to `mode`; returns what it is set to then.
fn set(device: &Device, mode: Mode, wanted: CameraOptions) -> io::Result<Mode> {
    let format = device.set_format(&Format::new(mode.size.0, mode.size.1, FourCC::new(&mode.code)))?;
    let (seconds, frames) = mode.interval.unwrap_or((1, wanted.fps));
    let rate = Parameters::new(Fraction::new(seconds, frames));
    // A driver with a single rate may refuse any setting, and one without a clock knows no rate.
    let rate = device.set_params(&rate).or_else(|_| device.params()).ok();
    let interval = rate.map(|rate| (rate.interval.numerator, rate.interval.denominator));
    Ok(Mode {
        code: format.fourcc.repr,
        size: (format.width, format.height),
        stride: format.stride,
        interval: interval.filter(|(seconds, frames)| *seconds > 0 && *frames > 0),
    })
}

fn refusal(index: u32, offered: &[Mode]) -> String {
    if offered.is_empty() {
        return "it offers no images: a node for metadata, or a camera module; \
                try another number, or --source csi://0"
            .into();
    }
    let offers: Vec<String> = offered.iter().take(LISTED).map(Mode::to_string).collect();
    format!(
        "it offers: {}; supported are {}; ffmpeg converts the others: \
         --source 'exec:ffmpeg -loglevel error -f v4l2 -i /dev/video{index} -f yuv4mpegpipe -pix_fmt yuv420p -'",
        offers.join(", "),
        DECODABLE.map(name).join(", ")
    )
}

#[cfg(test)]
mod tests {
    use v4l::{frameinterval, framesize};

    use super::*;

    fn mode(code: &[u8; 4], size: (u32, u32), interval: (u32, u32)) -> Mode {
        Mode { code: *code, size, stride: 0, interval: Some(interval) }
    }

    #[test]
    fn the_size_decides_before_the_speed_and_the_format() {
        let vga = (640, 480);
        let mut offered = vec![
            mode(b"H264", vga, (1, 30)),
            mode(b"MJPG", (1920, 1080), (1, 30)),
            mode(b"GREY", vga, (2, 15)),
            mode(b"YUYV", vga, (1, 30)),
            mode(b"MJPG", vga, (1, 60)),
            mode(b"MJPG", vga, (1001, 30_000)),
            mode(b"MJPG", vga, (1, 15)),
        ];
        // Each time without the one that was best.
        let expected = ["MJPG 29.97", "MJPG 60", "YUYV 30", "MJPG 15", "GREY 7.5", "1920x1080 MJPG 30"];
        for expected in expected {
            let best = nearest(&offered, CameraOptions::default()).unwrap();
            assert!(best.to_string().ends_with(&format!("{expected} fps")), "{best} is not {expected}");
            offered.retain(|mode| *mode != best);
        }
        assert_eq!(nearest(&offered, CameraOptions::default()), None);
    }

    #[test]
    fn sizes_in_steps_give_the_wanted_one_or_the_step_below() {
        let steps = |most, step| {
            FrameSizeEnum::Stepwise(framesize::Stepwise {
                min_width: 32,
                max_width: most,
                step_width: step,
                min_height: 32,
                max_height: most,
                step_height: step,
            })
        };
        let wanted = CameraOptions::default();
        assert_eq!(sizes_of(&steps(2592, 2), wanted), [(640, 480), (32, 32), (2592, 2592)]);
        assert_eq!(sizes_of(&steps(500, 100), wanted).first(), Some(&(432, 432)));
        // Nonsense of a driver.
        assert_eq!(sizes_of(&steps(16, 0), wanted).first(), Some(&(32, 32)));
    }

    #[test]
    fn rates_in_steps_give_the_wanted_one_if_it_lies_between_the_ends() {
        let steps = FrameIntervalEnum::Stepwise(frameinterval::Stepwise {
            min: Fraction::new(1, 60),
            max: Fraction::new(1, 5),
            step: Fraction::new(1, 60),
        });
        assert_eq!(intervals_of(&steps, 30), [(1, 60), (1, 5), (1, 30)]);
        assert_eq!(intervals_of(&steps, 90), [(1, 60), (1, 5)]);
    }

    #[test]
    fn a_refusal_lists_what_the_device_offers() {
        let said = refusal(3, &[mode(b"H264", (640, 480), (1, 30)), mode(b"Y16 ", (64, 48), (0, 0))]);
        let expected = "it offers: 640x480 H264 30 fps, 64x48 Y16; supported are MJPG, JPEG";
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("/dev/video3") && said.contains("-pix_fmt yuv420p"), "{said}");
        assert!(refusal(3, &[]).contains("csi://0"));
    }
}
