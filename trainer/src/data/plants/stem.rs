//! Where the stem of one plant runs, and with it where the plant stands.

use std::f32::consts::FRAC_PI_2;

use rand_chacha::ChaCha8Rng;
use tiny_skia::{LineCap, PathBuilder, Point, Stroke};

use super::shape::{Organ, Shape, step};
use crate::data::drawing::between;

/// The middle line of the stem: a cubic curve from the ground to the flower head.
pub(super) struct StemLine {
    foot: Point,
    low: Point,
    high: Point,
    /// The upper end, under the middle of the flower.
    pub(super) head: Point,
    width: f32,
}

impl StemLine {
    /// A stem that leans and bends, placed so that it and the head stay inside the image.
    pub(super) fn grow(side: f32, radius: f32, rng: &mut ChaCha8Rng) -> Self {
        let width = side * between(rng, 0.062, 0.088);
        // Measured beyond the head, which hides the rest: the visible stem is never too short.
        let length = radius + side * between(rng, 0.36, 0.46);
        let up = between(rng, -0.6, 0.6) - FRAC_PI_2;
        let bend_low = length * between(rng, -0.16, 0.16);
        let bend_high = length * between(rng, -0.16, 0.16);
        let foot = Point::zero();
        let mut stem = Self {
            foot,
            low: step(foot, up, length / 3.0, bend_low),
            high: step(foot, up, length * 2.0 / 3.0, bend_high),
            head: step(foot, up, length, 0.0),
            width,
        };

        let (mut left, mut right) = (stem.head.x - radius, stem.head.x + radius);
        let (mut top, mut bottom) = (stem.head.y - radius, stem.head.y + radius);
        for eighth in 0..=8_u8 {
            let point = stem.at(f32::from(eighth) / 8.0);
            left = left.min(point.x - width / 2.0);
            right = right.max(point.x + width / 2.0);
            top = top.min(point.y - width / 2.0);
            bottom = bottom.max(point.y + width / 2.0);
        }
        let margin = side * 0.02;
        let across = between(rng, margin - left, side - margin - right);
        let down = between(rng, margin - top, side - margin - bottom);
        for point in [&mut stem.foot, &mut stem.low, &mut stem.high, &mut stem.head] {
            *point = Point::from_xy(point.x + across, point.y + down);
        }
        stem
    }

    /// The point a share `t` of the way up.
    pub(super) fn at(&self, t: f32) -> Point {
        let s = 1.0 - t;
        let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
        let points = [self.foot, self.low, self.high, self.head];
        let mut sum = Point::zero();
        for (weight, point) in weights.into_iter().zip(points) {
            sum = Point::from_xy(sum.x + weight * point.x, sum.y + weight * point.y);
        }
        sum
    }

    /// The angle, in radians, at which the stem runs on a share `t` of the way up.
    pub(super) fn direction(&self, t: f32) -> f32 {
        let (before, after) = (self.at(t - 0.02), self.at(t + 0.02));
        (after.y - before.y).atan2(after.x - before.x)
    }

    /// The stem as an outline.
    pub(super) fn shape(&self) -> Option<Shape> {
        let mut line = PathBuilder::new();
        line.move_to(self.foot.x, self.foot.y);
        line.cubic_to(self.low.x, self.low.y, self.high.x, self.high.y, self.head.x, self.head.y);
        let pen = Stroke { width: self.width, line_cap: LineCap::Round, ..Stroke::default() };
        Some(Shape {
            organ: Organ::Stem,
            path: line.finish()?.stroke(&pen, 1.0)?,
            root: self.foot,
            tip: self.head,
            lightness: 1.0,
        })
    }
}
