//! What an evaluation found: as JSON, as a table, and as the summary that a model file carries.

use comet_engine::image::Mask;
use comet_engine::model::Metrics;
use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::calibration::{Calibration, LabelledLogits};
use super::classification::ClassRow;
use super::localisation::CurvePoint;

/// Accuracy in percent after the most important pixels were taken away; lower is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FidelityScores {
    /// Without 5 % of the pixels.
    #[serde(rename = "5")]
    pub top_5: f64,
    /// Without 10 % of the pixels.
    #[serde(rename = "10")]
    pub top_10: f64,
    /// Without 20 % of the pixels.
    #[serde(rename = "20")]
    pub top_20: f64,
}

/// The prediction for one image, kept to be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Index of the image in the evaluated set.
    pub image: usize,
    /// Its attribution map; all 0 if the model gave no valid one.
    pub mask: Mask,
    /// One logit a class.
    pub logits: Vec<f32>,
    /// The true class.
    pub label: usize,
    /// The predicted class; `None` if the prediction is invalid.
    pub predicted: Option<usize>,
}

/// All that was measured, in percent unless said otherwise. A measure is `None` if masks are missing or it
/// was not asked for; as JSON it is `null` then.
///
/// An invalid prediction (a map or a logit that is not a finite number) counts against the model everywhere: as
/// wrong in the accuracies, as a map that is 0 everywhere in the measures of localisation, and as still right
/// in fidelity, where lower is better. Only the areas, and the audit if the map is invalid, leave it out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the evaluated split; empty until the caller sets it.
    #[serde(default)]
    pub split: String,
    /// Images.
    pub n: usize,
    /// Share of the images with the right class.
    pub accuracy: f64,
    /// Mean over the classes of the share of their images with the right class.
    pub balanced_accuracy: f64,
    /// Accuracy on images with a tenth of their pixels missing.
    pub noisy_accuracy: Option<f64>,
    /// Area under the precision-recall curve of the pixels, 19 thresholds.
    pub pxap: Option<f64>,
    /// The same with 1,000 thresholds.
    pub pxap_1000: Option<f64>,
    /// Area under the proportion of images whose map, cut at 0.9, reaches an IoU.
    pub auc_iou: Option<f64>,
    /// Mean IoU of the maps, cut at 0.5, with the true masks.
    pub iou50: Option<f64>,
    /// Accuracy without the most important pixels.
    pub fidelity: Option<FidelityScores>,
    /// Accuracy on other versions of the masked image.
    #[serde(default)]
    pub audit: Option<Audit>,
    /// How far probabilities can be trusted, before and after temperature scaling; `None` until the caller measures it
    /// on [`logits`](Self::logits).
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Mean map value; 0 if no map was valid.
    pub area: f64,
    /// Share of true pixels, over the images with a mask.
    pub true_area: Option<f64>,
    /// Images with an invalid prediction (a number, not a share).
    pub invalid: usize,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// Each class by itself.
    pub per_class: Vec<ClassRow>,
    /// Images by true class (rows) and predicted class (columns); invalid predictions are in no column.
    pub confusion: Vec<Vec<u64>>,
    /// Images with a true mask; not written to JSON, so `None` after reading it.
    #[serde(skip)]
    pub with_mask: Option<usize>,
    /// Precision and recall of the pixels at 1,000 thresholds; not written to JSON.
    #[serde(skip)]
    pub curve: Vec<CurvePoint>,
    /// Logits of the valid predictions, if they were to be kept; not written to JSON.
    #[serde(skip)]
    pub logits: LabelledLogits,
    /// Some predictions, spread evenly over the set; not written to JSON.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

/// Unit of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths.
    Percent,
    /// Natural units of information: a logarithm to base e.
    Nats,
}

impl Unit {
    /// As it stands in tables.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Nats => "nats",
        }
    }
}

/// One measure with what is needed to read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None` if it was not measured.
    pub value: Option<f64>,
    /// Unit of the value.
    pub unit: Unit,
    /// Images it was measured on, if known.
    pub n: Option<usize>,
    /// What it is, and which way is better.
    pub definition: &'static str,
}

