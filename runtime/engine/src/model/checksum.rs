//! The SHA-256 checksum that a model file carries of itself, so that damage is found before parsing.
//!
//! The digest of the whole file, taken with the 64 digits of the checksum itself as zeros, stands as hexadecimal
//! text in `metadata_props["comet.sha256"]`. It finds damage and truncation; it is not a signature:
//! anyone who can write the file can compute it again.

use sha2::{Digest, Sha256};

/// Key of the checksum among the file's `metadata_props`.
pub const CHECKSUM_KEY: &str = "comet.sha256";
const DIGITS: usize = 64;

/// SHA-256 as lower-case hexadecimal text.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The value to put under [`CHECKSUM_KEY`] before the file is serialized and [`write_checksum`] fills it in.
pub fn checksum_placeholder() -> String {
    "0".repeat(DIGITS)
}

/// Writes the checksum into a serialized model; `false` if the placeholder is not there.
pub fn write_checksum(bytes: &mut [u8]) -> bool {
    let Some(start) = position(bytes) else {
        return false;
    };
    let Some(digest) = digest_without_checksum(bytes, start) else {
        return false;
    };
    match bytes.get_mut(start..start + DIGITS) {
        Some(digits) => {
            digits.copy_from_slice(digest.as_bytes());
            true
        }
        None => false,
    }
}

/// What the checksum of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file is what was written.
    Intact,
    /// The file was changed after it was written.
    Broken,
    /// There is no checksum: cut off, or written by another program.
    Missing,
}

pub(super) fn verify(bytes: &[u8]) -> Verdict {
    let Some(start) = position(bytes) else {
        return Verdict::Missing;
    };
    let found = bytes.get(start..start + DIGITS);
    match digest_without_checksum(bytes, start) {
        Some(digest) if found == Some(digest.as_bytes()) => Verdict::Intact,
        _ => Verdict::Broken,
    }
}

/// Offset of the digits: the key as protobuf field 1, then field 2 with a length of 64.
fn position(bytes: &[u8]) -> Option<usize> {
    let mut pattern = vec![0x0a, CHECKSUM_KEY.len() as u8];
    pattern.extend_from_slice(CHECKSUM_KEY.as_bytes());
    pattern.extend_from_slice(&[0x12, DIGITS as u8]);
    let windows = bytes.windows(pattern.len());
    let start = windows.rev().position(|window| window == pattern)?;
    let end = bytes.len() - start;
    (end + DIGITS <= bytes.len()).then_some(end)
}

fn digest_without_checksum(bytes: &[u8], start: usize) -> Option<String> {
    let mut hasher = Sha256::new();
    hasher.update(bytes.get(..start)?);
    hasher.update([b'0'; DIGITS]);
    hasher.update(bytes.get(start + DIGITS..)?);
    Some(hex(&hasher.finalize()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut bytes = b"graph bytes".to_vec();
        bytes.extend_from_slice(&[0x72, 80, 0x0a, 12]);
        bytes.extend_from_slice(CHECKSUM_KEY.as_bytes());
        bytes.extend_from_slice(&[0x12, 64]);
        bytes.extend_from_slice(checksum_placeholder().as_bytes());
        bytes.extend_from_slice(b"tail");
        bytes
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let mut bytes = file();
        assert!(write_checksum(&mut bytes));
        assert_eq!(verify(&bytes), Verdict::Intact);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x20;
            assert_ne!(verify(&damaged), Verdict::Intact, "byte {index}");
        }
    }

    #[test]
    fn every_prefix_is_refused() {
        let mut bytes = file();
        write_checksum(&mut bytes);
        for length in 0..bytes.len() {
            assert_ne!(verify(&bytes[..length]), Verdict::Intact, "{length} bytes");
        }
    }
}
