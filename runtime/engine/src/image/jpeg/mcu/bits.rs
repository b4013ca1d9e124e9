//! The bits of a scan, and the Huffman codes in them.

/// Codes of up to this length are resolved by one look at a table; longer ones are rare.
const LOOKUP: u32 = 9;
const LOOKUP_SIZE: usize = 1 << LOOKUP;
/// The longest code, in bits.
const LONGEST: usize = 16;

/// Reads the entropy-coded data of one scan, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, the first one at the top.
    buffer: u64,
    /// How many bits of the buffer are filled.
    filled: u32,
    /// How many zero bits were put behind the end of the data.
    padding: u32,
}

impl<'a> Bits<'a> {
    /// Reads from offset `at` of the whole image.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, filled: 0, padding: 0 }
    }

    /// The symbol of the next code; `None` if there is no such code. At least 16 bits are there behind it.
    #[inline(always)]
    pub(super) fn symbol(&mut self, codes: &Codes) -> Option<u8> {
        self.refill();
        let entry = codes.short[(self.buffer >> (64 - LOOKUP)) as usize % LOOKUP_SIZE];
        let (length, symbol) = match entry {
            0 => codes.long((self.buffer >> 48) as u32)?,
            entry => (u32::from(entry >> 8), (entry & 0xFF) as u8),
        };
        self.skip(length);
        Some(symbol)
    }

    /// Skips up to 16 bits behind a symbol.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.filled -= count;
    }

    /// Skips any number of bits.
    pub(super) fn skip_many(&mut self, mut count: u32) {
        while count > 0 {
            self.refill();
            let step = count.min(16);
            self.skip(step);
            count -= step;
        }
    }

    /// The next `count` bits behind a symbol, at most 16.
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = if count == 0 { 0 } else { (self.buffer >> (64 - count)) as u32 };
        self.skip(count);
        value
    }

    /// Whether no bit of the data is left.
    #[inline(always)]
    pub(super) fn are_used_up(&mut self) -> bool {
        self.refill();
        self.filled <= self.padding
    }

    /// Whether more bits were read than there were.
    #[inline(always)]
    pub(super) fn are_overrun(&self) -> bool {
        self.filled < self.padding
    }

    /// Goes on behind the next restart marker.
    ///
    /// Where another marker comes first, reading goes on where it is: there are cameras that announce restart
    /// markers and write none.
    pub(super) fn restart(&mut self) {
        if let Some((0xD0..=0xD7, behind)) = next_marker(self.bytes, self.at) {
            *self = Self::new(self.bytes, behind);
        }
    }

    /// Where the scan ends: the offset of the first marker that is not a restart marker.
    pub(super) fn end(&self) -> usize {
        let mut at = self.at;
        while let Some((marker, behind)) = next_marker(self.bytes, at) {
            if !matches!(marker, 0xD0..=0xD7) {
                return behind - 2;
            }
            at = behind;
        }
        self.bytes.len()
    }

    /// Fills the buffer with at least 32 bits.
    #[inline(always)]
    fn refill(&mut self) {
        if self.filled >= 32 {
            return;
        }
        let four = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<4>());
        match four.map(|four| u32::from_be_bytes(*four)) {
            Some(word) if !has_ff(word) => {
                self.buffer |= u64::from(word) << (32 - self.filled);
                self.filled += 32;
                self.at += 4;
            }
            _ => self.refill_by_bytes(),
        }
    }

    #[inline(never)]
    fn refill_by_bytes(&mut self) {
        while self.filled <= 56 {
            match self.next_byte() {
                Some(byte) => self.buffer |= u64::from(byte) << (56 - self.filled),
                None => self.padding += 8,
            }
            self.filled += 8;
        }
    }

    /// The next byte of the data; `None` at a marker, where it stays.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if byte != 0xFF {
                self.at += 1;
                return Some(byte);
            }
            match self.bytes.get(self.at + 1)? {
                0x00 => {
                    self.at += 2;
                    return Some(0xFF);
                }
                // Any number of fill bytes may stand before a marker.
                0xFF => self.at += 1,
                _ => return None,
            }
        }
    }
}

/// Whether one of the four bytes is FF.
fn has_ff(word: u32) -> bool {
    (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0
}

/// The next marker at `from` or later, and the offset behind it.
pub(super) fn next_marker(bytes: &[u8], from: usize) -> Option<(u8, usize)> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        match *bytes.get(at + 1)? {
            0x00 => at += 2,
            0xFF => at += 1,
            marker => return Some((marker, at + 2)),
        }
    }
}

