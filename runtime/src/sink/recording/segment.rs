//! One segment, while it is written.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::avi::{AviWriter, cost};
use super::fault::at;
use super::names::{Pair, recovered};
use crate::sink::interface::SinkError;
use crate::sink::stamp::Stamp;

/// How many names are tried for a segment: one a millisecond.
const ATTEMPTS: usize = 100;
/// So much is lost by a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A frame as it is recorded.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The image.
    pub(super) jpeg: Arc<Vec<u8>>,
    /// Its columns and rows.
    pub(super) size: (u32, u32),
    /// Its record, with the line's end.
    pub(super) line: Vec<u8>,
    /// When it was captured.
    pub(super) captured: Instant,
}

/// A segment under its names as a part. If it is dropped instead of finished, it is a leftover to recover.
pub(super) struct Segment {
    folder: PathBuf,
    stem: String,
    size: (u32, u32),
    /// The file is locked as long as it is open: a search for leftovers sees that it is not one.
    images: AviWriter<BufWriter<File>>,
    records: File,
    record_bytes: u64,
    begun: Instant,
    synced: Instant,
}

impl Segment {
    /// Begins a segment of frames of `size` in `folder`, under a name that is free.
    pub(super) fn create(folder: &Path, size: (u32, u32)) -> Result<Self, SinkError> {
        let mut stamp = Stamp::of(SystemTime::now());
        for _ in 0..ATTEMPTS {
            let stem = stamp.file_stem();
            if let Some(file) = claim(folder, &stem)? {
                return Self::begin(folder, stem, file, size);
            }
            stamp = stamp.next();
        }
        let fault = io::Error::new(ErrorKind::AlreadyExists, "no name is free; is the clock right?");
        Err(SinkError::new(folder.display().to_string(), fault))
    }

    fn begin(folder: &Path, stem: String, file: File, size: (u32, u32)) -> Result<Self, SinkError> {
        let part = Pair::part(folder, &stem);
        let records = File::create(&part.records).map_err(at(&part.records))?;
        let images = AviWriter::new(BufWriter::new(file), size).map_err(at(&part.images))?;
        // Both names are on the disk before the first frame is.
        sync_folder(folder)?;
        let now = Instant::now();
        Ok(Self {
            folder: folder.to_owned(),
            stem,
            size,
            images,
            records,
            record_bytes: 0,
            begun: now,
            synced: now,
        })
    }

    /// Adds a frame, and syncs if it is time to. A kill of the process leaves every frame that was added.
    ///
    /// After an error the segment is to be dropped.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), SinkError> {
        let part = Pair::part(&self.folder, &self.stem);
        self.images.push(&entry.jpeg, entry.captured).map_err(at(&part.images))?;
        self.records.write_all(&entry.line).map_err(at(&part.records))?;
        self.record_bytes += entry.line.len() as u64;
        self.sync_when_due()
    }

    /// Brings both files to the disk, once a second.
    pub(super) fn sync_when_due(&mut self) -> Result<(), SinkError> {
        if self.synced.elapsed() < SYNC_EVERY {
            return Ok(());
        }
        let part = Pair::part(&self.folder, &self.stem);
        let updated = self.images.update_header();
        let synced = updated.and_then(|()| self.images.get_ref().get_ref().sync_data());
        synced.map_err(at(&part.images))?;
        self.records.sync_data().map_err(at(&part.records))?;
        for path in [&part.images, &part.records] {
            // Writing to a file goes on after its name is gone: what is written would be lost.
            path.symlink_metadata().map_err(at(path))?;
        }
        self.synced = Instant::now();
        Ok(())
    }

    /// Finishes both files and gives them their names. After that, a power cut takes nothing of them.
    pub(super) fn finish(self) -> Result<(), SinkError> {
        let part = Pair::part(&self.folder, &self.stem);
        let images = self.images.finish().map_err(at(&part.images))?;
        images.get_ref().sync_all().map_err(at(&part.images))?;
        self.records.sync_all().map_err(at(&part.records))?;
        // The video's lock is held until both have their names.
        give_names(&part, &Pair::finished(&self.folder, &self.stem))?;
        sync_folder(&self.folder)
    }

    /// Its name without extensions.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// Columns and rows of its frames.
    pub(super) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether it holds no frame yet.
    pub(super) fn is_empty(&self) -> bool {
        self.images.frames() == 0
    }

    /// The time since it was begun.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Bytes of both files, once they are finished, with `entry` added.
    pub(super) fn bytes_with(&self, entry: &Entry) -> u64 {
        let entry = cost(entry.jpeg.len() as u64) + entry.line.len() as u64;
        self.images.length() + self.record_bytes + entry
    }
}

