//! SIGHUP: the model is verified and exchanged, or the old one serves on.

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
    running.wait_until("answers", |running| classes(running).len() > 2)?;

    let sound = fs::read(shipped_model("plants.int8.onnx"))?;
    fs::write(&file, &sound[..sound.len() / 2])?;
    running.signal("HUP")?;
    running.wait_until("the refusal", |running| running.stderr().contains("the old one serves on"))?;
    let before = classes(&running).len();
    running.wait_until("answers of the old model", |running| classes(running).len() > before + 3)?;
    assert!(classes(&running).iter().all(|scores| scores == "10"));

    fs::write(&file, &sound)?;
    running.signal("HUP")?;
    running.wait_until("the exchange", |running| running.stderr().contains("answers from now on"))?;
    running.wait_until("answers of the new model", |running| {
        classes(running).last().is_some_and(|n| n == "12")
    })?;
    running.signal("TERM")?;
    let answer = running.finish()?.succeeds()?;
    let dropped = answer.stderr.contains("with an invalid explanation");
    assert!(!dropped, "{}", answer.stderr);
    Ok(())
}
