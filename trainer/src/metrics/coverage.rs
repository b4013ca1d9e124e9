//! How much of the decisive region a map covers: intersection over union with the true mask.

use image::GrayImage;

use super::error::MetricsError;
use super::paired::paired;

/// Threshold of the mean IoU.
const HALF: f64 = 0.5;
/// Threshold of AUC-IoU (COMET's authors' code).
const HIGH: f64 = 0.9;
/// AUC-IoU asks for IoU of at least 0, 1/STEPS .. 1.
const STEPS: usize = 100;

/// IoU of the pixels with a value of at least `threshold` with the true ones, in `[0, 1]`; `None` if no
/// pixel is true. `map` is row by row and of the mask's size; 255 = true.
pub fn iou(map: &[f32], truth: &GrayImage, threshold: f64) -> Result<Option<f64>, MetricsError> {
    let (mut both, mut either, mut inside) = (0u64, 0u64, 0u64);
    for (value, is_true) in paired(map, truth)? {
        let predicted = f64::from(value) >= threshold;
        both += u64::from(predicted && is_true);
        either += u64::from(predicted || is_true);
        inside += u64::from(is_true);
    }
    Ok((inside > 0).then(|| both as f64 / either as f64))
}

/// The IoUs of all images whose true mask is not empty.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    half: Vec<f64>,
    high: Vec<f64>,
}

impl Coverage {
    /// Adds an image; one with an empty true mask is left out.
    pub fn add(&mut self, map: &[f32], truth: &GrayImage) -> Result<(), MetricsError> {
        self.half.extend(iou(map, truth, HALF)?);
        self.high.extend(iou(map, truth, HIGH)?);
        Ok(())
    }

    /// Images whose true mask is not empty.
    pub fn n(&self) -> usize {
        self.half.len()
    }

    /// Mean IoU of the map at 0.5, in percent; `None` without an image.
    pub fn iou50(&self) -> Option<f64> {
        let n = self.half.len();
        (n > 0).then(|| 100.0 * self.half.iter().sum::<f64>() / n as f64)
    }

    /// AUC-IoU in percent: the map is cut at 0.9; the proportion of images with an IoU of at least `th`
    /// is integrated over `th` = 0, 0.01 .. 1 (trapezoid rule). `None` without an image.
    ///
    /// Every IoU is at least 0, so the value is never below 0.5: half a step.
    pub fn auc_iou(&self) -> Option<f64> {
        let n = self.high.len();
        let proportion = |step: usize| {
            let least = step as f64 / STEPS as f64;
            self.high.iter().filter(|&&iou| iou >= least).count() as f64 / n as f64
        };
        let area: f64 = (0..STEPS).map(|step| (proportion(step) + proportion(step + 1)) / 2.0).sum();
        (n > 0).then(|| 100.0 * area / STEPS as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn left(columns: u32) -> GrayImage {
        GrayImage::from_fn(4, 1, |x, _| Luma([if x < columns { 255 } else { 0 }]))
    }

    #[test]
    fn iou_counts_values_from_the_threshold_on() {
        let map = [0.5, 0.25, 0.75, 0.0];
        assert_eq!(iou(&map, &left(2), 0.5).unwrap(), Some(1.0 / 3.0));
        assert_eq!(iou(&map, &left(2), 0.25).unwrap(), Some(2.0 / 3.0));
        assert_eq!(iou(&map, &left(3), 0.0).unwrap(), Some(3.0 / 4.0));
        assert_eq!(iou(&map, &left(2), 0.8).unwrap(), Some(0.0));
        assert_eq!(iou(&map, &left(0), 0.5).unwrap(), None);
        assert!(iou(&map[..3], &left(2), 0.5).is_err());
    }

    #[test]
    fn right_maps_cover_all_and_soft_maps_nothing() {
        let mut crisp = Coverage::default();
        crisp.add(&[1.0, 1.0, 0.0, 0.0], &left(2)).unwrap();
        assert_eq!(crisp.iou50(), Some(100.0));
        assert!((crisp.auc_iou().unwrap() - 100.0).abs() < 1e-9);
        let mut soft = Coverage::default();
        soft.add(&[0.8, 0.8, 0.1, 0.1], &left(2)).unwrap();
        assert_eq!(soft.iou50(), Some(100.0));
        assert!((soft.auc_iou().unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn empty_masks_are_left_out() {
        let mut coverage = Coverage::default();
        coverage.add(&[1.0; 4], &left(0)).unwrap();
        assert_eq!((coverage.n(), coverage.iou50(), coverage.auc_iou()), (0, None, None));
        coverage.add(&[1.0, 0.0, 0.0, 0.0], &left(2)).unwrap();
        coverage.add(&[0.0; 4], &left(0)).unwrap();
        coverage.add(&[1.0, 1.0, 0.0, 0.0], &left(2)).unwrap();
        assert_eq!((coverage.n(), coverage.iou50()), (2, Some(75.0)), "their IoUs are 1/2 and 1");
    }

    #[test]
    fn an_iou_counts_for_every_level_up_to_itself() {
        // One image with an IoU of exactly 1/2: it reaches the levels 0 to 0.50, and the last step is halved.
        let mut coverage = Coverage::default();
        coverage.add(&[1.0, 0.1, 0.1, 0.1], &left(2)).unwrap();
        assert!((coverage.auc_iou().unwrap() - 50.5).abs() < 1e-9, "{:?}", coverage.auc_iou());
        // With a second one that is perfect, half of the images reach the upper half of the levels.
        coverage.add(&[1.0, 1.0, 0.0, 0.0], &left(2)).unwrap();
        assert!((coverage.auc_iou().unwrap() - 75.25).abs() < 1e-9, "{:?}", coverage.auc_iou());
    }
}
