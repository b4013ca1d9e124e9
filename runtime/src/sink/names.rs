//! File names for what is written about a frame.

use std::collections::HashSet;
use std::path::Path;

use comet_engine::model::sha256_hex;

/// The longest stem in bytes. File systems take names of 255; what is put before and behind a stem needs the rest.
const LONGEST: usize = 180;
/// Digits of the hash in place of what was cut off.
const HASH: usize = 10;

/// Gives each frame a stem of its own: the source's, and the frame's number where that is taken.
///
/// Only the sources' stems are remembered, so a camera that runs for months costs one of them.
#[derive(Debug, Default)]
pub(super) struct FrameNames {
    taken: HashSet<String>,
}

impl FrameNames {
    /// `hand` for the first frame of `dir/hand.jpg`, `hand.000007` for a later one with the same stem.
    pub(super) fn stem(&mut self, source: &str, frame: u64) -> String {
        let stem = Path::new(source).file_stem().unwrap_or("frame".as_ref());
        let harmless = |c: char| {
            if c.is_control() || "/\\:".contains(c) { '_' } else { c }
        };
        let stem = shortened(stem.to_string_lossy().chars().map(harmless).collect());
        if self.taken.insert(stem.clone()) && !self.may_be_given(&stem) {
            return stem;
        }
        let mut numbered = format!("{stem}.{frame:06}");
        while self.taken.contains(&numbered) {
            // Another source is called as this frame would be.
            numbered.push_str(&format!(".{frame:06}"));
        }
        numbered
    }

    /// Whether a numbered frame of another source may have been given this name already.
    fn may_be_given(&self, stem: &str) -> bool {
        stem.rsplit_once('.').is_some_and(|(start, number)| {
            number.len() >= 6
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && self.taken.contains(start)
        })
    }
}

/// The stem itself, or its beginning and a hash of the whole: two long names with one beginning stay apart.
fn shortened(stem: String) -> String {
    if stem.len() <= LONGEST {
        return stem;
    }
    let hash: String = sha256_hex(stem.as_bytes()).chars().take(HASH).collect();
    let room = LONGEST - HASH - 1;
    let end =
        stem.char_indices().map(|(at, sign)| at + sign.len_utf8()).take_while(|end| *end <= room).last();
    format!("{}-{hash}", stem.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_called_like_an_earlier_frame_gets_a_name_of_its_own() {
        let mut names = FrameNames::default();
        assert_eq!(names.stem("a/hand.jpg", 0), "hand");
        assert_eq!(names.stem("b/hand.jpg", 1), "hand.000001");
        assert_eq!(names.stem("c/hand.000001.jpg", 2), "hand.000001.000002");
        assert_eq!(names.stem("d/clip.000001.jpg", 3), "clip.000001");
    }

    #[test]
    fn repeated_stems_get_their_numbers() {
        let mut names = FrameNames::default();
        assert_eq!(names.stem("a/hand.jpg", 0), "hand");
        assert_eq!(names.stem("b/hand.png", 1), "hand.000001");
        assert_eq!(names.stem("b/foot.png", 2), "foot");
        assert_eq!(names.stem("camera0", 7), "camera0");
        assert_eq!(names.stem("camera0", 8), "camera0.000008");
        assert_eq!(names.stem("..", 0), "frame");
        assert_eq!(names.taken.len(), 4);
    }

    #[test]
    fn a_source_that_is_called_as_a_numbered_frame_keeps_its_file() {
        let mut names = FrameNames::default();
        assert_eq!(names.stem("hand.000002.jpg", 0), "hand.000002");
        assert_eq!(names.stem("a/hand.jpg", 1), "hand");
        assert_eq!(names.stem("b/hand.jpg", 2), "hand.000002.000002");
    }

    #[test]
    fn a_stem_that_is_too_long_for_a_file_is_shortened_and_stays_its_own() {
        let mut names = FrameNames::default();
        let long = |last: &str| format!("{}{last}.png", "ß".repeat(124));
        let (first, second) = (names.stem(&long("a"), 0), names.stem(&long("b"), 1));
        assert_ne!(first, second);
        for stem in [&first, &second] {
            assert!(stem.len() <= LONGEST && stem.starts_with("ßß"), "{stem}");
        }
        let kept = "x".repeat(LONGEST);
        assert_eq!(names.stem(&format!("{kept}.png"), 2), kept);
    }
}
