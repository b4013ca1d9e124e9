//! A drawn scene that moves: frames without a camera, the same on every machine.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};

use super::error::SourceError;
use super::frame::{Frame, Pixels};
use super::reader::Source;
use crate::random::SplitMix;

const SHAPES: usize = 5;
const POLL: Duration = Duration::from_millis(50);

/// Shapes that drift over a gradient. Integers only, so that every machine draws the same pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticScene {
    /// Columns, 16 to 4096.
    pub width: u32,
    /// Rows, 16 to 4096.
    pub height: u32,
    /// Frames a second; 0 gives them as fast as they are taken.
    pub fps: u32,
    /// Chooses colours, shapes and paths.
    pub seed: u64,
    /// Number of frames; `None` never ends.
    pub frames: Option<u64>,
}

impl Default for SyntheticScene {
    fn default() -> Self {
        Self { width: 640, height: 480, fps: 30, seed: 1, frames: None }
    }
}

/// What is wrong with the settings of a drawn scene.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// A field holds something else.
    #[error("'{field}' is not a valid {expected}")]
    Field {
        /// What was typed.
        field: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// There are too many fields.
    #[error("'{0}' is one field too many after synthetic:")]
    TooMany(String),
}

impl FromStr for SyntheticScene {
    type Err = SceneError;

    /// Reads `WxH,fps,seed,frames`; fields may be left out at the end or left empty.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scene = Self::default();
        for (position, field) in text.split(',').enumerate().filter(|(_, field)| !field.is_empty()) {
            match position {
                0 => (scene.width, scene.height) = size(field)?,
                1 => {
                    let fps = number(field, "number of frames a second")?;
                    scene.fps = u32::try_from(fps.min(1000)).unwrap_or_default();
                }
                2 => scene.seed = number(field, "seed")?,
                3 => scene.frames = Some(number(field, "number of frames")?),
                _ => return Err(SceneError::TooMany(field.to_owned())),
            }
        }
        Ok(scene)
    }
}

fn number(field: &str, expected: &'static str) -> Result<u64, SceneError> {
    field.parse().map_err(|_| SceneError::Field { field: field.to_owned(), expected })
}

fn size(field: &str) -> Result<(u32, u32), SceneError> {
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (16..=4096).contains(side));
    let sides = field.split_once('x').and_then(|(width, height)| side(width).zip(side(height)));
    let expected = "size from 16x16 to 4096x4096";
    sides.ok_or_else(|| SceneError::Field { field: field.to_owned(), expected })
}

impl SyntheticScene {
    /// The frame of this number: the same one each time.
    pub fn draw(&self, number: u64) -> RgbImage {
        let mut draws = SplitMix(self.seed);
        let corners = [colour(&mut draws), colour(&mut draws)];
        let shapes: Vec<Shape> = (0..SHAPES).map(|_| Shape::draw(&mut draws, self, number)).collect();
        let span = i64::from(self.width + self.height);
        RgbImage::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (i64::from(x), i64::from(y));
            let hit = shapes.iter().rev().find(|shape| shape.covers(x, y));
            hit.map_or_else(|| blend(corners, x + y, span), |shape| shape.colour)
        })
    }
}

fn blend([from, to]: [Rgb<u8>; 2], part: i64, whole: i64) -> Rgb<u8> {
    let mut mixed = from;
    for (channel, end) in mixed.0.iter_mut().zip(to.0) {
        let (start, end) = (i64::from(*channel), i64::from(end));
        *channel = (start + (end - start) * part / whole.max(1)).clamp(0, 255) as u8;
    }
    mixed
}

/// A disc, a square, a diamond or a ring.
struct Shape {
    kind: u64,
    x: i64,
    y: i64,
    radius: i64,
    colour: Rgb<u8>,
}

impl Shape {
    fn draw(draws: &mut SplitMix, scene: &SyntheticScene, number: u64) -> Self {
        let kind = draws.roll() % 4;
        let short = u64::from(scene.width.min(scene.height));
        let radius = short / 12 + draws.roll() % (short / 6);
        let mut place = |length: u32| {
            let length = u64::from(length);
            let speed = 1 + draws.roll() % (length / 40 + 1);
            let start = draws.roll() % (2 * length);
            bounce(start.wrapping_add(speed.wrapping_mul(number)), length)
        };
        Self {
            kind,
            x: place(scene.width),
            y: place(scene.height),
            radius: radius as i64,
            colour: colour(draws),
        }
    }