impl Evaluation {
    /// The measures in the order in which they are shown.
    pub fn rows(&self) -> Vec<MetricRow> {
        let unit = Unit::Percent;
        let all = |name, value, definition| MetricRow { name, value, unit, n: Some(self.n), definition };
        let masked = |name, value, definition| MetricRow { name, value, unit, n: self.with_mask, definition };
        let fidelity = |value: fn(FidelityScores) -> f64| self.fidelity.map(value);
        vec![
            all("accuracy", Some(self.accuracy), "images with the right class; higher is better"),
            all(
                "balanced accuracy",
                Some(self.balanced_accuracy),
                "mean over the classes of their recall; higher is better",
            ),
            all(
                "noisy accuracy",
                self.noisy_accuracy,
                "accuracy with 10 % of the pixels set to the mean; higher is better",
            ),
            masked(
                "PxAP",
                self.pxap,
                "area under the pixels' precision-recall curve, 19 thresholds; higher is better",
            ),
            masked("PxAP (1,000)", self.pxap_1000, "the same with 1,000 thresholds"),
            masked(
                "AUC-IoU",
                self.auc_iou,
                "images whose map, cut at 0.9, reaches an IoU, averaged over 0 to 1; higher is better",
            ),
            masked(
                "IoU at 0.5",
                self.iou50,
                "mean IoU of the map, cut at 0.5, with the true mask; higher is better",
            ),
            all(
                "fidelity, top 5 %",
                fidelity(|scores| scores.top_5),
                "accuracy without the 5 % of the pixels that the map values most; lower is better",
            ),
            all("fidelity, top 10 %", fidelity(|scores| scores.top_10), "the same without 10 %"),
            all("fidelity, top 20 %", fidelity(|scores| scores.top_20), "the same without 20 %"),
            all("map area", Some(self.area), "mean map value: how much light the predictor is given"),
            masked("true area", self.true_area, "pixels inside the true masks"),
        ]
    }

    /// The audit in the order in which it is shown; empty if it was not made.
    pub fn audit_rows(&self) -> Vec<MetricRow> {
        let Some(audit) = self.audit else {
            return Vec::new();
        };
        let (unit, n) = (Unit::Percent, Some(audit.n));
        let row = |name, value, definition| MetricRow { name, value: Some(value), unit, n, definition };
        vec![
            row("map as used", audit.as_used, AS_USED),
            row("map cut at 0.5", audit.cut_at_half, CUT_AT_HALF),
            row("what is left out", audit.left_out, LEFT_OUT),
            row("uniform dimming", audit.uniform_dimming, UNIFORM_DIMMING),
        ]
    }

    /// The calibration in the order in which it is shown; empty if it was not measured.
    pub fn calibration_rows(&self) -> Vec<MetricRow> {
        let Some(found) = self.calibration else {
            return Vec::new();
        };
        let n = Some(found.n);
        let row = |name, value, unit, definition| MetricRow { name, value: Some(value), unit, n, definition };
        vec![
            row("ECE before", found.before.ece, Unit::Percent, ECE),
            row("ECE after", found.after.ece, Unit::Percent, "the same at T"),
            row("NLL before", found.before.nll, Unit::Nats, NLL),
            row("NLL after", found.after.nll, Unit::Nats, "the same at T"),
        ]
    }

