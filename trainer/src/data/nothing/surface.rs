//! Drawn surfaces with nothing on them, and rooms with nothing in focus.

use std::f32::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::picture::{Picture, RATIO};
use crate::data::drawing::{Rgb, SmoothNoise, between, mix};

/// What can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// A plain surface under a lamp.
    Board,
    /// A wall, or two that meet.
    Wall,
    /// Grain that runs along or across.
    Wood,
    /// Threads and folds.
    Cloth,
    /// Tiles with joints.
    Tiles,
    /// Fields of two colours.
    Checker,
    /// Stripes, hard or soft.
    Stripes,
    /// A room out of focus.
    Colours,
    /// Lights out of focus.
    Lights,
    /// Hardly any light.
    Darkness,
}

/// What is drawn in turn. Boards come more often: things are held before them.
pub(super) const IN_TURN: [Surface; 12] = [
    Surface::Board,
    Surface::Wall,
    Surface::Wood,
    Surface::Board,
    Surface::Cloth,
    Surface::Tiles,
    Surface::Colours,
    Surface::Board,
    Surface::Checker,
    Surface::Stripes,
    Surface::Lights,
    Surface::Darkness,
];

impl Surface {
    /// Its name in names of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Wall => "wall",
            Self::Wood => "wood",
            Self::Cloth => "cloth",
            Self::Tiles => "tiles",
            Self::Checker => "checker",
            Self::Stripes => "stripes",
            Self::Colours => "colours",
            Self::Lights => "lights",
            Self::Darkness => "darkness",
        }
    }

    /// Draws one.
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> Picture {
        match self {
            Self::Board => board(rng),
            Self::Wall => wall(rng),
            Self::Wood => wood(rng),
            Self::Cloth => cloth(rng),
            Self::Tiles => tiles(rng),
            Self::Checker => checker(rng),
            Self::Stripes => stripes(rng),
            Self::Colours => colours(rng),
            Self::Lights => lights(rng),
            Self::Darkness => darkness(rng),
        }
    }
}

/// A colour that is nearly grey, as most of a room is.
fn greyish(rng: &mut ChaCha8Rng, low: f32, high: f32) -> Rgb {
    let grey = between(rng, low, high);
    [(); 3].map(|()| (grey + between(rng, -0.12, 0.12)).clamp(0.0, 1.0))
}

fn lit(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|value| value * factor)
}

/// A direction: its cosine and sine.
fn direction(rng: &mut ChaCha8Rng) -> (f32, f32) {
    let (sin, cos) = between(rng, 0.0, TAU).sin_cos();
    (cos, sin)
}

/// Light falls off from one place to the edges, soft shadows lie on it: the ground of many product photographs.
fn board(rng: &mut ChaCha8Rng) -> Picture {
    let colour = greyish(rng, 0.35, 1.0);
    let (lamp_x, lamp_y) = (between(rng, 0.2, 0.8), between(rng, 0.2, 0.8));
    let fall = between(rng, 0.1, 0.6);
    let shadow = SmoothNoise::random(rng.random_range(2..5), between(rng, 0.0, 0.17), rng);
    Picture::paint(|x, y| {
        let (dx, dy) = (x - lamp_x, y - lamp_y);
        lit(colour, (1.0 - fall * (dx * dx + dy * dy)) * (1.0 + shadow.at(x, y)))
    })
}

/// A gradient, and in half of the cases another one behind a straight edge: a corner, a table's end, a frame.
fn wall(rng: &mut ChaCha8Rng) -> Picture {
    let [from, to, other] = [(); 3].map(|()| greyish(rng, 0.1, 1.0));
    let ((cos, sin), (across, down)) = (direction(rng), direction(rng));
    // Beyond the corner of the image there is no edge.
    let edge = if rng.random::<bool>() { between(rng, -0.3, 0.3) } else { 1.0 };
    Picture::paint(|x, y| {
        let (dx, dy) = (x - 0.5, y - 0.5);
        let base = if dx * across + dy * down > edge { other } else { from };
        mix(base, to, 0.25 + 0.35 * (dx * cos + dy * sin))
    })
}

fn wood(rng: &mut ChaCha8Rng) -> Picture {
    let colour = lit([0.55, 0.38, 0.22], between(rng, 0.5, 1.4));
    let upright = rng.random::<bool>();
    let (rings, depth) = (between(rng, 20.0, 90.0), between(rng, 0.05, 0.25));
    let bend = SmoothNoise::random(4, 0.04, rng);
    Picture::paint(|x, y| {
        let (along, across) = if upright { (y, x) } else { (x, y) };
        let place = across + bend.at(x, y) + 0.02 * along;
        lit(colour, 1.0 + depth * (rings * place).sin())
    })
}

fn cloth(rng: &mut ChaCha8Rng) -> Picture {
    let colour = greyish(rng, 0.1, 0.9);
    let (across, down) = (between(rng, 100.0, 300.0), between(rng, 100.0, 300.0));
    let folds = SmoothNoise::random(rng.random_range(3..7), 0.25, rng);
    Picture::paint(|x, y| {
        let threads = (across * x).sin() * (down * y).sin();
        lit(colour, 0.85 + folds.at(x, y) + 0.06 * threads)
    })
}

