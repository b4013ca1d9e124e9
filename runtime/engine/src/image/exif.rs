//! What is read of EXIF and TIFF directories: how the camera was held, and whether a TIFF is a camera's raw file.

use image::metadata::Orientation;

const ORIENTATION: u16 = 0x0112;
const SUBFILE_KIND: u16 = 0x00FE;
const DNG_VERSION: u16 = 0xC612;

/// One entry of the first directory: tag, and its value if that is one whole number.
type Entry = (u16, Option<u32>);

/// How an image is turned upright.
///
/// The standard stores the orientation as a 16-bit number; writers that use 32 or 8 bits are understood, too.
pub(super) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let orientations = entries(exif)?.into_iter().filter(|&(tag, _)| tag == ORIENTATION);
    let mut valid = orientations.filter_map(|(_, value)| Orientation::from_exif(u8::try_from(value?).ok()?));
    valid.next()
}

/// Whether this TIFF is a camera's raw file, of which a decoder would show the thumbnail.
pub(super) fn is_camera_raw(tiff: &[u8]) -> bool {
    let canon = tiff.get(8..10) == Some(b"CR");
    let entries = entries(tiff).unwrap_or_default();
    canon
        || entries.into_iter().any(|(tag, value)| match tag {
            DNG_VERSION => true,
            // A reduced version of another image of the file.
            SUBFILE_KIND => value.is_some_and(|kind| kind & 1 == 1),
            _ => false,
        })
}

/// The entries of the first directory, as far as they are there.
fn entries(exif: &[u8]) -> Option<Vec<Entry>> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match tiff.first_chunk::<4>()? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |bytes: &[u8], at: usize| -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let long = |bytes: &[u8], at: usize| -> Option<u32> {
        let four = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let directory = tiff.get(usize::try_from(long(tiff, 4)?).ok()?..)?;
    let count = usize::from(short(directory, 0)?);
    let (entries, _) = directory.get(2..)?.as_chunks::<12>();
    let read = |entry: &[u8; 12]| {
        let value = match (short(entry, 2)?, long(entry, 4)?) {
            (1, 1) => Some(u32::from(entry[8])),
            (3, 1) => short(entry, 8).map(u32::from),
            (4, 1) => long(entry, 8),
            _ => None,
        };
        Some((short(entry, 0)?, value))
    };
    Some(entries.iter().take(count).filter_map(read).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TIFF header with one entry; `kind` 1 is 8 bits, 3 is 16 and 4 is 32.
    pub(in crate::image) fn exif(little: bool, tag: u16, kind: u16, value: u32) -> Vec<u8> {
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(1));
        bytes.extend(short(tag));
        bytes.extend(short(kind));
        bytes.extend(long(1));
        match kind {
            1 => bytes.extend([value as u8, 0, 0, 0]),
            3 => {
                bytes.extend(short(value as u16));
                bytes.extend([0, 0]);
            }
            _ => bytes.extend(long(value)),
        }
        bytes.extend(long(0));
        bytes
    }

    #[test]
    fn an_orientation_is_read_in_every_width_and_byte_order() {
        for little in [false, true] {
            for kind in [1, 3, 4] {
                let bytes = exif(little, ORIENTATION, kind, 6);
                assert_eq!(orientation(&bytes), Some(Orientation::Rotate90), "{little} {kind}");
                let prefixed = [b"Exif\0\0".as_slice(), &bytes].concat();
                assert_eq!(orientation(&prefixed), Some(Orientation::Rotate90), "{little} {kind}");
            }
        }
    }

    #[test]
    fn what_is_not_an_orientation_gives_none() {
        assert_eq!(orientation(&exif(true, ORIENTATION, 3, 9)), None);
        assert_eq!(orientation(&exif(true, ORIENTATION, 4, 0x0001_0006)), None);
        assert_eq!(orientation(&exif(true, ORIENTATION, 5, 6)), None);
        assert_eq!(orientation(&exif(true, 0x0110, 3, 6)), None);
        let whole = exif(false, ORIENTATION, 3, 6);
        for length in 0..20 {
            assert_eq!(orientation(&whole[..length]), None, "{length}");
        }
        let mut far = whole;
        far[4..8].copy_from_slice(&[0xFF; 4]);
        assert_eq!(orientation(&far), None);
    }

    #[test]
    fn raw_files_of_cameras_are_noticed() {
        assert!(is_camera_raw(&exif(true, DNG_VERSION, 1, 1)));
        assert!(is_camera_raw(&exif(false, SUBFILE_KIND, 4, 1)));
        assert!(is_camera_raw(b"II*\0\x10\0\0\0CR\x02\0"));
        assert!(!is_camera_raw(&exif(true, SUBFILE_KIND, 4, 0)));
        assert!(!is_camera_raw(b"II*\0"));
    }
}
