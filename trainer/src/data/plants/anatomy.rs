//! The shapes of one plant, in the order they are painted.
//!
//! All lengths are in pixels of the final image, so that the image and the mask are filled from
//! the very same outlines.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{Path, PathBuilder, Point, Transform};

use super::shape::{Organ, Shape, step};
use super::stem::StemLine;
use crate::data::drawing::between;

/// Grows a plant for an image of `side` pixels: shapes later in the list hide earlier ones.
///
/// Nothing comes back where an outline has no area or is not finite.
pub(super) fn grow(side: f32, rng: &mut ChaCha8Rng) -> Option<Vec<Shape>> {
    let radius = side * between(rng, 0.14, 0.20);
    let stem = StemLine::grow(side, radius, rng);

    let mut shapes = Vec::new();
    let mut before_stem = Vec::new();
    let leaves = rng.random_range(2..=4_u32);
    let mut turn = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    for index in 0..leaves {
        // Spread along the stem, below the head, on alternate sides.
        let place = (index as f32 + between(rng, 0.2, 0.8)) / leaves as f32;
        let leaf = grow_leaf(&stem, 0.10 + 0.52 * place, turn, side, rng)?;
        if rng.random_bool(0.5) {
            before_stem.push(leaf);
        } else {
            shapes.push(leaf);
        }
        turn = -turn;
    }
    shapes.push(stem.shape()?);
    shapes.append(&mut before_stem);
    grow_flower(stem.head, radius, rng, &mut shapes)?;
    Some(shapes)
}

/// A pointed leaf that leaves the stem at `place`, to the side `turn` (1 or -1) says.
fn grow_leaf(stem: &StemLine, place: f32, turn: f32, side: f32, rng: &mut ChaCha8Rng) -> Option<Shape> {
    let root = stem.at(place);
    let angle = stem.direction(place) + turn * between(rng, 0.6, 1.3);
    let length = side * between(rng, 0.17, 0.28);
    let half_width = length * between(rng, 0.26, 0.38);
    Some(Shape {
        organ: Organ::Leaf,
        path: blade(root, angle, length, half_width, 0.6)?,
        root,
        tip: step(root, angle, length, 0.0),
        lightness: between(rng, 0.85, 1.15),
    })
}

/// The flower head: a ring of petals, then the centre over their roots.
fn grow_flower(head: Point, radius: f32, rng: &mut ChaCha8Rng, shapes: &mut Vec<Shape>) -> Option<()> {
    // A head seen a little from the side: flattened along a random axis, about its own middle.
    let axis = between(rng, 0.0, 180.0);
    let facing = Transform::from_translate(-head.x, -head.y)
        .post_rotate(axis)
        .post_scale(1.0, between(rng, 0.90, 1.0))
        .post_rotate(-axis)
        .post_translate(head.x, head.y);

    let petals = rng.random_range(5..=9_u8);
    let spacing = TAU / f32::from(petals);
    let first = between(rng, 0.0, TAU);
    // Wide enough for neighbours to meet about two thirds of the way out.
    let half_width = radius * 1.1 * (PI / f32::from(petals)).sin() * between(rng, 0.9, 1.1);
    for petal in 0..petals {
        let angle = first + spacing * f32::from(petal);
        let path = blade(head, angle, radius, half_width, 1.0)?;
        shapes.push(Shape {
            organ: Organ::Flower,
            path: path.transform(facing)?,
            root: head,
            tip: step(head, angle, radius, 0.0),
            lightness: between(rng, 0.88, 1.06),
        });
    }

    let centre = radius * between(rng, 0.26, 0.36);
    shapes.push(Shape {
        organ: Organ::Flower,
        path: PathBuilder::from_circle(head.x, head.y, centre)?.transform(facing)?,
        root: step(head, FRAC_PI_2, centre, 0.0),
        tip: step(head, -FRAC_PI_2, centre, 0.0),
        lightness: 0.68,
    });
    Some(())
}

/// A leaf or petal: two mirrored curves from the root to the tip.
///
/// `fullness` is where along the length the far control points lie: 1 rounds the tip off.
fn blade(root: Point, angle: f32, length: f32, half_width: f32, fullness: f32) -> Option<Path> {
    let tip = step(root, angle, length, 0.0);
    let near = |sideways| step(root, angle, length * 0.35, sideways);
    let far = |sideways| step(root, angle, length * fullness, sideways);
    let (near_left, far_left) = (near(half_width), far(half_width));
    let (near_right, far_right) = (near(-half_width), far(-half_width));

    let mut outline = PathBuilder::new();
    outline.move_to(root.x, root.y);
    outline.cubic_to(near_left.x, near_left.y, far_left.x, far_left.y, tip.x, tip.y);
    outline.cubic_to(far_right.x, far_right.y, near_right.x, near_right.y, root.x, root.y);
    outline.close();
    outline.finish()
}