/// One Huffman table (ITU-T T.81, annex C).
pub(super) struct Codes {
    /// By the next bits: length of the code, and its symbol in the low byte; 0 if the code is longer.
    short: [u16; LOOKUP_SIZE],
    /// By length: behind the last code of this length, as the top of 16 bits.
    ends: [u32; LONGEST + 1],
    /// By length: what to add to a code to get its symbol's place.
    offsets: [i32; LONGEST + 1],
    symbols: Vec<u8>,
}

impl Codes {
    /// A table from the number of codes of each length; `None` if there cannot be such codes.
    pub(super) fn new(lengths: &[u8; LONGEST], symbols: &[u8]) -> Option<Self> {
        let mut codes = Self {
            short: [0; LOOKUP_SIZE],
            ends: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(lengths) {
            let slot = length as usize;
            *codes.offsets.get_mut(slot)? = place as i32 - code as i32;
            for _ in 0..count {
                let symbol = *symbols.get(place)?;
                if length <= LOOKUP {
                    let first = (code << (LOOKUP - length)) as usize;
                    let entries = codes.short.get_mut(first..first + (1 << (LOOKUP - length)))?;
                    entries.fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            *codes.ends.get_mut(slot)? = code << (LONGEST as u32 - length);
            code <<= 1;
        }
        Some(codes)
    }

    /// Length and symbol of a code that is longer than the lookup, from the next 16 bits.
    #[inline(never)]
    fn long(&self, bits: u32) -> Option<(u32, u8)> {
        let longer = (1u32..).zip(self.ends.iter().zip(&self.offsets).skip(1)).skip(LOOKUP as usize);
        let mut found = longer.filter(|(_, (end, _))| bits < **end);
        let (length, (_, offset)) = found.next()?;
        let place = (bits >> (LONGEST as u32 - length)) as i32 + offset;
        Some((length, *self.symbols.get(usize::try_from(place).ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10 and 1111111111 0 (eleven bits).
    fn codes() -> Codes {
        let mut lengths = [0; 16];
        lengths[0] = 1;
        lengths[1] = 1;
        lengths[10] = 1;
        Codes::new(&lengths, &[7, 8, 9]).unwrap()
    }

    #[test]
    fn short_and_long_codes_give_their_symbols() {
        // 0 10 11000000000 0 ...: the first code of eleven bits follows on 10.
        let bytes = [0b0101_1000, 0b0000_0000, 0, 0, 0, 0];
        let mut bits = Bits::new(&bytes, 0);
        let read: Vec<_> = (0..4).map(|_| bits.symbol(&codes())).collect();
        assert_eq!(read, [Some(7), Some(8), Some(9), Some(7)]);
    }

    #[test]
    fn bits_that_are_no_code_give_nothing() {
        let bytes = [0xFE; 8];
        assert_eq!(Bits::new(&bytes, 0).symbol(&codes()), None);
    }

    #[test]
    fn more_codes_than_bits_allow_are_refused() {
        let mut lengths = [0; 16];
        lengths[0] = 3;
        assert!(Codes::new(&lengths, &[1, 2, 3]).is_none());
        lengths[0] = 2;
        assert!(Codes::new(&lengths, &[1]).is_none());
        lengths = [0; 16];
        lengths[14] = 200;
        lengths[15] = 255;
        assert!(Codes::new(&lengths, &[0; 256]).is_none());
    }

    #[test]
    fn stuffed_bytes_count_and_a_marker_ends_the_data() {
        let bytes = [0xFF, 0x00, 0x12, 0xFF, 0xFF, 0xD9, 0x34];
        let mut bits = Bits::new(&bytes, 0);
        assert!(!bits.are_used_up());
        assert_eq!((bits.take(8), bits.take(8)), (0xFF, 0x12));
        assert!(bits.are_used_up() && !bits.are_overrun());
        bits.skip(1);
        assert!(bits.are_overrun());
        assert_eq!(bits.end(), 4);
    }

    #[test]
    fn words_with_and_without_ff_are_distinguished() {
        for (word, expected) in [(0x1234_5678, false), (0xFF00_0000, true), (0x0000_00FF, true), (0, false)] {
            assert_eq!(has_ff(word), expected, "{word:x}");
        }
        assert!(!has_ff(0x7F80_FEFE) && has_ff(0x7FFF_FEFE) && !has_ff(0x8080_8080) && !has_ff(0xFE01_FE00));
    }
}
