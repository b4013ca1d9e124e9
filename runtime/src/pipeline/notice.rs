//! What a run reports while it goes on: faults that cost a frame or a moment, not the run.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Something that a person may want to know about a run that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A frame was skipped.
    Skipped {
        /// The file or source.
        source: String,
        /// What was wrong with the frame.
        reason: String,
        /// How many others were skipped since the last notice of this kind.
        suppressed: u64,
    },
    /// The source stalled or broke off and is being opened again.
    Interrupted {
        /// The source.
        source: String,
        /// What happened.
        reason: String,
    },
    /// The source gives frames again.
    Resumed {
        /// The source.
        source: String,
    },
    /// A result could not be written.
    NotWritten {
        /// What happened.
        reason: String,
        /// How many others were not written since the last notice of this kind.
        suppressed: u64,
    },
    /// Too many of the last explanations failed a check.
    Alarm {
        /// A sentence.
        alarm: String,
    },
    /// An alarm that was reported earlier is over.
    AlarmEnded {
        /// A sentence, with the present numbers.
        alarm: String,
    },
    /// Another model is used from now on.
    NewModel {
        /// Its name.
        name: String,
        /// SHA-256 of its file.
        sha256: String,
    },
    /// The thread of the source did not end in time and was detached.
    Detached {
        /// The source.
        source: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = |suppressed: u64| match suppressed {
            0 => String::new(),
            suppressed => format!(" (and {suppressed} more since the last message)"),
        };
        match self {
            Self::Skipped { source, reason, suppressed } => {
                write!(f, "skipped {source}: {reason}{}", others(*suppressed))
            }
            Self::Interrupted { source, reason } => {
                write!(f, "{source} {reason}; trying to open it again")
            }
            Self::Resumed { source } => write!(f, "{source} gives frames again"),
            Self::NotWritten { reason, suppressed } => {
                write!(f, "not written: {reason}{}", others(*suppressed))
            }
            Self::Alarm { alarm } => write!(f, "alarm: {alarm}"),
            Self::AlarmEnded { alarm } => write!(f, "end of alarm: {alarm}"),
            Self::NewModel { name, sha256 } => {
                write!(f, "the model {name} ({}...) is used from now on", sha256.get(..12).unwrap_or(sha256))
            }
            Self::Detached { source } => {
                write!(f, "the thread of {source} did not end in time and was detached")
            }
        }
    }
}

/// Lets one event through per interval, and counts the others.
#[derive(Debug)]
pub(super) struct Throttle {
    spacing: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    pub(super) fn new(spacing: Duration) -> Self {
        Self { spacing, state: Mutex::default() }
    }

    /// The number of events that were suppressed since the last one that passed; `None` if this one is suppressed, too.
    pub(super) fn pass(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < self.spacing) {
            *suppressed += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_counts_what_it_suppresses() {
        let open = Throttle::new(Duration::ZERO);
        assert_eq!([open.pass(), open.pass()], [Some(0), Some(0)]);
        let tight = Throttle::new(Duration::from_millis(30));
        assert_eq!([tight.pass(), tight.pass(), tight.pass()], [Some(0), None, None]);
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(tight.pass(), Some(2));
    }
}
