//! The quota: the oldest finished segments make room for the newest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::fault::{at, unless_missing};
use super::names::{Pair, stem_of};
use super::size::ByteSize;
use crate::sink::interface::SinkError;

/// Between two looks into a folder in which nothing more can be removed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What lies in the folder under one stem.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// Of both files together.
    pub(super) bytes: u64,
    /// One of the files is a part: the segment is being written, or it was cut off.
    pub(super) unfinished: bool,
}

/// The segments in the folder by their stems, the oldest first. Files of other names are not looked at.
pub(super) fn scan(folder: &Path) -> Result<BTreeMap<String, Holding>, SinkError> {
    let mut holdings = BTreeMap::<String, Holding>::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let name = entry.file_name();
        let Some((stem, unfinished)) = name.to_str().and_then(stem_of) else { continue };
        // Another recording may have renamed or removed it just now; links and folders are not ours.
        let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        let holding = holdings.entry(stem.to_owned()).or_default();
        holding.bytes += metadata.len();
        holding.unfinished |= unfinished;
    }
    Ok(holdings)
}

/// Keeps the segments of a folder, all together, under a number of bytes.
#[derive(Debug)]
pub(super) struct Quota {
    limit: Option<ByteSize>,
    /// Bytes of all segments but the one that is being written; `None` if that is not known.
    others: Option<u64>,
    /// Segments of this run, in their order: on a board whose clock was not set yet their names are older than those
    /// of the runs before.
    own: Vec<String>,
    /// Set while the quota cannot be met: a look at every frame would find the same.
    look_again: Option<Instant>,
}

/// Whether there is room for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The folder stays under the quota.
    Enough,
    /// It does not, and nothing in it may be removed: other recordings into it are not finished.
    Lacking,
}

impl Quota {
    /// Without a limit nothing is ever removed.
    pub(super) fn new(limit: Option<ByteSize>) -> Self {
        Self { limit, others: None, own: Vec::new(), look_again: None }
    }

    /// Looks into the folder again next time: a segment was begun or finished.
    pub(super) fn forget(&mut self) {
        self.others = None;
        self.look_again = None;
    }

    /// Removes the oldest finished segments until there is room for the segment `open` with `bytes` bytes.
    pub(super) fn make_room(&mut self, folder: &Path, open: &str, bytes: u64) -> Result<Room, SinkError> {
        let Some(ByteSize(limit)) = self.limit else { return Ok(Room::Enough) };
        if self.own.last().is_none_or(|last| last != open) {
            self.own.push(open.to_owned());
        }
        let fits = |others: u64| others.saturating_add(bytes) <= limit;
        if self.others.is_some_and(fits) {
            return Ok(Room::Enough);
        }
        if self.look_again.is_some_and(|moment| Instant::now() < moment) {
            return Ok(Room::Lacking);
        }
        let mut holdings = scan(folder)?;
        holdings.remove(open);
        let mut others: u64 = holdings.values().map(|holding| holding.bytes).sum();
        self.own.retain(|stem| stem == open || holdings.contains_key(stem));
        // Names in order are moments in order.
        let earlier = holdings.keys().filter(|stem| !self.own.contains(stem));
        for stem in earlier.chain(&self.own) {
            if fits(others) {
                break;
            }
            let Some(holding) = holdings.get(stem).filter(|holding| !holding.unfinished) else { continue };
            remove(&Pair::finished(folder, stem))?;
            others = others.saturating_sub(holding.bytes);
        }
        self.others = Some(others);
        self.look_again = (!fits(others)).then(|| Instant::now() + LOOK_AGAIN);
        Ok(if fits(others) { Room::Enough } else { Room::Lacking })
    }
}

/// The video goes first: where a video is, its records are too.
pub(super) fn remove(pair: &Pair) -> Result<(), SinkError> {
    for path in [&pair.images, &pair.records] {
        unless_missing(fs::remove_file(path)).map_err(at(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_pairs_go_first_and_nothing_else_goes() {
        let folder = tempfile::tempdir().unwrap();
        let stems = ["2024", "2025", "2026"].map(|year| format!("{year}0101T000000.000Z"));
        for stem in &stems {
            fs::write(folder.path().join(format!("{stem}.avi")), [0u8; 90]).unwrap();
            fs::write(folder.path().join(format!("{stem}.jsonl")), [0u8; 10]).unwrap();
        }
        let kept = ["20200101T000000.000Z.avi.part", "20200101T000000.000Z.avi.bak", "a.jsonl"];
        for name in kept {
            fs::write(folder.path().join(name), [0u8; 50]).unwrap();
        }
        fs::create_dir(folder.path().join("20200102T000000.000Z.avi")).unwrap();
        let open = "20270101T000000.000Z";
        // 300 bytes of pairs and 50 of the part that was cut off.
        let mut quota = Quota::new(Some(ByteSize(400)));
        assert_eq!(quota.make_room(folder.path(), open, 50).unwrap(), Room::Enough);
        assert_eq!(names(folder.path()).len(), 10, "all of it fits");
        quota.make_room(folder.path(), open, 51).unwrap();
        assert_eq!(names(folder.path()).len(), 8, "one pair is gone");
        assert!(!folder.path().join(format!("{}.avi", stems[0])).exists());
        assert_eq!(quota.make_room(folder.path(), open, 10_000).unwrap(), Room::Lacking);
        let mut rest: Vec<_> = kept.into_iter().chain(["20200102T000000.000Z.avi"]).collect();
        rest.sort_unstable();
        assert_eq!(names(folder.path()), rest);
    }

    #[test]
    fn a_quota_that_cannot_be_met_is_not_looked_after_at_every_frame() {
        let folder = tempfile::tempdir().unwrap();
        let (open, old) = ("20270101T000000.000Z", folder.path().join("20240101T000000.000Z.avi"));
        let mut quota = Quota::new(Some(ByteSize(100)));
        assert_eq!(quota.make_room(folder.path(), open, 200).unwrap(), Room::Lacking);
        fs::write(&old, [0u8; 10]).unwrap();
        assert_eq!(quota.make_room(folder.path(), open, 201).unwrap(), Room::Lacking);
        assert!(old.exists(), "the folder was not looked into again");
        quota.forget();
        assert_eq!(quota.make_room(folder.path(), open, 202).unwrap(), Room::Lacking);
        assert!(!old.exists(), "a new segment is a reason to look");
        assert_eq!(quota.make_room(folder.path(), open, 90).unwrap(), Room::Enough, "and so is room");
    }

    #[test]
    fn without_a_quota_nothing_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("20240101T000000.000Z.avi"), [0u8; 90]).unwrap();
        let room = Quota::new(None).make_room(folder.path(), "20270101T000000.000Z", u64::MAX);
        assert_eq!(room.unwrap(), Room::Enough);
        assert_eq!(names(folder.path()).len(), 1);
    }
}
