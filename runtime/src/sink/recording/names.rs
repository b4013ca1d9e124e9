//! Names of the files of a segment. What does not have such a name belongs to other programs, and is left alone.

use std::path::{Path, PathBuf};

const PART: &str = ".part";
const RECOVERED: &str = ".recovered";
const START: &[u8] = b"00000000T000000.000Z";

/// The two files of a segment.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The video.
    pub(super) images: PathBuf,
    /// The records, a line a frame.
    pub(super) records: PathBuf,
}

impl Pair {
    /// The names of a finished segment.
    pub(super) fn finished(folder: &Path, stem: &str) -> Self {
        Self { images: folder.join(format!("{stem}.avi")), records: folder.join(format!("{stem}.jsonl")) }
    }

    /// The names of a segment that is being written, or that was cut off.
    pub(super) fn part(folder: &Path, stem: &str) -> Self {
        Self {
            images: folder.join(format!("{stem}.avi{PART}")),
            records: folder.join(format!("{stem}.jsonl{PART}")),
        }
    }

    /// Whether one of the two files is there.
    pub(super) fn is_taken(&self) -> bool {
        [&self.images, &self.records].into_iter().any(|path| path.symlink_metadata().is_ok())
    }
}

/// The stem of a segment that was cut off, once it is recovered.
pub(super) fn recovered(stem: &str) -> String {
    format!("{stem}{RECOVERED}")
}

/// The stem of a segment's file, and whether the segment is not finished; `None` for other files.
pub(super) fn stem_of(file: &str) -> Option<(&str, bool)> {
    let (whole, part) = match file.strip_suffix(PART) {
        Some(whole) => (whole, true),
        None => (file, false),
    };
    let stem = whole.strip_suffix(".avi").or_else(|| whole.strip_suffix(".jsonl"))?;
    // What is being recovered keeps its first name until it is finished.
    let start = if part { stem } else { stem.strip_suffix(RECOVERED).unwrap_or(stem) };
    let fits = |(byte, pattern): (u8, &u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        pattern => byte == *pattern,
    };
    let is_start = start.len() == START.len() && start.bytes().zip(START).all(fits);
    is_start.then_some((stem, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_known_and_others_are_not() {
        let stem = "20261123T155503.123Z";
        let recovered = recovered(stem);
        let part = Pair::part("d".as_ref(), stem);
        assert_eq!(part.images, Path::new("d/20261123T155503.123Z.avi.part"));
        assert_eq!(part.records, Path::new("d/20261123T155503.123Z.jsonl.part"));
        for (name, known) in [
            (format!("{stem}.avi"), (stem, false)),
            (format!("{stem}.jsonl.part"), (stem, true)),
            (format!("{recovered}.jsonl"), (recovered.as_str(), false)),
        ] {
            assert_eq!(stem_of(&name), Some(known), "{name}");
        }
        for name in [
            "20261123T155503.123Z.avi.bak",
            "20261123T155503.123Z.avi.part.part",
            "20261123T155503.123Z.recovered.avi.part",
            "20261123T155503.123Z",
            "20261123T155503.123Z.mp4",
            "20261123-155503.123Z.avi",
            "x20261123T155503.123Z.avi",
            "2026112aT155503.123Z.avi",
            "holiday.avi",
            ".avi.part",
        ] {
            assert_eq!(stem_of(name), None, "{name}");
        }
    }
}
