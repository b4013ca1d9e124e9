//! One plant painted, lit and masked.

use std::f32::consts::TAU;

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, Pixmap, Shader, SpreadMode, Transform,
};

use super::anatomy;
use super::background;
use super::error::PlantError;
use super::palette::{self, Shade};
use super::shape::{Organ, Shape};
use super::size::SIZES;
use super::variant::Variant;
use crate::data::drawing::{between, bytes};

/// How far the hue of single green shapes strays from that of the plant, in degrees.
const GREEN_SPREAD: f32 = 6.0;

/// One drawn plant.
#[derive(Clone, Debug)]
pub struct Plant {
    /// The image, square.
    pub image: RgbImage,
    /// 255 where the part that decides the class is visible, 0 elsewhere; as large as the image.
    pub mask: GrayImage,
    /// The index of the class in [`Variant::classes`].
    pub class: usize,
}

/// Draws one plant of a class, `size` pixels wide and high.
///
/// The generator decides everything else: pose, size, bend, petals, leaves, place, background and
/// light. From the same state the same build draws the same plant. All of these are drawn the same
/// way for every class, so that only the colour of the part distinguishes classes.
///
/// # Errors
///
/// When the variant has no such class, or the size is outside [`SIZES`].
pub fn render(variant: Variant, class: usize, size: u32, rng: &mut ChaCha8Rng) -> Result<Plant, PlantError> {
    if !SIZES.contains(&size) {
        return Err(PlantError::Size { size });
    }
    let (target, tint) = variant.target(class).ok_or_else(|| PlantError::Class {
        variant,
        class,
        count: variant.classes().len(),
    })?;
    let shapes = anatomy::grow(size as f32, rng).ok_or(PlantError::Outline { size })?;
    let mut canvas = Pixmap::new(size, size).ok_or(PlantError::Size { size })?;
    background::paint(&mut canvas, rng);

    let (tinted, green) = (tint.shade(rng), palette::green(rng));
    for shape in &shapes {
        // Drawn for every shape, so that the class does not change what the generator gives next.
        let stray = between(rng, -GREEN_SPREAD, GREEN_SPREAD);
        let shade = if shape.organ == target { tinted } else { green.turned(stray) };
        let paint = Paint { shader: shading(shape, shade), ..Paint::default() };
        canvas.fill_path(&shape.path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    Ok(Plant { mask: visible_part(&shapes, target, size)?, image: light(&canvas, rng), class })
}

/// The colour of a shape, darker at its root than at its tip.
fn shading(shape: &Shape, shade: Shade) -> Shader<'static> {
    let colour = |factor: f32| {
        let [r, g, b] = bytes(shade.lit(shape.lightness * factor).rgb());
        Color::from_rgba8(r, g, b, 255)
    };
    let stops = vec![GradientStop::new(0.0, colour(0.84)), GradientStop::new(1.0, colour(1.0))];
    LinearGradient::new(shape.root, shape.tip, stops, SpreadMode::Pad, Transform::identity())
        .unwrap_or(Shader::SolidColor(colour(1.0)))
}

/// The mask of the pixels whose middle shows the part.
///
/// The shapes are painted in the order of the image, white for the part and black for what hides
/// it, without smoothed edges: a pixel belongs to the part or it does not.
fn visible_part(shapes: &[Shape], target: Organ, size: u32) -> Result<GrayImage, PlantError> {
    let mut stencil = Pixmap::new(size, size).ok_or(PlantError::Size { size })?;
    for shape in shapes {
        let colour = if shape.organ == target { Color::WHITE } else { Color::BLACK };
        let paint = Paint { shader: Shader::SolidColor(colour), anti_alias: false, ..Paint::default() };
        stencil.fill_path(&shape.path, &paint, FillRule::Winding, Transform::identity(), None);
    }
    let mut mask = GrayImage::new(size, size);
    for (out, pixel) in mask.pixels_mut().zip(stencil.pixels()) {
        *out = Luma([if pixel.red() >= 128 { 255 } else { 0 }]);
    }
    Ok(mask)
}

/// Lights the painted canvas as a whole and adds the noise of a camera.
///
/// The light stays near or below 1: where the brightest channel is cut off, the hue of a class
/// would drift towards its neighbour.
fn light(canvas: &Pixmap, rng: &mut ChaCha8Rng) -> RgbImage {
    let gain = between(rng, 0.78, 1.0);
    let slope = between(rng, 0.0, 0.08);
    let (sin, cos) = between(rng, 0.0, TAU).sin_cos();
    let balance: [f32; 3] = std::array::from_fn(|_| between(rng, 0.98, 1.02));
    let noise = 255.0 * between(rng, 0.01, 0.035);

    let half = canvas.width() as f32 / 2.0;
    let mut image = RgbImage::new(canvas.width(), canvas.height());
    for ((x, y, out), pixel) in image.enumerate_pixels_mut().zip(canvas.pixels()) {
        let (dx, dy) = (x as f32 / half - 1.0, y as f32 / half - 1.0);
        let strength = gain * (1.0 + slope * (dx * cos + dy * sin));
        let [red, green, blue] = balance;
        let channels = [(pixel.red(), red), (pixel.green(), green), (pixel.blue(), blue)];
        *out = Rgb(channels.map(|(value, balance)| {
            // The difference of two even draws: centred on zero, small values the likeliest.
            let grain = noise * (rng.random::<f32>() - rng.random::<f32>());
            let lit = f32::from(value) * strength * balance + grain;
            lit.round().clamp(0.0, 255.0) as u8
        }));
    }
    image
}
