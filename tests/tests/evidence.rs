//! Bundles of evidence, and `comet-edge prove`.

use std::fs;
use std::path::{Path, PathBuf};

use comet_engine::model::sha256_hex;
use comet_tests::program::{Program, comet_edge};
use comet_tests::{repository, shipped_model};
use serde_json::Value;

/// A folder with a bundle about one shipped image.
struct Evidence {
    _folder: tempfile::TempDir,
    bundle: PathBuf,
}

fn evidence() -> anyhow::Result<Evidence> {
    let folder = tempfile::tempdir()?;
    let image = repository().join("calib/hands/images/0/0000.png");
    let program = comet_edge("predict --json --model")?.arg(shipped_model("hands.int8.onnx"));
    let ended = program.words("--evidence").arg(folder.path()).arg(&image).run()?.succeeds()?;
    let written = ended.json()?["evidence"].as_str().map(PathBuf::from);
    let bundle = written.ok_or_else(|| anyhow::anyhow!("the record names no evidence: {}", ended.stdout))?;
    Ok(Evidence { _folder: folder, bundle })
}

fn prove(bundle: &Path, model: &str) -> anyhow::Result<Program> {
    Ok(comet_edge("prove --json --model")?.arg(shipped_model(model)).arg(bundle))
}

/// The steps that do not hold.
fn failing(line: &Value) -> Vec<String> {
    let steps = line["steps"].as_array().cloned().unwrap_or_default();
    let failing = steps.iter().filter(|step| step["holds"] == false);
    failing.filter_map(|step| step["what"].as_str().map(str::to_owned)).collect()
}

/// Writes the list of sums again, as anyone who alters a bundle can.
fn sum_again(bundle: &Path) -> anyhow::Result<()> {
    let sums = fs::read_to_string(bundle.join("SHA256SUMS"))?;
    let names = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name.to_owned());
    let mut lines = String::new();
    for name in names {
        lines.push_str(&format!("{}  {name}\n", sha256_hex(&fs::read(bundle.join(&name))?)));
    }
    fs::write(bundle.join("SHA256SUMS"), lines)?;
    Ok(())
}

#[test]
fn a_bundle_gives_the_same_logits_from_the_masked_image_alone() -> anyhow::Result<()> {
    let evidence = evidence()?;
    let ended = prove(&evidence.bundle, "hands.int8.onnx")?.run()?.succeeds()?;
    let line = ended.json()?;
    assert_eq!(line["proven"], true);
    let steps = line["steps"].as_array().cloned().unwrap_or_default();
    assert_eq!(steps.len(), 7, "{line}");
    assert!(
        steps
            .iter()
            .skip(2)
            .take(4)
            .all(|step| step["found"].as_str().is_some_and(|f| f.ends_with("equal bit for bit")))
    );
    // The list is one that the usual tool reads.
    let words = ["-c", "--strict", "SHA256SUMS"];
    let checked =
        std::process::Command::new("sha256sum").args(words).current_dir(&evidence.bundle).output()?;
    assert!(checked.status.success());
    Ok(())
}

#[test]
fn other_kernels_prove_it_too() -> anyhow::Result<()> {
    let evidence = evidence()?;
    let program = prove(&evidence.bundle, "hands.int8.onnx")?.env("COMET_EDGE_KERNEL", "scalar");
    assert_eq!(program.run()?.succeeds()?.json()?["proven"], true);
    Ok(())
}

#[test]
fn one_changed_pixel_is_found_even_if_the_sums_were_made_again() -> anyhow::Result<()> {
    let evidence = evidence()?;
    let path = evidence.bundle.join("frame.png");
    let mut image = image::open(&path)?.into_rgb8();
    let (x, y) = (image.width() / 2, image.height() / 2);
    image.get_pixel_mut(x, y).0[1] ^= 0x40;
    image.save(&path)?;
    let line = prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(1)?.json()?;
    let input = "the image gives the model's input";
    assert_eq!(failing(&line), ["the files are as they were written", input]);
    sum_again(&evidence.bundle)?;
    let line = prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(1)?.json()?;
    assert_eq!(failing(&line), [input]);
    Ok(())
}

