//! Reading a video of ours, finished or cut off.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use super::avi::{AviWriter, Place};
use super::header::{Header, IMAGE, LENGTH};

/// A video that a [`Recorder`](super::Recorder) wrote. Its images are found without the index, which a video
/// that was cut off does not have.
pub struct AviReader<R> {
    reader: R,
    header: Header,
    frames: Vec<Place>,
}

impl<R: Read + Seek> AviReader<R> {
    /// Finds the whole images of a video; one that is cut off at the end is not among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`]: this is not a video of a recorder, or its header is cut off. Other errors are
    /// the reader's.
    pub fn open(mut reader: R) -> io::Result<Self> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        reader.by_ref().take(u64::from(LENGTH)).read_to_end(&mut bytes)?;
        let foreign = "it is not a video of a recording, or its header is cut off";
        let foreign = || io::Error::new(ErrorKind::InvalidData, foreign);
        let header = Header::from_bytes(&bytes).ok_or_else(foreign)?;
        let mut frames = Vec::new();
        let mut end = u64::from(LENGTH);
        while let Some(place) = chunk_at(&mut reader, end, length)? {
            end = place.end();
            frames.push(place);
        }
        Ok(Self { reader, header, frames })
    }

    /// Number of whole images.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is no whole image.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The JPEG of frame `number`, counted from 0.
    ///
    /// # Errors
    /// There is no such frame, or the file cannot be read.
    pub fn jpeg(&mut self, number: usize) -> io::Result<Vec<u8>> {
        let missing = || io::Error::new(ErrorKind::NotFound, format!("the video has no frame {number}"));
        let place = self.frames.get(number).ok_or_else(missing)?;
        self.reader.seek(SeekFrom::Start(place.image()))?;
        let mut jpeg = Vec::new();
        self.reader.by_ref().take(u64::from(place.length())).read_to_end(&mut jpeg)?;
        Ok(jpeg)
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        self.header.size
    }

    /// The mean time from one frame to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_micros(u64::from(self.header.interval))
    }

    /// Whether the video was finished: header and images agree, and an index follows.
    pub fn is_finished(&self) -> bool {
        let end = self.end_of(self.len());
        self.header.lengths.is_some_and(|lengths| u64::from(LENGTH) + u64::from(lengths.images) == end)
    }

    /// Where the first `count` frames end, in bytes.
    pub(super) fn end_of(&self, count: usize) -> u64 {
        let last = count.checked_sub(1).and_then(|last| self.frames.get(last));
        last.map_or(u64::from(LENGTH), |last| last.end())
    }

    /// Goes on writing behind the first `count` frames.
    pub(super) fn into_writer(mut self, count: usize) -> AviWriter<R>
    where
        R: Write,
    {
        self.frames.truncate(count);
        AviWriter::resume(self.reader, &self.header, self.frames)
    }
}

/// The image whose chunk begins at `at`, if it is whole.
fn chunk_at(reader: &mut (impl Read + Seek), at: u64, file: u64) -> io::Result<Option<Place>> {
    // The chunk's name and length, and the mark with which a JPEG begins.
    let mut start = [0; 10];
    if file.saturating_sub(at) < start.len() as u64 {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(at))?;
    reader.read_exact(&mut start)?;
    let [n0, n1, n2, n3, l0, l1, l2, l3, mark @ ..] = start;
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let place = Place::new(at, length).filter(|place| length >= 4 && place.end() <= file);
    let Some(place) = place.filter(|_| [n0, n1, n2, n3] == IMAGE && mark == [0xFF, 0xD8]) else {
        return Ok(None);
    };
    let mut tail = [0; 2];
    reader.seek(SeekFrom::Start(place.image() + length - 2))?;
    reader.read_exact(&mut tail)?;
    // After a power cut, blocks that never reached the disk read as zeros; no JPEG ends with them.
    Ok((tail != [0, 0]).then_some(place))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::avi::sample::{image, video};
    use super::*;

    fn images(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut video = AviReader::open(Cursor::new(bytes)).unwrap();
        (0..video.len()).map(|number| video.jpeg(number).unwrap()).collect()
    }

    #[test]
    fn a_finished_video_gives_its_images() {
        let bytes = video(4).finish().unwrap().into_inner();
        assert_eq!(images(&bytes), (0..4).map(image).collect::<Vec<_>>());
        let mut video = AviReader::open(Cursor::new(&bytes)).unwrap();
        assert!(video.is_finished() && !video.is_empty());
        assert_eq!((video.size(), video.interval()), ((64, 48), Duration::from_millis(100)));
        assert_eq!(video.jpeg(4).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn every_prefix_gives_the_images_that_are_whole_in_it() {
        let bytes = video(4).finish().unwrap().into_inner();
        let all: Vec<_> = (0..4).map(image).collect();
        let mut most = 0;
        for length in 0..bytes.len() {
            let prefix = &bytes[..length];
            if length < LENGTH as usize {
                let fault = AviReader::open(Cursor::new(prefix)).map(|video| video.len()).unwrap_err();
                assert_eq!(fault.kind(), ErrorKind::InvalidData, "{length} bytes");
                continue;
            }
            let found = images(prefix);
            assert_eq!(found, all[..found.len()], "{length} bytes");
            assert!(found.len() >= most, "{length} bytes");
            most = found.len();
        }
        assert_eq!(most, 4);
    }

    #[test]
    fn an_image_that_never_reached_the_disk_is_left_out() {
        let mut open = video(3);
        open.update_header().unwrap();
        let mut bytes = open.get_ref().get_ref().clone();
        let length = bytes.len();
        bytes[length - 12..].fill(0);
        assert_eq!(images(&bytes).len(), 2);
        let video = AviReader::open(Cursor::new(&bytes)).unwrap();
        assert!(!video.is_finished());
    }

    #[test]
    fn a_cut_video_is_finished_behind_its_last_whole_image() {
        let mut open = video(4);
        open.update_header().unwrap();
        let mut bytes = open.get_ref().get_ref().clone();
        bytes.truncate(bytes.len() - 3);
        let cut = AviReader::open(Cursor::new(bytes.clone())).unwrap();
        assert_eq!(cut.len(), 3);
        bytes.truncate(cut.end_of(2) as usize);
        let again = AviReader::open(Cursor::new(bytes)).unwrap().into_writer(2).finish().unwrap();
        let mut video = AviReader::open(again).unwrap();
        assert!(video.is_finished() && video.len() == 2);
        assert_eq!(video.jpeg(1).unwrap(), image(1));
        assert_eq!(video.interval(), Duration::from_millis(100), "as far as it was measured");
    }
}