/// A new, locked file for the video; `None` if the name is taken.
fn claim(folder: &Path, stem: &str) -> Result<Option<File>, SinkError> {
    let path = Pair::part(folder, stem).images;
    let file = match File::options().read(true).write(true).create_new(true).open(&path) {
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => return Ok(None),
        opened => opened.map_err(at(&path))?,
    };
    // Where files cannot be locked, no other process can lock this one to recover it either.
    let locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    // Another recording may have found the file before it was locked, and removed it as an empty leftover.
    if !locked || !path.exists() {
        return Ok(None);
    }
    let names = [stem.to_owned(), recovered(stem)];
    if names.iter().any(|name| Pair::finished(folder, name).is_taken()) {
        fs::remove_file(&path).map_err(at(&path))?;
        return Ok(None);
    }
    Ok(Some(file))
}

/// Renames the parts of a segment. The video comes last: where a video is, its records are too.
pub(super) fn give_names(part: &Pair, finished: &Pair) -> Result<(), SinkError> {
    fs::rename(&part.records, &finished.records).map_err(at(&part.records))?;
    fs::rename(&part.images, &finished.images).map_err(at(&part.images))
}

/// Brings the names in a folder to the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
pub(super) mod sample {
    //! Frames for tests.

    use super::*;
    use crate::sink::recording::avi::sample::image;

    /// Frame `number`, with a line that holds its number.
    pub(in crate::sink::recording) fn entry(number: u8) -> Entry {
        let line = format!("{{\"frame\":{number}}}\n").into_bytes();
        Entry { jpeg: Arc::new(image(number)), size: (8, 6), line, captured: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::sample::entry;
    use super::*;
    use crate::sink::recording::quota::scan;
    use crate::sink::recording::reader::AviReader;

    #[test]
    fn a_finished_segment_has_its_names_its_frames_and_the_length_it_announced() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), (8, 6)).unwrap();
        assert!(scan(folder.path()).unwrap()[segment.stem()].unfinished && segment.is_empty());
        let mut announced = 0;
        for number in 0..3 {
            announced = segment.bytes_with(&entry(number));
            segment.push(&entry(number)).unwrap();
        }
        let stem = segment.stem().to_owned();
        segment.finish().unwrap();
        let holdings = scan(folder.path()).unwrap();
        assert_eq!((holdings[&stem].bytes, holdings[&stem].unfinished), (announced, false));
        let finished = Pair::finished(folder.path(), &stem);
        let video = AviReader::open(File::open(&finished.images).unwrap()).unwrap();
        assert!(video.is_finished() && video.len() == 3);
        assert_eq!(fs::read_to_string(&finished.records).unwrap().lines().count(), 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_name_that_is_taken_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let stem = "20261123T155503.123Z";
        let claimed = claim(folder.path(), stem).unwrap();
        assert!(claimed.is_some() && claim(folder.path(), stem).unwrap().is_none(), "as a part");
        let part = Pair::part(folder.path(), stem).images;
        for taken in [format!("{stem}.jsonl"), format!("{stem}.recovered.avi")] {
            fs::remove_file(&part).unwrap();
            let taken = folder.path().join(taken);
            fs::write(&taken, "").unwrap();
            assert!(claim(folder.path(), stem).unwrap().is_none(), "{taken:?}");
            assert!(!part.exists());
            fs::remove_file(taken).unwrap();
            fs::write(&part, "").unwrap();
        }
    }

    #[test]
    fn segments_that_begin_at_once_get_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let segments: Vec<_> = (0..5).map(|_| Segment::create(folder.path(), (8, 6)).unwrap()).collect();
        let stems: std::collections::BTreeSet<_> = segments.iter().map(Segment::stem).collect();
        assert_eq!(stems.len(), 5);
    }

    #[test]
    fn a_segment_whose_name_is_gone_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), (8, 6)).unwrap();
        segment.push(&entry(0)).unwrap();
        fs::remove_file(Pair::part(folder.path(), segment.stem()).images).unwrap();
        segment.synced -= SYNC_EVERY;
        assert_eq!(segment.push(&entry(1)).unwrap_err().fault.kind(), ErrorKind::NotFound);
    }
}