    /// The evaluation as indented JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The measures and the classes as text for a terminal; ends with a line break.
    pub fn table(&self) -> String {
        let split = if self.split.is_empty() { "evaluation" } else { self.split.as_str() };
        let mut lines = vec![format!(
            "{split}: {} images, {} classes, {} invalid predictions",
            self.n,
            self.classes.len(),
            self.invalid
        )];
        lines.extend(self.rows().iter().map(line));
        let audit = self.audit_rows();
        if !audit.is_empty() {
            lines.push(
                "audit: is the class still named when the predictor is given another version of the image?"
                    .into(),
            );
            lines.extend(audit.iter().map(line));
        }
        if let Some(found) = &self.calibration {
            lines.push(format!(
                "probabilities: softmax(logits / T) before (T = 1) and after ({})",
                found.words()
            ));
            lines.extend(self.calibration_rows().iter().map(line));
        }
        let names = self.per_class.iter().map(|row| row.class.chars().count());
        let width = names.max().unwrap_or(0).max("class".len());
        lines.push(format!(
            "  {:<width$}  {:>7}  {:>10}  {:>10}  {:>10}",
            "class", "n", "precision", "recall", "map area"
        ));
        lines.extend(self.per_class.iter().map(|row| {
            format!(
                "  {:<width$}  {:>7}  {}  {}  {}",
                row.class,
                row.n,
                percent(row.precision),
                percent(row.recall),
                percent(row.area)
            )
        }));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// What the rows of an audit are, and what they mean for the map.
const AS_USED: &str =
    "accuracy on the image times the map; a soft map dims pixels and hides only those where it is near 0";
const CUT_AT_HALF: &str = "accuracy with pixels shown whole (map of at least 0.5) or not at all; if it is far \
     below the first row, the class is also read from dimmed pixels outside of the contour";
const LEFT_OUT: &str = "accuracy on the image times 1 - map; if it is well above guessing, the class can be \
     read from what the map leaves out as well";
const UNIFORM_DIMMING: &str = "accuracy with every pixel times the map's mean, which selects nothing; if it is \
     close to the first row, it matters little what the map selects";

/// What the rows of a calibration are.
const ECE: &str = "expected calibration error, 15 bins: how far the probability of the named class is from the share of \
     right ones at that probability; lower is better";
const NLL: &str = "negative log-likelihood of the true class, in nats; lower is better";

/// A measure as a line of text.
fn line(row: &MetricRow) -> String {
    let n = row.n.map_or_else(|| "n unknown".to_owned(), |n| format!("n = {n}"));
    format!("  {:<20}{}  {n:<12}{}", row.name, value(row), row.definition)
}

/// Ten characters: nats with three decimals and their unit in the definition.
fn value(row: &MetricRow) -> String {
    match row.unit {
        Unit::Percent => percent(row.value),
        Unit::Nats => row.value.map_or_else(|| percent(None), |value| format!("{value:>10.3}")),
    }
}

/// Ten characters: a share with its unit, or a dash if it is missing.
fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| format!("{:>10}", "-"), |value| format!("{value:>8.1} %"))
}

