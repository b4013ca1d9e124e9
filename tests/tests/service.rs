//! `comet-edge run` under a service manager: what is sent to `NOTIFY_SOCKET`, and when.

use std::cell::RefCell;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use comet_tests::program::{Program, Running, comet_edge};
use comet_tests::shipped_model;
use tempfile::TempDir;

/// The manager's end: a socket in a folder of its own, and the lines that came.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
    lines: RefCell<Vec<String>>,
}

impl Manager {
    fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("notify"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { folder, socket, lines: RefCell::default() })
    }

    /// `comet-edge run` with the manager's socket and a keep-alive time of one second.
    fn run(&self, words: &str) -> anyhow::Result<Program> {
        let program = comet_edge("run --model")?.arg(shipped_model("hands.int8.onnx")).words(words);
        let socket = self.folder.path().join("notify");
        Ok(program.env("NOTIFY_SOCKET", &socket.display().to_string()).env("WATCHDOG_USEC", "1000000"))
    }

    /// All lines so far.
    fn lines(&self) -> Vec<String> {
        let mut datagram = [0; 4096];
        while let Ok(count) = self.socket.recv(&mut datagram) {
            let text = String::from_utf8_lossy(&datagram[..count]).into_owned();
            self.lines.borrow_mut().extend(text.lines().map(str::to_owned));
        }
        self.lines.borrow().clone()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|other| *other == line).count()
    }
}

fn ends_in_order(running: Running, manager: &Manager) -> anyhow::Result<()> {
    let begun = Instant::now();
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let lines = manager.lines();
    assert_eq!(lines.last().map(String::as_str), Some("STOPPING=1"), "{lines:?}");
    Ok(())
}

#[test]
fn a_run_is_ready_after_a_prediction_alive_while_it_predicts_and_reports_when_it_stops() -> anyhow::Result<()>
{
    let manager = Manager::start()?;
    let mut running = manager.run("--source synthetic:64x64,20,1 --live")?.spawn()?;
    running.wait_until("three signs of life", |_| manager.count("WATCHDOG=1") >= 3)?;
    let lines = manager.lines();
    let place = |line: &str| lines.iter().position(|other| other == line);
    assert!(place("READY=1").is_some() && place("READY=1") < place("WATCHDOG=1"), "{lines:?}");
    assert_eq!(manager.count("READY=1"), 1);
    let reported = |words: &str| lines.iter().any(|line| line.starts_with("STATUS=") && line.contains(words));
    assert!(reported("predictions a second from synthetic"), "{lines:?}");
    assert!(!running.stdout().is_empty(), "it was ready before its first prediction");
    ends_in_order(running, &manager)
}

#[test]
fn a_source_that_gives_nothing_is_never_ready() -> anyhow::Result<()> {
    let manager = Manager::start()?;
    let mut running = manager.run("--source -")?.silent_input().spawn()?;
    running
        .wait_until("a state", |_| manager.lines().iter().any(|line| line.starts_with("STATUS=waiting")))?;
    let begun = Instant::now();
    running.wait_until("two seconds", |_| begun.elapsed() > Duration::from_secs(2))?;
    assert_eq!((manager.count("READY=1"), manager.count("WATCHDOG=1")), (0, 0), "{:?}", manager.lines());
    ends_in_order(running, &manager)
}

#[test]
fn a_reload_is_reported_from_its_beginning_to_its_end() -> anyhow::Result<()> {
    let manager = Manager::start()?;
    let mut running = manager.run("--source synthetic:64x64,20,1 --live")?.spawn()?;
    running.wait_until("readiness", |_| manager.count("READY=1") == 1)?;
    running.signal("HUP")?;
    running.wait_until("the end of the reload", |_| manager.count("READY=1") == 2)?;
    let lines = manager.lines();
    let reloading = lines.iter().position(|line| line == "RELOADING=1");
    let ready = lines.iter().rposition(|line| line == "READY=1");
    assert!(reloading.is_some() && reloading < ready, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{lines:?}");
    ends_in_order(running, &manager)
}
