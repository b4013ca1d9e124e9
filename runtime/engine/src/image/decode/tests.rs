use image::{ImageBuffer, Rgb, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::super::encode::encode_png;
use super::super::exif::tests::exif as exif_chunk;
use super::super::jpeg::sample;
use super::*;

/// No more than 256 colours, since a GIF has no more.
fn few_colours() -> RgbImage {
    RgbImage::from_fn(16, 12, |x, y| Rgb([15 * x as u8, 20 * y as u8, (255 - 9 * (x + y)) as u8]))
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn fault_of(bytes: &[u8]) -> String {
    decode_rgb(bytes, "a").unwrap_err().to_string()
}

/// A JPEG of the encoder that can do what the `image` crate's cannot.
fn jpeg(image: &RgbImage, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    set(&mut encoder);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(image.as_raw(), width, height, ColorType::Rgb).unwrap();
    bytes
}

#[test]
fn every_lossless_format_gives_the_pixels_of_the_png() {
    let image = few_colours();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff]
    {
        assert_eq!(decode_rgb(&encoded(&image, format), "a").unwrap(), image, "{format:?}");
    }
}

#[test]
fn a_file_whose_suffix_is_wrong_is_decoded_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let image = few_colours();
    for (name, format) in [("a.jpg", ImageFormat::WebP), ("b.png", ImageFormat::Bmp), ("c", ImageFormat::Gif)]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, encoded(&image, format)).unwrap();
        assert_eq!(read_rgb(&path).unwrap(), image, "{name}");
    }
}

#[test]
fn what_is_not_an_image_is_named_with_the_formats_that_are_read() {
    assert_eq!(fault_of(b""), "a: is an empty file; JPEG, PNG, WebP, BMP, GIF and TIFF are read");
    assert!(fault_of(b"%PDF-1.4").starts_with("a: is a PDF document; JPEG"));
    assert!(fault_of(b"none").starts_with("a: is not an image of a known format; JPEG"));
}

#[test]
fn transparent_pixels_are_laid_over_white() {
    let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([10, 20, 30, [0, 255, 51][x as usize]]));
    let expected = RgbImage::from_raw(3, 1, vec![255, 255, 255, 10, 20, 30, 206, 208, 210]).unwrap();
    let mut webp = Cursor::new(Vec::new());
    image.write_to(&mut webp, ImageFormat::WebP).unwrap();
    for bytes in [encode_png(&image).unwrap(), webp.into_inner()] {
        assert_eq!(decode_rgb(&bytes, "a").unwrap(), expected);
    }
    let deep = ImageBuffer::from_pixel(1, 1, image::LumaA([0u16, 0]));
    assert_eq!(decode_rgb(&encode_png(&deep).unwrap(), "a").unwrap().into_raw(), [255; 3]);
}

#[test]
fn a_fourth_byte_of_zero_in_a_bmp_is_not_transparency() {
    let rgba = |alpha| DynamicImage::from(RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, alpha])));
    assert_eq!(without_alpha(rgba(0), ImageFormat::Bmp).get_pixel(0, 0).0, [10, 20, 30]);
    assert_eq!(without_alpha(rgba(0), ImageFormat::Png).get_pixel(0, 0).0, [255; 3]);
    assert_eq!(without_alpha(rgba(255), ImageFormat::Bmp).get_pixel(1, 1).0, [10, 20, 30]);
}

#[test]
fn an_orientation_of_16_or_32_bits_turns_the_image_upright() {
    let image = sample::pixels(32, 16, 1);
    let upright = decode_rgb(&jpeg(&image, |_| {}), "a").unwrap();
    for kind in [3, 4] {
        let bytes = jpeg(&image, |encoder| {
            encoder.add_exif_metadata(&exif_chunk(true, 0x0112, kind, 6)).unwrap();
        });
        let turned = decode_rgb(&bytes, "a").unwrap();
        assert_eq!(turned, image::imageops::rotate90(&upright), "{kind}");
    }
}

#[test]
fn no_cut_image_is_decoded_whatever_its_format() {
    let image = few_colours();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff]
    {
        let bytes = encoded(&image, format);
        for part in 1..4 {
            let cut = &bytes[..bytes.len() * part / 4];
            assert!(decode_rgb(cut, "a").is_err(), "{format:?}, {part} of 4");
        }
    }
}

