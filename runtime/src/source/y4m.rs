//! Uncompressed video as `ffmpeg -f yuv4mpegpipe` and `rpicam-vid` filters write it (YUV4MPEG2).
//!
//! The header does not name the matrix of the colours. They are read as BT.601: to stream a video that is
//! tagged BT.709, as most are in HD, give ffmpeg `-vf scale=out_color_matrix=bt601`.

use std::io::{BufRead, Read};

use super::error::SourceErrorKind;
use super::raw::{Layout, RawImage, ValueRange};

/// The largest frame of a video, in pixels: 8K.
pub const MAX_VIDEO_PIXELS: u64 = 7680 * 4320;
/// Longer header lines are refused; real ones have about 60 bytes.
const MAX_LINE: u64 = 512;

/// What a Y4M stream says about its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Y4mHeader {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Arrangement of the bytes.
    pub layout: Layout,
    /// Which values are black and white.
    pub range: ValueRange,
}

impl Y4mHeader {
    /// Reads the first line of a stream, without its line end.
    ///
    /// # Errors
    /// [`SourceErrorKind::Header`] names the field that is missing, unknown or too large.
    pub fn parse(line: &str) -> Result<Self, SourceErrorKind> {
        let fault = |text: String| SourceErrorKind::Header(text);
        let mut fields = line.split(' ');
        if fields.next() != Some("YUV4MPEG2") {
            return Err(fault("it does not begin with YUV4MPEG2".into()));
        }
        let (mut width, mut height) = (None, None);
        let (mut layout, mut range) = (Layout::Yuv420, ValueRange::Limited);
        for field in fields.filter(|field| !field.is_empty()) {
            let (key, value) = split_first(field);
            match key {
                'W' => width = value.parse::<u32>().ok(),
                'H' => height = value.parse::<u32>().ok(),
                'C' => layout = layout_of(value)?,
                'X' if value == "COLORRANGE=FULL" => range = ValueRange::Full,
                // Frame rate, interlacing, aspect ratio and comments do not change the pixels.
                _ => {}
            }
        }
        let width = width.ok_or_else(|| fault("its width (W) is missing or not a valid number".into()))?;
        let height = height.ok_or_else(|| fault("its height (H) is missing or not a valid number".into()))?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > MAX_VIDEO_PIXELS {
            return Err(fault(format!(
                "{width} x {height}; there must be between 1 and {MAX_VIDEO_PIXELS} pixels"
            )));
        }
        Ok(Self { width, height, layout, range })
    }
}

fn split_first(field: &str) -> (char, &str) {
    let mut characters = field.chars();
    (characters.next().unwrap_or(' '), characters.as_str())
}

fn layout_of(name: &str) -> Result<Layout, SourceErrorKind> {
    match name {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Layout::Yuv420),
        "422" => Ok(Layout::Yuv422),
        "444" => Ok(Layout::Yuv444),
        "mono" => Ok(Layout::Gray),
        _ => Err(SourceErrorKind::Header(format!(
            "its colour format is C{}{}; supported are C420, C420jpeg, C420mpeg2, C420paldv, C422, C444, Cmono; \
             ffmpeg converts with -pix_fmt yuv420p",
            name.escape_default(),
            if is_deep(name) { ", with more than 8 bits a sample" } else { "" },
        ))),
    }
}

/// Whether a colour format has more than 8 bits a sample, such as `420p10` or `mono16`.
fn is_deep(name: &str) -> bool {
    let digits = name.strip_prefix("mono").or_else(|| name.split_once('p').map(|(_, bits)| bits));
    digits.and_then(|bits| bits.parse::<u32>().ok()).is_some_and(|bits| bits > 8)
}

/// Reads the frames of a Y4M stream.
pub struct Y4mReader<R> {
    reader: R,
    header: Y4mHeader,
    ended: bool,
}

impl<R: BufRead> Y4mReader<R> {
    /// Reads the stream's header.
    ///
    /// # Errors
    /// The header is missing or cannot be used.
    pub fn new(mut reader: R) -> Result<Self, SourceErrorKind> {
        let line = read_line(&mut reader)?.unwrap_or_default();
        let header = Y4mHeader::parse(&line)?;
        Ok(Self { reader, header, ended: false })
    }

