//! `comet-edge` on images, and its commands about models and machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use comet_tests::fixture::{entries, first_file, image, jpeg};
use comet_tests::json::top_level_keys;
use comet_tests::program::{Program, comet_edge};
use comet_tests::{repository, shipped_model};
use image::ColorType;
use serde_json::Value;

/// The fields of a record that are always there, in their order.
const FIELDS: [&str; 10] =
    ["schema", "source", "frame", "class", "index", "probability", "scores", "mask", "ms", "flags"];

/// A command with the shipped model.
fn with_hands(words: &str) -> anyhow::Result<Program> {
    let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
    Ok(comet_edge(command)?.arg("--model").arg(shipped_model("hands.int8.onnx")).words(rest))
}

/// One of the shipped frames.
fn shipped_frame() -> anyhow::Result<PathBuf> {
    let classes = entries(&repository().join("calib/hands/images"))?;
    first_file(&classes[0])
}

/// A folder with two images, a damaged one, a cut one and one that claims to be huge.
fn write_images(folder: &Path) -> anyhow::Result<()> {
    image(80, 60, 1).save(folder.join("a.png"))?;
    let whole = jpeg(&image(80, 60, 2))?;
    fs::write(folder.join("b.jpg"), &whole)?;
    fs::write(folder.join("c.png"), "no image")?;
    fs::write(folder.join("d.jpg"), &whole[..whole.len() / 2])?;
    let mut huge = whole;
    let size = huge.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap_or_default() + 5;
    huge[size..size + 4].fill(0xff);
    fs::write(folder.join("e.jpg"), huge)?;
    fs::write(folder.join("notes.txt"), "not looked at")?;
    Ok(())
}

#[test]
fn predict_prints_a_line_an_image() -> anyhow::Result<()> {
    let frame = shipped_frame()?;
    let finished = with_hands("predict")?.arg(&frame).run()?.succeeds()?;
    let line = finished.stdout.trim_end();
    assert!(line.starts_with(&frame.display().to_string()) && line.ends_with(" ms"), "{line}");
    assert!(line.contains(" %  map ") && finished.stdout.lines().count() == 1, "{line}");
    Ok(())
}

#[test]
fn a_prediction_as_json_has_the_documented_fields_in_order() -> anyhow::Result<()> {
    let frame = shipped_frame()?;
    let finished = with_hands("predict --json")?.arg(&frame).run()?.succeeds()?;
    assert_eq!(top_level_keys(&finished.stdout), FIELDS);
    let found = finished.json()?;
    assert_eq!((found["schema"].as_u64(), found["frame"].as_u64()), (Some(2), Some(0)));
    assert_eq!(found["source"], frame.display().to_string());
    let scores: Vec<f64> = found["scores"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(scores.len(), 10);
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{scores:?}");
    let index = found["index"].as_u64().unwrap() as usize;
    assert_eq!(found["probability"].as_f64(), Some(scores[index]));
    assert!(scores.iter().all(|score| *score <= scores[index]));
    assert_eq!(found["class"], index.to_string(), "the classes are ten digits");
    for key in ["mean", "area", "entropy", "border"] {
        assert!(found["mask"][key].as_f64().is_some_and(|value| (0.0..=1.0).contains(&value)), "{key}");
    }
    let ms = |key: &str| found["ms"][key].as_f64().unwrap();
    assert!(ms("total") >= ms("inference") && ms("inference") > 0.0, "{}", found["ms"]);
    assert!(ms("decode") >= 0.0 && ms("preprocess") >= 0.0, "{}", found["ms"]);
    Ok(())
}

#[test]
fn files_are_written_where_they_are_asked_for_and_named_in_the_record() -> anyhow::Result<()> {
    let out = tempfile::tempdir()?;
    let program = with_hands("predict --json --top-k 3")?.arg(shipped_frame()?);
    let program = program.arg("--masks").arg(out.path()).arg("--overlay").arg(out.path());
    let finished = program.arg("--dump-input").arg(out.path()).run()?.succeeds()?;
    let more = ["top", "mask_file", "input_file", "overlay_file"];
    assert_eq!(top_level_keys(&finished.stdout), [&FIELDS[..], &more[..]].concat());
    let found = finished.json()?;
    let top: Vec<f64> =
        found["top"].as_array().unwrap().iter().filter_map(|score| score["probability"].as_f64()).collect();
    assert!(top.len() == 3 && top.is_sorted_by(|a, b| a >= b), "{top:?}");
    let file = |key: &str| PathBuf::from(found[key].as_str().unwrap_or_default());
    let mask = image::open(file("mask_file"))?;
    assert_eq!((mask.color(), mask.width(), mask.height()), (ColorType::L16, 96, 96));
    assert_eq!(fs::metadata(file("input_file"))?.len(), 3 * 96 * 96 * 4);
    assert!(image::open(file("overlay_file"))?.width() > 0);
    assert_eq!(entries(out.path())?.len(), 3);
    Ok(())
}

#[test]
fn images_of_one_name_do_not_overwrite_each_other() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    for (number, name) in ["one", "two"].into_iter().enumerate() {
        fs::create_dir(folder.path().join(name))?;
        image(64, 64, number as u8).save(folder.path().join(name).join("same.png"))?;
    }
    let program = with_hands("predict --json --masks")?.arg(&out);
    let program = program.arg(folder.path().join("one")).arg(folder.path().join("two"));
    let predictions = program.run()?.succeeds()?.json_lines()?;
    assert_eq!((predictions.len(), entries(&out)?.len()), (2, 2));
    assert_ne!(predictions[0]["mask_file"], predictions[1]["mask_file"]);
    Ok(())
}

