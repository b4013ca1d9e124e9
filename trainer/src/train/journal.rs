//! `metrics.jsonl`: one line an epoch.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use comet_engine::storage::write_atomically;

use super::error::TrainError;
use super::record::EpochRecord;

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
    ///
    /// A journal that lacks lines or holds unreadable ones, as after a power cut, is used as it is: training
    /// needs nothing of it. The second value is the warning that says what is missing.
    pub(super) fn open(run: &Path, keep: usize) -> Result<(Self, Option<String>), TrainError> {
        let path = run.join("metrics.jsonl");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == ErrorKind::NotFound => Vec::new(),
            Err(fault) => return Err(TrainError::Io { path, fault }),
        };
        let mut journal = Self { path, lines: Vec::new(), records: Vec::new() };
        for line in String::from_utf8_lossy(&bytes).lines().take(keep) {
            if let Ok(record) = serde_json::from_str(line) {
                journal.records.push(record);
                journal.lines.push(line.to_owned());
            }
        }
        let missing = keep - journal.records.len();
        let warning = (missing > 0).then(|| {
            format!(
                "{}: {missing} of the {keep} lines that the checkpoint counts are missing or unreadable; the curves have a gap there, training continues",
                journal.path.display()
            )
        });
        journal.rewrite().map_err(|fault| journal.failed(fault))?;
        Ok((journal, warning))
    }

    fn rewrite(&self) -> io::Result<()> {
        let text: String = self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write_atomically(&self.path, text.as_bytes())
    }

    fn failed(&self, fault: io::Error) -> TrainError {
        TrainError::Io { path: self.path.clone(), fault }
    }

    /// Adds a line. It is on the disk when this returns: the next checkpoint counts it.
    pub(super) fn append(&mut self, record: &EpochRecord) -> Result<(), TrainError> {
        let line = serde_json::to_string(record).map_err(|error| self.failed(error.into()))?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|fault| self.failed(fault))?;
        self.lines.push(line);
        self.records.push(record.clone());
        Ok(())
    }

    /// Number of lines.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// What the lines say.
    pub(super) fn records(&self) -> &[EpochRecord] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A journal with the lines of `epochs` epochs.
    fn journal(run: &Path, epochs: usize) -> String {
        let (mut journal, warning) = Journal::open(run, 0).unwrap();
        assert_eq!(warning, None);
        for epoch in 1..=epochs {
            journal
                .append(&EpochRecord { epoch, loss: 0.1 * epoch as f64, ..EpochRecord::default() })
                .unwrap();
        }
        fs::read_to_string(run.join("metrics.jsonl")).unwrap()
    }

    fn epochs(journal: &Journal) -> Vec<usize> {
        journal.records().iter().map(|record| record.epoch).collect()
    }

    #[test]
    fn epochs_after_the_checkpoint_are_taken_out_without_a_warning() {
        let run = tempfile::tempdir().unwrap();
        let text = journal(run.path(), 3);
        let (journal, warning) = Journal::open(run.path(), 2).unwrap();
        assert_eq!((epochs(&journal), warning), (vec![1, 2], None));
        let left = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
        assert!(text.starts_with(&left) && left.lines().count() == 2, "no digit changes");
    }

    #[test]
    fn a_journal_that_a_power_cut_shortened_is_continued_with_a_warning() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("metrics.jsonl");
        let text = journal(run.path(), 3);
        // The last line is lost, or half of it, or its blocks were never written.
        let lost = text.lines().last().unwrap().len() + 1;
        let whole = &text.as_bytes()[..text.len() - lost];
        let half = &text.as_bytes()[..text.len() - lost / 2];
        let zeros = [whole, &[0, 0, 0, 0xff][..]].concat();
        for left in [whole, half, zeros.as_slice()] {
            fs::write(&path, left).unwrap();
            let (mut journal, warning) = Journal::open(run.path(), 3).unwrap();
            let warning = warning.unwrap();
            assert!(warning.contains("metrics.jsonl") && warning.contains("1 of the 3 lines"), "{warning}");
            assert_eq!(epochs(&journal), [1, 2]);
            journal.append(&EpochRecord { epoch: 4, ..EpochRecord::default() }).unwrap();
            let lines = fs::read_to_string(&path).unwrap();
            assert_eq!(lines.lines().count(), 3, "the torn line is gone: {lines}");
        }
    }

    #[test]
    fn a_journal_that_is_gone_is_begun_again_with_a_warning() {
        let run = tempfile::tempdir().unwrap();
        let (journal, warning) = Journal::open(run.path(), 2).unwrap();
        assert_eq!(journal.len(), 0);
        assert!(warning.unwrap().contains("2 of the 2 lines"));
    }
}