#[test]
fn a_changed_number_fails_the_step_that_it_belongs_to() -> anyhow::Result<()> {
    for (file, step) in [
        ("masked.f32", "input times map is what the predictor saw"),
        ("mask.f32", "the selector draws the map"),
        ("logits.f32", "the masked image alone gives the logits"),
        ("input.f32", "the image gives the model's input"),
    ] {
        let evidence = evidence()?;
        let path = evidence.bundle.join(file);
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 8 * 4;
        // The sign of one number.
        bytes[middle + 3] ^= 0x80;
        bytes[middle + 2] ^= 0x20;
        fs::write(&path, bytes)?;
        sum_again(&evidence.bundle)?;
        let line = prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(1)?.json()?;
        assert!(failing(&line).iter().any(|what| what == step), "{file}: {line}");
    }
    Ok(())
}

#[test]
fn a_record_that_names_another_class_is_not_proven() -> anyhow::Result<()> {
    let evidence = evidence()?;
    let path = evidence.bundle.join("evidence.json");
    let text = fs::read_to_string(&path)?;
    let altered = text.replace("\"class\": \"0\"", "\"class\": \"7\"");
    assert_ne!(text, altered);
    fs::write(&path, altered)?;
    sum_again(&evidence.bundle)?;
    let line = prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(1)?.json()?;
    assert_eq!(failing(&line), ["the logits give the record's class"]);
    Ok(())
}

#[test]
fn a_bundle_of_a_board_that_chose_float_is_run_again_in_float() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let image = repository().join("calib/hands/images/0/0000.png");
    let program = comet_edge("predict --json --model")?.arg(shipped_model("hands.int8.onnx"));
    let program = program.words("--evidence").arg(folder.path()).arg(&image);
    let ended = program.env("COMET_EDGE_KERNEL", "float").run()?.succeeds()?.json()?;
    let bundle = PathBuf::from(ended["evidence"].as_str().unwrap_or_default());
    assert_eq!(prove(&bundle, "hands.int8.onnx")?.run()?.succeeds()?.json()?["proven"], true);
    Ok(())
}

#[test]
fn another_model_proves_nothing() -> anyhow::Result<()> {
    let evidence = evidence()?;
    let line = prove(&evidence.bundle, "plants.int8.onnx")?.run()?.ends_with(1)?.json()?;
    assert!(failing(&line).contains(&"the model is the same file".to_owned()), "{line}");
    Ok(())
}

#[test]
fn a_folder_that_is_not_a_whole_bundle_is_named_with_its_fault() -> anyhow::Result<()> {
    let empty = tempfile::tempdir()?;
    prove(empty.path(), "hands.int8.onnx")?.run()?.ends_with(5)?.says(&[
        "SHA256SUMS",
        "hint: ",
        "--evidence",
    ])?;
    let evidence = evidence()?;
    fs::remove_file(evidence.bundle.join("masked.f32"))?;
    prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(5)?.says(&["masked.f32"])?;
    fs::write(evidence.bundle.join("SHA256SUMS"), format!("{}  ../../etc/passwd\n", "0".repeat(64)))?;
    prove(&evidence.bundle, "hands.int8.onnx")?.run()?.ends_with(5)?.says(&["malformed in line 1"])?;
    Ok(())
}

#[test]
fn flagged_predictions_of_a_run_leave_one_bundle_a_minute() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program =
        comet_edge("run --source synthetic:64x64,0,1,20 --abstain-below 1 --evidence")?.arg(folder.path());
    program.run()?.succeeds()?;
    let bundles: Vec<PathBuf> = fs::read_dir(folder.path())?.flatten().map(|entry| entry.path()).collect();
    assert_eq!(bundles.len(), 1, "{bundles:?}");
    comet_edge("prove")?.arg(&bundles[0]).run()?.succeeds()?;
    Ok(())
}
