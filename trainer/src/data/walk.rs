//! Looking through folders: what is an image, what is left out, and what cannot be read. The search goes on
//! past everything but the folder that it starts in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use comet_engine::image::has_image_extension;

use super::findings::Findings;
use super::notice::Notice;

/// Levels of sub-folders below a class folder that are searched.
const MAX_DEPTH: usize = 8;
/// Names, in lower case, of what systems and other programs leave in folders.
const SYSTEM_NAMES: [&str; 10] = [
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
];

/// One entry of a folder that is not hidden and does not belong to the system.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is a folder, links followed.
    pub(super) is_folder: bool,
}

impl Entry {
    /// Whether it is a file with the suffix of an image.
    pub(super) fn is_image(&self) -> bool {
        !self.is_folder && has_image_extension(&self.path)
    }
}

/// What lies in a folder and below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Images, sorted by path.
    pub(super) images: Vec<PathBuf>,
    /// Other files, counted by suffix.
    pub(super) others: BTreeMap<String, usize>,
    /// Whether something in it could not be searched.
    pub(super) incomplete: bool,
}

impl Content {
    /// Whether all was searched and nothing was there.
    pub(super) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.others.is_empty() && !self.incomplete
    }
}

/// The entries of a folder, sorted. Hidden ones and those of the system are counted in `findings`.
pub(super) fn entries(folder: &Path, findings: &mut Findings) -> std::io::Result<Vec<Entry>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let left_out = name.starts_with('.') || SYSTEM_NAMES.contains(&name.to_ascii_lowercase().as_str());
        match std::fs::metadata(&path) {
            Ok(kind) if left_out && kind.is_dir() => findings.leave_out_folder(&name, &path),
            _ if left_out => findings.ignore_file("hidden and system files", &path),
            Ok(kind) if kind.is_dir() && is_run(&path) => findings.add(Notice::RunFolder(path)),
            Ok(kind) if kind.is_dir() => found.push(Entry { path, is_folder: true }),
            Ok(kind) if kind.is_file() => found.push(Entry { path, is_folder: false }),
            Ok(_) => findings.ignore_file("devices, pipes and sockets", &path),
            Err(fault) => findings.unreadable(&path, &fault),
        }
    }
    Ok(found)
}

/// Whether `trainer train` wrote the folder: its contact sheets are not a class.
fn is_run(folder: &Path) -> bool {
    folder.join("run.json").is_file() && folder.join("config.toml").is_file()
}

/// Searches a class folder and its sub-folders.
pub(super) fn content(folder: &Path, findings: &mut Findings) -> Content {
    content_from(folder, 0, findings)
}

/// Searches a folder that lies `above` levels above the class folders, and its sub-folders.
pub(super) fn content_from(folder: &Path, above: usize, findings: &mut Findings) -> Content {
    let mut content = Content::default();
    collect(folder, above + MAX_DEPTH, &mut BTreeSet::new(), &mut content, findings);
    content.images.sort();
    content
}

fn collect(
    folder: &Path,
    levels: usize,
    seen: &mut BTreeSet<PathBuf>,
    content: &mut Content,
    findings: &mut Findings,
) {
    // A link to a folder above it would otherwise be followed until the last level.
    if let Ok(place) = folder.canonicalize()
        && !seen.insert(place)
    {
        findings.add(Notice::Repeated(folder.to_owned()));
        return;
    }
    let entries = match entries(folder, findings) {
        Ok(entries) => entries,
        Err(fault) => {
            findings.unreadable(folder, &fault);
            content.incomplete = true;
            return;
        }
    };
    for entry in entries {
        if entry.is_image() {
            content.images.push(entry.path);
        } else if !entry.is_folder {
            let kind = suffix(&entry.path);
            findings.ignore_file(&kind, &entry.path);
            *content.others.entry(kind).or_default() += 1;
        } else if levels == 0 {
            findings.add(Notice::TooDeep(entry.path));
            content.incomplete = true;
        } else {
            collect(&entry.path, levels - 1, seen, content, findings);
        }
    }
}

