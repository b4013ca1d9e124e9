//! Images out of a stream of JPEGs, as `rpicam-vid --codec mjpeg` and HTTP cameras send it.

use std::io::{ErrorKind, Read};

use comet_engine::image::jpeg::{Step, Walker, find_start};

use super::error::SourceErrorKind;

/// The largest image in a stream, in bytes.
pub const MAX_FRAME_BYTES: usize = 8 << 20;
const CHUNK: usize = 64 << 10;

/// Splits a stream into JPEG images. What stands between two images is passed over.
pub struct MjpegReader<R> {
    reader: R,
    chunk: Vec<u8>,
    buffer: Vec<u8>,
    /// Where the current image, or the search for one, begins in the buffer.
    start: usize,
    walker: Option<Walker>,
    ended: bool,
}

impl<R: Read> MjpegReader<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, chunk: vec![0; CHUNK], buffer: Vec::new(), start: 0, walker: None, ended: false }
    }

    /// The next image; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`SourceErrorKind::Damaged`] and [`SourceErrorKind::TooLarge`] cost one image; the next call looks
    /// for the next start mark.
    pub fn next_image(&mut self) -> Result<Option<Vec<u8>>, SourceErrorKind> {
        loop {
            let Some(walker) = &mut self.walker else {
                if !self.find_image()? {
                    return Ok(None);
                }
                continue;
            };
            match walker.advance(self.buffer.get(self.start..).unwrap_or_default()) {
                Step::End(length) => {
                    let image = self.buffer.get(self.start..self.start + length);
                    let image = image.unwrap_or_default().to_vec();
                    self.skip(length);
                    return Ok(Some(image));
                }
                Step::Broken { resume } => {
                    self.skip(resume);
                    return Err(SourceErrorKind::Damaged("its JPEG markers are broken".into()));
                }
                Step::NeedMore if self.buffer.len() - self.start > MAX_FRAME_BYTES => {
                    self.skip(MAX_FRAME_BYTES);
                    return Err(SourceErrorKind::TooLarge { limit: MAX_FRAME_BYTES });
                }
                Step::NeedMore if self.ended => {
                    let resume = walker.resume();
                    self.skip(resume);
                    return Err(SourceErrorKind::Damaged("the stream ends inside it".into()));
                }
                Step::NeedMore => self.fill()?,
            }
        }
    }

    /// Goes to the next start mark; `false` at the end of the stream.
    fn find_image(&mut self) -> Result<bool, SourceErrorKind> {
        loop {
            if let Some(found) = find_start(&self.buffer, self.start) {
                self.start = found;
                self.walker = Some(Walker::default());
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            // The mark may be cut by the end of the buffer.
            self.start = self.start.max(self.buffer.len().saturating_sub(2));
            self.fill()?;
        }
    }

    fn skip(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.buffer.len());
        self.walker = None;
    }

    fn fill(&mut self) -> Result<(), SourceErrorKind> {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let read = loop {
            match self.reader.read(&mut self.chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.ended = read == 0;
        self.buffer.extend_from_slice(self.chunk.get(..read).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_jpeg::{image, with_thumbnail};
    use super::*;

    /// Gives the bytes a few at a time, as a pipe does.
    struct Drip(Vec<u8>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    /// Images and the number of errors.
    fn split(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, usize) {
        let mut reader = MjpegReader::new(Drip(stream.to_vec(), step));
        let (mut images, mut errors) = (Vec::new(), 0);
        loop {
            match reader.next_image() {
                Ok(Some(image)) => images.push(image),
                Ok(None) => return (images, errors),
                Err(_) => errors += 1,
            }
        }
    }

    #[test]
    fn images_with_thumbnails_and_headers_between_them_come_out_whole() {
        let first = with_thumbnail(&image(24, 16, 1), &image(8, 8, 2));
        let second = image(16, 24, 3);
        let stream = [b"--boundary\r\n\r\n".as_slice(), &first, b"\r\n\xff\xd9", &second].concat();
        for step in [1, 7, 100_000] {
            assert_eq!(split(&stream, step), (vec![first.clone(), second.clone()], 0), "{step}");
        }
    }

    #[test]
    fn a_cut_image_costs_itself_only() {
        let (first, second) = (image(24, 16, 1), image(24, 16, 2));
        for cut in [first.len() - 2, first.len() - 20] {
            let stream = [&first[..cut], &second].concat();
            assert_eq!(split(&stream, 4096), (vec![second.clone()], 1), "cut at {cut}");
        }
    }

    #[test]
    fn a_cut_in_the_header_is_survived_and_no_prefix_hangs() {
        let (first, second) = (image(24, 16, 1), image(24, 16, 2));
        for cut in 0..first.len() {
            let stream = [&first[..cut], &second, &second].concat();
            let (images, _) = split(&stream, 100_000);
            assert_eq!(images.last(), Some(&second), "cut at {cut}");
        }
    }

    #[test]
    fn the_end_inside_an_image_is_reported_once() {
        let first = image(24, 16, 1);
        let stream = [&first[..], &first[..first.len() / 2]].concat();
        assert_eq!(split(&stream, 1000), (vec![first], 1));
        assert_eq!(split(b"", 1), (vec![], 0));
    }

    #[test]
    fn an_image_without_end_is_dropped_at_the_size_limit() {
        let first = image(24, 16, 1);
        let scan = first.len() - 2;
        let stream = [&first[..scan], &vec![0x55; MAX_FRAME_BYTES + CHUNK], &first].concat();
        let (images, errors) = split(&stream, CHUNK);
        assert_eq!((images, errors), (vec![first], 1));
    }
}
