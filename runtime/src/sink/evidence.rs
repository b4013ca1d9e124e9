//! Bundles of evidence for answers that fail a check, and for those that somebody asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::files::make;
use super::names::FrameNames;
use super::stamp::Stamp;
use super::{FrameResult, Sink, SinkError};
use crate::evidence::{Exhibit, write_bundle};
use crate::monitor::Monitor;

/// Between two bundles that nobody asked for: a scene that fails its checks for hours must not fill the disk.
const SPACING: Duration = Duration::from_secs(60);

/// When to write a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceOf {
    /// Of every answer.
    Everything,
    /// Of answers with a flag, at most one a minute, and when [`Monitor::request_evidence`] asks.
    Flagged,
}

/// Writes bundles below a folder.
pub struct EvidenceFolder {
    folder: PathBuf,
    of: EvidenceOf,
    limit: usize,
    monitor: Arc<Monitor>,
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
    /// The folder cannot be made.
    pub fn new(
        folder: &Path,
        of: EvidenceOf,
        limit: usize,
        monitor: Arc<Monitor>,
    ) -> Result<Self, SinkError> {
        let (folder, names) = (make(folder)?, FrameNames::default());
        Ok(Self { folder, of, limit, monitor, names, last: None, full: false, report: |_| {} })
    }

    /// Tells, once, that the limit is reached.
    pub fn reporting(mut self, report: fn(&str)) -> Self {
        self.report = report;
        self
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

    fn has_room(&self) -> std::io::Result<bool> {
        Ok(std::fs::read_dir(&self.folder)?.take(self.limit).count() < self.limit)
    }
}

impl Sink for EvidenceFolder {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        if !self.is_due(!result.record.flags.is_empty()) {
            return Ok(());
        }
        let name = self.folder.display().to_string();
        let fail = |fault| SinkError::new(&name, fault);
        if !self.has_room().map_err(fail)? {
            if !std::mem::replace(&mut self.full, true) {
                let limit = self.limit;
                let advice = "move some away, or raise --evidence-limit";
                (self.report)(&format!(
                    "{name}: no more evidence is kept, there are {limit} bundles: {advice}"
                ));
            }
            return Ok(());
        }
        self.full = false;
        let model = self.monitor.snapshot().model;
        let now = Stamp::of(SystemTime::now());
        let stem = self.names.stem(&result.record.source, result.record.frame);
        let bundle = format!("{}-{stem}", now.file_stem());
        let exhibit = Exhibit {
            record: serde_json::to_value(&result.record).map_err(|error| fail(error.into()))?,
            picture: &result.picture,
            jpeg: result.jpeg.as_deref().map(Vec::as_slice),
            input: &result.tensor,
            explanation: result.own_explanation(),
        };
        let written = write_bundle(&self.folder, &bundle, &exhibit, &model, &now.rfc3339());
        let written = written.map_err(|error| fail(std::io::Error::other(error)))?;
        result.record.evidence = Some(written.display().to_string());
        Ok(())
    }
}
