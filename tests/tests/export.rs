//! `trainer export` and the gate, and `comet-edge verify` on what came out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use comet_engine::explain::left_out;
use comet_engine::model::{GateLimits, ModelFile, sha256_hex};
use comet_engine::run::{DetectorSession, Session};
use comet_tests::closeness::bits;
use comet_tests::fixture::{
    CLASSES, SIDE, Shared, TRAINING, VALIDATION, copy_folder, entries, image, shared, shared_folder,
    tiny_data, tiny_run,
};
use comet_tests::json::top_level_keys;
use comet_tests::program::{comet_edge, trainer};
use comet_tests::{repository, shipped_model};
use serde_json::{Value, json};

/// Limits that every quantized model keeps: the maps of a run of two epochs are close to constant.
const ANY: &str = "--max-mask-mae 1 --min-mask-iou 0 --min-mask-iou-p5 0 --min-mask-pearson=-1 \
                   --min-agreement 0 --max-accuracy-drop 100";

/// Both files of the tiny run, and its reference set.
struct Files {
    float: PathBuf,
    int8: PathBuf,
    reference: PathBuf,
}

fn files() -> anyhow::Result<&'static Files> {
    static FILES: Shared<Files> = Shared::new();
    shared(&FILES, || {
        let folder = shared_folder()?;
        let path = |name: &str| folder.join(name);
        let files = Files { float: path("f32.onnx"), int8: path("int8.onnx"), reference: path("calib") };
        let program = trainer("export --quantize")?.arg(tiny_run()?).words(ANY).arg("-o").arg(&files.int8);
        let program =
            program.arg("--float-out").arg(&files.float).arg("--reference-out").arg(&files.reference);
        program.run()?.succeeds()?.says(&["gate: int8 against float", "map MAE", "label agreement"])?;
        Ok(files)
    })
}

fn inspect(file: &Path) -> anyhow::Result<Value> {
    comet_edge("inspect --json")?.arg(file).run()?.succeeds()?.json()
}

#[test]
fn a_float_file_describes_itself() -> anyhow::Result<()> {
    let file = &files()?.float;
    let bytes = fs::read(file)?;
    let found = inspect(file)?;
    assert_eq!((found["bytes"].as_u64(), found["opset"].as_u64()), (Some(bytes.len() as u64), Some(18)));
    assert_eq!(found["sha256"], sha256_hex(&bytes));

    let manifest = &found["manifest"];
    assert_eq!(manifest["format_version"], 1);
    assert_eq!(manifest["name"], "tiny", "the name of the run's folder");
    assert_eq!(manifest["precision"], "float32");
    assert_eq!(manifest["preset"], "small");
    assert_eq!(manifest["fill"], 0.0);
    assert_eq!(manifest["classes"].as_array().map(Vec::len), Some(CLASSES));
    assert_eq!(
        (&manifest["preprocess"]["width"], &manifest["preprocess"]["height"]),
        (&json!(SIDE), &json!(SIDE))
    );
    assert_eq!(
        manifest["data"],
        json!({ "name": "plants", "train": TRAINING, "val": VALIDATION, "paste": 0.0 })
    );
    assert_eq!(
        (&manifest["training"]["epochs"], &manifest["training"]["detector_epochs"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&manifest["metrics"]["n"], &manifest["metrics"]["split"]),
        (&json!(VALIDATION), &json!("val"))
    );
    assert!(manifest["metrics"]["pxap"].is_f64());
    for key in ["float_sha256", "fidelity", "limits"] {
        assert!(manifest[key].is_null(), "a float file has no {key}");
    }
    Ok(())
}

#[test]
fn an_int8_file_names_its_parent_its_distance_and_its_limits() -> anyhow::Result<()> {
    let Files { float, int8, .. } = files()?;
    let (parent, found) = (inspect(float)?, inspect(int8)?);
    let manifest = &found["manifest"];
    assert_eq!(manifest["precision"], "int8");
    assert_eq!(manifest["float_sha256"], parent["sha256"]);
    assert_eq!(manifest["metrics"], parent["manifest"]["metrics"], "the float parent's");
    assert_eq!(manifest["fidelity"]["n"], VALIDATION);
    for key in ["mask_mae", "mask_iou_mean", "mask_iou_p5", "mask_pearson", "agreement", "accuracy_drop"] {
        assert!(manifest["fidelity"][key].is_f64(), "{key} in {}", manifest["fidelity"]);
    }
    assert_eq!(manifest["limits"]["max_mask_mae"], 1.0);
    assert!(found["operators"]["QuantizeLinear"].as_u64() > Some(10), "{}", found["operators"]);
    let size = |file: &Value| file["bytes"].as_u64().unwrap_or_default();
    assert!(2 * size(&found) < size(&parent), "{} and {} bytes", size(&found), size(&parent));
    Ok(())
}

#[test]
fn a_written_file_carries_its_checksum() -> anyhow::Result<()> {
    for file in [&files()?.float, &files()?.int8] {
        ModelFile::read(file)?;
        let mut bytes = fs::read(file)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        assert!(ModelFile::parse("damaged", &bytes, true).is_err(), "{}", file.display());
    }
    Ok(())
}

#[test]
fn a_file_with_its_detector_predicts_as_one_without_bit_for_bit() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let program = trainer("export --quantize --with-detector")?.arg(tiny_run()?).words(ANY);
    let program = program.arg("-o").arg(path("int8.onnx")).arg("--float-out").arg(path("f32.onnx"));
    program.run()?.succeeds()?.says(&["label agreement", "detector's agreement"])?;

    let Files { float, int8, .. } = files()?;
    for (with, without) in [(path("f32.onnx"), float), (path("int8.onnx"), int8)] {
        let (with, without) = (ModelFile::read(&with)?, ModelFile::read(without)?);
        let tensor = with.manifest().preprocess.tensor(&image(40, 30, 1));
        let (found, usual) = (Session::new(&with)?.run(&tensor)?, Session::new(&without)?.run(&tensor)?);
        assert_eq!(bits(&found.logits), bits(&usual.logits), "{}", with.name());
        assert!(bits(found.mask.values()) == bits(usual.mask.values()), "{}", with.name());

        assert!(DetectorSession::new(&without)?.is_none());
        let detector = DetectorSession::new(&with)?.context("there is no detector")?;
        let (rest, whole) = (detector.run(&left_out(&tensor, &found.mask))?, detector.run(&tensor)?);
        assert_eq!((rest.len(), whole.len()), (CLASSES, CLASSES));
        assert!(rest.iter().chain(&whole).all(|logit| logit.is_finite()));
    }
    Ok(())
}

