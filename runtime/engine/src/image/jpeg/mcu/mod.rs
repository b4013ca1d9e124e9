//! Counting the blocks of a JPEG, since decoders fill those that are missing with grey and say nothing.
//!
//! The Huffman codes are walked without computing a pixel: a small part of a decoder's work, and the only way to
//! notice that bytes were lost in the middle of an image, or that a cut image was closed with an end marker.

mod bits;
mod frame;
mod progressive;
mod reader;
mod units;

use bits::{Bits, Codes, next_marker};
use frame::{Frame, word};
use reader::{Reader, Tables};
use units::{Read, Stop};

use crate::image::error::ImageErrorKind;

/// Real images have about ten; each one makes a decoder go over all blocks.
const MAX_SCANS: usize = 200;

/// Checks that all blocks of the image are there, and that the decoder gets them right.
///
/// One unit of blocks may end early, the last one of an image or restart interval: there are cameras whose every
/// frame lacks its last byte. Bytes behind the last block do not matter either. Kinds of JPEG that are unknown
/// here are left to the decoder.
pub(in crate::image) fn check_blocks(jpeg: &[u8]) -> Result<(), ImageErrorKind> {
    let mut image = Image::default();
    match image.walk(jpeg) {
        Err(Stop::Unknown) => Ok(()),
        Err(Stop::SeparateScans) => Err(ImageErrorKind::SeparateScans),
        Err(Stop::TooManyScans) => Err(ImageErrorKind::Damaged(format!("more than {MAX_SCANS} scans"))),
        Err(Stop::Unreadable(unit)) => {
            let unit = image.expected + unit;
            Err(ImageErrorKind::Damaged(format!("block {unit} of the image data cannot be read")))
        }
        Ok(()) => {
            let unseen = image.frame.as_ref().map_or(0, Frame::unseen_blocks);
            match image.missing + unseen {
                0 => Ok(()),
                missing => Err(ImageErrorKind::MissingBlocks { missing, expected: image.expected + unseen }),
            }
        }
    }
}

#[derive(Default)]
struct Image {
    frame: Option<Frame>,
    tables: Tables,
    restart_interval: u64,
    scans: usize,
    expected: u64,
    missing: u64,
}

impl Image {
    /// Goes through the segments and scans, up to the end marker or the first scan that is not whole.
    fn walk(&mut self, jpeg: &[u8]) -> Result<(), Stop> {
        let mut at = 2;
        while let Some((marker, behind)) = next_marker(jpeg, at).filter(|&(marker, _)| marker != 0xD9) {
            if matches!(marker, 0x01 | 0xD0..=0xD8) {
                at = behind;
                continue;
            }
            let Some(body) = segment_body(jpeg, behind) else { break };
            at = behind + 2 + body.len();
            match marker {
                0xC4 => self.read_tables(body)?,
                0xDD => self.restart_interval = u64::from(word(body, 0).ok_or(Stop::Unknown)?),
                0xC0..=0xC2 if self.frame.is_none() => {
                    self.frame = Some(Frame::read(marker == 0xC2, body).ok_or(Stop::Unknown)?);
                }
                // Arithmetic coding and other rarities, a second frame, a height that is given later.
                0xC0..=0xCF | 0xDC => return Err(Stop::Unknown),
                0xDA => at = self.scan(jpeg, body, at)?,
                _ => {}
            }
            if self.missing > 0 {
                break;
            }
        }
        if self.scans == 0 { Err(Stop::Unknown) } else { Ok(()) }
    }

    /// A DHT segment: any number of tables.
    fn read_tables(&mut self, mut body: &[u8]) -> Result<(), Stop> {
        while let Some((&class_and_slot, rest)) = body.split_first() {
            let (lengths, rest) = rest.split_first_chunk::<16>().ok_or(Stop::Unknown)?;
            let count = lengths.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(Stop::Unknown)?;
            let codes = Codes::new(lengths, symbols).ok_or(Stop::Unknown)?;
            self.tables.set(class_and_slot, codes).ok_or(Stop::Unknown)?;
            body = rest;
        }
        Ok(())
    }

    /// Counts the units of the scan whose data begin at `at`; gives the offset of the marker behind it.
    fn scan(&mut self, jpeg: &[u8], body: &[u8], at: usize) -> Result<usize, Stop> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(Stop::TooManyScans);
        }
        let frame = self.frame.as_mut().ok_or(Stop::Unknown)?;
        let (parts, kind) = frame.scan_header(body).ok_or(Stop::Unknown)?;
        if frame.is_decoded_wrongly(&parts) {
            return Err(Stop::SeparateScans);
        }
        let total = frame.units(&parts).ok_or(Stop::Unknown)?;
        let interval = if self.restart_interval == 0 { total } else { self.restart_interval };
        let mut reader = Reader::new(&self.tables, frame, &parts, kind, total).ok_or(Stop::Unknown)?;
        let mut bits = Bits::new(jpeg, at);
        let mut done = 0;
        while done < total {
            let span = interval.min(total - done);
            match reader.read(&mut bits, done, span) {
                Ok(Read::All) => {}
                Ok(Read::Until(there)) => self.missing += span - there,
                Err(Stop::Unreadable(unit)) => return Err(Stop::Unreadable(done + unit)),
                Err(stop) => return Err(stop),
            }
            done += span;
            if done < total {
                bits.restart();
            }
        }
        self.expected += total;
        Ok(bits.end())
    }
}

/// The bytes of the segment whose length stands at `at`.
fn segment_body(jpeg: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(word(jpeg, at)?);
    jpeg.get(at + 2..at + length.max(2))
}

#[cfg(test)]
mod tests;
