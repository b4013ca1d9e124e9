//! The losses of an epoch's steps, read from the device many at a time.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::error::TrainError;
use super::objective::Losses;
use super::record::Phase;

/// Steps whose losses wait on the device at most. Reading each would let a GPU run dry after every step.
const STEPS: usize = 16;
/// After this time they are read in any case, so that the progress of slow steps is shown.
const TICK: Duration = Duration::from_secs(1);

/// Losses that are still on the device.
pub(super) struct PendingLosses {
    phase: Phase,
    steps: Vec<Tensor<1>>,
    last_read: Instant,
}

impl PendingLosses {
    /// None yet.
    pub(super) fn new(phase: Phase) -> Self {
        Self { phase, steps: Vec::new(), last_read: Instant::now() }
    }

    /// Adds the parts of one step.
    pub(super) fn push(&mut self, parts: Tensor<1>) {
        self.steps.push(parts);
    }

    /// Whether it is time to read them.
    pub(super) fn are_due(&self) -> bool {
        self.steps.len() >= STEPS || self.last_read.elapsed() >= TICK
    }

    /// Reads what is pending, waiting for the device, and adds it to `sums` step by step: the sums are those that
    /// reading after every step gives.
    pub(super) fn read(&mut self, sums: Losses) -> Result<Losses, TrainError> {
        self.last_read = Instant::now();
        let steps = std::mem::take(&mut self.steps);
        let count = steps.len();
        if count == 0 {
            return Ok(sums);
        }
        let data = Tensor::cat(steps, 0).try_into_data();
        let data = data.map_err(|error| TrainError::Device(format!("{error:?}")))?;
        let values: Vec<f32> = data.try_to_vec().map_err(|error| TrainError::Device(format!("{error:?}")))?;
        let of_step = match self.phase {
            Phase::Detector => Losses::of_detector,
            Phase::Comet => Losses::of_comet,
        };
        let parts = (values.len() / count).max(1);
        Ok(values.chunks(parts).fold(sums, |sums, step| sums.plus(&of_step(step))))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn step(index: usize) -> [f32; 7] {
        std::array::from_fn(|part| 0.1 * (1 + 7 * index + part) as f32)
    }

    #[test]
    fn the_sums_are_those_of_reading_each_step_bit_for_bit() {
        let device = Device::flex();
        let mut pending = PendingLosses::new(Phase::Comet);
        let (mut late, mut each) = (Losses::default(), Losses::default());
        for index in 0..37 {
            pending.push(Tensor::from_floats(step(index), &device));
            each = each.plus(&Losses::of_comet(&step(index)));
            if index % 16 == 15 {
                late = pending.read(late).unwrap();
            }
        }
        late = pending.read(late).unwrap();
        assert_eq!(late, each);
        assert_eq!(pending.read(late).unwrap(), each, "nothing is counted twice");
    }

    #[test]
    fn one_step_that_is_not_a_number_spoils_the_sums() {
        let device = Device::flex();
        let mut pending = PendingLosses::new(Phase::Detector);
        for loss in [1.0, f32::NAN, 1.0] {
            pending.push(Tensor::from_floats([loss, 0.5], &device));
        }
        let sums = pending.read(Losses::default()).unwrap();
        assert!(!sums.is_finite());
        assert_eq!(sums.accuracy, 1.5);
    }

    #[test]
    fn enough_steps_are_due() {
        let mut pending = PendingLosses::new(Phase::Detector);
        for _ in 0..STEPS {
            pending.push(Tensor::from_floats([1.0, 0.5], &Device::flex()));
        }
        assert!(pending.are_due());
    }
}
