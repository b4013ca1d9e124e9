//! The model: is the file whole, does it give predictions, and are they those of the float model?

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use comet_engine::explain::{AgreementSummary, CompareError, MaskAgreement, ReferenceError, ReferenceSet};
use comet_engine::model::{Fidelity, GateLimits, ModelFile};
use comet_engine::run::Session;

use super::check::Check;
use crate::cli::args::ModelArgs;
use crate::cli::{environment, model};
use crate::source::SyntheticScene;

/// The largest number of calibration images that is predicted: a check, not a measurement.
const IMAGES: usize = 16;
const MODEL: &str = "model";
const CALIBRATION: &str = "calibration";

/// The model predicts a drawn image, and calibration images as its float parent did.
pub(super) fn checks(args: &ModelArgs, calib: Option<&Path>) -> [Check; 2] {
    let fix = match args.model {
        Some(_) => "copy the file again, or name another one with --model",
        None => "the program is damaged or built wrong: install it again",
    };
    let tried = || -> Result<_, Box<dyn Error>> {
        let model = model::load(args)?;
        let (session, detail) = try_out(&model)?;
        Ok((model, session, detail))
    };
    match tried() {
        Ok((model, mut session, detail)) => {
            let set = find_set(&model, args.model.as_deref(), calib);
            [checksum(args, detail), calibration(&model, &mut session, set)]
        }
        Err(error) => {
            let skipped = Check::warn(CALIBRATION, "not checked without a model", "fix the model first");
            [Check::fail(MODEL, error.to_string(), fix), skipped]
        }
    }
}

fn try_out(model: &ModelFile) -> Result<(Session, String), Box<dyn Error>> {
    let mut session = Session::with_options(model, environment::engine(1)?)?;
    let image = SyntheticScene::default().draw(0);
    let started = Instant::now();
    let explanation = session.explain(&image)?;
    let ms = 1000.0 * started.elapsed().as_secs_f64();
    let manifest = model.manifest();
    if !explanation.is_valid() || explanation.logits.len() != manifest.classes.len() {
        return Err("its prediction for a drawn image is not valid".into());
    }
    let digits = model.sha256().get(..12).unwrap_or_default();
    let plan = session.plan();
    let why = plan.remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
    let detail = format!(
        "{} ({}, SHA-256 {digits}...) predicts a drawn image in {ms:.1} ms (n = 1); kernels: {}{why}",
        manifest.name, manifest.precision, plan.kernels
    );
    Ok((session, detail))
}

/// A file whose checksum was not verified may be damaged and still give predictions.
fn checksum(args: &ModelArgs, detail: String) -> Check {
    match args.model.is_some() && args.skip_hash {
        true => Check::warn(MODEL, format!("{detail}; its checksum was not verified"), "remove --skip-hash"),
        false => Check::ok(MODEL, detail),
    }
}

fn calibration(
    model: &ModelFile,
    session: &mut Session,
    set: Result<Option<ReferenceSet>, ReferenceError>,
) -> Check {
    let other = "name the folder that was exported with this very model, or copy it again";
    let set = match set {
        Ok(Some(set)) => set,
        Ok(None) => {
            let detail = "not checked: no images of this model beside it or the program (--calib DIR)";
            return Check::ok(CALIBRATION, detail);
        }
        Err(error) => return Check::fail(CALIBRATION, error.to_string(), other),
    };
    let fidelity = match compare_sample(session, &set) {
        Ok(fidelity) => fidelity,
        Err(error) => return Check::fail(CALIBRATION, error.to_string(), other),
    };
    let misses = sample_limits(model.manifest().limits.unwrap_or_default(), fidelity.n).misses(&fidelity);
    if misses.is_empty() {
        let Fidelity { n, mask_iou_mean, agreement, .. } = fidelity;
        let detail = format!("as in float: map IoU {mask_iou_mean:.3}, classes {agreement:.0} % (n = {n})");
        return Check::ok(CALIBRATION, detail);
    }
    let fix = "run 'comet-edge verify' with --model and --calib; if COMET_EDGE_KERNEL=scalar passes there, \
               the fast kernels are wrong: report it";
    Check::fail(CALIBRATION, format!("{} (n = {})", misses.join("; "), fidelity.n), fix)
}

