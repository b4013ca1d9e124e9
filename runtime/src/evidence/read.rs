//! Reading a bundle without trusting it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use comet_engine::image::decode_rgb;
use comet_engine::model::sha256_hex;

use super::bundle::{
    BUNDLE_FORMAT, Bundle, BundleError, BundleErrorKind, BundleInfo, IMAGE, INFO, INPUT, LOGITS, MAP, MASKED,
    SUMS,
};

/// The largest file of a bundle that is read.
const MAX_BYTES: u64 = 512 << 20;
/// The most files that a list of sums may name.
const MAX_FILES: usize = 64;
/// What [`Bundle::read`] needs.
const NEEDED: [&str; 6] = [INFO, IMAGE, INPUT, MAP, MASKED, LOGITS];

impl Bundle {
    /// Reads a bundle. Files whose sum differs from the listed one are read too, and named in [`Bundle::altered`].
    ///
    /// Each file is read once: the bytes that are hashed are the bytes that are decoded.
    ///
    /// # Errors
    /// A file is missing, or is not what its name says.
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        let sums = folder.join(SUMS);
        let listed = parse_sums(&sums)?;
        for needed in NEEDED {
            if !listed.iter().any(|(_, name)| name == needed) {
                return Err(BundleError::new(&sums, BundleErrorKind::Missing(needed)));
            }
        }
        let files = Files::read(folder, &listed)?;
        let info: BundleInfo = files.decode(INFO, |bytes| {
            serde_json::from_slice(bytes).map_err(|error| BundleErrorKind::Info(error.to_string()))
        })?;
        if info.format != BUNDLE_FORMAT {
            return Err(BundleError::new(&folder.join(INFO), BundleErrorKind::Format(info.format)));
        }
        Ok(Self {
            info,
            image: files.decode(IMAGE, |bytes| {
                decode_rgb(bytes, IMAGE).map_err(|error| BundleErrorKind::Image(error.kind.to_string()))
            })?,
            input: files.decode(INPUT, numbers)?,
            mask: files.decode(MAP, numbers)?,
            masked: files.decode(MASKED, numbers)?,
            logits: files.decode(LOGITS, numbers)?,
            altered: files.altered,
        })
    }
}

/// The needed files in memory, and the names of those that are not as they were written.
struct Files<'a> {
    folder: &'a Path,
    contents: BTreeMap<&'static str, Vec<u8>>,
    altered: Vec<String>,
}

impl<'a> Files<'a> {
    fn read(folder: &'a Path, listed: &[(String, String)]) -> Result<Self, BundleError> {
        let mut files = Self { folder, contents: BTreeMap::new(), altered: Vec::new() };
        for (sum, name) in listed {
            let bytes = read(&folder.join(name))?;
            if !sha256_hex(&bytes).eq_ignore_ascii_case(sum) {
                files.altered.push(name.clone());
            }
            // The others are for people, and not kept.
            if let Some(needed) = NEEDED.into_iter().find(|needed| needed == name) {
                files.contents.insert(needed, bytes);
            }
        }
        Ok(files)
    }

    fn decode<T>(
        &self,
        name: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, BundleErrorKind>,
    ) -> Result<T, BundleError> {
        let bytes = self.contents.get(name).ok_or(BundleErrorKind::Missing(name));
        bytes.and_then(|bytes| decode(bytes)).map_err(|kind| BundleError::new(&self.folder.join(name), kind))
    }
}

/// Lines as `sha256sum` writes them. Names are plain: a list must not lead out of its folder.
fn parse_sums(path: &Path) -> Result<Vec<(String, String)>, BundleError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut listed = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if number >= MAX_FILES {
            return Err(BundleError::new(path, BundleErrorKind::Sums(number + 1)));
        }
        let parsed = line.split_once("  ").filter(|(sum, name)| {
            let plain =
                matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
            sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && plain
        });
        let (sum, name) = parsed.ok_or_else(|| BundleError::new(path, BundleErrorKind::Sums(number + 1)))?;
        listed.push((sum.to_owned(), name.to_owned()));
    }
    Ok(listed)
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    let fail = |error: io::Error| BundleError::new(path, error);
    let mut bytes = Vec::new();
    // A file can grow while it is read, and a device has no length at all.
    let limited = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    limited.map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(io::Error::other(format!("it is larger than {MAX_BYTES} bytes"))));
    }
    Ok(bytes)
}

fn numbers(bytes: &[u8]) -> Result<Vec<f32>, BundleErrorKind> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(BundleErrorKind::Numbers);
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sums(text: &str) -> Result<Vec<(String, String)>, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SUMS);
        fs::write(&path, text).unwrap();
        parse_sums(&path)
    }

    #[test]
    fn a_list_that_leads_out_of_its_folder_is_refused() {
        let sum = "0".repeat(64);
        assert_eq!(sums(&format!("{sum}  a.f32\n")).unwrap().len(), 1);
        for name in ["../a", "/etc/passwd", "a/b", "..", ""] {
            let error = sums(&format!("{sum}  ok\n{sum}  {name}\n")).unwrap_err();
            assert!(matches!(error.kind, BundleErrorKind::Sums(2)), "{name}: {error}");
        }
        assert!(sums("short  a\n").is_err());
    }

    #[test]
    fn a_folder_that_is_not_a_bundle_names_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Bundle::read(folder.path()).unwrap_err().kind, BundleErrorKind::Io(_)));
        fs::write(folder.path().join(SUMS), "").unwrap();
        assert!(matches!(Bundle::read(folder.path()).unwrap_err().kind, BundleErrorKind::Missing(INFO)));
    }

    #[test]
    fn what_is_decoded_is_what_was_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOGITS);
        let written: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        fs::write(&path, &written).unwrap();
        let files = Files::read(folder.path(), &[(sha256_hex(&written), LOGITS.to_owned())]).unwrap();
        // A change of the file between hashing and decoding has no effect.
        fs::write(&path, [0; 8]).unwrap();
        assert!(files.altered.is_empty());
        assert_eq!(files.decode(LOGITS, numbers).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn an_altered_file_is_named_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOGITS), [0; 8]).unwrap();
        let listed = |name: &str| [("0".repeat(64), name.to_owned())];
        assert_eq!(Files::read(folder.path(), &listed(LOGITS)).unwrap().altered, [LOGITS]);
        assert!(Files::read(folder.path(), &listed(MAP)).is_err());
    }
}
