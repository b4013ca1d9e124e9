//! Motion JPEG in an AVI file, written as a stream: a header, a chunk for each image, an index at the end.

use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::time::Instant;

use super::header::{Header, IMAGE, LENGTH, Lengths, MOVI};

/// Microseconds between two frames as long as there are not two of them.
const USUAL_INTERVAL: u32 = 40_000;
const KEY_FRAME: u32 = 0x10;
const CHUNK_HEADER: u64 = 8;
const INDEX_ENTRY: u64 = 16;

/// Where an image's chunk lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of the chunk.
    chunk: u32,
    /// Bytes of the image.
    length: u32,
}

impl Place {
    /// `None` beyond what the format's 32 bits can hold.
    pub(super) fn new(chunk: u64, length: u64) -> Option<Self> {
        let place = Self { chunk: u32::try_from(chunk).ok()?, length: u32::try_from(length).ok()? };
        u32::try_from(place.end()).is_ok().then_some(place)
    }

    /// Offset of the image.
    pub(super) fn image(self) -> u64 {
        u64::from(self.chunk) + CHUNK_HEADER
    }

    /// Bytes of the image.
    pub(super) fn length(self) -> u32 {
        self.length
    }

    /// Where the next chunk begins: at an even offset.
    pub(super) fn end(self) -> u64 {
        self.image() + u64::from(self.length) + u64::from(self.length % 2)
    }
}

/// Writes a video. What is written is a video at any time; without [`finish`](Self::finish) it has no index.
pub(super) struct AviWriter<W> {
    writer: W,
    size: (u32, u32),
    interval: u32,
    first: Option<Instant>,
    frames: Vec<Place>,
    end: u64,
}

impl<W: Write + Seek> AviWriter<W> {
    /// Begins a video of `size` (columns, rows) with its header.
    pub(super) fn new(writer: W, size: (u32, u32)) -> io::Result<Self> {
        let end = u64::from(LENGTH);
        let mut video = Self { writer, size, interval: USUAL_INTERVAL, first: None, frames: Vec::new(), end };
        video.write_header(None)?;
        Ok(video)
    }

    /// Goes on behind the last of `frames`, which are in the file already.
    pub(super) fn resume(writer: W, header: &Header, frames: Vec<Place>) -> Self {
        let end = frames.last().map_or(u64::from(LENGTH), |last| last.end());
        Self { writer, size: header.size, interval: header.interval, first: None, frames, end }
    }

    /// Adds an image that was captured at `moment`. It is in the file when this returns.
    ///
    /// After an error the end of the file is not known: the video is to be dropped and recovered.
    pub(super) fn push(&mut self, jpeg: &[u8], moment: Instant) -> io::Result<()> {
        let place = u64::try_from(jpeg.len()).ok().and_then(|length| Place::new(self.end, length));
        let place = place.ok_or_else(too_long)?;
        self.writer.write_all(&IMAGE)?;
        self.writer.write_all(&place.length.to_le_bytes())?;
        self.writer.write_all(jpeg)?;
        if place.length % 2 == 1 {
            self.writer.write_all(&[0])?;
        }
        self.measure(moment);
        self.end = place.end();
        self.frames.push(place);
        self.writer.flush()
    }

    /// The video has one rate for all its frames: the mean one.
    fn measure(&mut self, moment: Instant) {
        let since_first = moment.saturating_duration_since(*self.first.get_or_insert(moment));
        let gaps = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        if let Some(mean) = since_first.checked_div(gaps) {
            self.interval = u32::try_from(mean.as_micros()).unwrap_or(u32::MAX).clamp(1_000, 60_000_000);
        }
    }

    /// Brings the header up to date: number of frames and rate.
    pub(super) fn update_header(&mut self) -> io::Result<()> {
        self.write_header(None)
    }

