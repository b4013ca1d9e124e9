//! Flags, sampled checks, smoothing and withheld classes of `comet-edge run`.

use std::fs;

use comet_onnx::proto::ModelProto;
use comet_tests::program::{Finished, Program, comet_edge};
use comet_tests::small_model::{floats, manifest, model, with_checksum};
use comet_tests::{repository, shipped_model};
use serde_json::Value;

/// `comet-edge run` with the shipped model on its own calibration images.
fn run(words: &str) -> anyhow::Result<Program> {
    let images = repository().join("calib/hands/images/*/*.png");
    let program = comet_edge("run --model")?.arg(shipped_model("hands.int8.onnx"));
    Ok(program.words("--source").arg(images).words(words))
}

fn lines(program: &Program) -> anyhow::Result<Vec<Value>> {
    program.run()?.succeeds()?.json_lines()
}

/// The output of a run on a model that was changed by `change` and has a valid checksum, as anyone can compute it.
fn output_of(change: impl FnOnce(&mut ModelProto)) -> anyhow::Result<Finished> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("changed.onnx");
    let mut model = model();
    change(&mut model);
    fs::write(&file, with_checksum(&model, &manifest().to_string()))?;
    let program = comet_edge("run --source synthetic:64x64,0,1,8 --check-every 2 --model")?.arg(&file);
    program.run()?.succeeds()
}

fn set(model: &mut ModelProto, name: &str, values: &[f32]) {
    let tensors = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    for tensor in tensors.filter(|tensor| tensor.name == name) {
        *tensor = floats(name, &tensor.dims.clone(), values);
    }
}

#[test]
fn every_nth_prediction_is_checked_and_the_checks_name_the_judge() -> anyhow::Result<()> {
    let lines = lines(&run("--check-every 3 --frames 9")?)?;
    let checked: Vec<bool> = lines.iter().map(|line| line.get("checks").is_some()).collect();
    assert_eq!(checked, [true, false, false, true, false, false, true, false, false]);
    let checks = &lines[0]["checks"];
    // The shipped file carries no detector, and no reference was given.
    assert_eq!(checks["completeness"]["by"], "predictor");
    assert!(checks.get("drift").is_none());
    let iou = checks["stability"]["iou"].as_f64().unwrap_or(-1.0);
    assert!((0.0..=1.0).contains(&iou), "{checks}");
    let cut = checks["cut"]["probability"].as_f64().unwrap_or(-1.0);
    assert!((0.0..=1.0).contains(&cut), "{checks}");
    for line in lines.iter().filter(|line| line.get("checks").is_some()) {
        let flagged =
            line["flags"].as_array().is_some_and(|flags| flags.contains(&"class_changes_at_contour".into()));
        assert_eq!(line["checks"]["cut"]["same_class"], !flagged, "{line}");
    }
    Ok(())
}

#[test]
fn checks_can_be_turned_off_and_change_no_prediction() -> anyhow::Result<()> {
    let with = lines(&run("--check-every 1 --frames 6")?)?;
    let without = lines(&run("--check-every 0 --frames 6")?)?;
    assert!(without.iter().all(|line| line.get("checks").is_none()));
    for (with, without) in with.iter().zip(&without) {
        assert_eq!((&with["scores"], &with["mask"]), (&without["scores"], &without["mask"]));
    }
    Ok(())
}

#[test]
fn drift_is_measured_against_the_reference_and_another_model_is_not_a_reference() -> anyhow::Result<()> {
    let same = shipped_model("hands.int8.onnx");
    let lines = lines(&run("--check-every 2 --frames 4 --reference")?.arg(&same))?;
    let drift = &lines[0]["checks"]["drift"];
    assert_eq!((drift["iou"].as_f64(), drift["mae"].as_f64()), (Some(1.0), Some(0.0)), "{drift}");
    let other = run("--reference")?.arg(shipped_model("plants.int8.onnx"));
    other.run()?.ends_with(3)?.says(&["plants", "other classes"])?;
    Ok(())
}

