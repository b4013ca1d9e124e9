//! File names for what is written about a frame.

use std::collections::HashSet;
use std::path::Path;

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
        let stem: String = stem.to_string_lossy().chars().map(harmless).collect();
        match self.taken.insert(stem.clone()) {
            true => stem,
            false => format!("{stem}.{frame:06}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
