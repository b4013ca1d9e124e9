//! Which pixels of a mask file are marked: the one place where the rule is.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use comet_engine::image::{ImageError, MAX_PIXELS, read_rgb};
use image::{ColorType, DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// How masks are read, in words; `trainer data report` prints it.
pub const MASK_RULE: &str = "in files with a palette, with colours or with at most two values every pixel that is not black is marked; \
in grey files with more values, and in JPEG and lossy WebP files, pixels above 127 of 255 are; where the transparency varies and the \
colour is constant or not grey, the opaque pixels are";

/// By which part of [`MASK_RULE`] a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaskRule {
    /// Everything that is not black.
    NotBlack,
    /// Everything brighter than half.
    AboveHalf,
    /// Everything opaque.
    Opaque,
}

impl MaskRule {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotBlack => "not black",
            Self::AboveHalf => "above 127",
            Self::Opaque => "opaque",
        }
    }
}

/// Why a mask could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The file is not a valid image.
    #[error("{0} (it is a mask)")]
    Image(#[from] ImageError),
    /// The file cannot be read any more.
    #[error("{path}: the mask cannot be read ({fault})")]
    Io {
        /// The mask.
        path: PathBuf,
        /// The system's message.
        fault: std::io::Error,
    },
    /// The file's transparency or values of 16 bits cannot be decoded.
    #[error("{path}: the mask cannot be decoded ({fault}); save it as a grey PNG")]
    Decode {
        /// The mask.
        path: PathBuf,
        /// The decoder's message.
        fault: image::ImageError,
    },
}

/// A mask as its file has it.
#[derive(Clone, Debug)]
pub struct MaskImage {
    /// 255 where it is marked, 0 elsewhere.
    pub pixels: GrayImage,
    /// How the file was read.
    pub rule: MaskRule,
}

impl MaskImage {
    /// Reads a mask by [`MASK_RULE`].
    pub fn read(path: &Path) -> Result<Self, MaskError> {
        // The one decoder finds every kind of damage; it knows neither transparency nor 16 bits.
        let image = read_rgb(path)?;
        let bytes = std::fs::read(path).map_err(|fault| MaskError::Io { path: path.to_owned(), fault })?;
        let format = image::guess_format(&bytes).ok();
        let encoding = Encoding::of(&bytes, format);
        if format == Some(ImageFormat::Jpeg) || is_plain_png(&bytes) {
            return Ok(mark(DynamicImage::ImageRgb8(image), encoding));
        }
        let decoded = decode(&bytes).map_err(|fault| MaskError::Decode { path: path.to_owned(), fault })?;
        Ok(mark(decoded, encoding))
    }

    /// Marked pixels as a share of all.
    pub fn share(&self) -> f64 {
        marked_share(&self.pixels)
    }
}

/// Marked pixels of a mask as a share of all; 0 without pixels.
pub(super) fn marked_share(mask: &GrayImage) -> f64 {
    let marked = mask.as_raw().iter().filter(|&&value| value >= 128).count();
    marked as f64 / mask.as_raw().len().max(1) as f64
}

/// Decodes with everything that the file holds.
fn decode(bytes: &[u8]) -> Result<DynamicImage, image::ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether a file is a PNG of at most 8 bits without transparency, of which RGB is all there is.
fn is_plain_png(bytes: &[u8]) -> bool {
    let end = bytes.windows(4).position(|word| word == b"IDAT").unwrap_or(0);
    let header = bytes.get(..end).unwrap_or_default();
    let is_small = matches!((header.get(24), header.get(25)), (Some(1..=8), Some(0 | 2 | 3)));
    header.starts_with(b"\x89PNG") && is_small && !header.windows(4).any(|word| word == b"tRNS")
}

/// What a file's format says about its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// Values are as they were saved.
    Exact,
    /// Values are numbers of labels.
    Palette,
    /// Values may have changed a little.
    Lossy,
}

impl Encoding {
    fn of(bytes: &[u8], format: Option<ImageFormat>) -> Self {
        // The colour type in the header that every PNG begins with; 3 means a palette.
        let indexed = bytes.get(25) == Some(&3);
        match format {
            Some(ImageFormat::Png) if indexed => Self::Palette,
            Some(ImageFormat::Gif) => Self::Palette,
            Some(ImageFormat::Jpeg) => Self::Lossy,
            Some(ImageFormat::WebP) if !bytes.windows(4).any(|word| word == b"VP8L") => Self::Lossy,
            _ => Self::Exact,
        }
    }
}

