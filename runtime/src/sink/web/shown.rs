//! A result as clients see it: encoded when the first of them asks, once for all.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use comet_engine::explain::Checks;
use comet_engine::image::{Mask, OverlayStyle, encode_jpeg, encode_png, resize};
use comet_engine::prediction::{FrameResult, Record};

use super::part::Part;
use crate::sink::overlay::drawn;

/// The most results a second that are shown.
const RATE: u32 = 15;
/// The longer side of the map that is sent; browsers enlarge it smoothly.
const MASK_SIDE: u32 = 128;
/// Quality of an image with the map drawn in, which is kept by people.
const QUALITY: u8 = 90;

/// The last results that were shown, the newest first.
pub(super) type Recent = VecDeque<Arc<Shown>>;

/// The last frame whose explanation was checked.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Checked {
    pub(super) frame: u64,
    pub(super) checks: Checks,
}

/// One result.
#[derive(Debug)]
pub(super) struct Shown {
    result: FrameResult,
    checked: Option<Checked>,
    part: OnceLock<Option<Part>>,
    drawn: OnceLock<Option<Bytes>>,
    event: OnceLock<Bytes>,
}

/// The data of an `answer` event.
#[derive(Serialize)]
struct Prediction<'a> {
    record: &'a Record,
    /// The map as grey PNG in Base64.
    mask: String,
    region: (u32, u32, u32, u32),
    size: (u32, u32),
    checked: Option<Checked>,
}

impl Shown {
    pub(super) fn new(result: FrameResult, checked: Option<Checked>) -> Self {
        Self { result, checked, part: OnceLock::new(), drawn: OnceLock::new(), event: OnceLock::new() }
    }

    /// Number of the frame.
    pub(super) fn frame(&self) -> u64 {
        self.result.record.frame
    }

    /// The camera's image as part of a stream; `None` if it cannot be a JPEG.
    pub(super) fn part(&self) -> Option<&Part> {
        self.part.get_or_init(|| self.result.to_jpeg().ok().map(|jpeg| Part::new(&jpeg))).as_ref()
    }

    /// The `answer` event.
    pub(super) fn event(&self) -> Bytes {
        let make = || {
            let prediction = Prediction {
                record: &self.result.record,
                mask: STANDARD.encode(small_png(&self.result.explanation.mask)),
                region: self.result.region,
                size: self.result.image.dimensions(),
                checked: self.checked,
            };
            event("answer", &prediction)
        };
        self.event.get_or_init(make).clone()
    }

    /// The image with map, contour and class drawn in, as JPEG: drawn for the first who asks. All must ask for the same
    /// style. `None` if the image is larger than a JPEG can be.
    pub(super) fn drawn(&self, style: &OverlayStyle) -> Option<Bytes> {
        let draw = || encode_jpeg(&drawn(&self.result, style), QUALITY).ok().map(Bytes::from);
        self.drawn.get_or_init(draw).clone()
    }
}

/// One event. JSON has no line breaks outside of its texts, where they are escaped.
pub(super) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// The map as grey PNG of at most [`MASK_SIDE`] pixels a side; empty if it cannot be encoded.
fn small_png(mask: &Mask) -> Vec<u8> {
    let gray = mask.to_gray8();
    let (width, height) = gray.dimensions();
    let longest = width.max(height);
    let gray = if longest > MASK_SIDE {
        let scaled = |side: u32| (side.saturating_mul(MASK_SIDE) / longest).max(1);
        resize(&gray, (0, 0, width, height), (scaled(width), scaled(height)))
    } else {
        gray
    };
    encode_png(&gray).unwrap_or_default()
}

/// Lets through [`RATE`] results a second, or all if there are fewer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// Whether a result that comes `now` is shown.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.due.unwrap_or(now);
        if now < due {
            return false;
        }
        // From the moment that was due, not from now: a result that came late does not put off those after it.
        self.due = Some((due + Duration::from_secs(1) / RATE).max(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    #[test]
    fn the_event_is_one_line_of_json_with_the_map_as_png() {
        let shown = Shown::new(result("a\n\nb", 7, [0.0, 1.0, 0.0]), None);
        let text = String::from_utf8(shown.event().to_vec()).unwrap();
        let data = text.strip_prefix("event: answer\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let data: serde_json::Value = serde_json::from_str(data.unwrap()).unwrap();
        assert_eq!((&data["record"]["frame"], &data["region"][2]), (&7.into(), &6.into()));
        let png = STANDARD.decode(data["mask"].as_str().unwrap()).unwrap();
        let map = image::load_from_memory(&png).unwrap().into_luma8();
        assert_eq!(map.as_raw(), &[0, 64, 191, 255]);
    }

    #[test]
    fn a_snapshot_is_drawn_once_for_all_who_ask() {
        let shown = Shown::new(result("a", 7, [0.0, 1.0, 0.0]), None);
        let style = OverlayStyle::default();
        let (first, second) = (shown.drawn(&style).unwrap(), shown.drawn(&style).unwrap());
        assert!(first.starts_with(&[0xff, 0xd8]));
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn a_large_map_is_sent_small_and_keeps_its_shape() {
        let map = Mask::new(512, 256, vec![0.5; 512 * 256]).unwrap();
        let small = image::load_from_memory(&small_png(&map)).unwrap().into_luma8();
        assert_eq!(small.dimensions(), (128, 64));
        assert!(small.pixels().all(|pixel| pixel.0 == [128]));
    }

    #[test]
    fn at_most_fifteen_results_a_second_are_shown() {
        let start = Instant::now();
        let shown = |fps: u32| {
            let mut pace = Pace::default();
            let times = (0..4 * fps).map(|frame| start + frame * Duration::from_secs(1) / fps);
            times.filter(|now| pace.is_due(*now)).count()
        };
        assert_eq!(shown(1), 4);
        assert_eq!(shown(12), 48);
        assert!((55..=61).contains(&shown(20)), "{}", shown(20));
        assert!((55..=61).contains(&shown(300)), "{}", shown(300));
    }
}
