//! What a kill, a power cut or a full disk left behind: whole frames are kept, the rest is cut.
//!
//! A leftover is a part whose lock is free. Every step can be cut off itself: the next recovery
//! does it again.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use serde::de::IgnoredAny;

use super::fault::{at, unless_missing};
use super::names::{Pair, recovered};
use super::quota::{remove, scan};
use super::reader::AviReader;
use super::segment::{give_names, sync_folder};
use crate::sink::interface::SinkError;

/// The longest line that is taken for a record, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Finishes the leftovers in a folder, or removes those without a whole frame.
///
/// All of them are tried; the first fault is reported.
pub(super) fn recover(folder: &Path) -> Result<(), SinkError> {
    let leftovers = scan(folder)?.into_iter().filter(|(_, holding)| holding.unfinished);
    let outcomes: Vec<_> = leftovers.map(|(stem, _)| recover_segment(folder, &stem)).collect();
    outcomes.into_iter().collect()
}

fn recover_segment(folder: &Path, stem: &str) -> Result<(), SinkError> {
    let part = Pair::part(folder, stem);
    let video = match File::options().read(true).write(true).open(&part.images) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return finish_records(folder, stem, &part),
        opened => opened.map_err(at(&part.images))?,
    };
    // It is being written, or another process was faster.
    if video.try_lock().is_err() || !part.images.exists() {
        return Ok(());
    }
    if !part.records.exists() {
        return finish_video(folder, stem, &part);
    }
    let records = File::options().read(true).write(true).open(&part.records).map_err(at(&part.records))?;
    let reader = match AviReader::open(&video) {
        Err(fault) if fault.kind() == ErrorKind::InvalidData => return remove(&part),
        opened => opened.map_err(at(&part.images))?,
    };
    let (count, end) = whole_lines(&records, reader.len()).map_err(at(&part.records))?;
    if count == 0 {
        return remove(&part);
    }
    video
        .set_len(reader.end_of(count))
        .and_then(|()| reader.into_writer(count).finish())
        .and_then(File::sync_all)
        .map_err(at(&part.images))?;
    records.set_len(end).and_then(|()| records.sync_all()).map_err(at(&part.records))?;
    give_names(&part, &Pair::finished(folder, &recovered(stem)))?;
    sync_folder(folder)
}

/// A video whose records have their name already: everything is on the disk but the video's own name.
fn finish_video(folder: &Path, stem: &str, part: &Pair) -> Result<(), SinkError> {
    for name in [stem.to_owned(), recovered(stem)] {
        let finished = Pair::finished(folder, &name);
        if finished.records.exists() {
            fs::rename(&part.images, &finished.images).map_err(at(&part.images))?;
            return sync_folder(folder);
        }
    }
    remove(part)
}

/// Records whose video is not a part: after a power cut, the second name may be on the disk without the first.
fn finish_records(folder: &Path, stem: &str, part: &Pair) -> Result<(), SinkError> {
    for name in [stem.to_owned(), recovered(stem)] {
        let finished = Pair::finished(folder, &name);
        if finished.images.exists() {
            unless_missing(fs::rename(&part.records, &finished.records)).map_err(at(&part.records))?;
            return sync_folder(folder);
        }
    }
    remove(part)
}

/// How many whole records a text begins with, at most `most`, and where they end.
fn whole_lines(text: impl Read, most: usize) -> io::Result<(usize, u64)> {
    let mut text = BufReader::new(text);
    let (mut count, mut end) = (0, 0);
    let mut line = Vec::new();
    while count < most {
        line.clear();
        let length = text.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        // A block that never reached the disk reads as zeros, which is not JSON.
        if !line.ends_with(b"\n") || serde_json::from_slice::<IgnoredAny>(&line).is_err() {
            break;
        }
        count += 1;
        end += length as u64;
    }
    Ok((count, end))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sink::recording::segment::Segment;
    use crate::sink::recording::segment::sample::entry;

    /// A segment of four frames that was cut off, and its stem.
    fn leftover(folder: &Path) -> String {
        let mut segment = Segment::create(folder, (8, 6)).unwrap();
        for number in 0..4 {
            segment.push(&entry(number)).unwrap();
        }
        segment.stem().to_owned()
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    /// Frames of the recovered segment; an error of the test unless it is whole and alone.
    fn recovered_frames(folder: &Path, stem: &str) -> usize {
        let pair = Pair::finished(folder, &recovered(stem));
        assert_eq!(names(folder), [pair.images.clone(), pair.records.clone()]);
        let video = AviReader::open(File::open(&pair.images).unwrap()).unwrap();
        assert!(video.is_finished());
        assert_eq!(video.len(), fs::read_to_string(&pair.records).unwrap().lines().count());
        video.len()
    }

    #[test]
    fn whatever_is_cut_the_frames_that_have_both_image_and_record_stay() {
        // What is cut from the video and from the records, and the frames that are left.
        for (video, records, left) in [(0, 0, 4), (1, 0, 3), (0, 1, 3), (40, 1, 2), (0, 15, 2), (75, 0, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let stem = leftover(folder.path());
            let part = Pair::part(folder.path(), &stem);
            for (path, cut) in [(&part.images, video), (&part.records, records)] {
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() - cut).unwrap();
            }
            recover(folder.path()).unwrap();
            assert_eq!(recovered_frames(folder.path(), &stem), left, "{video} and {records} bytes");
        }
    }

    #[test]
    fn a_leftover_without_a_whole_frame_is_removed() {
        for kept in [0, 100, 230] {
            let folder = tempfile::tempdir().unwrap();
            let part = Pair::part(folder.path(), &leftover(folder.path()));
            File::options().write(true).open(&part.images).unwrap().set_len(kept).unwrap();
            recover(folder.path()).unwrap();
            assert!(names(folder.path()).is_empty(), "{kept} bytes");
        }
    }

    #[test]
    fn a_segment_that_is_being_written_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), (8, 6)).unwrap();
        segment.push(&entry(0)).unwrap();
        let before = names(folder.path());
        recover(folder.path()).unwrap();
        assert_eq!(names(folder.path()), before);
        segment.finish().unwrap();
    }

    #[test]
    fn a_cut_between_the_two_names_is_mended() {
        for video_first in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut segment = Segment::create(folder.path(), (8, 6)).unwrap();
            segment.push(&entry(0)).unwrap();
            let stem = segment.stem().to_owned();
            segment.finish().unwrap();
            let whole = names(folder.path());
            let (part, finished) = (Pair::part(folder.path(), &stem), Pair::finished(folder.path(), &stem));
            match video_first {
                true => fs::rename(&finished.records, &part.records).unwrap(),
                false => fs::rename(&finished.images, &part.images).unwrap(),
            }
            recover(folder.path()).unwrap();
            assert_eq!(names(folder.path()), whole);
        }
    }

    #[test]
    fn lines_that_are_not_records_end_the_text() {
        let count = |text: &[u8]| whole_lines(io::Cursor::new(text), 9).unwrap();
        assert_eq!(count(b"{\"a\":1}\n{}\n"), (2, 11));
        assert_eq!(count(b"{}\n{\"a\":"), (1, 3));
        assert_eq!(count(b"{}\n\0\0\0\n{}\n"), (1, 3));
        assert_eq!(count(b""), (0, 0));
    }
}