fn mark(image: DynamicImage, encoding: Encoding) -> MaskImage {
    let (width, height) = (image.width(), image.height());
    let deep =
        matches!(image.color(), ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16);
    let (marks, rule) = if deep {
        let image = image.into_rgba16();
        marks(image.pixels().map(|pixel| pixel.0), u16::MAX, encoding)
    } else {
        let image = image.into_rgba8();
        marks(image.pixels().map(|pixel| pixel.0.map(u16::from)), u16::from(u8::MAX), encoding)
    };
    MaskImage { pixels: GrayImage::from_raw(width, height, marks).unwrap_or_default(), rule }
}

/// Applies the rule to pixels of red, green, blue and opacity, each from 0 to `full`.
fn marks(
    pixels: impl Iterator<Item = [u16; 4]> + Clone,
    full: u16,
    encoding: Encoding,
) -> (Vec<u8>, MaskRule) {
    let half = full / 2;
    let traits = Traits::of(pixels.clone(), half);
    let mark = |marked: bool| if marked { 255 } else { 0 };
    if traits.varies && (traits.one_colour || traits.opaque_colours) {
        let limit = if traits.opacities.is_few() { 0 } else { half };
        return (pixels.map(|[_, _, _, opacity]| mark(opacity > limit)).collect(), MaskRule::Opaque);
    }
    let seen = |pixel: [u16; 4]| if traits.varies { over_black(pixel, full) } else { brightest(pixel) };
    let few = match traits.varies {
        true => {
            let mut values = Distinct::default();
            pixels.clone().for_each(|pixel| values.add(over_black(pixel, full)));
            values.is_few()
        }
        false => traits.values.is_few() || traits.colours,
    };
    let rule = match encoding {
        Encoding::Palette => MaskRule::NotBlack,
        Encoding::Exact if few => MaskRule::NotBlack,
        Encoding::Exact | Encoding::Lossy => MaskRule::AboveHalf,
    };
    let limit = if rule == MaskRule::NotBlack { 0 } else { half };
    (pixels.map(|pixel| mark(seen(pixel) > limit)).collect(), rule)
}

fn brightest([red, green, blue, _]: [u16; 4]) -> u16 {
    red.max(green).max(blue)
}

/// The brightness of a pixel that lets black shine through.
fn over_black(pixel: [u16; 4], full: u16) -> u16 {
    let [.., opacity] = pixel;
    (u32::from(brightest(pixel)) * u32::from(opacity) / u32::from(full.max(1))) as u16
}

/// What decides between the parts of the rule.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    /// The opacity is not the same everywhere.
    varies: bool,
    /// All pixels have the same colour.
    one_colour: bool,
    /// Some pixels are not grey.
    colours: bool,
    /// Some of the opaque pixels are not grey.
    opaque_colours: bool,
    values: Distinct,
    opacities: Distinct,
}

impl Traits {
    fn of(pixels: impl Iterator<Item = [u16; 4]>, half: u16) -> Self {
        let mut traits = Self { one_colour: true, ..Self::default() };
        let mut first = None;
        for pixel in pixels {
            let [red, green, blue, opacity] = pixel;
            let colour = [red, green, blue];
            traits.one_colour &= *first.get_or_insert(colour) == colour;
            let coloured = red != green || green != blue;
            traits.colours |= coloured;
            traits.opaque_colours |= coloured && opacity > half;
            traits.values.add(brightest(pixel));
            traits.opacities.add(opacity);
        }
        traits.varies = traits.opacities.second.is_some();
        traits
    }
}

/// Counts different values up to three.
#[derive(Clone, Copy, Debug, Default)]
struct Distinct {
    first: Option<u16>,
    second: Option<u16>,
    more: bool,
}

impl Distinct {
    fn add(&mut self, value: u16) {
        if *self.first.get_or_insert(value) == value {
            return;
        }
        self.more |= *self.second.get_or_insert(value) != value;
    }

    /// Whether there are at most two.
    fn is_few(self) -> bool {
        !self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

    /// The share that is marked, in percent, and the rule, of a file with this image.
    fn read(name: &str, image: &DynamicImage) -> (u32, MaskRule) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        let mask = MaskImage::read(&path).unwrap();
        assert!(mask.pixels.as_raw().iter().all(|&value| value == 0 || value == 255));
        ((100.0 * mask.share()).round() as u32, mask.rule)
    }

    fn gray(values: &[u8]) -> DynamicImage {
        let at = |x: u32| values[x as usize * values.len() / 20];
        GrayImage::from_fn(20, 10, |x, _| Luma([at(x)])).into()
    }

    #[test]
    fn any_value_but_zero_is_marked_where_there_are_two() {
        for high in [1, 38, 255] {
            assert_eq!(read("m.png", &gray(&[0, high])), (50, MaskRule::NotBlack), "{high}");
        }
        assert_eq!(read("m.png", &gray(&[0])), (0, MaskRule::NotBlack));
        assert_eq!(read("m.png", &gray(&[1])), (100, MaskRule::NotBlack));
    }

