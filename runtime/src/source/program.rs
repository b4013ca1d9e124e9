//! A program whose output is read: started without a shell, and ended together with all that it started.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::commands::CommandLine;
use super::messages::Messages;

/// How long a program may take to end, by itself or when it was asked to, before it is killed.
const GRACE: Duration = Duration::from_millis(300);
/// How long the system may take to clear a killed program away.
const CLEARING: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(5);

/// Groups of the programs that run now.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills all started programs, for a program that exits immediately.
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the command line exits so"))]
pub(crate) fn kill_programs() {
    for group in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// A started program, in a process group of its own. Dropping it ends the group: SIGTERM, and SIGKILL for
/// what is left 300 ms later. Only a process that has left the group outlives it.
pub(super) struct Program {
    name: String,
    child: Child,
    messages: Option<Messages>,
    is_over: bool,
}

impl Program {
    /// Starts a program; also gives the pipe with its output.
    pub(super) fn start(line: &CommandLine) -> io::Result<(Self, ChildStdout)> {
        let mut child = Command::new(&line.program)
            .args(&line.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to a whole group, and is for us alone.
            .process_group(0)
            .spawn()?;
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(Pid::from_child(&child));
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        // From here on, a fault ends the program again.
        let mut program = Self { name: line.name(), child, messages: None, is_over: false };
        program.messages = errors.map(Messages::read).transpose()?;
        let output = output.ok_or_else(|| io::Error::other("it has no output"))?;
        Ok((program, output))
    }

    /// The program's file name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives a program whose output has ended a moment to end too, and ends it if it does not.
    ///
    /// Returns how it failed; `None` if it did not, or was ended.
    pub(super) fn finish(&mut self) -> Option<String> {
        let by_itself = self.has_ended_within(GRACE);
        let status = self.end()?;
        if !by_itself || status.success() {
            return None;
        }
        let words = self.messages.as_mut().map(Messages::last).unwrap_or_default();
        let colon = if words.is_empty() { "" } else { ": " };
        Some(format!("{} ended with {status}{colon}{words}", self.name))
    }

    /// Ends the whole group. The program is reaped last: until then no other program can get the group's number.
    fn end(&mut self) -> Option<ExitStatus> {
        if !std::mem::replace(&mut self.is_over, true) {
            let group = Pid::from_child(&self.child);
            if !self.has_ended_within(Duration::ZERO) {
                // This fails only if the whole group has ended, as below.
                let _ = kill_process_group(group, Signal::TERM);
                self.has_ended_within(GRACE);
            }
            let _ = kill_process_group(group, Signal::KILL);
            // Before it is reaped: afterwards the number may belong to others.
            GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != group);
        }
        self.reap()
    }

    /// Waits for the end of the program, and leaves it to be reaped.
    fn has_ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(Pid::from_child(&self.child)), look) {
                Ok(None) if Instant::now() < deadline => sleep(POLL),
                Ok(None) => return false,
                // An error: it was reaped already.
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    fn reap(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + CLEARING;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => sleep(POLL),
                // One that hangs in the kernel cannot be waited for.
                ended => return ended.ok().flatten(),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    fn shell(script: &str) -> (Program, ChildStdout) {
        let arguments = vec!["-c".into(), script.into()];
        Program::start(&CommandLine { program: "sh".into(), arguments }).unwrap()
    }

    /// Gone, or dead and not yet cleared away by its new parent.
    fn is_gone(process: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
    }

    #[test]
    fn a_program_that_fails_is_reported_with_its_last_messages() {
        let (mut program, mut output) = shell("echo frame; echo no camera >&2; exit 3");
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "frame\n");
        for _ in 0..2 {
            assert_eq!(program.finish().unwrap(), "sh ended with exit status: 3: no camera");
        }
        assert_eq!(shell("exit 0").0.finish(), None);
    }

    #[test]
    fn neither_a_program_that_ignores_signals_nor_its_child_outlives_it() {
        let ignore = "trap '' TERM; echo $$; while :; do sleep 0.05; done";
        let (program, output) = shell(&format!("sh -c \"{}\" & {ignore}", ignore.replace('$', "\\$")));
        let mut lines = BufReader::new(output).lines().map(Result::unwrap);
        let processes = [lines.next().unwrap(), lines.next().unwrap()];
        assert!(!processes.iter().any(|process| is_gone(process)), "{processes:?}");
        let begun = Instant::now();
        drop(program);
        assert!(begun.elapsed() < GRACE + CLEARING + Duration::from_millis(200), "{:?}", begun.elapsed());
        let deadline = Instant::now() + Duration::from_secs(2);
        while !processes.iter().all(|process| is_gone(process)) {
            assert!(Instant::now() < deadline, "{processes:?}");
            sleep(POLL);
        }
    }

    #[test]
    fn a_program_that_obeys_the_signal_is_not_waited_for() {
        let (program, _output) = shell("exec sleep 60");
        let begun = Instant::now();
        drop(program);
        assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    }
}
