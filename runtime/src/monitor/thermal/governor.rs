//! By how much a run is slowed down for the temperature: a state machine without clocks or files.

/// Steps below full speed.
pub(super) const STEPS: u8 = 3;
/// Readings above the limit before a step: one alone may be a glitch of the sensor.
const HOT_READINGS: u8 = 2;
/// Cool readings before a step back: a board cools slowly, and heats up again at once.
const COOL_READINGS: u8 = 5;

/// When a run is slowed down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThermalLimits {
    /// Above this temperature, in degrees Celsius, the run is slowed down.
    pub max_celsius: f64,
    /// So many degrees below it the run speeds up again.
    pub hysteresis: f64,
}

impl Default for ThermalLimits {
    /// Boards begin to slow themselves down at 80 to 85 °C.
    fn default() -> Self {
        Self { max_celsius: 80.0, hysteresis: 5.0 }
    }
}

/// Turns readings into steps: 0 is full speed, [`STEPS`] is the slowest.
#[derive(Debug)]
pub(super) struct Governor {
    limits: ThermalLimits,
    step: u8,
    hot: u8,
    cool: u8,
}

impl Governor {
    pub(super) fn new(limits: ThermalLimits) -> Self {
        Self { limits, step: 0, hot: 0, cool: 0 }
    }

    /// The step after one more reading. A processor that slows itself down counts at once, with or without a sensor.
    pub(super) fn look(&mut self, celsius: Option<f64>, throttled: bool) -> u8 {
        let ThermalLimits { max_celsius, hysteresis } = self.limits;
        let hot = celsius.is_some_and(|celsius| celsius > max_celsius);
        let cool = !throttled && celsius.is_none_or(|celsius| celsius < max_celsius - hysteresis);
        self.hot = if hot { self.hot + 1 } else { 0 };
        self.cool = if cool { self.cool + 1 } else { 0 };
        if throttled || self.hot >= HOT_READINGS {
            self.step = (self.step + 1).min(STEPS);
            self.hot = 0;
        } else if self.cool >= COOL_READINGS {
            self.step = self.step.saturating_sub(1);
            self.cool = 0;
        }
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps after readings in degrees Celsius; negative ones are readings of a throttled processor.
    fn steps(governor: &mut Governor, readings: &[f64]) -> Vec<u8> {
        readings.iter().map(|celsius| governor.look(Some(celsius.abs()), *celsius < 0.0)).collect()
    }

    #[test]
    fn two_hot_readings_in_a_row_are_a_step_up_to_the_last() {
        let mut governor = Governor::new(ThermalLimits::default());
        assert_eq!(steps(&mut governor, &[81.0, 79.0, 81.0, 80.0]), [0, 0, 0, 0]);
        assert_eq!(steps(&mut governor, &[81.0; 8]), [0, 1, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn five_cool_readings_are_a_step_back_and_the_band_between_holds_the_step() {
        let mut governor = Governor::new(ThermalLimits::default());
        steps(&mut governor, &[90.0; 4]);
        assert_eq!(steps(&mut governor, &[76.0; 20]), [2; 20]);
        assert_eq!(steps(&mut governor, &[70.0, 70.0, 70.0, 70.0, 76.0]), [2; 5]);
        assert_eq!(steps(&mut governor, &[70.0; 11]), [2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_throttled_processor_is_a_step_at_once_without_a_sensor_too() {
        let mut governor = Governor::new(ThermalLimits::default());
        assert_eq!(steps(&mut governor, &[-40.0, -40.0]), [1, 2]);
        assert_eq!(governor.look(None, true), 3);
        let recovered: Vec<u8> = (0..5).map(|_| governor.look(None, false)).collect();
        assert_eq!(recovered, [3, 3, 3, 3, 2]);
    }
}