#[test]
fn a_folder_is_predicted_in_order_and_what_is_damaged_is_named_and_skipped() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_images(folder.path())?;
    let program = with_hands("predict --json")?.arg(folder.path()).arg("no-such.png");
    let finished = program.limit(Duration::from_secs(20)).run()?.succeeds()?;
    let finished = finished.says(&[
        "c.png: is ",
        "d.jpg: is damaged",
        "e.jpg: claims 65535 x 65535 pixels",
        "no-such.png: cannot be read",
    ])?;
    let sources: Vec<String> = finished
        .json_lines()?
        .iter()
        .map(|line| line["source"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = ["a.png", "b.jpg"].map(|name| folder.path().join(name).display().to_string());
    assert_eq!(sources, expected);
    Ok(())
}

#[test]
fn the_predictions_do_not_depend_on_threads_or_on_how_an_image_comes_in() -> anyhow::Result<()> {
    let images = repository().join("calib/hands/images/3");
    let scores = |program: Program| -> anyhow::Result<Vec<(Value, Value)>> {
        let lines = program.run()?.succeeds()?.json_lines()?;
        Ok(lines.iter().map(|line| (line["scores"].clone(), line["mask"].clone())).collect())
    };
    let one = scores(with_hands("predict --json --threads 1")?.arg(&images))?;
    assert_eq!(one.len(), entries(&images)?.len());
    assert_eq!(scores(with_hands("predict --json --threads 2")?.arg(&images))?, one);
    assert_eq!(scores(with_hands("run --json --source")?.arg(&images))?, one);
    let pattern = images.join("*");
    assert_eq!(scores(with_hands("predict --json")?.arg(pattern))?, one);
    Ok(())
}

#[test]
fn every_shipped_frame_is_predicted_once() -> anyhow::Result<()> {
    let images = repository().join("calib/hands/images");
    let mut files = 0;
    for class in entries(&images)? {
        files += entries(&class)?.len();
    }
    let predictions = with_hands("predict --json")?.arg(&images).run()?.succeeds()?.json_lines()?;
    assert!(files >= 10 && predictions.len() == files, "{files} frames, {} predictions", predictions.len());
    let frames: Vec<u64> = predictions.iter().filter_map(|prediction| prediction["frame"].as_u64()).collect();
    assert!(frames.iter().copied().eq(0..files as u64), "numbered from 0: {frames:?}");
    let right = |prediction: &&Value| {
        let source = Path::new(prediction["source"].as_str().unwrap_or_default());
        let class = source.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        prediction["class"].as_str() == class
    };
    let right = predictions.iter().filter(right).count();
    assert!(2 * right > files, "{right} of {files} are right");
    Ok(())
}

#[test]
fn faults_have_their_exit_codes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let photo = folder.path().join("photo.png");
    image(32, 32, 1).save(&photo)?;
    let broken = folder.path().join("broken.png");
    fs::write(&broken, "no image")?;
    with_hands("predict")?.arg(&broken).run()?.ends_with(5)?.says(&["no image could be read", "hint:"])?;
    with_hands("predict no-such.png")?.run()?.ends_with(5)?.says(&["no-such.png"])?;
    with_hands("predict no-such-*.png")?.run()?.ends_with(5)?.says(&["matches no image"])?;
    fs::create_dir(folder.path().join("empty"))?;
    with_hands("predict")?
        .arg(folder.path().join("empty"))
        .run()?
        .ends_with(5)?
        .says(&["holds no images"])?;
    // Not even root can make a folder below a file.
    let below = with_hands("predict")?.arg(&photo).arg("--overlay").arg(photo.join("out"));
    below.run()?.ends_with(5)?.says(&["out"])?;
    comet_edge("predict --model no-such.onnx")?.arg(&photo).run()?.ends_with(5)?.says(&["no-such.onnx"])?;
    for words in
        ["predict", "", "frobnicate", "predict x.png --frobnicate", "predict x.png --threads 0", "verify"]
    {
        comet_edge(words)?.run()?.ends_with(2)?.says(&["--help"])?;
    }
    let version = comet_edge("--version")?.run()?.succeeds()?;
    assert!(version.stdout.starts_with("comet-edge ") && version.stderr.is_empty());
    Ok(())
}

