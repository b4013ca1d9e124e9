//! How often the class is right, overall and class by class.

use serde::{Deserialize, Serialize};

use super::error::MetricsError;
use super::tally::{Mean, Ratio};

/// Index of the largest logit, the first one if several are equal.
///
/// `None` without logits or if one of them is not a finite number: such a prediction names no class.
pub fn top_class(logits: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (index, &logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            return None;
        }
        if best.is_none_or(|(_, top)| logit > top) {
            best = Some((index, logit));
        }
    }
    best.map(|(index, _)| index)
}

/// What is known about one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// The class's name.
    pub class: String,
    /// Images that are of this class.
    pub n: usize,
    /// Share of the images predicted as this class that are of it, in percent; `None` if none was.
    pub precision: Option<f64>,
    /// Share of this class's images that were predicted as it, in percent; `None` if the class does not occur.
    pub recall: Option<f64>,
    /// Mean map value over this class's images, in percent; `None` without a valid map.
    pub area: Option<f64>,
}

/// Counts true and predicted classes.
#[derive(Clone, Debug)]
pub struct Classification {
    /// Rows are true, columns predicted classes.
    confusion: Vec<Vec<u64>>,
    recall: Vec<Ratio>,
    areas: Vec<Mean>,
}

impl Classification {
    /// Nothing counted yet, for so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            confusion: vec![vec![0; classes]; classes],
            recall: vec![Ratio::default(); classes],
            areas: vec![Mean::default(); classes],
        }
    }

    /// Counts an image: its class, the predicted one (`None` if the prediction is invalid: wrong, and in no
    /// column of the confusion matrix), and the mean of its map in `[0, 1]` if the map is valid.
    pub fn add(
        &mut self,
        label: usize,
        predicted: Option<usize>,
        area: Option<f64>,
    ) -> Result<(), MetricsError> {
        let classes = self.confusion.len();
        let unknown = |index| MetricsError::UnknownClass { index, classes };
        if let Some(index) = predicted.filter(|&index| index >= classes) {
            return Err(unknown(index));
        }
        let row = self.confusion.get_mut(label).ok_or_else(|| unknown(label))?;
        if let Some(count) = predicted.and_then(|column| row.get_mut(column)) {
            *count += 1;
        }
        if let Some(recall) = self.recall.get_mut(label) {
            recall.add(predicted == Some(label));
        }
        if let Some((mean, area)) = self.areas.get_mut(label).zip(area) {
            mean.add(area);
        }
        Ok(())
    }

    /// Share of images with the right class, in percent; `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        let total = self.recall.iter().fold(Ratio::default(), |sum, class| Ratio {
            right: sum.right + class.right,
            n: sum.n + class.n,
        });
        total.percent()
    }

    /// Mean recall over the classes that occur, in percent; `None` without images.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls: Vec<f64> = self.recall.iter().filter_map(|class| class.percent()).collect();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// The confusion matrix `[classes][classes]`: rows are true, columns predicted classes.
    pub fn confusion(&self) -> &[Vec<u64>] {
        &self.confusion
    }

    /// One row a class, in the order of `classes`.
    pub fn rows(&self, classes: &[String]) -> Vec<ClassRow> {
        let counted = self.recall.iter().zip(&self.areas).enumerate();
        let rows = counted.zip(classes).map(|((index, (recall, area)), class)| ClassRow {
            class: class.clone(),
            n: recall.n,
            precision: self.precision(index),
            recall: recall.percent(),
            area: area.percent(),
        });
        rows.collect()
    }

    fn precision(&self, class: usize) -> Option<f64> {
        let column: u64 = self.confusion.iter().filter_map(|row| row.get(class)).sum();
        let right = *self.confusion.get(class)?.get(class)?;
        (column > 0).then(|| 100.0 * right as f64 / column as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_class_is_the_first_of_equals_and_needs_numbers() {
        assert_eq!(top_class(&[0.5, 2.0, 2.0]), Some(1));
        assert_eq!(top_class(&[]), None);
        assert_eq!(top_class(&[1.0, f32::NAN]), None);
        assert_eq!(top_class(&[f32::INFINITY, 1.0]), None);
    }

    #[test]
    fn balanced_accuracy_leaves_out_classes_that_do_not_occur() {
        let mut counts = Classification::new(3);
        for (label, predicted) in [(0, 0), (0, 0), (0, 0), (0, 1), (1, 2), (1, 1)] {
            counts.add(label, Some(predicted), Some(0.5)).unwrap();
        }
        assert!((counts.accuracy().unwrap() - 100.0 * 4.0 / 6.0).abs() < 1e-9);
        assert!((counts.balanced_accuracy().unwrap() - 62.5).abs() < 1e-9);
        assert_eq!(counts.confusion(), [vec![3, 1, 0], vec![0, 1, 1], vec![0, 0, 0]]);
        let names = ["a", "b", "c"].map(str::to_owned);
        let rows = counts.rows(&names);
        assert_eq!((rows[0].n, rows[0].precision, rows[0].recall), (4, Some(100.0), Some(75.0)));
        assert_eq!((rows[1].n, rows[1].precision, rows[1].area), (2, Some(50.0), Some(50.0)));
        assert_eq!((rows[2].n, rows[2].precision, rows[2].recall), (0, Some(0.0), None));
        assert_eq!(rows[2].area, None);
    }

    #[test]
    fn an_invalid_prediction_is_wrong_and_in_no_column() {
        let mut counts = Classification::new(2);
        counts.add(1, None, None).unwrap();
        counts.add(1, Some(1), Some(0.25)).unwrap();
        assert_eq!(counts.accuracy(), Some(50.0));
        assert_eq!(counts.confusion(), [vec![0, 0], vec![0, 1]]);
        assert_eq!(Classification::new(2).accuracy(), None);
    }

    #[test]
    fn a_class_beyond_the_model_is_an_error() {
        let mut counts = Classification::new(2);
        for (label, predicted) in [(2, 0), (0, 2)] {
            let refused = counts.add(label, Some(predicted), None);
            assert!(matches!(refused, Err(MetricsError::UnknownClass { index: 2, classes: 2 })));
        }
        assert!(matches!(counts.add(7, None, None), Err(MetricsError::UnknownClass { index: 7, .. })));
        assert_eq!((counts.accuracy(), counts.balanced_accuracy()), (None, None));
        assert_eq!(counts.confusion(), [vec![0, 0], vec![0, 0]], "what is refused is not counted");
        counts.add(1, Some(1), None).unwrap();
        assert_eq!(counts.accuracy(), Some(100.0), "the last class is known");
    }

    #[test]
    fn negative_and_single_logits_name_a_class_too() {
        assert_eq!(top_class(&[-3.0, -1.0, -2.0]), Some(1));
        assert_eq!(top_class(&[-7.0]), Some(0));
        assert_eq!(top_class(&[1.0, f32::NEG_INFINITY]), None);
        assert_eq!(top_class(&[f32::NAN, 1.0]), None);
    }

    #[test]
    fn precision_is_by_column_and_recall_by_row() {
        let mut counts = Classification::new(2);
        for (label, predicted) in [(0, 0), (0, 1), (0, 1), (0, 1), (1, 1)] {
            counts.add(label, Some(predicted), None).unwrap();
        }
        let rows = counts.rows(&["a".to_owned(), "b".to_owned()]);
        assert_eq!((rows[0].precision, rows[0].recall), (Some(100.0), Some(25.0)));
        assert_eq!((rows[1].precision, rows[1].recall), (Some(25.0), Some(100.0)));
        assert_eq!((rows[0].class.as_str(), rows[1].class.as_str()), ("a", "b"));
        assert_eq!((rows[0].area, counts.confusion()), (None, [vec![1, 3], vec![0, 1]].as_slice()));
    }

    #[test]
    fn a_class_that_was_never_predicted_has_no_precision() {
        let mut counts = Classification::new(2);
        counts.add(0, Some(0), Some(0.25)).unwrap();
        counts.add(0, None, None).unwrap();
        counts.add(0, Some(0), Some(0.75)).unwrap();
        let rows = counts.rows(&["a".to_owned(), "b".to_owned()]);
        assert_eq!((rows[0].precision, rows[0].area), (Some(100.0), Some(50.0)));
        assert_eq!((rows[1].precision, rows[1].recall, rows[1].n), (None, None, 0));
    }
}