    fn covers(&self, x: i64, y: i64) -> bool {
        let (across, down) = ((x - self.x).abs(), (y - self.y).abs());
        let square = across * across + down * down;
        match self.kind {
            0 => square <= self.radius * self.radius,
            1 => across.max(down) <= self.radius,
            2 => across + down <= self.radius,
            _ => {
                let inner = self.radius * 2 / 3;
                square <= self.radius * self.radius && square >= inner * inner
            }
        }
    }
}

/// A position that moves from 0 to `length` and back again.
fn bounce(way: u64, length: u64) -> i64 {
    let way = way % (2 * length);
    way.min(2 * length - way) as i64
}

fn colour(draws: &mut SplitMix) -> Rgb<u8> {
    let [red, green, blue, ..] = draws.roll().to_le_bytes();
    Rgb([red, green, blue])
}

/// Gives the frames of a [`SyntheticScene`] at its own pace.
pub struct SyntheticSource {
    scene: SyntheticScene,
    live: bool,
    number: u64,
    due: Instant,
    stop: Arc<AtomicBool>,
}

impl SyntheticSource {
    /// Draws `scene`; if `live`, frames that come too late are dropped by the pipeline.
    pub fn new(scene: SyntheticScene, live: bool, stop: Arc<AtomicBool>) -> Self {
        Self { scene, live, number: 0, due: Instant::now(), stop }
    }

    /// Waits until the next frame is due; `false` if the program is to end.
    fn wait(&mut self) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let left = self.due.saturating_duration_since(now);
            if left.is_zero() {
                let interval = Duration::from_secs(1).checked_div(self.scene.fps).unwrap_or_default();
                // Counted from now: a slow reader gets no burst of frames afterwards.
                self.due = now + interval;
                return true;
            }
            sleep(left.min(POLL));
        }
        false
    }
}

impl Source for SyntheticSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        if self.scene.frames.is_some_and(|frames| self.number >= frames) || !self.wait() {
            return Ok(None);
        }
        let frame = Frame {
            source: "synthetic".into(),
            number: self.number,
            captured: Instant::now(),
            image: Pixels::Rgb(self.scene.draw(self.number)),
        };
        self.number += 1;
        Ok(Some(frame))
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn name(&self) -> &str {
        "synthetic"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(seed: u64) -> SyntheticScene {
        SyntheticScene { width: 64, height: 48, fps: 0, seed, frames: Some(3) }
    }

    #[test]
    fn a_seed_gives_the_same_frames_and_they_move() {
        assert_eq!(scene(3).draw(5), scene(3).draw(5));
        assert_ne!(scene(3).draw(5), scene(4).draw(5));
        assert_ne!(scene(3).draw(5), scene(3).draw(15));
        // The largest number is drawn too.
        scene(3).draw(u64::MAX);
    }

    #[test]
    fn the_frames_end_where_they_should_or_when_asked() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut source = SyntheticSource::new(scene(1), false, Arc::clone(&stop));
        let mut numbers = Vec::new();
        while let Some(frame) = source.next().unwrap() {
            numbers.push(frame.number);
        }
        assert_eq!(numbers, [0, 1, 2]);
        stop.store(true, Ordering::Relaxed);
        let mut source = SyntheticSource::new(SyntheticScene::default(), false, stop);
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn settings_may_be_left_out() {
        let parsed: SyntheticScene = ",,9".parse().unwrap();
        assert_eq!(parsed, SyntheticScene { seed: 9, ..SyntheticScene::default() });
        for (settings, said) in [
            ("1x1", "'1x1' is not a valid size from 16x16 to 4096x4096"),
            ("64x64,fast", "'fast' is not a valid number of frames a second"),
            ("64x64,1,1,1,1", "'1' is one field too many after synthetic:"),
        ] {
            assert_eq!(settings.parse::<SyntheticScene>().unwrap_err().to_string(), said);
        }
    }
}
