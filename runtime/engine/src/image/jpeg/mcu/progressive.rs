//! The scans of progressive JPEGs (ITU-T T.81, annex G), read without computing a pixel.

use super::bits::{Bits, Codes};
use super::units::{Read, Stop, read_units};

/// Zig-zag positions that a scan carries, first and last: 1 to 63.
pub(super) type Band = (u32, u32);

/// First scan of constant terms: the units of the scan's blocks, in order.
pub(super) fn constants(bits: &mut Bits<'_>, units: &[&Codes], span: u64) -> Result<Read, Stop> {
    read_units(bits, span, |bits| {
        units.iter().all(|codes| match bits.symbol(codes) {
            Some(size @ 0..=15) => {
                bits.skip(u32::from(size));
                true
            }
            _ => false,
        })
    })
}

/// A later scan of constant terms: one bit a block.
pub(super) fn refined_constants(bits: &mut Bits<'_>, units: usize, span: u64) -> Result<Read, Stop> {
    read_units(bits, span, |bits| {
        bits.skip_many(units as u32);
        true
    })
}

/// First scan of a band; notes in `blocks` which coefficients are not zero.
pub(super) fn first(
    bits: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    blocks: &mut [u64],
) -> Result<Read, Stop> {
    // Blocks to come whose band is zero.
    let mut run = 0;
    let mut done = 0;
    for block in blocks {
        if run == 0 {
            if bits.are_used_up() {
                return Ok(Read::Until(done));
            }
            let readable = first_block(bits, codes, band, block, &mut run);
            done += 1;
            if bits.are_overrun() {
                return Ok(Read::Until(done));
            }
            readable.ok_or(Stop::Unreadable(done))?;
        } else {
            run -= 1;
            done += 1;
        }
    }
    Ok(Read::All)
}

fn first_block(
    bits: &mut Bits<'_>,
    codes: &Codes,
    (start, end): Band,
    block: &mut u64,
    run: &mut u32,
) -> Option<()> {
    let mut place = start;
    while place <= end {
        let symbol = bits.symbol(codes)?;
        match (u32::from(symbol >> 4), u32::from(symbol & 15)) {
            (15, 0) => place += 16,
            (length, 0) => {
                *run = (1 << length) + bits.take(length) - 1;
                return Some(());
            }
            (zeros, size) => {
                bits.skip(size);
                place += zeros;
                if place > end {
                    return None;
                }
                *block |= 1 << place;
                place += 1;
            }
        }
    }
    Some(())
}

/// A later scan of a band: a bit for each coefficient that is known not to be zero, and new ones.
pub(super) fn refined(
    bits: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    blocks: &mut [u64],
) -> Result<Read, Stop> {
    let mut run = 0;
    let mut done = 0;
    for block in blocks {
        if run == 0 && bits.are_used_up() {
            return Ok(Read::Until(done));
        }
        let readable = refined_block(bits, codes, band, block, &mut run);
        done += 1;
        if bits.are_overrun() {
            return Ok(Read::Until(done));
        }
        readable.ok_or(Stop::Unreadable(done))?;
    }
    Ok(Read::All)
}

fn refined_block(
    bits: &mut Bits<'_>,
    codes: &Codes,
    (start, end): Band,
    block: &mut u64,
    run: &mut u32,
) -> Option<()> {
    let known = *block;
    let mut place = start;
    if *run == 0 {
        while place <= end {
            let symbol = bits.symbol(codes)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            match size {
                0 if zeros < 15 => {
                    *run = (1 << zeros) + bits.take(zeros);
                    break;
                }
                0 => {}
                1 => bits.skip(1),
                _ => return None,
            }
            // The known coefficients on the way take a bit each, and do not count as zeros.
            let mut corrections = 0;
            while place <= end {
                if (known >> place) & 1 == 1 {
                    corrections += 1;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                place += 1;
            }
            bits.skip_many(corrections);
            if size == 1 {
                if place > end {
                    return None;
                }
                *block |= 1 << place;
            }
            place += 1;
        }
    }
    if *run > 0 {
        let rest = (u64::MAX << place) & (u64::MAX >> (63 - end));
        bits.skip_many((known & rest).count_ones());
        *run -= 1;
    }
    Some(())
}