#[test]
fn bench_prints_the_documented_keys() -> anyhow::Result<()> {
    let finished = with_hands("bench --json --iterations 5 --threads 1")?.run()?.succeeds()?;
    let expected = ["median_ms", "p95_ms", "n", "threads", "engine", "kernel", "stages", "model"];
    assert_eq!(top_level_keys(&finished.stdout), expected);
    let found = finished.json()?;
    assert_eq!((found["n"].as_u64(), found["threads"].as_u64()), (Some(5), Some(1)));
    let ms = |value: &Value| value.as_f64().unwrap();
    assert!(0.0 < ms(&found["median_ms"]) && ms(&found["median_ms"]) <= ms(&found["p95_ms"]), "{found}");
    for stage in ["decode", "preprocess", "inference", "postprocess"] {
        assert!(found["stages"][stage].is_f64(), "{stage}: {found}");
    }
    let text = with_hands("bench --iterations 2")?.run()?.succeeds()?.stdout;
    assert!(text.contains("median ") && text.contains(" ms") && text.contains("n = 2"), "{text}");
    Ok(())
}

#[test]
fn inspect_shows_the_contents_of_a_file() -> anyhow::Result<()> {
    let file = shipped_model("hands.int8.onnx");
    let finished = comet_edge("inspect --json")?.arg(&file).run()?.succeeds()?;
    let expected = ["file", "bytes", "sha256", "opset", "nodes", "parameters", "operators", "manifest"];
    assert_eq!(top_level_keys(&finished.stdout), expected);
    let sha256 = finished.json()?["sha256"].as_str().unwrap_or_default().to_owned();
    let text = comet_edge("inspect")?.arg(&file).run()?.succeeds()?.stdout;
    for word in [sha256.as_str(), "96 x 96 pixels", "int8", "opset 18", "classes"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    Ok(())
}

#[test]
fn doctor_reports_what_is_missing_and_the_fix() -> anyhow::Result<()> {
    let finished = comet_edge("doctor --json")?.run()?;
    assert_eq!(top_level_keys(&finished.stdout), ["pass", "checks"]);
    let found = finished.json()?;
    let checks = found["checks"].as_array().cloned().unwrap_or_default();
    assert_eq!(checks[4]["status"], "ok", "the built-in model gives predictions: {}", checks[4]);
    for check in &checks {
        let is_ok = check["status"] == "ok";
        assert_eq!(check["fix"].is_null(), is_ok, "{check}");
    }
    let failed = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!((finished.code, &found["pass"]), (Some(i32::from(failed)), &Value::Bool(!failed)));

    let text = comet_edge("doctor")?.run()?.stdout;
    assert_eq!(text.matches("fix: ").count(), checks.iter().filter(|check| check["status"] != "ok").count());
    Ok(())
}

#[test]
fn cameras_lists_what_could_be_opened() -> anyhow::Result<()> {
    let finished = comet_edge("cameras --json")?.run()?.succeeds()?;
    assert!(finished.json()?.is_array());
    let text = comet_edge("cameras")?.run()?.succeeds()?;
    assert!(!text.stdout.is_empty() || text.stderr.contains("no video devices"), "{}", text.stderr);
    Ok(())
}

#[test]
fn nothing_is_coloured_where_stdout_is_not_a_terminal() -> anyhow::Result<()> {
    for colour in ["", "1"] {
        for words in ["doctor", "--help", "predict", "cameras"] {
            let finished = comet_edge(words)?.env("NO_COLOR", colour).env("CLICOLOR_FORCE", "0").run()?;
            assert!(!(finished.stdout + &finished.stderr).contains('\u{1b}'), "{words}");
        }
    }
    Ok(())
}