#[test]
fn a_failed_gate_ends_with_1_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let program =
        trainer("export --quantize --max-mask-mae 0")?.arg(tiny_run()?).arg("-o").arg(path("int8.onnx"));
    let program = program.arg("--float-out").arg(path("f32.onnx")).arg("--reference-out").arg(path("calib"));
    program.run()?.ends_with(1)?.says(&["the gate failed", "map MAE", "hint:"])?;
    assert_eq!(entries(folder.path())?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_failed_gate_leaves_the_old_file_as_it_was() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("int8.onnx");
    fs::copy(&files()?.int8, &file)?;
    let program = trainer("export --quantize --max-mask-mae 0")?.arg(tiny_run()?).arg("-o").arg(&file);
    program.run()?.ends_with(1)?;
    assert_eq!(entries(folder.path())?, std::slice::from_ref(&file));
    assert!(fs::read(&file)? == fs::read(&files()?.int8)?);
    Ok(())
}

#[test]
fn every_method_gives_a_file_that_verifies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for method in ["minmax", "percentile", "mse"] {
        let file = folder.path().join(format!("{method}.onnx"));
        let program = trainer("export --quantize --calib-images 16 --method")?.arg(method).arg(tiny_run()?);
        program.words(ANY).arg("-o").arg(&file).run()?.succeeds()?;
        let verify = comet_edge("verify --model")?.arg(&file).arg("--calib").arg(&files()?.reference);
        let finished = verify.run()?.succeeds()?;
        assert!(finished.stdout.contains("pass"), "{method}: {}", finished.stdout);
    }
    trainer("export --quantize --method guess -o x.onnx run")?.run()?.ends_with(2)?.says(&["minmax"])?;
    Ok(())
}

#[test]
fn verify_against_the_float_file_prints_the_documented_keys() -> anyhow::Result<()> {
    let Files { float, int8, .. } = files()?;
    let images = tiny_data()?.join("images/val");
    let verify = comet_edge("verify --json --model")?.arg(int8).arg("--reference").arg(float);
    let verify = verify.arg("--images").arg(images);
    let finished = verify.run()?.succeeds()?;
    let expected = [
        "n",
        "mask_mae",
        "mask_iou_mean",
        "mask_iou_p5",
        "mask_pearson",
        "agreement",
        "accuracy_drop",
        "pass",
        "misses",
        "limits",
    ];
    assert_eq!(top_level_keys(&finished.stdout), expected);
    let found = finished.json()?;
    assert_eq!(
        (&found["n"], &found["pass"], &found["misses"]),
        (&json!(VALIDATION), &json!(true), &json!([]))
    );
    assert!(found["accuracy_drop"].is_f64(), "the folders give the true classes");
    assert_eq!(found["limits"]["max_mask_mae"], 1.0, "the limits are those of the file");

    let failed = verify.words("--max-mask-mae 0 --min-mask-pearson 1.1").run()?.ends_with(1)?;
    let found = failed.json()?;
    assert_eq!(found["pass"], false);
    assert_eq!(found["misses"].as_array().map(Vec::len), Some(2), "{}", found["misses"]);
    failed.says(&["missed: map MAE", "missed: map Pearson r"])?;
    Ok(())
}

