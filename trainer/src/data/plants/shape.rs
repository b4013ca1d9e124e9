//! One outline of a plant, and what it belongs to.

use tiny_skia::{Path, Point};

/// What a shape belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Organ {
    /// The head: the petals and the centre.
    Flower,
    /// A leaf; never decides the class.
    Leaf,
    /// The stem.
    Stem,
}

impl Organ {
    /// Its name in the name of a class.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flower => "flower",
            Self::Leaf => "leaf",
            Self::Stem => "stem",
        }
    }
}

/// One outline, filled with a colour that brightens from its root to its tip.
pub(super) struct Shape {
    /// What the shape belongs to.
    pub(super) organ: Organ,
    /// The closed outline.
    pub(super) path: Path,
    /// Where the shape is darkest.
    pub(super) root: Point,
    /// Where the shape is brightest.
    pub(super) tip: Point,
    /// How bright the shape is as a whole, 1 for the plain colour.
    pub(super) lightness: f32,
}

/// The point reached from `from` by going `forward` at `angle` and `sideways` across it.
pub(super) fn step(from: Point, angle: f32, forward: f32, sideways: f32) -> Point {
    let (sin, cos) = angle.sin_cos();
    Point::from_xy(from.x + forward * cos - sideways * sin, from.y + forward * sin + sideways * cos)
}
