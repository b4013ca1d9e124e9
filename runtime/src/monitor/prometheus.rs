//! A snapshot as Prometheus reads it: text exposition format 0.0.4.

use std::fmt::{self, Write};

use super::snapshot::{Quantiles, Snapshot, ThermalState};

/// The metrics of `snapshot`, all of them named `comet_edge_...`: seconds, ratios in `[0, 1]`, degrees Celsius.
///
/// What is not known is left out: no sensor, no temperature; no float reference, no drift.
pub fn prometheus(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    program_and_model(&mut page, snapshot);
    source_and_frames(&mut page, snapshot);
    times(&mut page, snapshot);
    trust(&mut page, snapshot);
    if let Some(state) = &snapshot.thermal {
        thermal(&mut page, state);
    }
    page.0
}

fn program_and_model(page: &mut Page, snapshot: &Snapshot) {
    let model = &snapshot.model;
    page.family(
        "build_info",
        "gauge",
        "Always 1; the label is the version.",
        &[(&[("version", snapshot.version)], 1.0)],
    );
    page.gauge("uptime_seconds", "Time since the start.", snapshot.uptime_s);
    page.family(
        "model_info",
        "gauge",
        "Always 1; the labels describe the model in use.",
        &[(
            &[
                ("name", model.name.as_str()),
                ("sha256", model.sha256.as_str()),
                ("precision", model.precision.as_str()),
                ("kernels", model.kernels.as_str()),
            ],
            1.0,
        )],
    );
    page.counter("model_reloads_total", "Times that the model was exchanged.", model.reloads);
    let refused = f64::from(model.reload_fault.is_some());
    page.gauge("model_reload_failed", "1 if the last exchange was refused.", refused);
}

fn source_and_frames(page: &mut Page, snapshot: &Snapshot) {
    let (source, counts) = (&snapshot.source, &snapshot.counts);
    page.family(
        "source_up",
        "gauge",
        "1 if the source gives frames.",
        &[(&[("source", source.name.as_str())], f64::from(source.signal))],
    );
    page.gauge("source_outage_seconds", "For how long no frames have come.", source.since_s);
    page.counter("source_stalls_total", "Times that the source stalled or disconnected.", counts.stalls);
    page.counter("source_reconnects_total", "Times that the source was opened again.", counts.reconnects);
    page.counter("frames_captured_total", "Frames that the source gave.", counts.captured);
    let outcomes = [
        ("answered", counts.inferred),
        ("passed_over", counts.passed_over),
        ("dropped", counts.dropped),
        ("corrupt", counts.corrupt),
    ];
    let outcomes = outcomes.map(|(outcome, count)| ([("outcome", outcome)], count as f64));
    let samples: Vec<Sample<'_>> = outcomes.iter().map(|(label, count)| (label.as_slice(), *count)).collect();
    page.family("frames_total", "counter", "What became of the frames.", &samples);
    page.counter("invalid_answers_total", "Predictions that were not valid.", counts.invalid);
    page.counter("sink_failures_total", "Results that could not be written.", counts.sink_failures);
    page.counter("preview_client_drops_total", "Preview clients that were dropped.", counts.client_drops);
}

fn times(page: &mut Page, snapshot: &Snapshot) {
    page.gauge("answers_per_second", "Predictions a second, over the last seconds.", snapshot.fps);
    let predicted = snapshot.counts.inferred;
    page.summary("inference_seconds", "Time in the network.", &snapshot.inference_ms, predicted);
    page.summary("latency_seconds", "Time from capture to prediction.", &snapshot.latency_ms, predicted);
    let running = snapshot.prediction.running_s.unwrap_or(0.0);
    page.gauge(
        "prediction_running_seconds",
        "For how long the present prediction has been under way.",
        running,
    );
    if let Some(last) = &snapshot.last {
        page.gauge("last_answer_age_seconds", "Time since the last prediction.", last.age_s);
    }
}

fn trust(page: &mut Page, snapshot: &Snapshot) {
    let (trust, counts) = (&snapshot.trust, &snapshot.counts);
    page.counter("checks_total", "Predictions whose explanation was checked.", counts.checks);
    page.counter("alarms_total", "Alarms that the checks raised.", counts.alarms);
    page.gauge("alarms_active", "Alarms that hold now.", trust.alarms.len() as f64);
    if trust.checked > 0 {
        let help = "Share of the last checks in which the class held on what the map shows.";
        page.gauge("trust_sufficiency_ratio", help, trust.sufficiency);
        let help = "Share of the last checks in which the class was not seen in what the map leaves out.";
        page.gauge("trust_completeness_ratio", help, trust.completeness);
        let help = "Mean IoU of the map with that of the shifted image.";
        page.gauge("trust_stability_iou", help, trust.stability_iou);
    }
    let help = "Share of the last checks with the same class when the map is cut at 0.5, where overlays draw its contour.";
    page.gauge("trust_same_class_at_contour_ratio", help, trust.same_class_at_contour);
    page.gauge("drift_iou", "Mean IoU with the float reference's map.", trust.drift_iou);
    page.gauge("drift_pearson", "Mean correlation with the float reference's map.", trust.drift_pearson);
    let help = "Share of the last checks with the float reference's class.";
    page.gauge("drift_agreement_ratio", help, trust.drift_agreement);
}