fn tiles(rng: &mut ChaCha8Rng) -> Picture {
    let (tile, joint) = (greyish(rng, 0.0, 1.0), greyish(rng, 0.0, 1.0));
    let (count, line) = (between(rng, 2.0, 9.0), between(rng, 0.03, 0.1));
    Picture::paint(|x, y| {
        let on_joint = (x * RATIO * count).fract() < line || (y * count).fract() < line;
        if on_joint { joint } else { tile }
    })
}

fn checker(rng: &mut ChaCha8Rng) -> Picture {
    let (odd, even) = (greyish(rng, 0.0, 1.0), greyish(rng, 0.0, 1.0));
    let count = between(rng, 2.0, 9.0);
    Picture::paint(|x, y| {
        let fields = (x * RATIO * count).floor() + (y * count).floor();
        if fields % 2.0 > 0.5 { odd } else { even }
    })
}

fn stripes(rng: &mut ChaCha8Rng) -> Picture {
    let (from, to) = (greyish(rng, 0.0, 1.0), greyish(rng, 0.0, 1.0));
    let (sin, cos) = between(rng, 0.0, PI).sin_cos();
    let (waves, hard) = (between(rng, 10.0, 60.0), rng.random::<bool>());
    Picture::paint(|x, y| {
        let wave = (waves * (x * RATIO * cos + y * sin)).sin();
        mix(from, to, if hard { 0.5 + 0.5 * wave.signum() } else { 0.5 + 0.5 * wave })
    })
}

/// Blurred colours, from nearly grey to vivid.
fn colours(rng: &mut ChaCha8Rng) -> Picture {
    let channels = [(); 3].map(|()| SmoothNoise::random(rng.random_range(2..8), 0.5, rng));
    let (light, vivid) = (between(rng, 0.35, 0.65), between(rng, 0.2, 1.0));
    Picture::paint(|x, y| {
        let colour = channels.each_ref().map(|noise| light + noise.at(x, y));
        let grey = colour.iter().sum::<f32>() / 3.0;
        mix([grey; 3], colour, vivid)
    })
}

/// Discs of light before a dark ground.
fn lights(rng: &mut ChaCha8Rng) -> Picture {
    let ground = greyish(rng, 0.02, 0.35);
    let discs: Vec<Disc> = (0..rng.random_range(4..=20_u8)).map(|_| Disc::random(rng)).collect();
    Picture::paint(|x, y| discs.iter().fold(ground, |below, disc| mix(below, disc.colour, disc.weight(x, y))))
}

/// A light out of focus. Lengths are shares of the image's height.
struct Disc {
    x: f32,
    y: f32,
    radius: f32,
    strength: f32,
    colour: Rgb,
}

impl Disc {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        Self {
            x: between(rng, 0.0, RATIO),
            y: between(rng, 0.0, 1.0),
            radius: between(rng, 0.02, 0.16),
            strength: between(rng, 0.3, 0.9),
            colour: [between(rng, 0.7, 1.0), between(rng, 0.5, 1.0), between(rng, 0.3, 1.0)],
        }
    }

    /// How much of its colour shows at a point, 0 to 1: even, with a soft edge.
    fn weight(&self, x: f32, y: f32) -> f32 {
        let inside = self.radius - (x * RATIO - self.x).hypot(y - self.y);
        self.strength * (inside / 0.02).clamp(0.0, 1.0)
    }
}

fn darkness(rng: &mut ChaCha8Rng) -> Picture {
    let colour = lit(greyish(rng, 0.0, 1.0), between(rng, 0.0, 0.12));
    let glow = SmoothNoise::random(3, 0.04, rng);
    Picture::paint(|x, y| colour.map(|value| value + glow.at(x, y).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn drawn(surface: Surface, index: usize) -> RgbImage {
        let mut rng = crate::data::generator(4, "surface", 0, index);
        let picture = surface.draw(&mut rng);
        picture.photograph(&mut rng)
    }

    fn mean(image: &RgbImage) -> f64 {
        let sum: u64 = image.as_raw().iter().map(|&value| u64::from(value)).sum();
        sum as f64 / image.as_raw().len() as f64
    }

    #[test]
    fn every_surface_is_drawn_anew_each_time_and_has_its_own_name() {
        let mut names: Vec<&str> = IN_TURN.iter().map(|surface| surface.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 10);
        for surface in IN_TURN {
            let (first, again, other) = (drawn(surface, 0), drawn(surface, 0), drawn(surface, 1));
            assert_eq!(first.as_raw(), again.as_raw(), "{surface:?}");
            assert_ne!(first.as_raw(), other.as_raw(), "{surface:?}");
        }
    }

    #[test]
    fn no_surface_is_one_flat_colour_and_only_darkness_is_dark() {
        for surface in IN_TURN {
            for index in 0..6 {
                let image = drawn(surface, index);
                assert!(image.as_raw().iter().max() > image.as_raw().iter().min(), "{surface:?} {index}");
                let mean = mean(&image);
                if surface == Surface::Darkness {
                    assert!(mean < 60.0, "{index}: {mean}");
                } else if surface == Surface::Board {
                    assert!(mean > 15.0, "{index}: {mean}");
                }
            }
        }
    }
}
