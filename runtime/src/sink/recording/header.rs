//! The header of our AVI files: 56 words of four bytes, always in the same places.

/// Bytes of the header; behind them the first image's chunk begins.
pub(super) const LENGTH: u32 = 224;
/// What offsets in the index count from: the word `movi`, the header's last.
pub(super) const MOVI: u32 = LENGTH - 4;
/// Name of a chunk that holds an image.
pub(super) const IMAGE: [u8; 4] = *b"00dc";

const HAS_INDEX: u32 = 0x10;
const MICROSECONDS: u32 = 1_000_000;
/// Words by which a file of ours is known: place and content.
const MARKS: [(usize, &[u8; 4]); 6] =
    [(0, b"RIFF"), (2, b"AVI "), (5, b"hdrl"), (28, b"MJPG"), (53, b"LIST"), (55, b"movi")];

/// What the header says of the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Columns and rows.
    pub(super) size: (u32, u32),
    /// Microseconds from one frame to the next.
    pub(super) interval: u32,
    /// Number of frames.
    pub(super) frames: u32,
    /// Bytes of the largest image.
    pub(super) largest: u32,
    /// `None` until the video is finished. The sizes in the file are 0 then, which players read as "up to the
    /// end of the file": a video that was cut off plays up to the cut.
    pub(super) lengths: Option<Lengths>,
}

/// Lengths of a finished video, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// Of the whole file.
    pub(super) file: u32,
    /// Of all chunks that hold images.
    pub(super) images: u32,
}

impl Header {
    /// The bytes of the header, [`LENGTH`] of them.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (width, height) = self.size;
        let corner = width.min(0x7fff) | (height.min(0x7fff) << 16);
        let (file, images, flags) = match self.lengths {
            Some(lengths) => (lengths.file.saturating_sub(8), lengths.images.saturating_add(4), HAS_INDEX),
            None => (0, 0, 0),
        };
        let bitmap = width.saturating_mul(height).saturating_mul(3);
        let (interval, frames, largest) = (self.interval, self.frames, self.largest);
        #[rustfmt::skip]
        let words: [u32; 56] = [
            word(b"RIFF"), file, word(b"AVI "),
            word(b"LIST"), 192, word(b"hdrl"),
            word(b"avih"), 56, interval, 0, 0, flags, frames, 0, 1, largest, width, height, 0, 0, 0, 0,
            word(b"LIST"), 116, word(b"strl"),
            word(b"strh"), 56, word(b"vids"), word(b"MJPG"), 0, 0, 0, interval, MICROSECONDS, 0, frames,
            largest, u32::MAX, 0, 0, corner,
            word(b"strf"), 40, 40, width, height, 1 | (24 << 16), word(b"MJPG"), bitmap, 0, 0, 0, 0,
            word(b"LIST"), images, word(b"movi"),
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads the header of a video of ours; `None` if it is another's or cut off.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let at = |place: usize| -> Option<u32> {
            bytes.get(4 * place..)?.first_chunk::<4>().map(|word| u32::from_le_bytes(*word))
        };
        if MARKS.iter().any(|(place, mark)| at(*place) != Some(word(mark))) {
            return None;
        }
        let lengths = match (at(1)?.checked_add(8), at(54)?.checked_sub(4)) {
            (Some(file), Some(images)) => Some(Lengths { file, images }),
            _ => None,
        };
        Some(Self { size: (at(16)?, at(17)?), interval: at(8)?, frames: at(12)?, largest: at(15)?, lengths })
    }
}

fn word(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let open = Header { size: (640, 480), interval: 33_333, frames: 7, largest: 9_000, lengths: None };
        let lengths = Some(Lengths { file: 50_000, images: 49_000 });
        for header in [open, Header { lengths, ..open }] {
            let bytes = header.to_bytes();
            assert_eq!(bytes.len(), LENGTH as usize);
            assert_eq!(bytes[MOVI as usize..], *b"movi");
            assert_eq!(Header::from_bytes(&bytes), Some(header));
        }
    }

    #[test]
    fn other_files_and_cut_headers_are_not_taken_for_ours() {
        let header = Header { size: (8, 8), interval: 1, frames: 0, largest: 0, lengths: None };
        let bytes = header.to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Header::from_bytes(&bytes[..length]), None, "{length} bytes");
        }
        for place in [0, 8, 20, 112, 212, 220] {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_eq!(Header::from_bytes(&other), None, "byte {place}");
        }
    }
}