#[test]
fn a_cut_jpeg_is_refused_even_if_it_was_closed() {
    let image = sample::pixels(96, 64, 3);
    let kinds = [
        jpeg(&image, |_| {}),
        jpeg(&image, |encoder| encoder.set_sampling_factor(SamplingFactor::R_4_2_0)),
        jpeg(&image, |encoder| encoder.set_progressive(true)),
        jpeg(&image, |encoder| encoder.set_restart_interval(3)),
    ];
    for (kind, bytes) in kinds.iter().enumerate() {
        assert_eq!(decode_rgb(bytes, "a").unwrap().dimensions(), (96, 64));
        for tenth in [3, 5, 7, 9] {
            let place = bytes.len() * tenth / 10;
            let cut = &bytes[..place];
            assert!(fault_of(cut).contains("is damaged"), "{kind}, {place}");
            let closed = [cut, &[0xFF, 0xD9]].concat();
            let fault = fault_of(&closed);
            assert!(fault.contains("is damaged"), "{kind}, {place}: {fault}");
        }
    }
}

#[test]
fn a_jpeg_with_bytes_lost_in_the_middle_is_refused() {
    let image = sample::pixels(96, 64, 3);
    let plain = jpeg(&image, |encoder| encoder.set_sampling_factor(SamplingFactor::R_4_2_0));
    let with_restarts = jpeg(&image, |encoder| encoder.set_restart_interval(3));
    for bytes in [plain, with_restarts] {
        let lost = [&bytes[..bytes.len() * 3 / 5], &bytes[bytes.len() * 4 / 5..]].concat();
        assert!(fault_of(&lost).contains("is damaged"));
    }
}

#[test]
fn a_closed_jpeg_says_how_many_blocks_are_missing() {
    let image = sample::pixels(96, 64, 3);
    let bytes = jpeg(&image, |encoder| encoder.set_sampling_factor(SamplingFactor::F_1_1));
    let closed = [&bytes[..bytes.len() / 2], &[0xFF, 0xD9]].concat();
    let fault = decode_rgb(&closed, "a").unwrap_err();
    let ImageErrorKind::MissingBlocks { missing, expected } = fault.kind else { panic!("{fault}") };
    assert_eq!(expected, 12 * 8);
    assert!((1..expected).contains(&missing), "{missing}");
}

#[test]
fn separate_scans_are_decoded_right_or_refused() {
    let image = sample::pixels(64, 64, 2);
    let separate = |sampling| {
        jpeg(&image, |encoder| {
            encoder.set_sampling_factor(sampling);
            encoder.set_optimized_huffman_tables(true);
        })
    };
    for sampling in [SamplingFactor::F_2_2, SamplingFactor::F_1_2, SamplingFactor::F_2_4] {
        let fault = decode_rgb(&separate(sampling), "a").unwrap_err();
        assert!(matches!(fault.kind, ImageErrorKind::SeparateScans), "{sampling:?}: {fault}");
        assert!(fault.to_string().contains("jpegtran -optimize"), "{fault}");
    }
    for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1] {
        let together = jpeg(&image, |encoder| encoder.set_sampling_factor(sampling));
        let (one, other) =
            (decode_rgb(&separate(sampling), "a").unwrap(), decode_rgb(&together, "a").unwrap());
        assert_eq!(one, other, "{sampling:?}");
    }
}

#[test]
fn oddities_of_cameras_are_no_damage() {
    let image = sample::pixels(48, 32, 5);
    let whole = jpeg(&image, |encoder| encoder.set_restart_interval(2));
    let expected = decode_rgb(&whole, "a").unwrap();
    let end = whole.len() - 2;
    let with_tail = [&whole, [0xAB; 100].as_slice()].concat();
    let with_fill = [&whole[..end], &[0xFF, 0xFF, 0xFF, 0xD9]].concat();
    let with_padding = [&whole[..end], &[0, 0, 0], &whole[end..]].concat();
    for (number, bytes) in [with_tail, with_fill, with_padding].iter().enumerate() {
        assert_eq!(decode_rgb(bytes, "a").unwrap(), expected, "{number}");
    }
    // The last byte of the data is not there: the last block has begun.
    let short = [&whole[..end - 1], &whole[end..]].concat();
    assert_eq!(decode_rgb(&short, "a").unwrap().dimensions(), (48, 32));
}

#[test]
fn a_file_that_is_not_there_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none.jpg")] {
        let fault = read_rgb(&path).unwrap_err();
        assert_eq!(fault.name, path.display().to_string());
        assert!(matches!(fault.kind, ImageErrorKind::Io(_)), "{fault}");
    }
}
