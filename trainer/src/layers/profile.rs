//! Where the time of a training step goes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kinds of work of the CPU backend's own operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Convolutions forward.
    Convolution,
    /// Gradients of convolutions by their inputs.
    InputGradient,
    /// Gradients of convolutions by their weights.
    WeightGradient,
    /// BatchNorm and activation forward.
    Norm,
    /// Gradients of BatchNorm and activation.
    NormGradient,
    /// Pooling, resizing and gates, both ways.
    Other,
    /// AdamW.
    Optimizer,
}

impl Part {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Convolution,
        Self::InputGradient,
        Self::WeightGradient,
        Self::Norm,
        Self::NormGradient,
        Self::Other,
        Self::Optimizer,
    ];

    /// What a reader calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Convolution => "convolutions, forward",
            Self::InputGradient => "convolutions, gradient by input",
            Self::WeightGradient => "convolutions, gradient by weights",
            Self::Norm => "BatchNorm and activation, forward",
            Self::NormGradient => "BatchNorm and activation, gradient",
            Self::Other => "pooling, resizing, gates",
            Self::Optimizer => "optimizer",
        }
    }
}

static ON: AtomicBool = AtomicBool::new(false);
static NANOSECONDS: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// Adds the time until it is dropped to a part, while a profile is taken.
pub(super) struct Timer(Option<(Part, Instant)>);

impl Timer {
    pub(super) fn start(part: Part) -> Self {
        Self(ON.load(Ordering::Relaxed).then(|| (part, Instant::now())))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some((part, started)) = self.0 else { return };
        if let Some(total) = NANOSECONDS.get(part as usize) {
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            total.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }
}

/// Starts a profile at zero.
pub(crate) fn start() {
    NANOSECONDS.iter().for_each(|total| total.store(0, Ordering::Relaxed));
    ON.store(true, Ordering::Relaxed);
}

/// Ends the profile: the time of each part since its start, of all threads' operations together.
pub(crate) fn stop() -> [(Part, Duration); Part::ALL.len()] {
    ON.store(false, Ordering::Relaxed);
    let mut totals = NANOSECONDS.iter().map(|total| Duration::from_nanos(total.load(Ordering::Relaxed)));
    Part::ALL.map(|part| (part, totals.next().unwrap_or_default()))
}
