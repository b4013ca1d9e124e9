//! The size of an image in blocks, and what its scans carry.

use super::progressive::Band;
use crate::image::error::MAX_PIXELS;

/// A start-of-frame segment.
pub(super) struct Frame {
    progressive: bool,
    width: u64,
    height: u64,
    /// The largest sampling factors.
    widest: u64,
    tallest: u64,
    components: Vec<Component>,
}

struct Component {
    id: u8,
    horizontal: u64,
    vertical: u64,
    /// Whether a scan has carried its constant terms.
    seen: bool,
    /// By block: the coefficients that are not zero. Kept for progressive images only.
    nonzero: Vec<u64>,
}

/// A component of a scan and the slots of its tables.
pub(super) struct Part {
    component: usize,
    pub(super) constants: usize,
    pub(super) coefficients: usize,
}

/// What a scan carries.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    All,
    Constants,
    RefinedConstants,
    Band(Band),
    RefinedBand(Band),
}

impl Frame {
    /// Reads the segment; `None` if it is of another kind or makes no sense.
    pub(super) fn read(progressive: bool, body: &[u8]) -> Option<Self> {
        let (height, width) = (u64::from(word(body, 1)?), u64::from(word(body, 3)?));
        let count = usize::from(*body.get(5)?);
        let (triples, _) = body.get(6..)?.as_chunks::<3>();
        let components: Vec<Component> = triples.iter().take(count).map(Component::read).collect();
        let widest = components.iter().map(|component| component.horizontal).max()?;
        let tallest = components.iter().map(|component| component.vertical).max()?;
        let mut ids: Vec<u8> = components.iter().map(|component| component.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = body.first() == Some(&8)
            && components.len() == count
            && ids.len() == count
            && count <= 4
            && (1..=MAX_PIXELS).contains(&(width * height))
            && components.iter().all(|c| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical));
        known.then_some(Self { progressive, width, height, widest, tallest, components })
    }

    /// The components of a scan, and what it carries of them.
    pub(super) fn scan_header(&mut self, body: &[u8]) -> Option<(Vec<Part>, Kind)> {
        let count = usize::from(*body.first()?);
        let (pairs, _) = body.get(1..1 + 2 * count)?.as_chunks::<2>();
        let &[start, end, precision] = body.get(1 + 2 * count..)?.first_chunk::<3>()?;
        let mut parts = Vec::with_capacity(count);
        for &[id, tables] in pairs {
            let component = self.components.iter().position(|component| component.id == id)?;
            let (constants, coefficients) = (usize::from(tables >> 4), usize::from(tables & 15));
            parts.push(Part { component, constants, coefficients });
        }
        let first = precision >> 4 == 0;
        let kind = match (self.progressive, start, end) {
            (false, _, _) => Kind::All,
            (true, 0, 0) if first => Kind::Constants,
            (true, 0, 0) => Kind::RefinedConstants,
            (true, 1..=63, 1..=63) if count == 1 && start <= end => {
                let band = (u32::from(start), u32::from(end));
                if first { Kind::Band(band) } else { Kind::RefinedBand(band) }
            }
            _ => return None,
        };
        if matches!(kind, Kind::All | Kind::Constants) {
            for part in &parts {
                self.components.get_mut(part.component)?.seen = true;
            }
        }
        (!parts.is_empty()).then_some((parts, kind))
    }

    /// Whether this is a scan that the decoder puts into wrong places.
    ///
    /// Of sequential images with several scans it misplaces the rows of components that are sampled more finely
    /// than others in vertical direction, and it knows no units of several blocks there.
    pub(super) fn is_decoded_wrongly(&self, parts: &[Part]) -> bool {
        let several = !self.progressive && parts.len() < self.components.len();
        several && (self.tallest > 1 || (parts.len() > 1 && self.widest > 1))
    }

    /// How many units a scan has: blocks for one component, groups of blocks for several.
    pub(super) fn units(&self, parts: &[Part]) -> Option<u64> {
        match parts {
            [part] => Some(self.blocks(self.components.get(part.component)?)),
            _ => Some(self.width.div_ceil(8 * self.widest) * self.height.div_ceil(8 * self.tallest)),
        }
    }

    /// How many blocks of a component one unit of a scan has.
    pub(super) fn blocks_of_unit(&self, part: &Part, parts: usize) -> Option<usize> {
        let component = self.components.get(part.component)?;
        Some(if parts == 1 { 1 } else { (component.horizontal * component.vertical) as usize })
    }

    /// What is known of the coefficients of a component's blocks.
    pub(super) fn nonzero(&mut self, part: &Part, blocks: u64) -> Option<&mut [u64]> {
        let nonzero = &mut self.components.get_mut(part.component)?.nonzero;
        nonzero.resize(usize::try_from(blocks).ok()?, 0);
        Some(nonzero)
    }

    /// Blocks of the components that no scan has carried.
    pub(super) fn unseen_blocks(&self) -> u64 {
        let unseen = self.components.iter().filter(|component| !component.seen);
        unseen.map(|component| self.blocks(component)).sum()
    }

    /// The blocks of a component that lie in the image at least in part.
    fn blocks(&self, component: &Component) -> u64 {
        let across = (self.width * component.horizontal).div_ceil(self.widest);
        let down = (self.height * component.vertical).div_ceil(self.tallest);
        across.div_ceil(8) * down.div_ceil(8)
    }
}

impl Component {
    fn read(&[id, sampling, _]: &[u8; 3]) -> Self {
        let (horizontal, vertical) = (u64::from(sampling >> 4), u64::from(sampling & 15));
        Self { id, horizontal, vertical, seen: false, nonzero: Vec::new() }
    }
}

/// Two bytes as a number.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
