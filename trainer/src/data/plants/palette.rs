//! The colours of the classes, the greens between them, and how both vary from plant to plant.

use rand_chacha::ChaCha8Rng;

use crate::data::drawing::{Rgb, between};

/// One of the colours that can make a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tint {
    /// Its name in the name of the class.
    pub(super) name: &'static str,
    /// Its middle hue, in degrees.
    hue: f32,
}

/// The six colours, sorted by name.
///
/// No two hues lie closer than 28 degrees and none closer than 46 to the greens below, so that the
/// variation and the light added on top never turn one colour into another.
pub(super) static TINTS: [Tint; 6] = [
    Tint { name: "blue", hue: 216.0 },
    Tint { name: "orange", hue: 28.0 },
    Tint { name: "pink", hue: 324.0 },
    Tint { name: "purple", hue: 270.0 },
    Tint { name: "red", hue: 0.0 },
    Tint { name: "yellow", hue: 56.0 },
];

impl Tint {
    /// The colour as one plant carries it.
    pub(super) fn shade(self, rng: &mut ChaCha8Rng) -> Shade {
        Shade {
            hue: self.hue + between(rng, -4.0, 4.0),
            saturation: between(rng, 0.75, 0.95),
            value: between(rng, 0.78, 0.92),
        }
    }
}

/// The green of one plant.
pub(super) fn green(rng: &mut ChaCha8Rng) -> Shade {
    Shade {
        hue: between(rng, 108.0, 136.0),
        saturation: between(rng, 0.50, 0.85),
        value: between(rng, 0.42, 0.78),
    }
}

/// A colour to paint with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shade {
    /// Degrees around the colour circle, any number of turns.
    pub(super) hue: f32,
    /// 0 for grey to 1 for the pure colour.
    pub(super) saturation: f32,
    /// 0 for black to 1 for the brightest.
    pub(super) value: f32,
}

impl Shade {
    /// The same colour, brighter or darker.
    pub(super) fn lit(self, factor: f32) -> Self {
        let value = (self.value * factor).clamp(0.0, 1.0);
        Self { value, ..self }
    }

    /// The same colour, its hue moved by some degrees.
    pub(super) fn turned(self, degrees: f32) -> Self {
        let hue = self.hue + degrees;
        Self { hue, ..self }
    }

    /// Red, green and blue, each from 0 to 1.
    pub(super) fn rgb(self) -> Rgb {
        let sixth = self.hue.rem_euclid(360.0) / 60.0;
        [5.0_f32, 3.0, 1.0].map(|offset| {
            let place = (offset + sixth) % 6.0;
            let drop = place.min(4.0 - place).clamp(0.0, 1.0);
            self.value * (1.0 - self.saturation * drop)
        })
    }
}

/// The hue of a colour of any scale, in degrees; 0 for grey.
#[cfg(test)]
pub(super) fn hue([r, g, b]: Rgb) -> f32 {
    let top = r.max(g).max(b);
    let spread = top - r.min(g).min(b);
    if spread <= 0.0 {
        return 0.0;
    }
    let sixth = if top == r {
        (g - b) / spread
    } else if top == g {
        2.0 + (b - r) / spread
    } else {
        4.0 + (r - g) / spread
    };
    (sixth * 60.0).rem_euclid(360.0)
}

/// The name of the tint whose hue is nearest.
#[cfg(test)]
pub(super) fn nearest_tint(hue: f32) -> &'static str {
    let apart = |tint: &Tint| {
        let turn = (tint.hue - hue).rem_euclid(360.0);
        turn.min(360.0 - turn)
    };
    TINTS.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).map_or("", |tint| tint.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hue_survives_the_way_through_rgb() {
        for degrees in [0.0_f32, 28.0, 56.0, 120.0, 216.0, 324.0] {
            let shade = Shade { hue: degrees, saturation: 0.8, value: 0.9 };
            assert!((hue(shade.rgb()) - degrees).abs() < 0.1, "{degrees}");
        }
    }
}