/// The set that was named, or the first that fits the model among those near it.
///
/// # Errors
/// The named set cannot be used with the model.
fn find_set(
    model: &ModelFile,
    file: Option<&Path>,
    named: Option<&Path>,
) -> Result<Option<ReferenceSet>, ReferenceError> {
    let fitting = |folder: &Path| -> Result<ReferenceSet, ReferenceError> {
        let set = ReferenceSet::read(folder)?;
        set.check_model(model)?;
        Ok(set)
    };
    match named {
        Some(folder) => fitting(folder).map(Some),
        None => {
            let folders = usual_folders(&model.manifest().name, file);
            Ok(folders.iter().find_map(|folder| fitting(folder).ok()))
        }
    }
}

/// `calib/<name>` beside the model and the program, and one level above.
fn usual_folders(name: &str, file: Option<&Path>) -> Vec<PathBuf> {
    let name = Path::new(name);
    // The name comes from the file: it must not lead out of calib/.
    if name.file_name() != Some(name.as_os_str()) {
        return Vec::new();
    }
    let program = std::env::current_exe().ok();
    let beside = [file, program.as_deref()].into_iter().flatten().filter_map(Path::parent);
    let bases = beside.flat_map(|folder| [folder.to_path_buf(), folder.join("..")]);
    bases.map(|base| base.join("calib").join(name)).collect()
}

/// Predicts images from all over the set.
fn compare_sample(session: &mut Session, set: &ReferenceSet) -> Result<Fidelity, CompareError> {
    let step = set.index().images.len().div_ceil(IMAGES).max(1);
    let mut summary = AgreementSummary::default();
    for case in set.cases().step_by(step) {
        let case = case?;
        let explanation = session.explain(&case.image)?;
        let (reference, other) = (&case.prediction.mask, &explanation.mask);
        let agreement = MaskAgreement::between(reference, other).ok_or(CompareError::Size {
            reference: (reference.width(), reference.height()),
            other: (other.width(), other.height()),
        })?;
        summary.add(agreement, case.prediction.top(), explanation.top(), Some(case.truth));
    }
    summary.finish().ok_or(CompareError::NoImages)
}

/// One odd image among few does not count as a miss: `verify` is for looking at the whole set.
fn sample_limits(limits: GateLimits, n: usize) -> GateLimits {
    GateLimits {
        min_agreement: limits.min_agreement - 100.0 / n.max(1) as f64,
        min_mask_iou_p5: 0.0,
        max_accuracy_drop: 100.0,
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn the_built_in_model_gives_predictions() {
        let args = ModelArgs { model: None, skip_hash: false };
        let [model, calibration] = checks(&args, None);
        assert_eq!(model.status, Status::Ok, "{}", model.detail);
        assert_eq!(calibration.status, Status::Ok, "{}", calibration.detail);
        let [_, calibration] = checks(&args, Some(Path::new("no such folder")));
        assert!(calibration.status == Status::Fail && calibration.detail.contains("no such folder"));
    }

    #[test]
    fn a_damaged_file_fails_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.onnx");
        std::fs::write(&file, "no model").unwrap();
        let [model, calibration] = checks(&ModelArgs { model: Some(file), skip_hash: false }, None);
        assert!(model.status == Status::Fail && model.detail.contains("m.onnx"), "{model:?}");
        assert_eq!(calibration.status, Status::Warn);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        assert!(usual_folders("hands", None).iter().all(|folder| folder.ends_with("calib/hands")));
        assert!(!usual_folders("hands", Some(Path::new("models/m.onnx"))).is_empty());
        for name in ["", "..", "../x", "a/b", "/etc"] {
            assert!(usual_folders(name, Some(Path::new("m.onnx"))).is_empty(), "{name}");
        }
    }

    #[test]
    fn one_odd_image_of_sixteen_is_accepted_and_a_wrong_map_is_not() {
        let limits = sample_limits(GateLimits::default(), 16);
        let mut fidelity = Fidelity {
            n: 16,
            mask_mae: 0.01,
            mask_iou_mean: 0.95,
            mask_iou_p5: 0.1,
            mask_pearson: 0.99,
            agreement: 93.75,
            accuracy_drop: Some(6.25),
        };
        assert!(limits.misses(&fidelity).is_empty());
        fidelity.agreement = 87.5;
        assert_eq!(limits.misses(&fidelity).len(), 1);
        fidelity.mask_iou_mean = 0.5;
        assert_eq!(limits.misses(&fidelity).len(), 2);
    }
}
