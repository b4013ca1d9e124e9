//! Reading the units of a scan with the tables that it names.

use super::bits::{Bits, Codes};
use super::frame::{Frame, Kind, Part};
use super::progressive::{self, Band};
use super::units::{Read, Stop, read_units};

/// The Huffman tables of an image, by slot.
#[derive(Default)]
pub(super) struct Tables {
    constants: [Option<Codes>; 4],
    coefficients: [Option<Codes>; 4],
}

impl Tables {
    /// Puts a table into the slot that a DHT segment names; `None` if there is no such slot.
    pub(super) fn set(&mut self, class_and_slot: u8, codes: Codes) -> Option<()> {
        let tables = match class_and_slot >> 4 {
            0 => &mut self.constants,
            1 => &mut self.coefficients,
            _ => return None,
        };
        *tables.get_mut(usize::from(class_and_slot & 15))? = Some(codes);
        Some(())
    }

    fn constants(&self, part: &Part) -> Option<&Codes> {
        self.constants.get(part.constants)?.as_ref()
    }

    fn coefficients(&self, part: &Part) -> Option<&Codes> {
        self.coefficients.get(part.coefficients)?.as_ref()
    }
}

/// A scan with its tables looked up.
pub(super) enum Reader<'a> {
    /// By block of a unit: tables of the constant term and of the other coefficients.
    All(Vec<(&'a Codes, &'a Codes)>),
    Constants(Vec<&'a Codes>),
    RefinedConstants(usize),
    Band {
        codes: &'a Codes,
        band: Band,
        refined: bool,
        nonzero: &'a mut [u64],
    },
}

impl<'a> Reader<'a> {
    /// `None` if the scan names a table that is not there.
    pub(super) fn new(
        tables: &'a Tables,
        frame: &'a mut Frame,
        parts: &[Part],
        kind: Kind,
        units: u64,
    ) -> Option<Self> {
        let mut blocks = Vec::new();
        for part in parts {
            blocks.extend(std::iter::repeat_n(part, frame.blocks_of_unit(part, parts.len())?));
        }
        Some(match kind {
            Kind::All => {
                let pair = |part: &Part| Some((tables.constants(part)?, tables.coefficients(part)?));
                Self::All(blocks.into_iter().map(pair).collect::<Option<_>>()?)
            }
            Kind::Constants => {
                let codes = blocks.into_iter().map(|part| tables.constants(part));
                Self::Constants(codes.collect::<Option<_>>()?)
            }
            Kind::RefinedConstants => Self::RefinedConstants(blocks.len()),
            Kind::Band(band) | Kind::RefinedBand(band) => {
                let part = parts.first()?;
                let refined = matches!(kind, Kind::RefinedBand(_));
                let codes = tables.coefficients(part)?;
                Self::Band { codes, band, refined, nonzero: frame.nonzero(part, units)? }
            }
        })
    }

    /// Reads `span` units from unit `done` on.
    pub(super) fn read(&mut self, bits: &mut Bits<'_>, done: u64, span: u64) -> Result<Read, Stop> {
        match self {
            Self::All(tables) => read_units(bits, span, |bits| {
                tables.iter().all(|(constant, others)| block_is_readable(bits, constant, others))
            }),
            Self::Constants(tables) => progressive::constants(bits, tables, span),
            Self::RefinedConstants(blocks) => progressive::refined_constants(bits, *blocks, span),
            Self::Band { codes, band, refined, nonzero } => {
                let blocks = nonzero.get_mut(done as usize..(done + span) as usize).ok_or(Stop::Unknown)?;
                match refined {
                    false => progressive::first(bits, codes, *band, blocks),
                    true => progressive::refined(bits, codes, *band, blocks),
                }
            }
        }
    }
}

/// One block of a sequential image (ITU-T T.81, F.2.2).
#[inline(always)]
fn block_is_readable(bits: &mut Bits<'_>, constant: &Codes, others: &Codes) -> bool {
    match bits.symbol(constant) {
        Some(size @ 0..=15) => bits.skip(u32::from(size)),
        _ => return false,
    }
    let mut place = 1;
    while place < 64 {
        let Some(symbol) = bits.symbol(others) else { return false };
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            return true;
        }
        bits.skip(size);
        place += zeros + 1;
    }
    place == 64
}
