//! Which predictions get a bundle of evidence, and whether there is room for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use comet_engine::prediction::FrameResult;

use super::writer::{Writer, job};
use crate::monitor::Monitor;
use crate::sink::files::make;
use crate::sink::interface::{Sink, SinkError};
use crate::sink::names::FrameNames;

/// Time between two bundles that were not asked for: a scene that fails its checks for hours must not fill the disk.
const SPACING: Duration = Duration::from_secs(60);

/// When to write a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceOf {
    /// Of every prediction, each of which waits until its bundle is on the disk.
    Everything,
    /// Of predictions with a flag, at most one a minute, and when [`Monitor::request_evidence`] asks. Predictions do
    /// not wait for the disk; a bundle that finds no room to wait is dropped, counted and reported.
    Flagged,
}

/// Writes bundles below a folder, from a thread of its own.
pub struct EvidenceFolder {
    folder: PathBuf,
    of: EvidenceOf,
    limit: usize,
    monitor: Arc<Monitor>,
    writer: Writer,
    names: FrameNames,
    last: Option<Instant>,
    full: bool,
    report: fn(&str),
}

impl EvidenceFolder {
    /// Writes below `folder`, which is made if it is not there, until it holds `limit` entries. Nothing is ever
    /// removed: evidence is for people to clear away.
    ///
    /// # Errors
    /// The folder cannot be made, or the thread cannot be started.
    pub fn new(
        folder: &Path,
        of: EvidenceOf,
        limit: usize,
        monitor: Arc<Monitor>,
    ) -> Result<Self, SinkError> {
        let folder = make(folder)?;
        let writer = Writer::start(&folder)?;
        let names = FrameNames::default();
        Ok(Self { folder, of, limit, monitor, writer, names, last: None, full: false, report: |_| {} })
    }

    /// Reports, once, that the limit is reached.
    pub fn reporting(mut self, report: fn(&str)) -> Self {
        self.report = report;
        self
    }

    /// Bundles that were not kept: the disk failed, or was too slow.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }

    fn is_due(&mut self, flagged: bool) -> bool {
        if self.monitor.take_evidence_request() || self.of == EvidenceOf::Everything {
            return true;
        }
        let due = flagged && self.last.is_none_or(|last| last.elapsed() >= SPACING);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }

    /// Drafts, which begin with a dot, are not counted.
    fn has_room(&self) -> std::io::Result<bool> {
        if self.limit == usize::MAX {
            return Ok(true);
        }
        let is_bundle = |entry: &std::fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
        let entries = match std::fs::read_dir(&self.folder) {
            // It was moved away; the next bundle makes it again.
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(self.limit > 0),
            entries => entries?,
        };
        let bundles = entries.filter_map(Result::ok).filter(is_bundle);
        Ok(bundles.take(self.limit).count() < self.limit)
    }

    fn report_full(&mut self) {
        if !std::mem::replace(&mut self.full, true) {
            let (name, limit) = (self.folder.display(), self.limit);
            let advice = "move some away, or raise --evidence-limit";
            (self.report)(&format!("{name}: no more evidence is kept, there are {limit} bundles: {advice}"));
        }
    }
}

impl Sink for EvidenceFolder {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        if !self.is_due(!result.record.flags.is_empty()) {
            return self.writer.take_fault().map_or(Ok(()), Err);
        }
        let fail = |fault| SinkError::new(self.folder.display().to_string(), fault);
        if !self.has_room().map_err(fail)? {
            self.report_full();
            return Ok(());
        }
        self.full = false;
        let model = self.monitor.snapshot().model;
        let stem = self.names.stem(&result.record.source, result.record.frame);
        let job = job(result, model, &stem);
        let place = self.folder.join(&job.name).display().to_string();
        let kept = match self.of {
            EvidenceOf::Everything => {
                self.writer.write(job)?;
                true
            }
            EvidenceOf::Flagged => self.writer.send(job),
        };
        if kept {
            result.record.evidence = Some(place);
        }
        self.writer.take_fault().map_or(Ok(()), Err)
    }

    fn begin_finish(&mut self) {
        self.writer.begin_finish();
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    fn bundles(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn every_prediction_has_its_bundle_on_the_disk_when_it_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink =
            EvidenceFolder::new(folder.path(), EvidenceOf::Everything, 100, Arc::default()).unwrap();
        for number in 0..6 {
            let mut result = result("a.jpg", number, [0.0, 1.0, 0.0]);
            sink.accept(&mut result).unwrap();
            let bundle = result.record.evidence.unwrap();
            assert!(Path::new(&bundle).join("SHA256SUMS").is_file(), "{bundle}");
        }
        sink.finish().unwrap();
        assert_eq!((bundles(folder.path()), sink.lost()), (6, 0));
    }

    #[test]
    fn a_full_folder_takes_no_more_and_a_request_is_served_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let monitor = Arc::<Monitor>::default();
        let mut sink =
            EvidenceFolder::new(folder.path(), EvidenceOf::Flagged, 1, Arc::clone(&monitor)).unwrap();
        let mut accept = || {
            let mut result = result("a.jpg", 0, [0.0, 1.0, 0.0]);
            sink.accept(&mut result).unwrap();
            result.record.evidence
        };
        assert!(accept().is_none(), "nothing is flagged");
        monitor.request_evidence();
        let bundle = accept().unwrap();
        let begun = Instant::now();
        while !Path::new(&bundle).is_dir() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{bundle}");
            std::thread::sleep(Duration::from_millis(5));
        }
        monitor.request_evidence();
        assert!(accept().is_none(), "the folder is full");
    }
}