    /// The stream's header.
    pub fn header(&self) -> &Y4mHeader {
        &self.header
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// A frame is cut off or has no header. There is no way back into step, so the stream ends there.
    pub fn next_image(&mut self) -> Result<Option<RawImage>, SourceErrorKind> {
        if self.ended {
            return Ok(None);
        }
        let image = self.read_image();
        self.ended = !matches!(image, Ok(Some(_)));
        image
    }

    fn read_image(&mut self) -> Result<Option<RawImage>, SourceErrorKind> {
        let Y4mHeader { width, height, layout, range } = self.header;
        let Some(line) = read_line(&mut self.reader)? else {
            return Ok(None);
        };
        if line.split(' ').next() != Some("FRAME") {
            return Err(SourceErrorKind::Header("a frame does not begin with FRAME".into()));
        }
        let length = layout.bytes(width, height).unwrap_or(usize::MAX);
        // Grows with the bytes that come: a header alone costs no memory.
        let mut bytes = Vec::new();
        self.reader.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        RawImage::new(layout, range, (width, height), bytes)
            .map(Some)
            .ok_or_else(|| SourceErrorKind::Damaged("the stream ends inside it".into()))
    }
}

/// A line without its end; `None` at the end of the stream.
fn read_line(reader: &mut impl BufRead) -> Result<Option<String>, SourceErrorKind> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        Some(_) => Err(SourceErrorKind::Header("a header line has no end".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_header_are_named() {
        for (line, word) in [
            ("YUV4MPEG W2 H2", "YUV4MPEG2"),
            ("YUV4MPEG2 H2", "width"),
            ("YUV4MPEG2 W2 Htwo", "height"),
            ("YUV4MPEG2 W0 H2", "pixels"),
            ("YUV4MPEG2 W4294967295 H4294967295", "pixels"),
            ("YUV4MPEG2 W99999999999 H2", "width"),
            ("YUV4MPEG2 W2 H2 C411", "C411;"),
        ] {
            let error = Y4mHeader::parse(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
        let header = Y4mHeader::parse("YUV4MPEG2 W4 H2 F30:1 Ip A1:1 C444 XCOLORRANGE=FULL").unwrap();
        assert_eq!((header.layout, header.range), (Layout::Yuv444, ValueRange::Full));
    }

    #[test]
    fn ten_bit_video_is_refused_with_the_option_that_makes_ffmpeg_convert_it() {
        for format in ["420p10", "422p12", "444p16", "mono10"] {
            let error = Y4mHeader::parse(&format!("YUV4MPEG2 W2 H2 C{format}")).unwrap_err().to_string();
            let said = format!("C{format}, with more than 8 bits a sample");
            assert!(error.contains(&said) && error.contains("-pix_fmt yuv420p"), "{error}");
        }
    }

    #[test]
    fn tiny_frames_are_read_and_a_cut_one_ends_the_stream() {
        let stream = b"YUV4MPEG2 W2 H2 F1:1 C420jpeg\nFRAME\n\x10\xeb\x10\xeb\x80\x80FRAME Ixyz\n\x10\x10";
        let mut reader = Y4mReader::new(&stream[..]).unwrap();
        let image = reader.next_image().unwrap().unwrap().to_rgb();
        assert_eq!(image.into_raw(), [0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255]);
        assert!(matches!(reader.next_image(), Err(SourceErrorKind::Damaged(_))));
        assert!(matches!(reader.next_image(), Ok(None)));
    }

    #[test]
    fn a_stream_out_of_step_is_refused() {
        let stream = b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x10JUNK\n";
        let mut reader = Y4mReader::new(&stream[..]).unwrap();
        assert!(reader.next_image().unwrap().is_some());
        assert!(matches!(reader.next_image(), Err(SourceErrorKind::Header(_))));
    }

    #[test]
    fn a_header_without_end_is_refused_early() {
        let endless = std::io::BufReader::new(std::io::repeat(b'Y'));
        assert!(matches!(Y4mReader::new(endless), Err(SourceErrorKind::Header(_))));
    }
}
