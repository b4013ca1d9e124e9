//! What an evaluation found: as JSON, as a table, and as the summary that a model file carries.

use comet_edge::image::Mask;
use comet_edge::model::Metrics;
use serde::{Deserialize, Serialize};

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

/// The answer about one picture, kept to be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Index of the picture in the evaluated set.
    pub picture: usize,
    /// Its map; all 0 if the model gave no valid one.
    pub mask: Mask,
    /// One logit a class.
    pub logits: Vec<f32>,
    /// The true class.
    pub label: usize,
    /// The predicted class; `None` if the answer is invalid.
    pub predicted: Option<usize>,
}

/// All that was measured, in percent unless said otherwise. A measure is `None` if masks are missing or it
/// was not asked for; as JSON it is `null` then.
///
/// An invalid answer (a map or a logit that is no finite number) counts against the model everywhere: as
/// wrong in the accuracies, as a map that is 0 everywhere in the measures of localisation, and as still right
/// in fidelity, where lower is better. Only the areas leave it out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the evaluated split; empty until the caller sets it.
    #[serde(default)]
    pub split: String,
    /// Pictures.
    pub n: usize,
    /// Share of the pictures with the right class.
    pub accuracy: f64,
    /// Mean over the classes of the share of their pictures with the right class.
    pub balanced_accuracy: f64,
    /// Accuracy on pictures with a tenth of their pixels missing.
    pub noisy_accuracy: Option<f64>,
    /// Area under the precision-recall curve of the pixels, 19 thresholds.
    pub pxap: Option<f64>,
    /// The same with 1,000 thresholds.
    pub pxap_1000: Option<f64>,
    /// Area under the proportion of pictures whose map, cut at 0.9, reaches an IoU.
    pub auc_iou: Option<f64>,
    /// Mean IoU of the maps, cut at 0.5, with the true masks.
    pub iou50: Option<f64>,
    /// Accuracy without the most important pixels.
    pub fidelity: Option<FidelityScores>,
    /// Mean map value; 0 if no map was valid.
    pub area: f64,
    /// Share of true pixels, over the pictures with a mask.
    pub true_area: Option<f64>,
    /// Pictures with an invalid answer (a number, not a share).
    pub invalid: usize,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// Each class by itself.
    pub per_class: Vec<ClassRow>,
    /// Pictures by true class (rows) and predicted class (columns); invalid answers are in no column.
    pub confusion: Vec<Vec<u64>>,
    /// Pictures with a true mask; not written to JSON, so `None` after reading it.
    #[serde(skip)]
    pub with_mask: Option<usize>,
    /// Precision and recall of the pixels at 1,000 thresholds; not written to JSON.
    #[serde(skip)]
    pub curve: Vec<CurvePoint>,
    /// Some answers, spread evenly over the set; not written to JSON.
    #[serde(skip)]
    pub samples: Vec<Sample>,
}

/// One measure with what is needed to read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// Its value in percent; `None` if it was not measured.
    pub value: Option<f64>,
    /// Pictures it was measured on, if known.
    pub n: Option<usize>,
    /// What it is, and which way is better.
    pub definition: &'static str,
}

impl Evaluation {
    /// The measures in the order in which they are shown.
    pub fn rows(&self) -> Vec<MetricRow> {
        let all = |name, value, definition| MetricRow { name, value, n: Some(self.n), definition };
        let masked = |name, value, definition| MetricRow { name, value, n: self.with_mask, definition };
        let fidelity = |value: fn(FidelityScores) -> f64| self.fidelity.map(value);
        vec![
            all("accuracy", Some(self.accuracy), "pictures with the right class; higher is better"),
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
                "pictures whose map, cut at 0.9, reaches an IoU, averaged over 0 to 1; higher is better",
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
            all("map area", Some(self.area), "mean map value: what the predictor is shown"),
            masked("true area", self.true_area, "pixels inside the true masks"),
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
            "{split}: {} pictures, {} classes, {} invalid answers",
            self.n,
            self.classes.len(),
            self.invalid
        )];
        lines.extend(self.rows().into_iter().map(|row| {
            let n = row.n.map_or_else(|| "n unknown".to_owned(), |n| format!("n = {n}"));
            format!("  {:<20}{}  {n:<12}{}", row.name, percent(row.value), row.definition)
        }));
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

/// Ten characters: a share with its unit, or a dash if there is none.
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

    fn evaluation() -> Evaluation {
        Evaluation {
            split: "val".into(),
            n: 4,
            accuracy: 75.0,
            balanced_accuracy: 70.0,
            pxap: Some(61.5),
            fidelity: Some(FidelityScores { top_5: 30.0, top_10: 20.0, top_20: 10.0 }),
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
        assert!(value["noisy_accuracy"].is_null());
        let back: Evaluation = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Evaluation { with_mask: None, ..evaluation() });
    }

    #[test]
    fn the_table_names_units_and_numbers_of_pictures() {
        let table = evaluation().table();
        assert!(table.starts_with("val: 4 pictures, 2 classes, 0 invalid answers\n"));
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