    /// Writes the index and the lengths, and gives the file back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let file = u32::try_from(self.length()).map_err(|_| too_long())?;
        let images = u32::try_from(self.end).map_err(|_| too_long())?.saturating_sub(LENGTH);
        self.writer.seek(SeekFrom::Start(self.end))?;
        self.writer.write_all(b"idx1")?;
        let index = file.saturating_sub(LENGTH).saturating_sub(images).saturating_sub(8);
        self.writer.write_all(&index.to_le_bytes())?;
        for place in &self.frames {
            self.writer.write_all(&IMAGE)?;
            for word in [KEY_FRAME, place.chunk.saturating_sub(MOVI), place.length] {
                self.writer.write_all(&word.to_le_bytes())?;
            }
        }
        self.write_header(Some(Lengths { file, images }))?;
        Ok(self.writer)
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of the file if it was finished now.
    pub(super) fn length(&self) -> u64 {
        self.end + CHUNK_HEADER + INDEX_ENTRY * self.frames.len() as u64
    }

    /// The file.
    pub(super) fn get_ref(&self) -> &W {
        &self.writer
    }

    fn write_header(&mut self, lengths: Option<Lengths>) -> io::Result<()> {
        let header = Header {
            size: self.size,
            interval: self.interval,
            frames: u32::try_from(self.frames.len()).unwrap_or(u32::MAX),
            largest: self.frames.iter().map(|place| place.length).max().unwrap_or(0),
            lengths,
        };
        self.writer.seek(SeekFrom::Start(0))?;
        self.writer.write_all(&header.to_bytes())?;
        self.writer.seek(SeekFrom::Start(self.end))?;
        self.writer.flush()
    }
}

/// Bytes that an image of `length` bytes adds to a video, its entry in the index included.
pub(super) fn cost(length: u64) -> u64 {
    length + length % 2 + CHUNK_HEADER + INDEX_ENTRY
}

fn too_long() -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, "the video is longer than an AVI file can be")
}

#[cfg(test)]
pub(super) mod sample {
    //! Videos for tests.

    use std::io::Cursor;
    use std::time::Duration;

    use super::*;

    /// Something that begins and ends as a JPEG does, with a length of its own for each number.
    pub(in crate::sink::recording) fn image(number: u8) -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend((0..20 + number).map(|byte| byte ^ number));
        jpeg.extend([0xFF, 0xD9]);
        jpeg
    }

    /// A video of so many images, ten a second; not finished.
    pub(in crate::sink::recording) fn video(frames: u8) -> AviWriter<Cursor<Vec<u8>>> {
        let mut video = AviWriter::new(Cursor::new(Vec::new()), (64, 48)).unwrap();
        let begun = Instant::now();
        for number in 0..frames {
            video.push(&image(number), begun + Duration::from_millis(100) * u32::from(number)).unwrap();
        }
        video
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{image, video};
    use super::*;

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn the_index_leads_to_every_image_and_the_lengths_are_right() {
        let video = video(5);
        let announced = video.length();
        let bytes = video.finish().unwrap().into_inner();
        assert_eq!(bytes.len() as u64, announced);
        assert_eq!(word(&bytes, 4), bytes.len() - 8, "RIFF");
        let index = 220 + word(&bytes, 216);
        assert_eq!((&bytes[index..index + 4], word(&bytes, index + 4)), (&b"idx1"[..], 5 * 16));
        for number in 0..5 {
            let entry = index + 8 + 16 * number;
            let (chunk, length) = (220 + word(&bytes, entry + 8), word(&bytes, entry + 12));
            assert_eq!((&bytes[chunk..chunk + 4], word(&bytes, chunk + 4)), (&b"00dc"[..], length));
            assert_eq!(bytes[chunk + 8..chunk + 8 + length], image(number as u8));
        }
    }

    #[test]
    fn the_rate_is_that_of_the_frames() {
        let header = Header::from_bytes(video(5).finish().unwrap().get_ref()).unwrap();
        assert_eq!((header.interval, header.frames, header.size), (100_000, 5, (64, 48)));
        let header = Header::from_bytes(video(1).finish().unwrap().get_ref()).unwrap();
        assert_eq!(header.interval, USUAL_INTERVAL);
    }

    #[test]
    fn the_cost_of_an_image_is_known_before() {
        let mut video = video(3);
        let before = video.length();
        let odd = image(4).len() + 1;
        video.push(&vec![1; odd], Instant::now()).unwrap();
        assert_eq!(video.length(), before + cost(odd as u64));
        assert!(Place::new(u64::from(u32::MAX) - 8, 1).is_none());
    }
}
