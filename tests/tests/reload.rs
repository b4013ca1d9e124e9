//! SIGHUP: the model is verified and exchanged, or the old one stays in use.

use std::fs;
use std::time::Duration;

use comet_tests::program::{Running, comet_edge};
use comet_tests::shipped_model;

fn classes(running: &Running) -> Vec<String> {
    let lines = running.stdout();
    let parsed = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    parsed.map(|line| line["scores"].as_array().map_or(0, Vec::len).to_string()).collect()
}

#[test]
fn a_sound_model_takes_over_and_a_broken_one_changes_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    fs::copy(shipped_model("hands.int8.onnx"), &file)?;
    let program = comet_edge("run --source synthetic:64x64,50,1 --live --model")?.arg(&file);
    let mut running = program.limit(Duration::from_secs(60)).spawn()?;
    running.wait_until("predictions", |running| classes(running).len() > 2)?;

    let sound = fs::read(shipped_model("plants.int8.onnx"))?;
    fs::write(&file, &sound[..sound.len() / 2])?;
    running.signal("HUP")?;
    running.wait_until("the refusal", |running| running.stderr().contains("the old one stays in use"))?;
    let before = classes(&running).len();
    running.wait_until("predictions of the old model", |running| classes(running).len() > before + 3)?;
    assert!(classes(&running).iter().all(|scores| scores == "10"));

    fs::write(&file, &sound)?;
    running.signal("HUP")?;
    running.wait_until("the exchange", |running| running.stderr().contains("is used from now on"))?;
    running.wait_until("predictions of the new model", |running| {
        classes(running).last().is_some_and(|n| n == "12")
    })?;
    running.signal("TERM")?;
    let finished = running.finish()?.succeeds()?;
    let dropped = finished.stderr.contains("with an invalid explanation");
    assert!(!dropped, "{}", finished.stderr);
    Ok(())
}

/// The file is replaced twice, and the second signal comes while the first exchange is under way, or just before or
/// behind it: the last file is the one in use.
#[test]
fn a_signal_during_a_reload_is_not_lost() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    let replace = |model: &str| -> anyhow::Result<()> {
        let draft = folder.path().join("draft.onnx");
        fs::copy(shipped_model(model), &draft)?;
        Ok(fs::rename(&draft, &file)?)
    };
    replace("hands.int8.onnx")?;
    let program = comet_edge("run --source synthetic:64x64,50,1 --live --model")?.arg(&file);
    let mut running = program.limit(Duration::from_secs(60)).spawn()?;
    running.wait_until("predictions", |running| classes(running).len() > 2)?;
    let is_last = |running: &Running, count: &str| classes(running).last().is_some_and(|n| n == count);
    for _ in 0..3 {
        replace("hands.int8.onnx")?;
        running.signal("HUP")?;
        replace("plants.int8.onnx")?;
        running.signal("HUP")?;
        running.wait_until("the last model", |running| is_last(running, "12"))?;
        replace("plants.int8.onnx")?;
        running.signal("HUP")?;
        replace("hands.int8.onnx")?;
        running.signal("HUP")?;
        running.wait_until("the first model again", |running| is_last(running, "10"))?;
    }
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    Ok(())
}