    #[test]
    fn the_upper_half_is_marked_where_there_are_more_values() {
        assert_eq!(read("m.png", &gray(&[0, 127, 128, 255])), (50, MaskRule::AboveHalf));
    }

    #[test]
    fn sixteen_bits_are_not_cut_to_eight() {
        let low = ImageBuffer::from_fn(20, 10, |x, _| Luma([u16::from(x < 5)]));
        assert_eq!(read("m.png", &DynamicImage::ImageLuma16(low)), (25, MaskRule::NotBlack));
        let levels = ImageBuffer::from_fn(20, 10, |x, _| Luma([if x < 5 { 40_000u16 } else { x as u16 }]));
        assert_eq!(read("m.png", &DynamicImage::ImageLuma16(levels)), (25, MaskRule::AboveHalf));
    }

    #[test]
    fn a_jpeg_is_cut_at_the_middle_whatever_its_values() {
        let (share, rule) = read("m.jpg", &gray(&[0, 255]));
        assert_eq!((share, rule), (50, MaskRule::AboveHalf));
    }

    #[test]
    fn every_colour_of_a_label_image_is_marked() {
        // Class 1, the border of objects, and class 8 in the colours of Pascal VOC.
        let labels = [[0, 0, 0], [128, 0, 0], [224, 224, 192], [64, 0, 0]];
        let image = RgbImage::from_fn(20, 10, |x, _| Rgb(labels[x as usize / 5]));
        assert_eq!(read("m.png", &image.into()), (75, MaskRule::NotBlack));
    }

    #[test]
    fn a_transparency_that_varies_is_the_mask_of_one_colour_or_of_a_cut_out() {
        for colour in [[0, 0, 0], [255, 255, 255], [9, 200, 30]] {
            let [r, g, b] = colour;
            let image = RgbaImage::from_fn(20, 10, |x, _| Rgba([r, g, b, if x < 5 { 255 } else { 0 }]));
            assert_eq!(read("m.png", &image.into()), (25, MaskRule::Opaque), "{colour:?}");
        }
        let photo = |x: u32, y: u32| Rgba([x as u8, y as u8, 7, if x < 5 { 200 } else { x as u8 }]);
        assert_eq!(read("m.png", &RgbaImage::from_fn(20, 10, photo).into()), (25, MaskRule::Opaque));
    }

    #[test]
    fn a_gray_mask_with_transparency_keeps_its_values() {
        // White on transparent black, and black and white all opaque.
        let drawn = ImageBuffer::from_fn(20, 10, |x, _| LumaA(if x < 5 { [255u8, 255] } else { [0, 0] }));
        assert_eq!(read("m.png", &DynamicImage::ImageLumaA8(drawn)), (25, MaskRule::NotBlack));
        let opaque = ImageBuffer::from_fn(20, 10, |x, _| LumaA([if x < 5 { 255u8 } else { 0 }, 255]));
        assert_eq!(read("m.png", &DynamicImage::ImageLumaA8(opaque)), (25, MaskRule::NotBlack));
    }

    #[test]
    fn the_header_of_a_png_tells_a_palette() {
        let mut header = vec![0; 30];
        assert_eq!(Encoding::of(&header, Some(ImageFormat::Png)), Encoding::Exact);
        header[25] = 3;
        assert_eq!(Encoding::of(&header, Some(ImageFormat::Png)), Encoding::Palette);
        assert_eq!(Encoding::of(b"RIFF....WEBPVP8 ....", Some(ImageFormat::WebP)), Encoding::Lossy);
        assert_eq!(Encoding::of(b"RIFF....WEBPVP8L....", Some(ImageFormat::WebP)), Encoding::Exact);
    }

    #[test]
    fn a_palette_of_grey_labels_is_marked_wherever_it_is_not_black() {
        let pixels = [0u16, 1, 2, 200].map(|value| [value, value, value, 255]);
        let (marks, rule) = marks(pixels.into_iter(), 255, Encoding::Palette);
        assert_eq!((marks.as_slice(), rule), (&[0, 255, 255, 255][..], MaskRule::NotBlack));
    }

    #[test]
    fn a_damaged_mask_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.png");
        std::fs::write(&path, b"not an image").unwrap();
        let error = MaskImage::read(&path).unwrap_err().to_string();
        assert!(error.contains("m.png: ") && error.ends_with("(it is a mask)"), "{error}");
        let missing = MaskImage::read(&folder.path().join("none.png")).unwrap_err().to_string();
        assert!(missing.contains("none.png: "), "{missing}");
    }
}
