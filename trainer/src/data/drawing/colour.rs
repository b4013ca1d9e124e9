//! Colours as three numbers, and as the bytes of an image.

/// Red, green and blue, each from 0 to 1.
pub(in crate::data) type Rgb = [f32; 3];

/// The colour a share `weight` of the way from one to another.
pub(in crate::data) fn mix(from: Rgb, to: Rgb, weight: f32) -> Rgb {
    let ([r, g, b], [to_r, to_g, to_b]) = (from, to);
    [r + (to_r - r) * weight, g + (to_g - g) * weight, b + (to_b - b) * weight]
}

/// The colour in the 8 bits an image holds; what lies outside is cut off.
pub(in crate::data) fn bytes(colour: Rgb) -> [u8; 3] {
    colour.map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8)
}
