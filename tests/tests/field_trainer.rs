//! Faults of training that people met: power cuts, divergence, plateaus, settings that cannot be written.

use std::fs;
use std::path::Path;

use comet_tests::fixture::{TRAINING, copy_folder, entries, image, tiny_data, tiny_run, training};
use comet_tests::program::{Program, trainer};
use comet_trainer::train::{Best, Checkpoint, Phase, TrainConfig, read_records};
use serde_json::Value;
use tempfile::TempDir;

/// A copy of the finished run that may be changed.
fn copied_run() -> anyhow::Result<TempDir> {
    let run = tempfile::tempdir()?;
    copy_folder(tiny_run()?, run.path())?;
    Ok(run)
}

/// `trainer train --resume` with more words.
fn resuming(run: &Path, words: &str) -> anyhow::Result<Program> {
    let program = trainer("train --device cpu --data")?.arg(tiny_data()?).arg("--out").arg(run);
    Ok(program.words(&format!("--resume {words}")))
}

fn journal(run: &Path) -> anyhow::Result<String> {
    Ok(fs::read_to_string(run.join("metrics.jsonl"))?)
}

/// Changes where a checkpoint says that it stands.
fn change_position(
    run: &Path,
    which: &str,
    change: impl FnOnce(&mut comet_trainer::train::Position),
) -> anyhow::Result<()> {
    let path = run.join(format!("{which}.ckpt"));
    let mut checkpoint = Checkpoint::read(&path)?;
    change(&mut checkpoint.position);
    Ok(checkpoint.write(&path)?)
}

#[test]
fn a_journal_that_a_power_cut_shortened_does_not_make_a_run_unresumable() -> anyhow::Result<()> {
    let whole = journal(tiny_run()?)?;
    let last = whole.lines().last().map_or(0, str::len) + 1;
    // The last line is lost, half of it is, or its blocks were never written.
    let cuts: [Vec<u8>; 3] = [
        whole.as_bytes()[..whole.len() - last].to_vec(),
        whole.as_bytes()[..whole.len() - last / 2].to_vec(),
        [&whole.as_bytes()[..whole.len() - last], &[0; 40][..]].concat(),
    ];
    for cut in cuts {
        let run = copied_run()?;
        fs::write(run.path().join("metrics.jsonl"), cut)?;
        let finished = resuming(run.path(), "")?.run()?.succeeds()?;
        finished.says(&["warning", "metrics.jsonl", "1 of the 3 lines", "all epochs are done"])?;
        let left = journal(run.path())?;
        assert!(whole.starts_with(&left) && left.lines().count() == 2, "{left}");
    }
    Ok(())
}

#[test]
fn a_journal_that_is_ahead_of_its_checkpoint_is_cut_back() -> anyhow::Result<()> {
    let run = copied_run()?;
    let whole = journal(run.path())?;
    fs::write(run.path().join("metrics.jsonl"), format!("{whole}{}", whole.lines().last().unwrap()))?;
    resuming(run.path(), "")?.run()?.succeeds()?.says(&["all epochs are done"])?;
    assert_eq!(journal(run.path())?, whole);
    Ok(())
}

#[test]
fn a_run_that_diverges_stops_with_advice_and_keeps_its_checkpoint() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    // As a 32-bit number this weight is infinite: the selector's loss is not finite from the first batch on.
    let finished = training(tiny_data()?, &run, 1)?.words("--alpha 1e39").run()?.ends_with(3)?;
    finished.says(&[
        "training has diverged",
        "comet epoch 1",
        "last.ckpt holds the state before",
        "lower --lr",
    ])?;
    let last = Checkpoint::read(&run.join("last.ckpt"))?;
    assert_eq!(
        (last.position.phase, last.position.epoch),
        (Phase::Detector, 1),
        "the detector's epoch is kept"
    );
    assert!(!run.join("best.ckpt").exists());
    assert_eq!(read_records(&journal(&run)?).0.len(), 1);
    Ok(())
}

#[test]
fn a_run_goes_back_to_its_best_epoch_with_another_seed() -> anyhow::Result<()> {
    let run = copied_run()?;
    // The first of the two COMET epochs was the best.
    change_position(run.path(), "best", |position| {
        position.epoch = 1;
        position.records = 2;
        position.best = Some(Best { epoch: 1, accuracy: 0.0, complete: true });
    })?;
    let before = journal(run.path())?;
    let finished = resuming(run.path(), "best --seed 77")?.run()?.succeeds()?;
    finished.says(&["going back to the best epoch, 1", "comet epoch 2/2", "all epochs are done"])?;

    let after = journal(run.path())?;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&after)[..2], lines(&before)[..2], "earlier epochs stay");
    let loss = |text: &str| serde_json::from_str::<Value>(&lines(text)[2]).unwrap()["loss"].clone();
    assert_eq!(lines(&after).len(), 3);
    assert_ne!(loss(&after), loss(&before), "the later epoch was trained in another order");
    let last = Checkpoint::read(&run.path().join("last.ckpt"))?;
    assert_eq!((last.position.epoch, last.position.records), (2, 3));

    // The new seed is the run's from now on, and its data are still those that it was started with.
    assert_eq!(TrainConfig::read(&run.path().join("config.toml"))?.seed, 77);
    resuming(run.path(), "")?.run()?.succeeds()?.says(&["all epochs are done"])?;
    Ok(())
}