#[test]
fn a_class_that_is_not_probable_enough_is_withheld_and_the_scores_are_not() -> anyhow::Result<()> {
    for line in lines(&run("--abstain-below 1 --frames 4 --top-k 2")?)? {
        assert!(line["class"].is_null() && line["probability"].is_null());
        assert!(line["flags"].as_array().is_some_and(|flags| flags.contains(&"abstained".into())), "{line}");
        assert_eq!(line["top"].as_array().map(Vec::len), Some(2));
    }
    let named = lines(&run("--abstain-below 0 --frames 4")?)?;
    assert!(named.iter().all(|line| line["class"].is_string()));
    Ok(())
}

#[test]
fn smoothed_predictions_are_marked_and_begin_with_the_first_frames_own() -> anyhow::Result<()> {
    let plain = lines(&run("--frames 5")?)?;
    let smoothed = lines(&run("--smooth=0.3 --frames 5")?)?;
    assert!(plain.iter().all(|line| line.get("smoothed").is_none()));
    assert!(smoothed.iter().all(|line| line["smoothed"] == true));
    assert_eq!(plain[0]["mask"], smoothed[0]["mask"]);
    assert_ne!(plain[4]["mask"], smoothed[4]["mask"]);
    // 0.3 of the second frame and 0.7 of the first.
    let mean = |lines: &[Value], frame: usize| lines[frame]["mask"]["mean"].as_f64().unwrap_or(f64::NAN);
    let expected = 0.7 * mean(&plain, 0) + 0.3 * mean(&plain, 1);
    assert!((mean(&smoothed, 1) - expected).abs() < 1e-5);
    Ok(())
}

#[test]
fn maps_that_show_nothing_or_everything_are_flagged_and_still_have_a_class() -> anyhow::Result<()> {
    for (bias, flag) in [(-40.0, "empty_map"), (40.0, "full_map")] {
        let finished = output_of(|model| set(model, "bias", &[bias]))?;
        for line in finished.json_lines()? {
            assert!(line["flags"].as_array().is_some_and(|flags| flags.contains(&flag.into())), "{line}");
            assert!(line["class"].is_string());
        }
    }
    Ok(())
}

#[test]
fn values_that_are_not_finite_never_become_a_confident_label() -> anyhow::Result<()> {
    // Finite weights whose sum is not: a file with NaN in it is refused before it runs. One of the two classes overflows,
    // whichever way the mean colour points.
    let finished = output_of(|model| {
        set(model, "class_weight", &[3e38, 3e38, 3e38, -3e38, -3e38, -3e38]);
        set(model, "class_bias", &[f32::MAX; 2]);
    })?;
    for line in finished.json_lines()? {
        assert_eq!(line["flags"][0], "invalid_explanation", "{line}");
        assert!(line["class"].is_null() && line.get("checks").is_none());
    }
    finished.says(&["with an invalid explanation"])?;
    Ok(())
}

#[test]
fn checks_that_fail_again_and_again_raise_one_alarm() -> anyhow::Result<()> {
    // Everything is left out, so whatever class the predictor names is still to be seen.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("blind.onnx");
    let mut model = model();
    set(&mut model, "bias", &[-40.0]);
    set(&mut model, "class_bias", &[0.0, 5.0]);
    fs::write(&file, with_checksum(&model, &manifest().to_string()))?;
    let program = comet_edge("run --source synthetic:64x64,0,1,40 --check-every 1 --model")?.arg(&file);
    let finished =
        program.run()?.succeeds()?.says(&["alarm: the class is recognised in what the map leaves out"])?;
    assert_eq!(finished.stderr.matches("alarm: the class is recognised").count(), 1, "{}", finished.stderr);
    let flagged =
        |line: &Value| line["flags"].as_array().is_some_and(|flags| flags.contains(&"incomplete".into()));
    assert!(finished.json_lines()?.iter().all(flagged));
    Ok(())
}
