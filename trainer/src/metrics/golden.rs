//! The measures against the values of an independent implementation, `tests/reference/metrics.py`.

use comet_engine::explain::MaskAgreement;
use comet_engine::image::Mask;
use image::{GrayImage, Luma};
use serde::Deserialize;

use super::calibration::{LabelledLogits, Reliability, fit_temperature};
use super::coverage::{Coverage, iou};
use super::localisation::Localisation;

/// Largest accepted difference, in the golden value's own unit.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    /// Map values are integers, to be divided by this.
    scale: f32,
    /// Columns and rows.
    size: u32,
    maps: Vec<Vec<u8>>,
    masks: Vec<Vec<u8>>,
    expected: Expected,
    agreement: Vec<Agreement>,
}

#[derive(Deserialize)]
struct Expected {
    pxap19: f64,
    pxap1000: f64,
    iou50: f64,
    auc_iou90: f64,
    iou50_per_image: Vec<f64>,
    iou90_per_image: Vec<f64>,
    images_with_a_mask: Vec<usize>,
}

#[derive(Deserialize)]
struct Agreement {
    a: usize,
    b: usize,
    mae: f64,
    iou50: f64,
    /// Null where a map is constant.
    pearson: Option<f64>,
}

impl Golden {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/metrics.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn maps(&self) -> Vec<Vec<f32>> {
        let map = |map: &Vec<u8>| map.iter().map(|&k| f32::from(k) / self.scale).collect();
        self.maps.iter().map(map).collect()
    }

    fn truths(&self) -> Vec<GrayImage> {
        let truth = |mask: &Vec<u8>| {
            let bytes = mask.iter().map(|&mark| mark * 255).collect();
            GrayImage::from_raw(self.size, self.size, bytes).unwrap()
        };
        self.masks.iter().map(truth).collect()
    }
}

fn assert_near(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= TOLERANCE, "{name}: {found} instead of {expected}");
}

#[test]
fn localisation_agrees_with_the_reference() {
    let golden = Golden::read();
    let mut histograms = Localisation::default();
    for (map, truth) in golden.maps().iter().zip(&golden.truths()) {
        histograms.add(map, truth).unwrap();
    }
    assert_near("PxAP", histograms.pxap().unwrap(), golden.expected.pxap19);
    assert_near("PxAP (1,000)", histograms.pxap_1000().unwrap(), golden.expected.pxap1000);
}

#[test]
fn coverage_agrees_with_the_reference() {
    let golden = Golden::read();
    let (maps, truths) = (golden.maps(), golden.truths());
    let mut coverage = Coverage::default();
    let (mut half, mut high, mut with_mask) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (map, truth)) in maps.iter().zip(&truths).enumerate() {
        coverage.add(map, truth).unwrap();
        half.extend(iou(map, truth, 0.5).unwrap());
        high.extend(iou(map, truth, 0.9).unwrap());
        with_mask.extend(truth.pixels().any(|mark| *mark == Luma([255])).then_some(index));
    }
    let expected = &golden.expected;
    assert_eq!(with_mask, expected.images_with_a_mask);
    assert_eq!((half.len(), high.len()), (with_mask.len(), with_mask.len()));
    for (found, &wanted) in half.into_iter().zip(&expected.iou50_per_image) {
        assert_near("IoU at 0.5 of one image", found, wanted);
    }
    for (found, &wanted) in high.into_iter().zip(&expected.iou90_per_image) {
        assert_near("IoU at 0.9 of one image", found, wanted);
    }
    assert_near("IoU at 0.5", coverage.iou50().unwrap(), expected.iou50);
    assert_near("AUC-IoU", coverage.auc_iou().unwrap(), expected.auc_iou90);
}

#[test]
fn the_agreement_of_two_maps_agrees_with_the_reference() {
    let golden = Golden::read();
    let side = golden.size as usize;
    let maps: Vec<Mask> = golden.maps().into_iter().map(|map| Mask::new(side, side, map).unwrap()).collect();
    assert!(!golden.agreement.is_empty());
    for pair in &golden.agreement {
        let found = MaskAgreement::between(&maps[pair.a], &maps[pair.b]).unwrap();
        assert_near("MAE", found.mae, pair.mae);
        assert_near("IoU", found.iou, pair.iou50);
        // Where the correlation is not defined, the runtime says 0 for maps that differ.
        assert_near("Pearson", found.pearson, pair.pearson.unwrap_or(0.0));
    }
}

/// Made by `tests/reference/make_calibration_golden.py`.
#[derive(Deserialize)]
struct CalibrationGolden {
    /// Logits are integers, to be divided by this.
    scale: f32,
    cases: Vec<CalibrationCase>,
}

#[derive(Deserialize)]
struct CalibrationCase {
    name: String,
    classes: usize,
    logits: Vec<i16>,
    labels: Vec<usize>,
    temperature: f64,
    /// At a temperature of 1.
    before: Reliability,
    /// At `temperature`, rounded to four decimals.
    after: Reliability,
}

#[test]
fn temperatures_and_calibration_errors_agree_with_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/calibration.json");
    let golden: CalibrationGolden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 3);
    for case in &golden.cases {
        let values: Vec<f32> = case.logits.iter().map(|&unit| f32::from(unit) / golden.scale).collect();
        let mut logits = LabelledLogits::new(case.classes);
        values.chunks(case.classes).zip(&case.labels).for_each(|(row, &label)| logits.add(row, label));
        assert_eq!(logits.len(), case.labels.len(), "{}", case.name);
        let temperature = fit_temperature(&logits).unwrap();
        let away = (temperature - case.temperature).abs();
        assert!(away <= 0.51e-4, "{}: {temperature} instead of {}", case.name, case.temperature);
        for (t, expected) in [(1.0, case.before), (temperature, case.after)] {
            let found = Reliability::at(&logits, t);
            assert_near(&format!("{}, ECE", case.name), found.ece, expected.ece);
            assert_near(&format!("{}, NLL", case.name), found.nll, expected.nll);
        }
    }
}
