//! `comet-edge doctor`: what it looks at, and when it fails.

use std::fs;

use comet_tests::fixture::copy_folder;
use comet_tests::json::top_level_keys;
use comet_tests::program::{Finished, comet_edge};
use comet_tests::{repository, shipped_model};
use serde_json::Value;

/// The checks, in their order.
const CHECKS: [&str; 11] = [
    "camera",
    "permissions",
    "formats",
    "processor",
    "model",
    "calibration",
    "memory",
    "temperature",
    "disk",
    "programs",
    "clock",
];

fn check(finished: &Finished, name: &str) -> anyhow::Result<Value> {
    let found = finished.json()?;
    let checks = found["checks"].as_array().cloned().unwrap_or_default();
    Ok(checks.into_iter().find(|check| check["name"] == name).unwrap_or_default())
}

fn detail(check: &Value) -> &str {
    check["detail"].as_str().unwrap_or_default()
}

#[test]
fn every_check_is_there_whatever_fails_and_each_fault_has_its_fix() -> anyhow::Result<()> {
    for words in ["doctor --json", "doctor --json --model no-such.onnx"] {
        let finished = comet_edge(words)?.run()?;
        assert_eq!(top_level_keys(&finished.stdout), ["pass", "checks"]);
        let found = finished.json()?;
        let checks = found["checks"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
        assert_eq!(names, CHECKS);
        for check in &checks {
            let status = check["status"].as_str().unwrap_or_default();
            assert!(["ok", "warn", "fail"].contains(&status) && !detail(check).is_empty(), "{check}");
            assert_eq!(check["fix"].is_null(), status == "ok", "{check}");
        }
        let failed = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!((finished.code, &found["pass"]), (Some(i32::from(failed)), &Value::Bool(!failed)));
    }
    Ok(())
}

#[test]
fn a_damaged_model_fails() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("hands.onnx");
    let mut bytes = fs::read(shipped_model("hands.int8.onnx"))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes)?;
    let finished = comet_edge("doctor --json --model")?.arg(&file).run()?.ends_with(1)?;
    let model = check(&finished, "model")?;
    assert!(model["status"] == "fail" && detail(&model).contains("SHA-256"), "{model}");
    let text = comet_edge("doctor --model")?.arg(&file).run()?.ends_with(1)?.stdout;
    assert!(text.contains("fail  model:") && text.contains("fix: copy the file again"), "{text}");
    Ok(())
}

#[test]
fn a_model_is_compared_with_the_calibration_images_beside_it() -> anyhow::Result<()> {
    let finished = comet_edge("doctor --json --model")?.arg(shipped_model("hands.int8.onnx")).run()?;
    let calibration = check(&finished, "calibration")?;
    assert!(calibration["status"] == "ok" && detail(&calibration).contains("(n = 16)"), "{calibration}");

    // Images of another model, and maps that are not those of the float model.
    let plants = repository().join("calib/plants");
    let other = comet_edge("doctor --json --calib")?.arg(plants).run()?.ends_with(1)?;
    assert_eq!(check(&other, "calibration")?["status"], "fail");
    let folder = tempfile::tempdir()?;
    copy_folder(&repository().join("calib/hands"), folder.path())?;
    for class in fs::read_dir(folder.path().join("masks"))? {
        for mask in fs::read_dir(class?.path())? {
            let mask = mask?.path();
            let mut image = image::open(&mask)?.into_luma8();
            image.pixels_mut().for_each(|pixel| pixel.0[0] = 255 - pixel.0[0]);
            image.save(&mask)?;
        }
    }
    let with_hands = comet_edge("doctor --json --model")?.arg(shipped_model("hands.int8.onnx"));
    let wrong = with_hands.arg("--calib").arg(folder.path()).run()?.ends_with(1)?;
    let calibration = check(&wrong, "calibration")?;
    assert!(detail(&calibration).contains("map IoU"), "{calibration}");
    Ok(())
}

#[test]
fn a_folder_for_recordings_that_cannot_be_written_to_fails() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = comet_edge("doctor --json --record")?.arg(folder.path().join("new")).run()?;
    let disk = check(&finished, "disk")?;
    assert!(disk["status"] != "fail" && detail(&disk).contains("MiB free"), "{disk}");
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "nothing is left behind");
    // Not even root can write below a file.
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let finished = comet_edge("doctor --json --record")?.arg(file.join("out")).run()?.ends_with(1)?;
    assert_eq!(check(&finished, "disk")?["status"], "fail");
    Ok(())
}
