//! A camera's frames, read without ever waiting for long.

use std::io::{self, ErrorKind};
use std::mem::forget;
use std::time::Duration;

use v4l::Device;
use v4l::buffer::{Flags, Type};
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};

use comet_engine::image::jpeg;

use super::frame::Pixels;
use super::negotiate::Mode;
use super::raw::{Layout, RawImage, ValueRange};

/// How many buffers the driver is asked for; it may give another number.
const BUFFERS: u32 = 4;
const MOST_BUFFERS: usize = 32;
/// How long one call waits; between calls the caller checks whether to go on.
const WAIT: Duration = Duration::from_millis(100);
/// Linux's `POLLIN`.
const READABLE: i16 = 1;
/// Linux's `ENODEV`: unplugged.
const GONE: i32 = 19;

/// The frames of a device, from the second on.
pub(super) struct Frames {
    /// There until the end.
    stream: Option<Stream<'static>>,
    /// Whether the last buffer is ours. The crate shows a buffer only after handing the last one back, and
    /// handing it back twice is an error: so there must be one, and the wait for the next comes first.
    holds_one: bool,
}

impl Frames {
    /// Lets the device send, as it is set.
    pub(super) fn start(device: &Device) -> io::Result<Self> {
        let stream = Stream::with_buffers(device, Type::VideoCapture, BUFFERS)?;
        let mut frames = Self { stream: Some(stream), holds_one: false };
        if let Some(stream) = &mut frames.stream {
            stream.set_timeout(WAIT);
            // The crate does not say how many there are, and the driver refuses what is not there.
            for index in 0..MOST_BUFFERS {
                if stream.queue(index).is_err() {
                    break;
                }
            }
            stream.start()?;
        }
        Ok(frames)
    }

    /// The bytes of the next frame, empty if the driver calls it damaged; `None` if none came for a moment.
    pub(super) fn wait(&mut self) -> io::Result<Option<&[u8]>> {
        match self.take() {
            Err(error) if is_spurious_wakeup(&error) => Ok(None),
            taken => taken,
        }
    }

    fn take(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        if stream.handle().poll(READABLE, WAIT.as_millis() as i32)? == 0 {
            return Ok(None);
        }
        if !self.holds_one {
            stream.dequeue()?;
            self.holds_one = true;
            return Ok(None);
        }
        self.holds_one = false;
        let (bytes, about) = stream.next()?;
        self.holds_one = true;
        // What stands behind these bytes is the rest of an older frame.
        let new = match about.flags.contains(Flags::ERROR) {
            true => 0,
            false => bytes.len().min(about.bytesused as usize),
        };
        Ok(bytes.get(..new))
    }
}

/// Whether a signal came, or the driver had called a frame ready that was not.
fn is_spurious_wakeup(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Drop for Frames {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        // Where this fails the crate panics, for the stream and once more for its buffers, which would end
        // the program. Left behind, it keeps the device busy, and opening it again says so.
        if stream.stop().is_err_and(|error| error.raw_os_error() != Some(GONE)) {
            forget(stream);
        }
    }
}

/// The image in a frame's bytes; `None` if it is not whole.
pub(super) fn image(bytes: &[u8], mode: &Mode) -> Option<Pixels> {
    let (layout, range) = match &mode.code {
        b"MJPG" | b"JPEG" => return Some(Pixels::Encoded(jpeg::whole(bytes)?.to_vec())),
        b"YUYV" => (Layout::Yuyv, ValueRange::Limited),
        b"NV12" => (Layout::Nv12, ValueRange::Limited),
        b"RGB3" => (Layout::Rgb, ValueRange::Full),
        b"BGR3" => (Layout::Bgr, ValueRange::Full),
        b"GREY" => (Layout::Gray, ValueRange::Full),
        _ => return None,
    };
    let row = match layout {
        // The rows of its second plane are half as many pairs: as many bytes.
        Layout::Nv12 => mode.size.0 as usize,
        _ => layout.bytes(mode.size.0, 1)?,
    };
    let stride = mode.stride as usize;
    let bytes: Vec<u8> = match stride > row {
        true => bytes.chunks(stride).filter_map(|padded| padded.get(..row)).flatten().copied().collect(),
        false => bytes.to_vec(),
    };
    RawImage::new(layout, range, mode.size, bytes).map(Pixels::Raw)
}

#[cfg(test)]
mod tests {
    use super::super::negotiate::DECODABLE;
    use super::super::sample_jpeg;
    use super::*;

    fn mode(code: &[u8; 4], size: (u32, u32), stride: u32) -> Mode {
        Mode { code: *code, size, stride, interval: None }
    }

    #[test]
    fn each_format_that_may_be_agreed_on_is_read() {
        let jpeg = sample_jpeg::image(8, 8, 1);
        for code in DECODABLE {
            let raw = vec![128; 8 * 8 * 3];
            let bytes = if code.ends_with(b"G") { &jpeg } else { &raw };
            assert!(image(bytes, &mode(&code, (8, 8), 0)).is_some(), "{}", code.escape_ascii());
        }
        assert!(image(&[0; 192], &mode(b"H264", (8, 8), 0)).is_none());
    }

    #[test]
    fn a_frame_with_a_tail_is_trimmed_and_a_short_one_refused() {
        let yuyv = mode(b"YUYV", (4, 2), 8);
        assert!(image(&[128; 20], &yuyv).is_some());
        assert!(image(&[128; 15], &yuyv).is_none());
        let mjpg = mode(b"MJPG", (8, 8), 0);
        let mut bytes = sample_jpeg::image(8, 8, 1);
        let length = bytes.len();
        bytes.extend([0xEE; 64]);
        assert!(matches!(image(&bytes, &mjpg), Some(Pixels::Encoded(p)) if p.len() == length));
        assert!(image(&bytes[..length - 2], &mjpg).is_none());
        assert!(image(&[], &mjpg).is_none());
    }

    #[test]
    fn the_padding_of_rows_is_left_out() {
        let frame = [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9];
        let pixels = image(&frame, &mode(b"GREY", (3, 3), 4)).unwrap();
        let expected: Vec<u8> = (1..=9).flat_map(|level| [level; 3]).collect();
        assert!(matches!(pixels, Pixels::Raw(raw) if raw.to_rgb().into_raw() == expected));
        assert!(image(&frame[..10], &mode(b"GREY", (3, 3), 4)).is_none());
    }

    #[test]
    fn a_spurious_wakeup_is_not_a_fault_of_the_camera() {
        for (number, nothing) in [(4, true), (11, true), (5, false), (GONE, false)] {
            assert_eq!(is_spurious_wakeup(&io::Error::from_raw_os_error(number)), nothing, "{number}");
        }
    }
}
