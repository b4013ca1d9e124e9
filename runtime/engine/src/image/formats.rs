//! The formats that are read, recognised by their content, and what else a file may be.

use std::path::Path;

use image::ImageFormat;

/// The formats that are read, for messages.
pub const FORMATS: &str = "JPEG, PNG, WebP, BMP, GIF and TIFF";

/// Suffixes of the files that are taken for images where a folder is searched, in lower case.
pub const IMAGE_SUFFIXES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Whether the name ends as an image's does: one of [`IMAGE_SUFFIXES`], in any case.
pub fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    IMAGE_SUFFIXES.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The format of an image; an error says what it is instead.
pub(super) fn format_of(bytes: &[u8]) -> Result<ImageFormat, &'static str> {
    let tiff = bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*");
    let format = match bytes {
        [0xFF, 0xD8, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', ..] => ImageFormat::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'G', b'I', b'F', b'8', ..] => ImageFormat::Gif,
        [b'B', b'M', ..] => ImageFormat::Bmp,
        _ if tiff => ImageFormat::Tiff,
        _ => return Err(other_content(bytes)),
    };
    Ok(format)
}

/// First bytes of what people have among their images.
const SIGNATURES: [(&[u8], &str); 22] = [
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"qoif", "a QOI image"),
    (b"P5", "a PNM image"),
    (b"P6", "a PNM image"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"YUV4MPEG2", "a Y4M video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"\0\0\0\x01", "a raw H.264 or H.265 video"),
    (b"version https://git-lfs", "a pointer of Git LFS: the image itself was not fetched ('git lfs pull')"),
    (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
];

/// What a file is that holds no image of a known format.
fn other_content(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "an empty file";
    }
    if let Some((_, name)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return name;
    }
    match (bytes.get(..4), bytes.get(4..8), bytes.get(8..12)) {
        (_, Some(b"ftyp"), Some(brand)) => media(brand),
        (Some(b"RIFF"), _, Some(b"AVI ")) => "an AVI video",
        (Some(b"RIFF"), _, Some(b"WAVE")) => "a WAV sound",
        _ if bytes.iter().all(|&byte| byte == 0) => "a file of zeros only: its content was never written",
        _ => text(bytes),
    }
}

/// A file in the ISO container, by its main brand.
fn media(brand: &[u8]) -> &'static str {
    match brand {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => {
            "a HEIC image, as phones write them: convert it to JPEG"
        }
        b"avif" | b"avis" => "an AVIF image: convert it to JPEG or PNG",
        b"mif1" | b"msf1" => "a HEIC or AVIF image: convert it to JPEG",
        b"crx " => "a camera's raw image",
        b"qt  " => "a QuickTime video",
        _ => "an MP4 video",
    }
}

/// A text, if it is one.
fn text(bytes: &[u8]) -> &'static str {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let start = start.trim_start();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return "an HTML page, as a server sends in place of an image";
    }
    if start.starts_with('<') && start.contains("<svg") {
        return "an SVG drawing";
    }
    if start.starts_with('{') || start.starts_with('[') {
        return "not an image but a text, perhaps JSON";
    }
    "not an image of a known format"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_count_in_any_case_and_only_at_the_end() {
        for name in ["a.jpg", "a.JPEG", "b.c.Png", "a.webp", "a.BMP", "a.gif", "a.tif", "a.tiff"] {
            assert!(has_image_extension(Path::new(name)), "{name}");
        }
        for name in ["jpg", "a.jpg.txt", "a.heic", "a.", ".jpg", ""] {
            assert!(!has_image_extension(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn formats_are_recognised_by_their_first_bytes() {
        let cases: [(&[u8], ImageFormat); 8] = [
            (b"\xff\xd8\xff\xe0", ImageFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
            (b"RIFF\x10\0\0\0WEBPVP8L", ImageFormat::WebP),
            (b"GIF89a", ImageFormat::Gif),
            (b"GIF87a", ImageFormat::Gif),
            (b"BM\x36\0", ImageFormat::Bmp),
            (b"II*\0\x08\0\0\0", ImageFormat::Tiff),
            (b"MM\0*\0\0\0\x08", ImageFormat::Tiff),
        ];
        for (bytes, format) in cases {
            assert_eq!(format_of(bytes), Ok(format));
        }
    }

    #[test]
    fn other_content_is_named() {
        let cases: [(&[u8], &str); 14] = [
            (b"", "an empty file"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image"),
            (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0", "a HEIC or AVIF"),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", "an MP4 video"),
            (b"%PDF-1.7", "a PDF document"),
            (b"\n<!DOCTYPE html><title>404</title>", "an HTML page"),
            (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
            (b"{\"error\": 404}", "not an image but a text"),
            (&[0; 600], "a file of zeros only"),
            (b"no image", "not an image of a known format"),
            (b"\xff", "not an image of a known format"),
        ];
        for (bytes, expected) in cases {
            let named = format_of(bytes).unwrap_err();
            assert!(named.starts_with(expected), "{named}");
        }
    }
}
