//! Units of blocks, counted: what all kinds of scans have in common.

use super::bits::Bits;

/// Why the count of an image ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Not a kind of JPEG that is known here.
    Unknown,
    /// The colours lie in scans of their own, in a way that the decoder gets wrong.
    SeparateScans,
    /// So many that reading them is an attack.
    TooManyScans,
    /// There is no such code, or a block has too many coefficients. Which unit, counted from 1.
    Unreadable(u64),
}

/// How many of the units asked for are there.
pub(super) enum Read {
    /// Each one.
    All,
    /// The data ended behind so many.
    Until(u64),
}

/// Reads `span` units, until the data end. A unit that has begun counts as there.
pub(super) fn read_units(
    bits: &mut Bits<'_>,
    span: u64,
    mut unit: impl FnMut(&mut Bits<'_>) -> bool,
) -> Result<Read, Stop> {
    for done in 0..span {
        if bits.are_used_up() {
            return Ok(Read::Until(done));
        }
        let readable = unit(bits);
        if bits.are_overrun() {
            return Ok(Read::Until(done + 1));
        }
        if !readable {
            return Err(Stop::Unreadable(done + 1));
        }
    }
    Ok(Read::All)
}
