//! Notices gathered while a data set is searched: what happens often is counted, not repeated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::notice::Notice;

/// How often something was found, and where first.
type Tally = BTreeMap<String, (usize, PathBuf)>;

/// What was found beside images.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    ignored: Tally,
    system: Tally,
    empty: Vec<PathBuf>,
    notices: Vec<Notice>,
}

impl Findings {
    /// A file that is not an image; `kind` is its suffix with a dot, or a description.
    pub(super) fn ignore_file(&mut self, kind: &str, path: &Path) {
        count(&mut self.ignored, kind, path);
    }

    /// A hidden folder, or one of the system.
    pub(super) fn leave_out_folder(&mut self, name: &str, path: &Path) {
        count(&mut self.system, name, path);
    }

    /// A class folder without anything in it.
    pub(super) fn empty_folder(&mut self, path: &Path) {
        self.empty.push(path.to_owned());
    }

    /// Anything else.
    pub(super) fn add(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// A folder or file that could not be looked at.
    pub(super) fn unreadable(&mut self, path: &Path, fault: &std::io::Error) {
        self.add(Notice::Unreadable { path: path.to_owned(), fault: fault.to_string() });
    }

    /// All of it.
    pub(super) fn into_notices(self) -> Vec<Notice> {
        let mut notices = self.notices;
        if !self.empty.is_empty() {
            notices.push(Notice::EmptyFolders(self.empty));
        }
        let ignored = self.ignored.into_iter();
        notices.extend(ignored.map(|(kind, (count, first))| Notice::IgnoredFiles { kind, count, first }));
        let system = self.system.into_iter();
        notices.extend(system.map(|(name, (count, first))| Notice::SystemFolders { name, count, first }));
        notices
    }
}

fn count(tally: &mut Tally, key: &str, path: &Path) {
    let (count, _) = tally.entry(key.to_owned()).or_insert_with(|| (0, path.to_owned()));
    *count += 1;
}
