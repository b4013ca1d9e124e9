//! Whether a run does its work: what `/healthz` responds with.

use serde::Serialize;

use super::snapshot::Snapshot;

/// Without a signal the run counts as healthy for this long after its last prediction, in seconds: a source that
/// reconnects in time is not an outage.
const FRESH_S: f64 = 10.0;
/// How long the first prediction may take, in seconds: nothing is known about the machine yet.
const FIRST_S: f64 = 60.0;
/// How long a later one may take at least, in seconds: a disk or a busy processor can hold one up.
const LEAST_S: f64 = 10.0;
/// How many times longer than usual one may take.
const SLOWER: f64 = 20.0;

/// Whether a run does its work, as `/healthz` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Whether it does.
    pub ok: bool,
    /// Whether the source gives frames.
    pub signal: bool,
    /// Seconds since the last prediction.
    #[serde(rename = "last_answer_s")]
    pub last_prediction_s: Option<f64>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The longest time that a prediction may take, in seconds, where 95 of 100 took less than `p95_ms`.
pub(super) fn limit_s(p95_ms: f64, predictions: u64) -> f64 {
    match predictions {
        0 => FIRST_S,
        _ => LEAST_S.max(SLOWER * p95_ms / 1000.0),
    }
}

impl Snapshot {
    /// Whether the run does its work: no prediction hangs, and the source gives frames or gave one a moment ago.
    pub fn health(&self) -> Health {
        let last_prediction_s = self.last.as_ref().map(|last| last.age_s);
        let signal = self.source.signal;
        let recent = last_prediction_s.is_some_and(|age| age <= FRESH_S);
        let fault = match self.prediction.running_s {
            Some(running) if running > self.prediction.limit_s => {
                let limit = self.prediction.limit_s;
                Some(format!("a prediction has taken {running:.0} s; it should take less than {limit:.0} s"))
            }
            _ if signal || recent => None,
            _ => Some(self.source.fault.clone().unwrap_or_else(|| "no frames come".into())),
        };
        Health { ok: fault.is_none(), signal, last_prediction_s, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{Last, Monitor};

    fn snapshot(signal: bool, age_s: Option<f64>, running_s: Option<f64>) -> Snapshot {
        let mut snapshot = Monitor::default().snapshot();
        snapshot.source.signal = signal;
        snapshot.last = age_s.map(|age_s| Last { frame: 0, class: None, probability: None, age_s });
        snapshot.prediction.running_s = running_s;
        snapshot.prediction.limit_s = 10.0;
        snapshot
    }

    #[test]
    fn a_prediction_that_hangs_is_not_healthy_although_the_source_is() {
        let health = snapshot(true, Some(11.0), Some(11.0)).health();
        assert!(!health.ok && health.signal);
        assert!(health.fault.is_some_and(|fault| fault.contains("11 s")));
        assert!(snapshot(true, Some(9.0), Some(9.0)).health().ok);
    }

    #[test]
    fn without_a_signal_a_run_is_healthy_for_a_moment_only() {
        assert!(snapshot(true, None, None).health().ok, "it waits for its first frame");
        assert!(snapshot(true, Some(3600.0), None).health().ok, "a source with a frame an hour");
        assert!(snapshot(false, Some(9.0), None).health().ok);
        assert!(!snapshot(false, Some(11.0), None).health().ok);
        assert!(!snapshot(false, None, None).health().ok);
    }

    #[test]
    fn a_slow_machine_may_take_longer() {
        assert_eq!([limit_s(0.0, 0), limit_s(20.0, 5), limit_s(2000.0, 5)], [60.0, 10.0, 40.0]);
    }
}