fn thermal(page: &mut Page, state: &ThermalState) {
    page.gauge("temperature_celsius", "Of the hottest sensor.", state.celsius);
    page.gauge("throttled", "1 if the processor slows itself down.", f64::from(state.throttled));
    page.gauge("slowdown_step", "0 is full speed; each step predicts less often.", f64::from(state.step));
}

/// Labels and value of one line.
type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.family(name, "gauge", help, &[(&[], value)]);
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &[(&[], value as f64)]);
    }

    /// Quantiles are of the last values, the count is of all of them, as summaries have it.
    fn summary(&mut self, name: &str, help: &str, ms: &Quantiles, count: u64) {
        if ms.n > 0 && ms.p50.is_finite() {
            let quantiles: [Sample<'_>; 2] =
                [(&[("quantile", "0.5")], ms.p50 / 1000.0), (&[("quantile", "0.95")], ms.p95 / 1000.0)];
            self.family(name, "summary", help, &quantiles);
            self.sample(&format!("{name}_count"), &[], count as f64);
        }
    }

    /// Nothing is written of a family without a number.
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
        if samples.iter().any(|(_, value)| value.is_finite()) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "# HELP comet_edge_{name} {help}\n# TYPE comet_edge_{name} {kind}");
            for (labels, value) in samples {
                self.sample(name, labels, *value);
            }
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        if value.is_finite() {
            let _ = writeln!(self.0, "comet_edge_{name}{} {value}", Labels(labels));
        }
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let before = if number == 0 { '{' } else { ',' };
            write!(f, "{before}{name}=\"{value}\"")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::monitor::{ModelState, Monitor, Predicted};
    use comet_engine::explain::{Checks, Completeness, Cut, Judge, Stability, Sufficiency};

    /// Lines by name and labels; panics on what Prometheus would not take.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let mut kinds: HashMap<&str, &str> = HashMap::new();
        let mut samples = BTreeMap::new();
        let mut family = "";
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!kinds.contains_key(name) && !help.contains('\\'), "{line}");
                family = name;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(name == family && ["gauge", "counter", "summary"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                kinds.insert(name, kind);
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                assert!(name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()), "{line}");
                let of_summary = kinds[family] == "summary" && name.strip_suffix("_count") == Some(family);
                assert!(name == family || of_summary, "{line} does not stand with its family {family}");
                assert_eq!(key.contains('{'), key.ends_with('}'), "{line}");
                let value: f64 = value.parse().unwrap();
                assert!(value.is_finite() && samples.insert(key.to_owned(), value).is_none(), "{line}");
            }
        }
        samples
    }

    fn monitor() -> Monitor {
        let monitor = Monitor::default();
        monitor.set_source("a \"quoted\\\ncamera");
        monitor.set_model(ModelState {
            name: "hands".into(),
            sha256: "ab12".into(),
            ..ModelState::default()
        });
        monitor
    }

    #[test]
    fn a_new_run_has_metrics_and_nothing_unknown_among_them() {
        let samples = parse(&prometheus(&monitor().snapshot()));
        assert_eq!(samples[r#"comet_edge_source_up{source="a \"quoted\\\ncamera"}"#], 1.0);
        assert_eq!(samples["comet_edge_frames_captured_total"], 0.0);
        let model = samples.keys().find(|key| key.starts_with("comet_edge_model_info")).unwrap();
        assert!(model.contains(r#"sha256="ab12""#), "{model}");
        for unknown in ["inference", "temperature", "drift", "trust", "last_answer"] {
            assert!(!samples.keys().any(|key| key.contains(unknown)), "{unknown}");
        }
    }

    #[test]
    fn times_are_seconds_and_values_that_are_not_finite_are_left_out() {
        let monitor = monitor();
        let prediction = |latency_ms| Predicted {
            frame: 0,
            class: Some("two"),
            probability: Some(0.9),
            inference_ms: 80.0,
            latency_ms,
            checks: None,
        };
        monitor.predicted(&prediction(f64::NAN));
        monitor.set_thermal(ThermalState { celsius: Some(61.5), throttled: true, step: 2 });
        let samples = parse(&prometheus(&monitor.snapshot()));
        assert_eq!(samples[r#"comet_edge_inference_seconds{quantile="0.5"}"#], 0.08);
        assert!(!samples.contains_key(r#"comet_edge_latency_seconds{quantile="0.5"}"#));
        assert_eq!(samples["comet_edge_temperature_celsius"], 61.5);
        assert_eq!((samples["comet_edge_throttled"], samples["comet_edge_slowdown_step"]), (1.0, 2.0));
    }

    #[test]
    fn the_share_with_the_same_class_at_the_contour_is_a_metric() {
        let by = Judge::Predictor;
        let checks = |same_class| Checks {
            sufficiency: Sufficiency { by, whole_probability: 0.9, same_class: true, holds: true },
            completeness: Completeness { by, left_out_probability: 0.1, recognised: false, holds: true },
            stability: Stability { iou: 0.9, holds: true },
            drift: None,
            cut: Some(Cut { probability: 0.5, same_class }),
            ms: 1.0,
        };
        let monitor = monitor();
        for same_class in [true, false, true, true] {
            monitor.predicted(&Predicted {
                frame: 0,
                class: Some("two"),
                probability: Some(0.9),
                inference_ms: 80.0,
                latency_ms: 90.0,
                checks: Some(&checks(same_class)),
            });
        }
        let samples = parse(&prometheus(&monitor.snapshot()));
        assert_eq!(samples["comet_edge_trust_same_class_at_contour_ratio"], 0.75);
    }
}