impl From<&Evaluation> for Metrics {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            split: evaluation.split.clone(),
            n: evaluation.n,
            accuracy: evaluation.accuracy,
            balanced_accuracy: evaluation.balanced_accuracy,
            pxap: evaluation.pxap,
            iou50: evaluation.iou50,
            area: evaluation.area,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Reliability, TemperatureSource};

    fn evaluation() -> Evaluation {
        Evaluation {
            split: "val".into(),
            n: 4,
            accuracy: 75.0,
            balanced_accuracy: 70.0,
            pxap: Some(61.5),
            fidelity: Some(FidelityScores { top_5: 30.0, top_10: 20.0, top_20: 10.0 }),
            audit: Some(Audit {
                n: 3,
                as_used: 75.0,
                cut_at_half: 50.0,
                left_out: 25.0,
                uniform_dimming: 12.5,
            }),
            calibration: Some(Calibration {
                n: 3,
                temperature: 1.25,
                temperature_from: TemperatureSource::Validation,
                before: Reliability { ece: 12.5, nll: 0.75 },
                after: Reliability { ece: 6.5, nll: 0.5 },
            }),
            area: 21.0,
            classes: vec!["straße".into(), "b".into()],
            per_class: vec![
                ClassRow { class: "straße".into(), n: 3, ..ClassRow::default() },
                ClassRow { class: "b".into(), n: 1, recall: Some(100.0), ..ClassRow::default() },
            ],
            confusion: vec![vec![2, 1], vec![0, 1]],
            with_mask: Some(3),
            ..Evaluation::default()
        }
    }

    #[test]
    fn the_json_has_exactly_the_agreed_keys() {
        let json = evaluation().to_json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected = vec![
            "n",
            "accuracy",
            "balanced_accuracy",
            "noisy_accuracy",
            "pxap",
            "pxap_1000",
            "auc_iou",
            "iou50",
            "fidelity",
            "audit",
            "calibration",
            "area",
            "split",
            "true_area",
            "per_class",
            "confusion",
            "classes",
            "invalid",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(value["fidelity"]["5"], 30.0);
        assert_eq!(value["fidelity"]["20"], 10.0);
        assert_eq!(value["audit"]["n"], 3);
        assert_eq!(value["audit"]["as_used"], 75.0);
        assert_eq!(value["audit"]["cut_at_half"], 50.0);
        assert_eq!(value["audit"]["left_out"], 25.0);
        assert_eq!(value["audit"]["uniform_dimming"], 12.5);
        let calibration = serde_json::json!({
            "n": 3,
            "temperature": 1.25,
            "temperature_from": "validation",
            "before": { "ece": 12.5, "nll": 0.75 },
            "after": { "ece": 6.5, "nll": 0.5 },
        });
        assert_eq!(value["calibration"], calibration);
        assert!(value["noisy_accuracy"].is_null());
        let back: Evaluation = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Evaluation { with_mask: None, ..evaluation() });
    }

    #[test]
    fn json_without_split_audit_and_calibration_can_still_be_read() {
        let mut value = serde_json::to_value(evaluation()).unwrap();
        for key in ["split", "audit", "calibration"] {
            value.as_object_mut().unwrap().remove(key);
        }
        let back: Evaluation = serde_json::from_value(value).unwrap();
        assert_eq!((back.split.as_str(), back.audit, back.calibration, back.n), ("", None, None, 4));
    }

    #[test]
    fn every_row_has_its_own_value_and_its_number_of_images() {
        let found = Evaluation {
            noisy_accuracy: Some(1.0),
            pxap_1000: Some(2.0),
            auc_iou: Some(3.0),
            iou50: Some(4.0),
            true_area: Some(5.0),
            ..evaluation()
        };
        let rows: Vec<_> = found.rows().into_iter().map(|row| (row.name, row.value, row.n)).collect();
        let expected = [
            ("accuracy", 75.0, 4),
            ("balanced accuracy", 70.0, 4),
            ("noisy accuracy", 1.0, 4),
            ("PxAP", 61.5, 3),
            ("PxAP (1,000)", 2.0, 3),
            ("AUC-IoU", 3.0, 3),
            ("IoU at 0.5", 4.0, 3),
            ("fidelity, top 5 %", 30.0, 4),
            ("fidelity, top 10 %", 20.0, 4),
            ("fidelity, top 20 %", 10.0, 4),
            ("map area", 21.0, 4),
            ("true area", 5.0, 3),
        ];
        assert_eq!(rows, expected.map(|(name, value, n)| (name, Some(value), Some(n))));
        let audit: Vec<_> = found.audit_rows().into_iter().map(|row| (row.name, row.value, row.n)).collect();
        let expected = [
            ("map as used", 75.0),
            ("map cut at 0.5", 50.0),
            ("what is left out", 25.0),
            ("uniform dimming", 12.5),
        ];
        assert_eq!(audit, expected.map(|(name, value)| (name, Some(value), Some(3))));
    }

    #[test]
    fn the_table_holds_the_audit_only_if_it_was_made() {
        let table = evaluation().table();
        let cut = table.lines().find(|line| line.trim_start().starts_with("map cut at 0.5")).unwrap();
        assert!(cut.contains("50.0 %") && cut.contains("n = 3"), "{cut}");
        let without = Evaluation { audit: None, ..evaluation() };
        assert!(table.contains("\naudit: ") && !without.table().contains("audit"));
        assert!(without.audit_rows().is_empty());
    }

    #[test]
    fn the_table_tells_probabilities_before_from_those_after_and_where_the_temperature_is_from() {
        let table = evaluation().table();
        let heading = table.lines().find(|line| line.starts_with("probabilities: ")).unwrap();
        assert!(heading.contains("T = 1.25, fitted on the run's validation images"), "{heading}");
        let value = |name: &str| {
            let line = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            assert!(line.contains("n = 3"), "{line}");
            line.split_whitespace().nth(2).unwrap().to_owned()
        };
        assert_eq!(
            ["ECE before", "ECE after", "NLL before", "NLL after"].map(value),
            ["12.5", "6.5", "0.750", "0.500"]
        );
        let without = Evaluation { calibration: None, ..evaluation() };
        assert!(!without.table().contains("ECE") && without.calibration_rows().is_empty());
    }

    #[test]
    fn the_table_names_units_and_numbers_of_images() {
        let table = evaluation().table();
        assert!(table.starts_with("val: 4 images, 2 classes, 0 invalid predictions\n"));
        let pxap = table.lines().find(|line| line.trim_start().starts_with("PxAP ")).unwrap();
        assert!(pxap.contains("61.5 %") && pxap.contains("n = 3"), "{pxap}");
        let ends: Vec<usize> = table.lines().rev().take(3).map(|line| line.chars().count()).collect();
        assert_eq!((ends[0], ends[1]), (ends[1], ends[2]), "{table}");
    }

    #[test]
    fn the_manifest_gets_the_summary() {
        let metrics = Metrics::from(&evaluation());
        assert_eq!((metrics.split.as_str(), metrics.n, metrics.pxap), ("val", 4, Some(61.5)));
        assert_eq!((metrics.iou50, metrics.area), (None, 21.0));
    }
}
