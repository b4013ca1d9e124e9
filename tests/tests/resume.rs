//! A run that was killed or interrupted goes on as if nothing had happened: on the CPU bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use burn::tensor::Device;
use comet_tests::fixture::{
    Shared, copy_folder, entries, shared, shared_folder, tiny_data, tiny_run, training,
};
use comet_tests::network::{Tensors, tensors};
use comet_tests::program::{Program, Running, trainer};
use comet_trainer::train::{Checkpoint, Phase, TrainedRun};
use serde_json::Value;

const EPOCHS: usize = 3;

/// A run of one detector epoch and three COMET epochs that nothing disturbed.
fn undisturbed() -> anyhow::Result<&'static Path> {
    static RUN: Shared<PathBuf> = Shared::new();
    let run = shared(&RUN, || {
        let run = shared_folder()?.join("undisturbed");
        training(tiny_data()?, &run, EPOCHS)?.run()?.succeeds()?;
        Ok(run)
    })?;
    Ok(run)
}

fn resuming(run: &Path) -> anyhow::Result<Program> {
    let program = trainer("train --resume --device cpu --data")?.arg(tiny_data()?);
    Ok(program.arg("--out").arg(run))
}

/// Waits until the journal has as many lines: so many epochs are done.
fn wait_for_epochs(running: &mut Running, run: &Path, epochs: usize) -> anyhow::Result<()> {
    let journal = run.join("metrics.jsonl");
    running.wait_until("so many epochs", |_| {
        fs::read_to_string(&journal).is_ok_and(|text| text.matches('\n').count() >= epochs)
    })
}

/// The journal without the times, which nothing can repeat.
fn curve(run: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(run.join("metrics.jsonl"))?;
    let mut lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for record in lines.iter_mut().filter_map(Value::as_object_mut) {
        record.remove("seconds");
    }
    Ok(lines)
}

/// Number of events in the one file that TensorBoard reads: each is its length, a checksum, data, and their checksum.
fn events(run: &Path) -> anyhow::Result<usize> {
    let files = entries(run)?.into_iter().filter(|path| path.to_string_lossy().contains(".tfevents."));
    let files: Vec<PathBuf> = files.collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let (bytes, mut at, mut count) = (fs::read(&files[0])?, 0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into()?);
        at += 16 + usize::try_from(length)?;
        count += 1;
    }
    assert_eq!(at, bytes.len(), "the last one is whole");
    Ok(count)
}

/// The weights of a checkpoint. Its bytes may differ: Burn numbers parameters at random.
fn weights(run: &Path, which: &str) -> anyhow::Result<Tensors> {
    tensors(&TrainedRun::read(run, which, &Device::flex())?.comet)
}

/// The first tensor in which two networks differ in any bit.
fn first_difference(one: &Tensors, other: &Tensors) -> Option<String> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut names = one.keys().chain(other.keys());
    let differs = |name: &&String| match (one.get(*name), other.get(*name)) {
        (Some(one), Some(other)) => bits(one) != bits(other),
        _ => true,
    };
    names.find(differs).cloned()
}

fn assert_same_as_undisturbed(run: &Path) -> anyhow::Result<()> {
    let (expected, found) = (curve(undisturbed()?)?, curve(run)?);
    assert_eq!(expected.len(), 1 + EPOCHS);
    assert_eq!(found.len(), expected.len(), "epochs in the journal");
    assert_eq!(events(run)?, expected.len() + 1, "each epoch once, behind the file's version");
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected, "the journal");
    }
    for which in ["best", "last"] {
        let (expected, found) = (weights(undisturbed()?, which)?, weights(run, which)?);
        assert!(expected.len() > 100, "{} tensors were compared", expected.len());
        assert_eq!(first_difference(&expected, &found), None, "{which}.ckpt");
    }
    Ok(())
}

#[test]
fn a_killed_run_goes_on_to_the_same_curve_and_weights() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let mut running = training(tiny_data()?, &run, EPOCHS)?.spawn()?;
    wait_for_epochs(&mut running, &run, 2)?;
    running.kill()?;
    let finished = running.finish()?;
    assert_eq!((finished.code, finished.signal), (None, Some(9)), "it was killed: {}", finished.stderr);

    let left = Checkpoint::read(&run.join("last.ckpt"))?;
    assert!(left.position.records >= 1, "the checkpoint is whole: {:?}", left.position);
    resuming(&run)?.run()?.succeeds()?.says(&["resuming", "all epochs are done"])?;
    assert_same_as_undisturbed(&run)
}

