//! Which mask file belongs to which image: the same path below `masks/`, with one of a few names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::findings::Findings;
use super::notice::Notice;
use super::walk;

/// What may follow an image's name in the name of its mask.
const ENDINGS: [&str; 2] = ["_mask", "-mask"];

/// The files below `masks/`, by their path without the suffix.
#[derive(Clone, Debug, Default)]
pub(super) struct MaskIndex {
    by_name: BTreeMap<PathBuf, Vec<PathBuf>>,
    used: BTreeSet<PathBuf>,
}

impl MaskIndex {
    /// Searches `folder`, in which the class folders lie `above` levels deep.
    pub(super) fn read(folder: &Path, above: usize, findings: &mut Findings) -> Self {
        let mut index = Self::default();
        for path in walk::content_from(folder, above, findings).images {
            if let Ok(relative) = path.strip_prefix(folder) {
                index.by_name.entry(relative.with_extension("")).or_default().push(path.clone());
            }
        }
        // Exact formats come first where a mask is there twice.
        index.by_name.values_mut().for_each(|paths| paths.sort_by_key(|path| (!is_png(path), path.clone())));
        index
    }

    /// The mask of an image; `relative` is its path below the folder that `masks` stands for. For `a/x.jpg` it is
    /// `a/x.*`, `a/x_mask.*`, `a/x-mask.*` or `a/x.jpg.*` in any format that is read, PNG first.
    pub(super) fn take(&mut self, relative: &Path) -> Option<PathBuf> {
        let (stem, whole) = (relative.file_stem()?, relative.file_name()?);
        let with = |ending: &str| {
            let mut name = stem.to_owned();
            name.push(ending);
            name
        };
        let names = [stem.to_owned()].into_iter().chain(ENDINGS.map(with)).chain([whole.to_owned()]);
        let mut keys = names.map(|name| relative.with_file_name(name));
        let mask = keys.find_map(|key| self.by_name.get(&key)?.first())?.clone();
        self.used.insert(mask.clone());
        Some(mask)
    }

    /// What the user should know about the masks, after all were taken.
    pub(super) fn finish(self, findings: &mut Findings) {
        let all: Vec<PathBuf> = self.by_name.into_values().flatten().collect();
        let unmatched = || all.iter().filter(|path| !self.used.contains(*path));
        if let Some(first) = unmatched().next() {
            findings.add(Notice::UnmatchedMasks { count: unmatched().count(), first: first.clone() });
        }
        let lossy = || self.used.iter().filter(|path| is_jpeg(path));
        if let Some(first) = lossy().next() {
            findings.add(Notice::LossyMasks { count: lossy().count(), first: first.clone() });
        }
    }
}

/// Images of one folder that are named like masks of others beside them, such as `x_mask.png` beside `x.jpg`.
pub(super) fn among_images(images: &[PathBuf]) -> Vec<&PathBuf> {
    let stems: BTreeSet<PathBuf> = images.iter().map(|path| path.with_extension("")).collect();
    let is_mask = |path: &&PathBuf| {
        let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let of = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending));
        of.is_some_and(|of| !of.is_empty() && stems.contains(&path.with_file_name(of)))
    };
    images.iter().filter(is_mask).collect()
}

fn is_png(path: &Path) -> bool {
    has_suffix(path, &["png"])
}

fn is_jpeg(path: &Path) -> bool {
    has_suffix(path, &["jpg", "jpeg"])
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    let suffix = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    suffixes.iter().any(|known| suffix.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(root: &Path, paths: &[&str]) -> MaskIndex {
        for path in paths {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        MaskIndex::read(root, 1, &mut Findings::default())
    }

    #[test]
    fn a_mask_is_found_under_each_of_its_names() {
        let root = tempfile::tempdir().unwrap();
        let paths = ["a/1.png", "a/2_mask.bmp", "a/3-mask.PNG", "a/4.jpg.png", "a/5.v2.jpg", "a/sub/6.png"];
        let mut index = index(root.path(), &paths);
        for (image, mask) in
            ["a/1.jpg", "a/2.jpg", "a/3.webp", "a/4.jpg", "a/5.v2.png", "a/sub/6.jpg"].into_iter().zip(paths)
        {
            assert_eq!(index.take(Path::new(image)), Some(root.path().join(mask)), "{image}");
        }
        assert_eq!(index.take(Path::new("b/1.jpg")), None);
        let mut findings = Findings::default();
        index.finish(&mut findings);
        let notices = findings.into_notices();
        assert!(matches!(notices.as_slice(), [Notice::LossyMasks { count: 1, .. }]), "{notices:?}");
    }

    #[test]
    fn files_that_match_no_image_are_counted() {
        let root = tempfile::tempdir().unwrap();
        let mut index = index(root.path(), &["a/1.png", "a/1.bmp", "a/2_seg.png", "b/3.png"]);
        assert_eq!(index.take(Path::new("a/1.jpg")), Some(root.path().join("a/1.png")));
        assert_eq!(index.take(Path::new("a/2.jpg")), None);
        let mut findings = Findings::default();
        index.finish(&mut findings);
        let first = root.path().join("a/1.bmp");
        assert_eq!(findings.into_notices(), [Notice::UnmatchedMasks { count: 3, first }]);
    }

    #[test]
    fn masks_beside_their_images_are_found_out() {
        let paths: Vec<PathBuf> =
            ["a/1.jpg", "a/1_mask.png", "a/2_mask.png", "a/_mask.png", "a/3-mask.jpg", "a/3.jpg"]
                .map(PathBuf::from)
                .to_vec();
        assert_eq!(among_images(&paths), [Path::new("a/1_mask.png"), Path::new("a/3-mask.jpg")]);
    }
}
