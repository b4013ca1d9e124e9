//! `metrics.jsonl`, one line an epoch, and the curves drawn from it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use comet_edge::storage::write_atomically;

use crate::report::{EpochRecord, curves_svg, training_panels};

/// The records of a run.
pub(super) struct Journal {
    path: PathBuf,
    records: Vec<EpochRecord>,
}

impl Journal {
    /// Opens the journal in `run`. Lines after the first `keep` belong to epochs that a resumed run repeats:
    /// they are taken out.
    pub(super) fn open(run: &Path, keep: usize) -> anyhow::Result<Self> {
        let path = run.join("metrics.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut records = Vec::new();
        for (number, line) in text.lines().take(keep).enumerate() {
            let record = serde_json::from_str(line)
                .with_context(|| format!("{} line {}", path.display(), number + 1))?;
            records.push(record);
        }
        anyhow::ensure!(
            records.len() == keep,
            "{}: has {} lines, the checkpoint was written after {keep}. Bring the file back, or start a new run",
            path.display(),
            records.len()
        );
        let journal = Self { path, records };
        journal.rewrite()?;
        Ok(journal)
    }

    fn rewrite(&self) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for record in &self.records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        write_atomically(&self.path, &text).with_context(|| self.path.display().to_string())
    }

    /// Adds a line.
    pub(super) fn append(&mut self, record: &EpochRecord) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path);
        file.and_then(|mut file| file.write_all(&line)).with_context(|| self.path.display().to_string())?;
        self.records.push(record.clone());
        Ok(())
    }

    /// Number of lines.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Draws `curves.svg`.
    pub(super) fn draw_curves(&self, target_area: f64) -> anyhow::Result<()> {
        let path = self.path.with_file_name("curves.svg");
        let svg = curves_svg(&training_panels(&self.records, Some(100.0 * target_area)));
        write_atomically(&path, svg.as_bytes()).with_context(|| path.display().to_string())
    }
}