/// The suffix of a file in lower case, with its dot.
fn suffix(path: &Path) -> String {
    match path.extension() {
        Some(suffix) => format!(".{}", suffix.to_string_lossy().to_lowercase()),
        None => "no suffix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    #[test]
    fn sub_folders_are_searched_and_what_is_left_out_is_counted() {
        let root = tempfile::tempdir().unwrap();
        for path in ["2023/b.jpg", "2022/may/c.PNG", "a.webp", "1.heic", "2.HEIC", "notes"] {
            touch(root.path(), path);
        }
        let mut findings = Findings::default();
        let content = content(root.path(), &mut findings);
        let expected = ["2022/may/c.PNG", "2023/b.jpg", "a.webp"].map(|path| root.path().join(path));
        assert_eq!(content.images, expected);
        assert_eq!(content.others, BTreeMap::from([(".heic".into(), 2), ("no suffix".into(), 1)]));
        let first = root.path().join("1.heic");
        assert!(findings.into_notices().contains(&Notice::IgnoredFiles {
            kind: ".heic".into(),
            count: 2,
            first
        }));
    }

    #[test]
    fn hidden_and_system_files_are_neither_images_nor_content() {
        let root = tempfile::tempdir().unwrap();
        let paths = ["._x.jpg", "Thumbs.db", "desktop.ini", "@eaDir/x.jpg", ".thumbnails/x.png"];
        for path in paths.into_iter().chain(["__MACOSX/x.jpg", "lost+found/x.jpg"]) {
            touch(root.path(), path);
        }
        let mut findings = Findings::default();
        let content = content(root.path(), &mut findings);
        assert!(content.is_empty(), "{content:?}");
        let text: Vec<String> = findings.into_notices().iter().map(Notice::to_string).collect();
        let text = text.join("\n");
        for word in ["'@eaDir'", "'.thumbnails'", "'__MACOSX'", "'lost+found'", "3 file(s) left out"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_search_there() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "x.jpg");
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("broken.jpg")).unwrap();
        let mut findings = Findings::default();
        assert_eq!(content(root.path(), &mut findings).images, [root.path().join("x.jpg")]);
        let notices = findings.into_notices();
        assert!(notices.contains(&Notice::Repeated(root.path().join("again"))), "{notices:?}");
        let broken = |notice: &Notice| notice.to_string().contains("broken.jpg: cannot be read");
        assert!(notices.iter().any(broken), "{notices:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_without_permission_is_named_and_the_search_goes_on() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "locked/x.jpg");
        touch(root.path(), "open/y.jpg");
        let locked = root.path().join("locked");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = std::fs::read_dir(&locked).is_ok();
        let mut findings = Findings::default();
        let content = content(root.path(), &mut findings);
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(content.images.contains(&root.path().join("open/y.jpg")));
        // The superuser may read everything: nothing to see then.
        if !is_root {
            assert!(content.incomplete);
            let notices = findings.into_notices();
            assert!(notices[0].to_string().contains("locked: cannot be read"), "{notices:?}");
        }
    }

    #[test]
    fn the_folder_of_a_run_and_folders_too_deep_are_named() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "run/run.json");
        touch(root.path(), "run/config.toml");
        touch(root.path(), "run/sheet.png");
        touch(root.path(), "1/2/3/4/5/6/7/8/9/x.jpg");
        touch(root.path(), "1/2/3/4/5/6/7/8/y.jpg");
        let mut findings = Findings::default();
        let content = content(root.path(), &mut findings);
        assert_eq!(content.images, [root.path().join("1/2/3/4/5/6/7/8/y.jpg")]);
        let notices = findings.into_notices();
        assert!(notices.contains(&Notice::TooDeep(root.path().join("1/2/3/4/5/6/7/8/9"))), "{notices:?}");
        assert!(notices.contains(&Notice::RunFolder(root.path().join("run"))), "{notices:?}");
    }
}
