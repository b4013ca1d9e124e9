//! Starting the programs as a user does, with a limit on their time. No process outlives its test.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::repository;

const USUAL_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(5);

/// The folder with the programs: that of this test's profile.
pub fn profile_folder() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("this test's own path")?;
    // target/<profile>/deps/<test>
    let profile = test.parent().and_then(Path::parent);
    Ok(profile.context("this test does not lie in a target folder")?.to_owned())
}

fn find(name: &str) -> anyhow::Result<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let own = profile_folder()?;
    // The programs are built in release even where a test is not.
    let folders = [own.clone(), own.with_file_name("release")];
    let found = folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built (looked in {folders:?}): run 'make test'"))
}

/// `trainer` with these words as arguments.
pub fn trainer(words: &str) -> anyhow::Result<Program> {
    Ok(Program::new(find("trainer")?).words(words))
}

/// `comet-edge` with these words as arguments.
pub fn comet_edge(words: &str) -> anyhow::Result<Program> {
    Ok(Program::new(find("comet-edge")?).words(words))
}

/// What comes on standard input.
#[derive(Clone, Debug)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    /// The pipe stays open and nothing comes.
    Silence,
}

/// How much of standard output is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    All,
    /// Then the pipe is closed, as by `head -1`.
    FirstLine,
}

/// A program that is to be started, in the repository's root.
#[derive(Clone, Debug)]
pub struct Program {
    file: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    input: Input,
    reader: Reader,
    memory: Option<u64>,
    limit: Duration,
}

impl Program {
    fn new(file: PathBuf) -> Self {
        Self {
            file,
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Input::Nothing,
            reader: Reader::All,
            memory: None,
            limit: USUAL_LIMIT,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds the words of a text as arguments.
    pub fn words(mut self, words: &str) -> Self {
        self.arguments.extend(words.split_whitespace().map(OsString::from));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives bytes on standard input, and then its end.
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Input::Bytes(bytes);
        self
    }

    /// Leaves standard input open without a byte.
    pub fn silent_input(mut self) -> Self {
        self.input = Input::Silence;
        self
    }

    /// Reads one line of standard output and then closes the pipe.
    pub fn reader_leaves_after_a_line(mut self) -> Self {
        self.reader = Reader::FirstLine;
        self
    }

    /// Limits the address space, in MiB.
    pub fn memory(mut self, mib: u64) -> Self {
        self.memory = Some(mib);
        self
    }

    /// How long the program may take; more is a failure of the test.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the program to its end.
    pub fn run(&self) -> anyhow::Result<Finished> {
        self.spawn()?.finish()
    }

    /// Starts the program.
    pub fn spawn(&self) -> anyhow::Result<Running> {
        let mut command = match self.memory {
            None => Command::new(&self.file),
            Some(mib) => {
                let mut shell = Command::new("sh");
                let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", mib * 1024);
                shell.arg("-c").arg(limited).arg(&self.file);
                shell
            }
        };
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        let input = if matches!(self.input, Input::Nothing) { Stdio::null() } else { Stdio::piped() };
        let child = command
            .args(&self.arguments)
            .current_dir(repository())
            .env_remove("RUST_BACKTRACE")
            .envs(environment)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.with_context(|| format!("{} cannot be started", self.file.display()))?;
        let mut running = Running {
            child,
            stdin: None,
            stdout: Arc::default(),
            stderr: Arc::default(),
            threads: Vec::new(),
            begun: Instant::now(),
            limit: self.limit,
            shown: self.shown(),
        };
        running.connect(self)?;
        Ok(running)
    }

    /// The command line, for messages.
    fn shown(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        [name].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// A started program. It is killed when this value is dropped.
pub struct Running {
    child: Child,
    /// Held open for [`Input::Silence`].
    stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
    begun: Instant,
    limit: Duration,
    shown: String,
}

impl Running {
    /// Starts the threads that feed and empty the pipes: a full pipe would stop the program.
    fn connect(&mut self, program: &Program) -> anyhow::Result<()> {
        if let Some(pipe) = self.child.stdout.take() {
            self.threads.push(collect("stdout", pipe, &self.stdout, program.reader)?);
        }
        if let Some(pipe) = self.child.stderr.take() {
            self.threads.push(collect("stderr", pipe, &self.stderr, Reader::All)?);
        }
        match (&program.input, self.child.stdin.take()) {
            (Input::Bytes(bytes), Some(mut pipe)) => {
                let bytes = bytes.clone();
                // A program that has read enough closes the pipe, which is not a fault.
                let feed = move || drop(pipe.write_all(&bytes));
                self.threads.push(Builder::new().name("stdin".into()).spawn(feed)?);
            }
            (_, pipe) => self.stdin = pipe,
        }
        Ok(())
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until `condition` holds; a program that ends before is an error.
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.limit;
        while !condition(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}\n{}", self.shown, self.stderr());
            }
            ensure!(Instant::now() < deadline, "{}: {what} did not come", self.shown);
            sleep(POLL);
        }
        Ok(())
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        // The shell's own: a minimal system has no program of this name.
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").arg("-c").arg(command).status();
        ensure!(status.context("sh")?.success(), "{} cannot be sent {name}", self.shown);
        Ok(())
    }

    /// Ends the program without asking it: SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("{} cannot be killed", self.shown))
    }

    /// Waits for the end.
    pub fn finish(mut self) -> anyhow::Result<Finished> {
        let deadline = Instant::now() + self.limit;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                bail!("{} did not end within {:?}\n{}", self.shown, self.limit, self.stderr());
            }
            sleep(POLL);
        };
        let took = self.begun.elapsed();
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "{}: a pipe's thread panicked", self.shown);
        }
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            took,
            shown: self.shown.clone(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(
    name: &str,
    mut pipe: impl Read + Send + 'static,
    into: &Arc<Mutex<Vec<u8>>>,
    reader: Reader,
) -> anyhow::Result<JoinHandle<()>> {
    let into = Arc::clone(into);
    let read = move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let bytes = chunk.get(..count).unwrap_or_default();
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            if reader == Reader::FirstLine && bytes.contains(&b'\n') {
                break;
            }
        }
    };
    Ok(Builder::new().name(name.to_owned()).spawn(read)?)
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote on standard output.
    pub stdout: String,
    /// What it wrote on standard error.
    pub stderr: String,
    /// From its start to its end.
    pub took: Duration,
    shown: String,
}

impl Finished {
    /// An error unless the program ended with `code`.
    pub fn ends_with(self, code: i32) -> anyhow::Result<Self> {
        let Self { shown, stderr, signal, .. } = &self;
        ensure!(
            self.code == Some(code),
            "{shown}\nended with {:?} (signal {signal:?}) instead of {code}; it wrote:\n{stderr}",
            self.code
        );
        Ok(self)
    }

    /// An error unless the program succeeded.
    pub fn succeeds(self) -> anyhow::Result<Self> {
        self.ends_with(0)
    }

    /// An error unless standard error holds each of the words, and no panic.
    pub fn says(self, words: &[&str]) -> anyhow::Result<Self> {
        let Self { shown, stderr, .. } = &self;
        for word in words {
            ensure!(stderr.contains(word), "{shown}\ndid not write '{word}'; it wrote:\n{stderr}");
        }
        ensure!(!stderr.contains("panicked at"), "{shown}\npanicked:\n{stderr}");
        Ok(self)
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{}\nprinted {}", self.shown, self.stdout))
    }

    /// Standard output as one JSON value a line.
    pub fn json_lines(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("printed {line}"));
        self.stdout.lines().map(parse).collect()
    }
}
