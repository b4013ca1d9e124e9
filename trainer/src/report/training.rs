//! The curves of a training run.

use super::plot::{Panel, Series, Target};
use crate::train::{EpochRecord, Phase, ValidationRecord};

/// Ends of an axis of shares.
const PERCENT: (f64, f64) = (0.0, 100.0);

/// The panels of a run for [`curves_svg`](super::curves_svg): losses, accuracy, map area and localisation over
/// the epochs. `target_area` is the area that costs nothing, in percent.
pub fn training_panels(records: &[EpochRecord], target_area: Option<f64>) -> Vec<Panel> {
    let detector = Lines { records, phase: Phase::Detector };
    let comet = Lines { records, phase: Phase::Comet };
    let panel = |title: &str, series: Vec<Option<Series>>| Panel {
        title: title.to_owned(),
        x_label: "epoch of its phase".to_owned(),
        series: series.into_iter().flatten().collect(),
        ..Panel::default()
    };
    let losses = vec![
        comet.of("predictor on the map, L_P", |record| record.loss_predictor),
        comet.of("detector on the rest, L_D", |record| record.loss_detector),
        detector.of("detector, pre-training", |record| Some(record.loss)),
    ];
    let objective = vec![
        comet.of("whole loss", |record| Some(record.loss)),
        comet.of("completeness, unweighted", |record| record.completeness),
        comet.of("area penalty R, unweighted", |record| record.area_penalty),
    ];
    let accuracy = vec![
        comet.of("predictor, validation", |record| validated(record, |val| Some(val.accuracy))),
        comet.of("predictor, training", |record| Some(record.train_accuracy)),
        detector.of("detector, validation", |record| validated(record, |val| Some(val.accuracy))),
        detector.of("detector, training", |record| Some(record.train_accuracy)),
    ];
    let area = vec![
        comet.of("validation", |record| validated(record, |val| val.area)),
        comet.of("training", |record| record.area),
    ];
    let localisation = vec![
        comet.of("PxAP", |record| validated(record, |val| val.pxap)),
        comet.of("mean IoU at 0.5", |record| validated(record, |val| val.iou50)),
        comet.of("AUC-IoU at 0.9", |record| validated(record, |val| val.auc_iou)),
    ];
    let rate = vec![
        comet.of("selector and predictor", |record| Some(record.learning_rate)),
        detector.of("detector", |record| Some(record.learning_rate)),
    ];
    let target = target_area.map(|value| Target { value, name: "target area t".to_owned() });
    vec![
        panel("Cross-entropy (nats)", losses),
        panel("The selector's loss", objective),
        Panel { y_range: Some(PERCENT), ..panel("Accuracy (%)", accuracy) },
        Panel { target, ..panel("Map area: mean map value (%)", area) },
        Panel { y_range: Some(PERCENT), ..panel("Localisation on validation (%)", localisation) },
        panel("Learning rate", rate),
    ]
}

/// The epochs of one phase.
struct Lines<'a> {
    records: &'a [EpochRecord],
    phase: Phase,
}

impl Lines<'_> {
    /// A value over the epochs; `None` if no epoch has it, so that the legend does not name it.
    fn of(&self, name: &str, value: fn(&EpochRecord) -> Option<f64>) -> Option<Series> {
        let epochs = self.records.iter().filter(|record| record.phase == self.phase);
        let points: Vec<(f64, f64)> =
            epochs.filter_map(|record| value(record).map(|value| (record.epoch as f64, value))).collect();
        (!points.is_empty()).then(|| Series { name: name.to_owned(), points })
    }
}

fn validated(record: &EpochRecord, value: fn(&ValidationRecord) -> Option<f64>) -> Option<f64> {
    record.val.as_ref().and_then(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::curves_svg;
    use crate::report::well_formed::assert_well_formed;

    fn record(phase: Phase, epoch: usize) -> EpochRecord {
        let comet = (phase == Phase::Comet).then_some(1.0 / epoch as f64);
        EpochRecord {
            phase,
            epoch,
            loss: 3.0,
            loss_predictor: comet,
            area: comet.map(|value| 100.0 * value),
            val: (epoch == 2).then(ValidationRecord::default),
            ..EpochRecord::default()
        }
    }

    #[test]
    fn both_phases_are_drawn_and_what_was_not_measured_is_not_named() {
        let records: Vec<EpochRecord> = [Phase::Detector, Phase::Comet]
            .into_iter()
            .flat_map(|phase| (1..4).map(move |epoch| record(phase, epoch)))
            .collect();
        let panels = training_panels(&records, Some(30.0));
        let names = |index: usize| -> Vec<&str> {
            panels[index].series.iter().map(|series| series.name.as_str()).collect()
        };
        assert_eq!(names(0), ["predictor on the map, L_P", "detector, pre-training"]);
        assert_eq!(panels[0].series[0].points, [(1.0, 1.0), (2.0, 0.5), (3.0, 1.0 / 3.0)]);
        assert_eq!((names(2).len(), panels[2].series[0].points.len()), (4, 1));
        assert!(names(4).is_empty());
        let svg = curves_svg(&panels);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<line class=\"target\"").count(), 2);
    }

    #[test]
    fn a_run_without_epochs_has_empty_panels() {
        assert_well_formed(&curves_svg(&training_panels(&[], None)));
    }
}
