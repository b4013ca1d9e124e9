//! Running a bundle again.

use serde::Serialize;
use serde_json::Value;

use comet_engine::explain::masked;
use comet_engine::image::Mask;
use comet_engine::model::{Manifest, ModelError, ModelFile, Precision};
use comet_engine::prediction::softmax_at;
use comet_engine::run::{Kernels, Options, PredictorSession, Session, Tier};

use super::bundle::Bundle;

/// Float models may run on kernels that add in another order.
const FLOAT_TOLERANCE: f32 = 1e-3;
/// The last digits of an exponential function differ by system.
const PROBABILITY_TOLERANCE: f64 = 1e-5;

/// One step from the image to the logits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProofStep {
    /// What was compared.
    pub what: &'static str,
    /// Whether it is as the bundle says.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// The outcome of running a bundle again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// Whether every step holds.
    pub proven: bool,
    /// The steps, in the order of the way from files to logits.
    pub steps: Vec<ProofStep>,
}

/// Runs `model` on what `bundle` holds and compares every step with what the bundle says.
///
/// With an int8 model on integer kernels everything must be equal bit for bit, on any processor; where floats were
/// multiplied, the outputs of a network are given a tolerance of 0.001.
///
/// # Errors
/// The model cannot be prepared or run. A bundle that does not fit the model is not an error: it is not proven.
pub fn prove(bundle: &Bundle, model: &ModelFile, forced: Kernels) -> Result<Proof, ModelError> {
    let manifest = model.manifest();
    let kernels = kernels(bundle);
    let integers = manifest.precision == Precision::Int8 && matches!(kernels, Kernels::Tier(_));
    let tolerance = if integers { 0.0 } else { FLOAT_TOLERANCE };
    let options = Options { threads: 1, kernels: if forced == Kernels::Auto { kernels } else { forced } };
    let mut steps = vec![files(bundle), same_model(bundle, model)];
    let (width, height) = (manifest.preprocess.width as usize, manifest.preprocess.height as usize);
    let fits = bundle.input.len() == 3 * width * height && bundle.masked.len() == bundle.input.len();
    let map = Mask::new(width, height, bundle.mask.clone()).filter(|_| fits);
    if let Some(map) = map {
        let input = manifest.preprocess.tensor(&bundle.image);
        steps.push(compare("the image gives the model's input", &bundle.input, &input, 0.0));
        let again = Session::with_options(model, options)?.run(&bundle.input)?;
        steps.push(compare("the selector draws the map", &bundle.mask, again.mask.values(), tolerance));
        let shown = masked(&bundle.input, &map);
        steps.push(compare("input times map is what the predictor saw", &bundle.masked, &shown, 0.0));
        let logits = PredictorSession::with_options(model, options)?.run(&bundle.masked)?;
        steps.push(compare("the masked image alone gives the logits", &bundle.logits, &logits, tolerance));
        steps.extend(named(bundle, manifest));
    } else {
        let found = format!("the bundle's input, map or masked input is not of {width} x {height} pixels");
        steps.push(ProofStep { what: "the sizes fit the model", holds: false, found });
    }
    Ok(Proof { proven: steps.iter().all(|step| step.holds), steps })
}

/// Kernels of the kind that the prediction came from, and not whichever happen to be faster here: a board without dot
/// products may have chosen, by timing, to run an int8 file without its quantization.
fn kernels(bundle: &Bundle) -> Kernels {
    match bundle.info.kernels.as_str() {
        "float" => Kernels::Float,
        "tract" => Kernels::Tract,
        _ => Kernels::Tier(Tier::detect()),
    }
}

