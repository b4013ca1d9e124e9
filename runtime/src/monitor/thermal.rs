//! Watches the board's temperature, so that a run slows down before the processor does.
//!
//! A thread reads the sensors every two seconds and leaves a step in the [`Monitor`]; the pipeline predicts less often
//! by itself. The root of the file system is an argument, for tests and for boards whose `/sys` lies elsewhere.

mod governor;
mod sensors;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

pub use governor::ThermalLimits;
pub(crate) use sensors::{hottest, throttled};

use super::shared::Monitor;
use super::snapshot::ThermalState;
use crate::deadline::join_within;
use governor::{Governor, STEPS};
use sensors::{Firmware, lowest_cap};

/// Between two looks at the flags that end the thread.
const POLL: Duration = Duration::from_millis(100);
/// How long the thread may take to end: the firmware's program may have to be killed first.
const ENDING: Duration = Duration::from_secs(1);
/// Polls between two readings: two seconds.
const READING: u32 = 20;

/// The thread that reads the sensors. It ends with the run, or when this value is dropped.
#[derive(Debug)]
pub struct ThermalWatch {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

impl ThermalWatch {
    /// Reads the sensors under `root` (`/` on a board) until `stop` is set. `report` is called, from the thread, at
    /// every change of the step.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        root: PathBuf,
        monitor: Arc<Monitor>,
        limits: ThermalLimits,
        stop: Arc<AtomicBool>,
        report: fn(&str),
    ) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ended);
        let watch = move || {
            let ending = || stop.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed);
            let mut board = Board::new(&root, limits);
            while !ending() {
                let (state, notice) = board.look(&ending);
                if board.known {
                    monitor.set_thermal(state);
                }
                if let Some(notice) = notice {
                    report(&notice);
                }
                for _ in 0..READING {
                    if ending() {
                        return;
                    }
                    sleep(POLL);
                }
            }
        };
        let thread = Builder::new().name("thermal".into()).spawn(watch)?;
        Ok(Self { thread: Some(thread), ended })
    }
}

impl Drop for ThermalWatch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported on stderr; the run does not depend on it.
            let _ = join_within(thread, ENDING);
        }
    }
}

/// The sensors of a board and what follows from them.
struct Board {
    zones: PathBuf,
    processors: PathBuf,
    firmware: Firmware,
    /// The highest cap seen so far: a power mode that caps the clock for good is not throttling.
    usual_cap: f64,
    governor: Governor,
    step: u8,
    /// Whether there was ever anything to report.
    known: bool,
}

impl Board {
    fn new(root: &Path, limits: ThermalLimits) -> Self {
        Self {
            zones: root.join("sys/class/thermal"),
            processors: root.join("sys/devices/system/cpu"),
            firmware: Firmware::find(root),
            usual_cap: 0.0,
            governor: Governor::new(limits),
            step: 0,
            known: false,
        }
    }

    /// Reads everything; adds a sentence if the step changed.
    fn look(&mut self, ending: &dyn Fn() -> bool) -> (ThermalState, Option<String>) {
        let celsius = hottest(&self.zones).map(|(_, celsius)| celsius);
        let cap = lowest_cap(&self.processors).unwrap_or(self.usual_cap);
        let capped = cap < self.usual_cap - 0.01;
        self.usual_cap = self.usual_cap.max(cap);
        let throttled = !throttled(&self.zones).is_empty() || capped || self.firmware.throttles_now(ending);
        let before = std::mem::replace(&mut self.step, self.governor.look(celsius, throttled));
        self.known |= celsius.is_some() || throttled;
        let state = ThermalState { celsius, throttled, step: self.step };
        let notice = (before != self.step).then(|| notice(&state, before));
        (state, notice)
    }
}

fn notice(state: &ThermalState, before: u8) -> String {
    let celsius = state.celsius.map(|celsius| format!("{celsius:.0} °C")).unwrap_or("no sensor".into());
    match state.step {
        0 => format!("temperature: {celsius}; back to full speed"),
        step if step < before => format!("temperature: {celsius}; slowed down less (step {step} of {STEPS})"),
        step => {
            let why = if state.throttled { ", and the processor slows itself down" } else { "" };
            format!(
                "temperature: {celsius}{why}; predicting less often (step {step} of {STEPS}); cool the board: \
                 a heat sink, a fan, or fewer frames (--every)"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_board_that_grows_hot_is_slowed_down_and_reported_once_a_step() {
        let root = tempfile::tempdir().unwrap();
        let zone = "sys/class/thermal/thermal_zone0/temp";
        write(root.path(), zone, "85000\n");
        let mut board = Board::new(root.path(), ThermalLimits::default());
        let notices: Vec<Option<String>> = (0..4).map(|_| board.look(&|| false).1).collect();
        assert_eq!(notices.iter().flatten().count(), 2, "{notices:?}");
        assert!(
            notices[1].as_deref().is_some_and(|text| text.contains("85 °C") && text.contains("step 1 of 3"))
        );
        write(root.path(), zone, "60000\n");
        let notices: Vec<String> = (0..10).filter_map(|_| board.look(&|| false).1).collect();
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert!(notices[1].contains("back to full speed"), "{notices:?}");
    }

    #[test]
    fn a_clock_that_is_capped_while_running_is_throttling_and_a_power_mode_is_not() {
        let root = tempfile::tempdir().unwrap();
        let clock = |file: &str| format!("sys/devices/system/cpu/cpu0/cpufreq/{file}");
        write(root.path(), &clock("cpuinfo_max_freq"), "1800000\n");
        write(root.path(), &clock("scaling_max_freq"), "1200000\n");
        let mut board = Board::new(root.path(), ThermalLimits::default());
        assert!(!board.look(&|| false).0.throttled && !board.known);
        write(root.path(), &clock("scaling_max_freq"), "600000\n");
        let (state, notice) = board.look(&|| false);
        assert!(state.throttled && state.step == 1 && board.known, "{state:?}");
        assert!(notice.is_some_and(|text| text.contains("slows itself down")));
    }

    #[test]
    fn the_thread_reports_to_the_monitor_at_once_and_ends_when_asked() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "sys/class/thermal/thermal_zone0/temp", "45000\n");
        let (monitor, stop) = (Arc::new(Monitor::default()), Arc::new(AtomicBool::new(false)));
        let folder = root.path().to_owned();
        let limits = ThermalLimits::default();
        let watch = ThermalWatch::start(folder, Arc::clone(&monitor), limits, stop, |_| {}).unwrap();
        let begun = Instant::now();
        while monitor.snapshot().thermal.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing was read");
            sleep(Duration::from_millis(5));
        }
        assert_eq!(monitor.snapshot().thermal.and_then(|state| state.celsius), Some(45.0));
        let begun = Instant::now();
        drop(watch);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