#[test]
fn another_seed_needs_the_way_back_to_the_best_epoch() -> anyhow::Result<()> {
    let run = copied_run()?;
    resuming(run.path(), "--seed 77")?.run()?.ends_with(2)?.says(&["--seed with --resume best"])?;
    fs::remove_file(run.path().join("best.ckpt"))?;
    resuming(run.path(), "best")?.run()?.ends_with(3)?.says(&["no best.ckpt"])?;
    Ok(())
}

#[test]
fn a_run_that_ended_early_trains_no_more_when_it_is_resumed() -> anyhow::Result<()> {
    let run = copied_run()?;
    let file = run.path().join("config.toml");
    let config = TrainConfig { epochs: 9, patience: 1, ..TrainConfig::read(&file)? };
    fs::write(&file, config.to_toml()?)?;
    // One epoch after the best one.
    change_position(run.path(), "last", |position| {
        position.best = Some(Best { epoch: 1, accuracy: 100.0, complete: true })
    })?;
    let before = journal(run.path())?;
    resuming(run.path(), "")?.run()?.succeeds()?.says(&["validation has stopped improving"])?;
    assert_eq!(journal(run.path())?, before, "no epoch was added");
    Ok(())
}

/// Files below a folder.
fn count_files(folder: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for path in entries(folder)? {
        count += if path.is_dir() { count_files(&path)? } else { 1 };
    }
    Ok(count)
}

#[test]
fn a_run_records_how_many_images_are_pasted_in_effect() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, scenes, run) =
        (folder.path().join("plants"), folder.path().join("scenes"), folder.path().join("run"));
    copy_folder(tiny_data()?, &data)?;
    fs::remove_dir_all(data.join("masks/train/flower-red"))?;
    fs::create_dir_all(&scenes)?;
    image(64, 64, 3).save(scenes.join("scene.png"))?;
    let masks = count_files(&data.join("masks/train"))?;
    assert!(masks > 0 && masks < TRAINING, "{masks}");

    let program = training(&data, &run, 1)?.words("--max-minutes 0.00001 --paste 0.5 --scenes").arg(&scenes);
    program.run()?.succeeds()?.says(&["of the images are pasted on scenes where 50 % were asked for"])?;
    let info: Value = serde_json::from_slice(&fs::read(run.join("run.json"))?)?;
    let effective = info["effective_paste"].as_f64().unwrap_or(f64::NAN);
    let expected = 0.5 * masks as f64 / TRAINING as f64;
    assert!((effective - expected).abs() < 1e-9, "{effective} is not {expected}");
    assert_eq!(info["data"]["paste"], 0.5, "what was asked for");
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, run) = (folder.path().join("settings.toml"), folder.path().join("run"));
    for (settings, said) in [
        ("[augmentation]\nscale = 1.0\n", "augmentation.scale = 1"),
        ("[augmentation]\nscale = -0.5\n", "augmentation.scale = -0.5"),
        ("[objective]\ngap = -2.0\n", "objective.gap = -2"),
        ("[objective]\ngap = nan\n", "objective.gap = NaN"),
    ] {
        fs::write(&file, settings)?;
        let program = trainer("train --data")?.arg(tiny_data()?).arg("--out").arg(&run).arg("--config");
        program.arg(&file).run()?.ends_with(2)?.says(&[said])?;
    }
    let largest = training(tiny_data()?, &run, 1)?.words("--seed 18446744073709551615").run()?;
    largest.ends_with(2)?.says(&["seed = 18446744073709551615"])?;
    assert!(!run.exists());
    Ok(())
}

#[test]
fn a_pause_between_checkpoints_that_no_clock_can_hold_does_not_panic() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("settings.toml");
    fs::write(&file, "checkpoint-minutes = 1e300\n")?;
    let program = training(tiny_data()?, &folder.path().join("run"), 1)?.arg("--config").arg(&file);
    program.words("--max-minutes 0.00001").run()?.succeeds()?.says(&["max-minutes is over"])?;
    Ok(())
}

#[test]
fn a_warm_start_changes_where_comet_begins_and_nothing_before() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let losses = |name: &str, words: &str| -> anyhow::Result<Vec<f64>> {
        let run = folder.path().join(name);
        training(tiny_data()?, &run, 1)?.words(words).run()?.succeeds()?;
        Ok(read_records(&journal(&run)?).0.iter().map(|record| record.loss).collect())
    };
    let (cold, warm) = (losses("cold", "")?, losses("warm", "--warm-start")?);
    assert_eq!((cold.len(), warm.len()), (2, 2));
    assert_eq!(cold[0], warm[0], "the detector's epoch is the same");
    assert_ne!(cold[1], warm[1], "the predictor starts from the detector");
    Ok(())
}