/// Whether the record names the likeliest class, with the probability that it has at the file's temperature. An average
/// over frames cannot be compared with one of them.
fn named(bundle: &Bundle, manifest: &Manifest) -> Option<ProofStep> {
    let record = &bundle.info.record;
    if record.get("smoothed").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let index = record.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
    let class = record.get("class").and_then(Value::as_str);
    let best = bundle.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let holds = match (index, class) {
        // Withheld, or not valid.
        (None, None) => true,
        (Some(index), Some(class)) => {
            bundle.logits.get(index) == Some(&best)
                && manifest.classes.get(index).is_some_and(|name| name == class)
                && is_probability(record, &bundle.logits, index, manifest.temperature as f32)
        }
        _ => false,
    };
    let probability = record.get("probability").and_then(Value::as_f64);
    let probability = probability.map(|p| format!(" with a probability of {p:.4}")).unwrap_or_default();
    let found = format!("it says {}{probability}", class.unwrap_or("no class"));
    Some(ProofStep { what: "the logits give the record's class", holds, found })
}

/// Whether the record's probability is the one that the logits give; a record without one claims none.
fn is_probability(record: &Value, logits: &[f32], index: usize, temperature: f32) -> bool {
    let Some(said) = record.get("probability").and_then(Value::as_f64) else { return true };
    let given = softmax_at(logits, temperature).get(index).copied().unwrap_or(0.0);
    (said - f64::from(given)).abs() <= PROBABILITY_TOLERANCE
}

fn files(bundle: &Bundle) -> ProofStep {
    let found = match bundle.altered.as_slice() {
        [] => "every SHA-256 is the listed one".to_owned(),
        altered => format!("altered after the bundle was written: {}", altered.join(", ")),
    };
    ProofStep { what: "the files are as they were written", holds: bundle.altered.is_empty(), found }
}

fn same_model(bundle: &Bundle, model: &ModelFile) -> ProofStep {
    let (theirs, ours) = (&bundle.info.model_sha256, model.sha256());
    let holds = theirs.eq_ignore_ascii_case(ours);
    let found = match holds {
        true => format!("{} {ours}", model.manifest().name),
        false => format!("the bundle is of {} {theirs}, this is {ours}", bundle.info.model),
    };
    ProofStep { what: "the model is the same file", holds, found }
}

fn compare(what: &'static str, bundle: &[f32], again: &[f32], tolerance: f32) -> ProofStep {
    let n = bundle.len();
    if n != again.len() {
        let found = format!("the bundle has {n} numbers, this run gives {}", again.len());
        return ProofStep { what, holds: false, found };
    }
    let apart = |(a, b): (&f32, &f32)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() };
    let differences = || bundle.iter().zip(again).map(apart);
    let differing = bundle.iter().zip(again).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    // NaN counts as the largest difference.
    let largest = differences().fold(0.0f32, |most, d| if d.is_nan() || d > most { d } else { most });
    let holds = differing == 0 || (tolerance > 0.0 && largest <= tolerance);
    let found = match differing {
        0 => format!("{n} numbers, equal bit for bit"),
        _ => format!("{differing} of {n} numbers differ, by up to {largest}"),
    };
    ProofStep { what, holds, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_names_how_many_numbers_differ_and_by_how_much() {
        assert!(compare("x", &[1.0, 2.0], &[1.0, 2.0], 0.0).holds);
        let step = compare("x", &[1.0, 2.0], &[1.0, 2.5], 0.0);
        assert!(!step.holds && step.found.contains("1 of 2") && step.found.contains("0.5"), "{step:?}");
        assert!(compare("x", &[1.0], &[1.0005], 1e-3).holds);
        assert!(!compare("x", &[f32::NAN], &[1.0], 1e-3).holds);
        assert!(!compare("x", &[1.0], &[], 1e-3).holds);
        // Zero and minus zero are equal numbers, but not the same bits.
        assert!(!compare("x", &[0.0], &[-0.0], 0.0).holds);
    }

    #[test]
    fn a_probability_is_that_of_the_logits_at_the_files_temperature() {
        let record = |p: f64| serde_json::json!({ "probability": p });
        let logits = [9f32.ln(), 0.0];
        assert!(is_probability(&record(0.9), &logits, 0, 1.0));
        assert!(is_probability(&record(0.75), &logits, 0, 2.0));
        assert!(!is_probability(&record(0.9), &logits, 0, 2.0));
        assert!(is_probability(&serde_json::json!({}), &logits, 0, 2.0));
    }
}
