//! What a person sees of a run: a bar on a terminal, plain lines elsewhere. All of it on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::objective::Losses;

/// Plain lines come no more often than this inside an epoch.
const QUIET: Duration = Duration::from_secs(60);

/// Shows how a run goes.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: Instant,
    prefix: String,
    total: usize,
}

impl Progress {
    /// For one epoch of `total` batches; `prefix` says which.
    pub fn epoch(prefix: String, done: usize, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(total as u64);
            let template = "{prefix} {wide_bar} {pos}/{len} {per_sec} ETA {eta} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_position(done as u64);
            bar.reset_eta();
            bar.with_prefix(prefix.clone())
        });
        Self { bar, last_line: Instant::now(), prefix, total }
    }

    /// After batch number `done`; `means` are the epoch's means so far.
    pub fn step(&mut self, done: usize, means: &Losses) {
        let text = describe(means);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(text);
        } else if self.last_line.elapsed() > QUIET {
            self.last_line = Instant::now();
            eprintln!("{} batch {done}/{}: {text}", self.prefix, self.total);
        }
    }

    /// Ends the epoch with one line that stays.
    pub fn finish(self, line: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{} {line}", self.prefix);
    }
}

/// The loss parts in a few words.
pub(super) fn describe(losses: &Losses) -> String {
    if losses.area == 0.0 && losses.detector == 0.0 {
        return format!("loss {:.3}, train accuracy {:.1} %", losses.total, 100.0 * losses.accuracy);
    }
    format!(
        "loss {:.3} (predictor {:.3}, detector {:.3}, completeness {:.3}, area penalty {:.4}), map area {:.1} %, train accuracy {:.1} %",
        losses.total,
        losses.predictor,
        losses.detector,
        losses.completeness,
        losses.area_penalty,
        100.0 * losses.area,
        100.0 * losses.accuracy,
    )
}