#[test]
fn an_interrupted_run_stops_in_order_and_goes_on_to_the_same_curve_and_weights() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let mut running = training(tiny_data()?, &run, EPOCHS)?.spawn()?;
    wait_for_epochs(&mut running, &run, 2)?;
    // Into the next epoch; wherever the signal comes, the run stops between two batches.
    sleep(Duration::from_millis(150));
    running.signal("INT")?;
    running.finish()?.succeeds()?.says(&["it was interrupted", "--resume"])?;

    let left = Checkpoint::read(&run.join("last.ckpt"))?;
    assert!(left.position.batch > 0, "it stopped inside an epoch: {:?}", left.position);
    resuming(&run)?.run()?.succeeds()?;
    assert_same_as_undisturbed(&run)
}

#[test]
fn a_run_that_is_interrupted_in_its_first_epoch_goes_on_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    // Zero minutes means no limit; this one is over after the first batch.
    let limited = training(tiny_data()?, &run, EPOCHS)?.words("--max-minutes 0.00001");
    limited.run()?.succeeds()?.says(&["max-minutes is over"])?;
    let left = Checkpoint::read(&run.join("last.ckpt"))?;
    assert_eq!((left.position.records, left.position.batch), (0, 1), "{:?}", left.position);
    resuming(&run)?.run()?.succeeds()?;
    assert_same_as_undisturbed(&run)
}

#[test]
fn averages_mixing_and_held_backbones_go_on_too_wherever_a_run_stops() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let train = |name: &str, words: &str| -> anyhow::Result<PathBuf> {
        let run = folder.path().join(name);
        let settings = "--ema 0.9 --mixup 0.4 --label-smoothing 0.1 --head-epochs 1 --warm-start";
        training(tiny_data()?, &run, 2)?.words(settings).words(words).run()?.succeeds()?;
        Ok(run)
    };
    let whole = train("whole", "")?;
    let parts = train("parts", "--max-minutes 0.00001")?;
    // One batch each: from the detector's epoch of eight batches into COMET's first, in which the backbones are held.
    for _ in 0..10 {
        resuming(&parts)?.words("--max-minutes 0.00001").run()?.succeeds()?;
    }
    let left = Checkpoint::read(&parts.join("last.ckpt"))?;
    assert_eq!((left.position.epoch, left.position.phase), (0, Phase::Comet), "{:?}", left.position);
    assert!(left.position.batch > 0 && left.parts.contains_key("comet-average.bpk"));
    resuming(&parts)?.run()?.succeeds()?.says(&["all epochs are done"])?;

    assert_eq!(curve(&parts)?, curve(&whole)?);
    for which in ["best", "last"] {
        let (expected, found) = (weights(&whole, which)?, weights(&parts, which)?);
        assert_eq!(first_difference(&expected, &found), None, "{which}.ckpt");
    }
    Ok(())
}

#[test]
fn a_finished_run_has_nothing_left_to_do() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    copy_folder(tiny_run()?, run.path())?;
    let journal = run.path().join("metrics.jsonl");
    let before = fs::read_to_string(&journal)?;
    resuming(run.path())?.run()?.succeeds()?.says(&["all epochs are done"])?;
    assert_eq!(fs::read_to_string(&journal)?, before, "no digit of the journal changes");
    Ok(())
}

#[test]
fn a_damaged_checkpoint_is_named_and_refused() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    copy_folder(tiny_run()?, run.path())?;
    let last = run.path().join("last.ckpt");
    let whole = fs::read(&last)?;
    for length in [0, 100, 10_000, whole.len() / 2] {
        fs::write(&last, &whole[..length])?;
        resuming(run.path())?.run()?.ends_with(3)?.says(&["last.ckpt"])?;
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&last, flipped)?;
    resuming(run.path())?.run()?.ends_with(3)?.says(&["last.ckpt", "damaged"])?;

    let best = run.path().join("best.ckpt");
    let whole = fs::read(&best)?;
    fs::write(&best, &whole[..whole.len() / 2])?;
    let eval = trainer("eval --device cpu --data")?.arg(tiny_data()?).arg(run.path());
    eval.run()?.ends_with(3)?.says(&["best.ckpt"])?;
    Ok(())
}

#[test]
fn other_data_than_those_of_the_run_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, data) = (folder.path().join("run"), folder.path().join("plants"));
    copy_folder(tiny_run()?, &run)?;
    trainer("data plants --count 72 --size 32 --variant single --seed 2 --out")?
        .arg(&data)
        .run()?
        .succeeds()?;
    let program = trainer("train --resume --device cpu --data")?.arg(&data).arg("--out").arg(&run);
    let finished = program.run()?;
    assert_ne!(finished.code, Some(0));
    finished.says(&["not those that the run was started with"])?;
    Ok(())
}
