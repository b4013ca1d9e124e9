//! A stream of frames in one file or pipe: MJPEG or Y4M, recognised by its first bytes.

use std::io::{BufReader, Chain, Cursor, Read};
use std::time::Instant;

use super::error::{SourceError, SourceErrorKind};
use super::frame::{Frame, Pixels};
use super::mjpeg::MjpegReader;
use super::reader::Source;
use super::y4m::Y4mReader;

const Y4M_MAGIC: &[u8] = b"YUV4MPEG2";
const JPEG_MAGIC: &[u8] = &[0xFF, 0xD8];

/// The bytes that were read to recognise the kind, and then the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Frames from anything that can be read.
pub struct StreamSource<R> {
    name: String,
    live: bool,
    number: u64,
    frames: Frames<R>,
}

enum Frames<R> {
    /// Nothing was read yet: a pipe may stay silent for long, and opening must not wait for it.
    Unread(R),
    Mjpeg(MjpegReader<Whole<R>>),
    Y4m(Y4mReader<BufReader<Whole<R>>>),
    Ended,
}

impl<R: Read> StreamSource<R> {
    /// Reads frames from `reader`; `live` if they come at their own pace.
    pub fn new(name: impl Into<String>, reader: R, live: bool) -> Self {
        Self { name: name.into(), live, number: 0, frames: Frames::Unread(reader) }
    }

    /// Reads MJPEG, and passes over whatever comes before the first image.
    pub(super) fn mjpeg(name: impl Into<String>, reader: R, live: bool) -> Self {
        let frames = Frames::Mjpeg(MjpegReader::new(Cursor::new(Vec::new()).chain(reader)));
        Self { name: name.into(), live, number: 0, frames }
    }

    fn next_pixels(&mut self) -> Result<Option<Pixels>, SourceErrorKind> {
        if let Frames::Unread(_) = self.frames
            && let Frames::Unread(reader) = std::mem::replace(&mut self.frames, Frames::Ended)
        {
            self.frames = recognise(reader)?;
        }
        match &mut self.frames {
            Frames::Mjpeg(reader) => Ok(reader.next_image()?.map(Pixels::Encoded)),
            Frames::Y4m(reader) => Ok(reader.next_image()?.map(Pixels::Raw)),
            Frames::Unread(_) | Frames::Ended => Ok(None),
        }
    }
}

fn recognise<R: Read>(mut reader: R) -> Result<Frames<R>, SourceErrorKind> {
    let mut magic = Vec::new();
    reader.by_ref().take(Y4M_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let is_y4m = magic == Y4M_MAGIC;
    let is_mjpeg = magic.starts_with(JPEG_MAGIC);
    let found = match magic.as_slice() {
        [] => "it is empty".to_owned(),
        bytes => format!("it begins with '{}'", bytes.escape_ascii()),
    };
    let whole = Cursor::new(magic).chain(reader);
    match (is_mjpeg, is_y4m) {
        (true, _) => Ok(Frames::Mjpeg(MjpegReader::new(whole))),
        (_, true) => Ok(Frames::Y4m(Y4mReader::new(BufReader::new(whole))?)),
        _ => Err(SourceErrorKind::NotAStream(found)),
    }
}

impl<R: Read + Send> Source for StreamSource<R> {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        let pixels = self.next_pixels();
        let number = self.number;
        // A frame that could not be read has its number too.
        self.number += 1;
        let pixels = pixels.map_err(|kind| SourceError::new(&self.name, kind))?;
        Ok(pixels.map(|image| Frame { source: self.name.clone(), number, image, captured: Instant::now() }))
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_jpeg::image;
    use super::*;

    #[test]
    fn the_kind_is_recognised_by_the_first_bytes() {
        let mjpeg = [image(8, 8, 1), image(8, 8, 2)].concat();
        let mut source = StreamSource::new("stdin", &mjpeg[..], false);
        for number in 0..2 {
            let frame = source.next().unwrap().unwrap();
            assert_eq!((frame.number, frame.decode().unwrap().dimensions()), (number, (8, 8)));
        }
        assert!(source.next().unwrap().is_none());

        let y4m = b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x80";
        let mut source = StreamSource::new("stdin", &y4m[..], false);
        assert!(matches!(source.next().unwrap().unwrap().image, Pixels::Raw(_)));
    }

    #[test]
    fn text_before_the_first_image_is_skipped_where_it_is_mjpeg_for_sure() {
        let stream = [b"GST_ARGUS: Creating output stream\n".as_slice(), &image(8, 8, 1)].concat();
        let mut source = StreamSource::mjpeg("csi0", &stream[..], true);
        assert_eq!(source.next().unwrap().unwrap().decode().unwrap().dimensions(), (8, 8));
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn another_stream_is_refused_by_its_first_bytes_and_then_ended() {
        for bytes in [&b"RIFF1234"[..], b"", b"\xff"] {
            let mut source = StreamSource::new("stdin", bytes, false);
            let error = source.next().unwrap_err();
            assert!(matches!(error.kind, SourceErrorKind::NotAStream(_)), "{error}");
            assert!(source.next().unwrap().is_none());
        }
    }
}
