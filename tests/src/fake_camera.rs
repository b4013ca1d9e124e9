//! A camera that is not there: `fixtures/fake_v4l2.c` serves the V4L2 calls of one program.
//!
//! The library is compiled for the first test of a process that asks, by the C compiler that Rust links with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::fixture::{Shared, shared, shared_folder};
use crate::program::Program;
use crate::repository;

/// The camera's number: higher than that of any camera which a machine has.
pub const NUMBER: u32 = 90;

/// A camera for one program, with the settings that the C file lists.
pub struct FakeCamera {
    library: &'static Path,
    folder: TempDir,
    settings: Vec<(String, String)>,
}

impl FakeCamera {
    /// An MJPEG camera of 640 x 480 pixels and 30 frames a second that shows `frames` in turn.
    ///
    /// Each of them is the bytes of one image in the camera's format; there may be eight.
    pub fn new(frames: &[Vec<u8>]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut files = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            let file = folder.path().join(format!("frame{number}"));
            fs::write(&file, frame)?;
            files.push(file.display().to_string());
        }
        let camera = Self { library: library()?, folder, settings: Vec::new() };
        camera.control("")?;
        let control = camera.control_file().display().to_string();
        Ok(camera.set("FRAMES", &files.join(":")).set("CONTROL", &control))
    }

    /// Makes the setting `FAKE_V4L2_<name>`.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((format!("FAKE_V4L2_{name}"), value.to_owned()));
        self
    }

    /// Lets the camera behave as the words say from now on (`absent`, `stall`...); without words it works normally.
    pub fn control(&self, words: &str) -> anyhow::Result<()> {
        // Renamed into its place: the library must never read half a word.
        let next = self.folder.path().join("control.next");
        fs::write(&next, words)?;
        fs::rename(&next, self.control_file()).context("the camera's control file")
    }

    /// The program with this camera, as number [`NUMBER`].
    pub fn plug_into(&self, program: Program) -> Program {
        let program = program.env("LD_PRELOAD", &self.library.display().to_string());
        self.settings.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    fn control_file(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

/// The compiled library.
fn library() -> anyhow::Result<&'static Path> {
    static LIBRARY: Shared<PathBuf> = Shared::new();
    let library = shared(&LIBRARY, || {
        let source = repository().join("tests/fixtures/fake_v4l2.c");
        let library = shared_folder()?.join("libfake_v4l2.so");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let compiled = command.args(["-ldl", "-lpthread"]).output();
        let compiled = compiled.with_context(|| format!("{compiler} cannot be started"))?;
        let said = String::from_utf8_lossy(&compiled.stderr);
        ensure!(compiled.status.success(), "{}: cannot be compiled: {said}", source.display());
        Ok(library)
    })?;
    Ok(library)
}
