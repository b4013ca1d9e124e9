//! Walking a JPEG's markers, to find where an image ends.
//!
//! Searching for the end marker FF D9 is not enough: EXIF thumbnails are JPEGs inside a segment of the JPEG.

const START: u8 = 0xD8;
const END: u8 = 0xD9;
const SCAN: u8 = 0xDA;
/// Marker, length, and what stands about four components, in bytes (ITU-T T.81, B.2.3).
const LONGEST_SCAN_HEADER: usize = 16;

/// What a [`Walker`] has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The image continues behind the bytes that are there.
    NeedMore,
    /// The image is the first `.0` bytes.
    End(usize),
    /// This is not a valid image; the next one may begin at `resume` or later.
    Broken {
        /// Offset, at least 1.
        resume: usize,
    },
}

/// Walks one image while its bytes arrive; every byte is looked at once.
#[derive(Debug, Default)]
pub struct Walker {
    offset: usize,
    /// Where the last segment began: if its length was wrong, the next image may begin inside it.
    segment: usize,
    in_scan: bool,
}

impl Walker {
    /// Continues with all bytes of the image so far, from its start marker on.
    pub fn advance(&mut self, bytes: &[u8]) -> Step {
        loop {
            let step = if self.in_scan { self.scan(bytes) } else { self.segment(bytes) };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Where to look for the next image if this one gets no more bytes: a wrong length in the segment that
    /// is being waited for may have hidden it.
    pub fn resume(&self) -> usize {
        self.offset + 2
    }

    fn segment(&mut self, bytes: &[u8]) -> Option<Step> {
        let at = self.offset;
        let (Some(&first), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
            return Some(Step::NeedMore);
        };
        if first != 0xFF || (at == 0) != (marker == START) {
            let resume = if marker == START && first == 0xFF { at } else { self.segment + 2 };
            return Some(Step::Broken { resume });
        }
        match marker {
            START | 0x01 | 0xD0..=0xD7 => self.offset += 2,
            END => return Some(Step::End(at + 2)),
            // Any number of fill bytes may stand before a marker.
            0xFF => self.offset += 1,
            0x00 => {
                return Some(Step::Broken { resume: self.segment + 2 });
            }
            _ => match segment_end(bytes, at) {
                // A longer one would swallow the images behind it.
                SegmentEnd::At(end) if marker == SCAN && end - at > LONGEST_SCAN_HEADER => {
                    return Some(Step::Broken { resume: self.segment + 2 });
                }
                SegmentEnd::At(end) => {
                    self.segment = at;
                    self.offset = end;
                    self.in_scan = marker == SCAN;
                }
                SegmentEnd::Behind => return Some(Step::NeedMore),
                SegmentEnd::Wrong => {
                    return Some(Step::Broken { resume: self.segment + 2 });
                }
            },
        }
        None
    }

    /// Entropy-coded data: FF 00 is a byte, FF D0..D7 restart marks, any other FF xx ends the scan.
    fn scan(&mut self, bytes: &[u8]) -> Option<Step> {
        let rest = bytes.get(self.offset..).unwrap_or_default();
        let Some(found) = rest.iter().position(|&byte| byte == 0xFF) else {
            self.offset = bytes.len();
            return Some(Step::NeedMore);
        };
        let at = self.offset + found;
        self.offset = at;
        match bytes.get(at + 1) {
            None => return Some(Step::NeedMore),
            Some(0x00 | 0xD0..=0xD7) => self.offset = at + 2,
            Some(0xFF) => self.offset = at + 1,
            // A new image begins: the rest of this one is lost.
            Some(&START) => return Some(Step::Broken { resume: at }),
            Some(_) => self.in_scan = false,
        }
        None
    }
}

enum SegmentEnd {
    At(usize),
    Behind,
    Wrong,
}

/// Where the segment whose marker stands at `at` ends.
fn segment_end(bytes: &[u8], at: usize) -> SegmentEnd {
    let (Some(&high), Some(&low)) = (bytes.get(at + 2), bytes.get(at + 3)) else {
        return SegmentEnd::Behind;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match at + 2 + length {
        _ if length < 2 => SegmentEnd::Wrong,
        end if end > bytes.len() => SegmentEnd::Behind,
        end => SegmentEnd::At(end),
    }
}

/// The segments before the first scan, as marker and offset; the scan's own is the last one.
pub(super) fn header_segments(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut next = Some(2);
    std::iter::from_fn(move || {
        let mut at = next?;
        while bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        let marker = *bytes.get(at + 1).filter(|_| bytes.get(at) == Some(&0xFF))?;
        next = match segment_end(bytes, at) {
            SegmentEnd::At(end) if marker != SCAN && marker != END => Some(end),
            _ => None,
        };
        Some((marker, at))
    })
}

/// Whether the bytes begin as a JPEG does.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, START])
}

/// Whether the bytes end inside the image.
///
/// Oddities in the middle are left to the decoder, which knows more of them.
pub fn is_cut_off(bytes: &[u8]) -> bool {
    Walker::default().advance(bytes) == Step::NeedMore
}

/// The image without what stands behind it: camera buffers have a stale tail.
pub fn whole(bytes: &[u8]) -> Option<&[u8]> {
    match Walker::default().advance(bytes) {
        Step::End(length) => bytes.get(..length),
        _ => None,
    }
}

/// Where the next image may begin, at `from` or later.
pub fn find_start(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(3).position(|window| window == [0xFF, START, 0xFF]).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_end_is_found_behind_a_thumbnail_and_before_a_stale_tail() {
        let image = sample::image(32, 24, 1);
        let mut buffer = sample::with_thumbnail(&image, &sample::image(8, 8, 2));
        let length = buffer.len();
        buffer.extend_from_slice(&[0xAB; 100]);
        assert_eq!(whole(&buffer).map(<[u8]>::len), Some(length));
    }

    #[test]
    fn bytes_that_arrive_one_by_one_give_the_same_end() {
        let image = sample::image(16, 16, 3);
        let mut walker = Walker::default();
        for length in 0..image.len() {
            assert_eq!(walker.advance(&image[..length]), Step::NeedMore, "{length}");
        }
        assert_eq!(walker.advance(&image), Step::End(image.len()));
    }

    #[test]
    fn garbage_always_moves_on() {
        for bytes in [&[0xFF, 0xD8, 0x12, 0x34][..], &[0xFF, 0xD8, 0xFF, 0xE0, 0, 1], &[0, 0, 0]] {
            match Walker::default().advance(bytes) {
                Step::Broken { resume } => assert!(resume >= 1),
                step => assert_eq!(step, Step::NeedMore),
            }
        }
    }
}