#[test]
fn verify_against_stored_predictions_needs_no_float_file() -> anyhow::Result<()> {
    let Files { float, int8, reference } = files()?;
    let verify = comet_edge("verify --json --calib")?.arg(reference).arg("--model");
    let int8 = verify.clone().arg(int8).run()?.succeeds()?.json()?;
    assert_eq!((&int8["n"], &int8["pass"]), (&json!(VALIDATION), &json!(true)));

    // The float file made these predictions itself; they differ by the stored maps' rounding to 8 bits only.
    let usual = GateLimits::default();
    let float = verify.arg(float).run()?.succeeds()?.json()?;
    assert!(float["mask_mae"].as_f64().is_some_and(|mae| mae <= 0.5 / 255.0), "{float}");
    assert!(float["agreement"].as_f64() == Some(100.0) && float["limits"] == serde_json::to_value(usual)?);
    Ok(())
}

#[test]
fn a_reference_set_of_another_model_is_refused_with_the_field() -> anyhow::Result<()> {
    let Files { int8, reference, .. } = files()?;
    let verify = comet_edge("verify --model")?.arg(int8).arg("--calib");
    let shipped = repository().join("calib/hands");
    verify.clone().arg(shipped).run()?.ends_with(3)?.says(&["field 'model'", "'hands'", "'tiny'"])?;

    let folder = tempfile::tempdir()?;
    copy_folder(reference, folder.path())?;
    let index = folder.path().join("reference.json");
    let whole: Value = serde_json::from_slice(&fs::read(&index)?)?;
    let other_order: Vec<Value> = whole["classes"].as_array().into_iter().flatten().rev().cloned().collect();
    let changes = [
        ("model", json!("other"), 3, "field 'model'"),
        ("classes", json!(other_order), 3, "field 'classes'"),
        ("width", json!(64), 3, "field 'width'"),
        ("height", json!(64), 3, "field 'height'"),
        ("float_sha256", json!("0".repeat(64)), 3, "field 'float_sha256'"),
        ("images", json!([]), 3, "field 'images'"),
        ("format", json!(2), 5, "format 2"),
        ("classes", json!("six"), 5, "not a valid index of a reference set"),
    ];
    for (key, value, code, said) in changes {
        let mut changed = whole.clone();
        changed[key] = value;
        fs::write(&index, changed.to_string())?;
        verify.clone().arg(folder.path()).run()?.ends_with(code)?.says(&[said, "reference.json"])?;
    }
    Ok(())
}

#[test]
fn a_reference_set_cannot_lead_out_of_its_folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    copy_folder(&files()?.reference, folder.path())?;
    let index = folder.path().join("reference.json");
    let whole: Value = serde_json::from_slice(&fs::read(&index)?)?;
    for path in ["../../secret.png", "/etc/passwd", "flower-red/../../x.png", "flower-red/..", "none/0.png"] {
        for key in ["file", "mask"] {
            let mut changed = whole.clone();
            changed["images"][0][key] = json!(path);
            fs::write(&index, changed.to_string())?;
            let verify = comet_edge("verify --model")?.arg(&files()?.int8).arg("--calib").arg(folder.path());
            verify.run()?.ends_with(3)?.says(&[&format!("field '{key}'"), path])?;
        }
    }
    Ok(())
}

#[test]
fn a_float_file_that_is_not_the_parent_is_refused_with_the_field() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("other.onnx");
    trainer("export --name other")?.arg(tiny_run()?).arg("-o").arg(&other).run()?.succeeds()?;
    let Files { int8, .. } = files()?;
    let hands = shipped_model("hands.f32.onnx");
    let cases = [(&other, "float_sha256"), (int8, "precision"), (&hands, "classes")];
    for (reference, field) in cases {
        if !reference.is_file() {
            eprintln!("not tried: {} is not there", reference.display());
            continue;
        }
        let verify =
            comet_edge("verify --model")?.arg(int8).arg("--images").arg(tiny_data()?.join("images/val"));
        verify.arg("--reference").arg(reference).run()?.ends_with(3)?.says(&[&format!("field '{field}'")])?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_exported_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nowhere = folder.path().join("none/x.onnx");
    trainer("export")?
        .arg(tiny_run()?)
        .arg("-o")
        .arg(&nowhere)
        .run()?
        .ends_with(5)?
        .says(&["none/x.onnx"])?;
    let no_run = trainer("export")?.arg(folder.path()).arg("-o").arg(folder.path().join("x.onnx"));
    no_run.run()?.ends_with(3)?.says(&["holds no run"])?;
    let flags = trainer("export --float-out y.onnx -o x.onnx run")?;
    flags.run()?.ends_with(2)?.says(&["--quantize"])?;
    assert_eq!(entries(folder.path())?, [] as [PathBuf; 0]);
    Ok(())
}
