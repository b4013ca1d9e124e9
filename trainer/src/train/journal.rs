//! `metrics.jsonl`, one line an epoch, and the curves drawn from it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use comet_edge::storage::write_atomically;

use crate::report::{EpochRecord, curves_svg, training_panels};

/// The records of a run.
pub(super) struct Journal {
    path: PathBuf,
    /// The lines as they are in the file: writing parsed numbers again could change their last digit.
    lines: Vec<String>,
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
        let lines: Vec<String> = text.lines().take(keep).map(str::to_owned).collect();
        let mut records = Vec::new();
        for (number, line) in lines.iter().enumerate() {
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
        let journal = Self { path, lines, records };
        journal.rewrite()?;
        Ok(journal)
    }

    fn rewrite(&self) -> anyhow::Result<()> {
        let text: String = self.lines.iter().flat_map(|line| [line, "\n"]).collect();
        write_atomically(&self.path, text.as_bytes()).with_context(|| self.path.display().to_string())
    }

    /// Adds a line.
    pub(super) fn append(&mut self, record: &EpochRecord) -> anyhow::Result<()> {
        let line = serde_json::to_string(record)?;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .with_context(|| self.path.display().to_string())?;
        self.lines.push(line);
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
