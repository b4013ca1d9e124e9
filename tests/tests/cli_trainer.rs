//! `trainer train`, `trainer eval` and what they leave behind.

use std::fs;

use comet_engine::model::{ModelFile, Precision};
use comet_tests::fixture::{
    CLASSES, SIDE, TRAINING, VALIDATION, entries, shared_folder, tiny_data, tiny_run, training,
};
use comet_tests::json::top_level_keys;
use comet_tests::program::trainer;
use comet_trainer::model::Preset;
use comet_trainer::train::{Checkpoint, Phase, Recipe, TrainConfig, read_records};
use serde_json::Value;

#[test]
fn a_run_leaves_settings_measures_images_and_checkpoints_behind() -> anyhow::Result<()> {
    let run = tiny_run()?;
    let names: Vec<String> = entries(run)?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let (events, names): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name.starts_with("events.out.tfevents."));
    assert!(events.len() == 1 && events[0].ends_with(".comet.0"), "{events:?}");
    let expected = [
        "best.ckpt",
        "config.toml",
        "curves.svg",
        "last.ckpt",
        "metrics.jsonl",
        "run.json",
        "sheet-0002.png",
    ];
    assert_eq!(names, expected);

    let info: Value = serde_json::from_slice(&fs::read(run.join("run.json"))?)?;
    assert_eq!(info["classes"].as_array().map(Vec::len), Some(CLASSES));
    assert_eq!(info["preprocess"]["width"], SIDE);
    assert_eq!(info["data"]["train"], TRAINING);
    assert_eq!(info["data"]["val"], VALIDATION);
    assert_eq!(info["effective_paste"], 0.0);
    assert_eq!(info["data_seed"], 0);

    let config = TrainConfig::read(&run.join("config.toml"))?;
    assert_eq!((config.width, config.size, config.batch, config.epochs), (8, SIDE as u32, 8, 2));
    config.check()?;

    let last = Checkpoint::read(&run.join("last.ckpt"))?;
    assert_eq!((last.position.phase, last.position.epoch, last.position.records), (Phase::Comet, 2, 3));
    let best = Checkpoint::read(&run.join("best.ckpt"))?;
    assert!(best.position.best.is_some() && best.parts.contains_key("comet.bpk"));

    assert!(fs::read_to_string(run.join("curves.svg"))?.contains("<svg"));
    let sheet = image::open(run.join("sheet-0002.png"))?;
    assert!(sheet.width() >= 96 && sheet.height() >= 96);
    Ok(())
}

#[test]
fn the_journal_has_one_valid_line_an_epoch_in_order() -> anyhow::Result<()> {
    let text = fs::read_to_string(tiny_run()?.join("metrics.jsonl"))?;
    assert_eq!(read_records(&text).1, 0, "every line can be read back");
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let order: Vec<(Option<&str>, Option<u64>)> =
        lines.iter().map(|line| (line["phase"].as_str(), line["epoch"].as_u64())).collect();
    let expected = [("detector", 1), ("comet", 1), ("comet", 2)];
    assert_eq!(order, expected.map(|(phase, epoch)| (Some(phase), Some(epoch))));
    for line in &lines {
        assert!(line["loss"].as_f64().is_some_and(f64::is_finite), "{line}");
        assert!(line["learning_rate"].as_f64().is_some_and(|rate| rate > 0.0), "{line}");
        let is_comet = line["phase"] == "comet";
        for key in ["loss_predictor", "loss_detector", "completeness", "area_penalty", "area"] {
            assert_eq!(line[key].is_f64(), is_comet, "{key} in {line}");
        }
        assert_eq!(line["val"]["pxap"].is_f64(), is_comet, "{line}");
    }
    let seconds: Vec<f64> = lines.iter().filter_map(|line| line["seconds"].as_f64()).collect();
    assert!(seconds.len() == 3 && seconds.is_sorted(), "{seconds:?}");
    Ok(())
}

#[test]
fn a_run_is_not_overwritten() -> anyhow::Result<()> {
    let run = tiny_run()?;
    let before = fs::read(run.join("last.ckpt"))?;
    let finished = training(tiny_data()?, run, 1)?.run()?;
    assert_ne!(finished.code, Some(0));
    finished.says(&["holds a run already", "--resume"])?;
    assert!(fs::read(run.join("last.ckpt"))? == before, "the run was touched");
    Ok(())
}

#[test]
fn there_is_nothing_to_resume_without_a_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for out in [folder.path().to_owned(), folder.path().join("none")] {
        let program = trainer("train --resume --device cpu --data")?.arg(tiny_data()?).arg("--out").arg(&out);
        let finished = program.run()?;
        assert_ne!(finished.code, Some(0));
        finished.says(&[&out.display().to_string()])?;
    }
    Ok(())
}

#[test]
fn images_of_nothing_are_a_class_of_a_data_set() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("set");
    let command = |words: &str| anyhow::Ok(trainer("data nothing --out")?.arg(&out).words(words));
    command("--count 4 --val 5")?.run()?.ends_with(2)?.says(&["--val 5", "--count 4"])?;
    let missing = folder.path().join("missing");
    command("--count 4 --frames")?.arg(&missing).run()?.ends_with(5)?.says(&["missing: no frames found"])?;
    assert!(!out.exists());
    command("--count 8 --val 2 --seed 3")?.run()?.succeeds()?;
    for (split, count) in [("train", 6), ("val", 2)] {
        assert_eq!(fs::read_dir(out.join("images").join(split).join("nothing"))?.count(), count, "{split}");
    }
    Ok(())
}

#[test]
fn a_resumed_run_keeps_its_settings() -> anyhow::Result<()> {
    let program = trainer("train --resume --epochs 9 --data")?.arg(tiny_data()?);
    program.arg("--out").arg(tiny_run()?).run()?.ends_with(2)?.says(&["keeps the settings"])?;
    Ok(())
}

#[test]
fn an_unknown_setting_is_named_with_its_line_and_the_nearest_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("settings.toml");
    let cases: [(&str, &[&str]); 4] = [
        ("size = 32\nepoch = 3\n", &["line 2", "`epoch`", "did you mean 'epochs'?"]),
        ("batch = 8\n[augmentation]\nflipp = true\n", &["line 3", "`flipp`", "did you mean 'flip'?"]),
        ("[objective]\nbeta = \"much\"\n", &["line 2", "beta"]),
        ("size = \n", &["line 1"]),
    ];
    for (settings, words) in cases {
        fs::write(&file, settings)?;
        let program = trainer("train --data")?.arg(tiny_data()?).arg("--out").arg(folder.path().join("run"));
        program.arg("--config").arg(&file).run()?.ends_with(2)?.says(words)?.says(&["settings.toml"])?;
    }
    assert!(!folder.path().join("run").exists());
    Ok(())
}

#[test]
fn values_that_cannot_work_are_usage_errors() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cases = [
        ("--size 70", "multiple of 32"),
        ("--size 80", "multiple of 32"),
        ("--preset small --size 70", "multiple of 16"),
        ("--size 16", "between 32 and 1024"),
        ("--size few", "--size"),
        ("--batch 1", "batch"),
        ("--epochs 0", "epochs"),
        ("--lr nan", "learning-rate"),
        ("--lr 0", "learning-rate"),
        ("--paste 1.5", "paste"),
        ("--target-area 1", "target-area"),
        ("--alpha=-1", "alpha"),
        ("--gap=-1", "objective.gap"),
        ("--resume first", "last and best"),
        ("--preset huge", "full and small"),
        ("--schedule never", "one-cycle"),
        ("--recipe mine", "standard and paper"),
        ("--ema 1", "ema"),
        ("--mixup 2", "mixup"),
        ("--label-smoothing 1", "objective.label-smoothing"),
        ("--completeness much", "hinge and paper"),
        ("--device tpu", "gpu:<number>"),
        ("--config no-such-file.toml", "no-such-file.toml"),
        ("--frobnicate", "--frobnicate"),
    ];
    for (words, said) in cases {
        let program = trainer("train --data")?.arg(tiny_data()?).arg("--out").arg(folder.path().join("run"));
        program.words(words).run()?.ends_with(2)?.says(&[said])?;
    }
    assert_eq!(entries(folder.path())?.len(), 0, "nothing was written");
    Ok(())
}

#[test]
fn what_is_not_given_is_chosen_from_the_data_said_and_written_down() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let words = "--preset small --width 8 --device cpu --max-minutes 0.00001";
    let program = trainer("train")?.arg("--data").arg(tiny_data()?).arg("--out").arg(&run).words(words);
    program.run()?.succeeds()?.says(&[
        "chosen: size = 32: the shorter side",
        "chosen: batch = 12: at most a quarter of the 60 training images",
        "chosen: detector-epochs = 60: about 1000 steps from random weights, 5 an epoch",
        "chosen: epochs = 120:",
        "a third more than the median mask",
        "chosen: augmentation: stronger, since there are about 10 images a class",
    ])?;
    let chosen = TrainConfig::read(&run.join("config.toml"))?;
    assert_eq!((chosen.size, chosen.batch, chosen.detector_epochs, chosen.epochs), (32, 12, 60, 120));
    assert!((0.05..0.3).contains(&chosen.objective.target_area), "{}", chosen.objective.target_area);
    assert!(!chosen.pretrained && chosen.head_epochs == 0 && chosen.augmentation.scale > 0.0);

    let again = trainer("train --resume --device cpu --max-minutes 0.00001 --data")?.arg(tiny_data()?);
    let again = again.arg("--out").arg(&run).run()?.succeeds()?;
    assert!(!again.stderr.contains("chosen:"), "{}", again.stderr);
    assert_eq!(TrainConfig::read(&run.join("config.toml"))?, chosen);
    Ok(())
}

#[test]
fn the_papers_recipe_is_written_down_with_every_value() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    // Its networks at 224 px with batches of 128 are too much for a test; what is given stays.
    let words = "--preset full --from-scratch --recipe paper --width 8 --size 32 --batch 8 --device cpu";
    let program = trainer("train --max-minutes 0.00001 --data")?.arg(tiny_data()?).arg("--out").arg(&run);
    let finished = program.words(words).run()?.succeeds()?;
    assert!(!finished.stderr.contains("chosen:"), "{}", finished.stderr);
    let config = TrainConfig::read(&run.join("config.toml"))?;
    let paper = TrainConfig::recipe(Recipe::Paper, Preset::Full, false);
    assert_eq!(
        config,
        TrainConfig { width: 8, size: 32, batch: 8, max_minutes: config.max_minutes, ..paper }
    );
    assert_eq!(
        (config.objective.alpha, config.objective.beta, config.objective.target_area),
        (5.0, 100.0, 0.1)
    );
    Ok(())
}

#[test]
fn a_finished_run_says_what_to_do_next_in_commands_that_work() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("my run");
    let finished = training(tiny_data()?, &run, 1)?.run()?.succeeds()?;
    let next: Vec<&str> = finished.stderr.lines().skip_while(|line| *line != "next:").skip(1).collect();
    assert_eq!(next.len(), 3, "{}", finished.stderr);
    let quoted = format!("'{}'", run.display());
    assert!(next[0].trim_start().starts_with(&format!("trainer eval {quoted} --data ")), "{}", next[0]);
    assert!(
        next[0].contains("--split val --report '") && next[1].contains("--quantize -o 'my run.int8.onnx'")
    );
    assert!(next[1].trim_start().starts_with(&format!("trainer export {quoted} --data ")), "{}", next[1]);
    Ok(())
}

#[test]
fn a_measurement_has_the_documented_keys() -> anyhow::Result<()> {
    let finished =
        trainer("eval --json --device cpu --data")?.arg(tiny_data()?).arg(tiny_run()?).run()?.succeeds()?;
    let found = finished.json()?;
    let keys = top_level_keys(&finished.stdout);
    for key in [
        "n",
        "accuracy",
        "balanced_accuracy",
        "noisy_accuracy",
        "pxap",
        "pxap_1000",
        "auc_iou",
        "iou50",
        "fidelity",
        "area",
    ] {
        assert!(keys.iter().any(|found| found == key), "'{key}' is not among {keys:?}");
        let mut percents = found[key].as_f64().into_iter().chain(found[key]["5"].as_f64());
        assert!(percents.all(|value| (0.0..=100.0).contains(&value)), "{key}: {}", found[key]);
    }
    assert_eq!(found["n"], VALIDATION);
    let calibration = &found["calibration"];
    assert_eq!(calibration["n"], VALIDATION);
    let temperature = calibration["temperature"].as_f64().unwrap_or(-1.0);
    assert!((0.0498..=20.0855).contains(&temperature), "{calibration}");
    // The likelihood is what the temperature is fitted by, on these images.
    let nll = |when: &str| calibration[when]["nll"].as_f64().unwrap_or(f64::NAN);
    assert!(nll("after") <= nll("before"), "{calibration}");
    let scores = found["fidelity"].as_object().cloned().unwrap_or_default();
    assert!(
        scores.len() == 3 && ["5", "10", "20"].iter().all(|share| scores.contains_key(*share)),
        "{scores:?}"
    );
    assert_eq!(found["confusion"].as_array().map(Vec::len), Some(CLASSES));
    Ok(())
}

#[test]
fn the_table_gives_every_measure_with_its_unit_and_n() -> anyhow::Result<()> {
    let finished =
        trainer("eval --device cpu --data")?.arg(tiny_data()?).arg(tiny_run()?).run()?.succeeds()?;
    for name in ["accuracy", "PxAP", "AUC-IoU", "IoU at 0.5", "fidelity, top 20 %", "map area"] {
        let line = finished.stdout.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_some_and(|line| line.contains(" % ") && line.contains("n = 12")), "{name}: {line:?}");
    }
    Ok(())
}

#[test]
fn the_report_is_one_page_that_loads_nothing_from_elsewhere() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (page, sheet) = (folder.path().join("report.html"), folder.path().join("sheet.png"));
    let program = trainer("eval --device cpu --data")?.arg(tiny_data()?).arg(tiny_run()?);
    program.arg("--report").arg(&page).arg("--sheet").arg(&sheet).run()?.succeeds()?;
    assert_eq!(entries(folder.path())?, [page.clone(), sheet.clone()], "nothing else is written");
    assert!(image::open(&sheet)?.width() > 0);

    let html = fs::read_to_string(&page)?;
    assert!(html.contains("<html") && html.contains("data:image/png;base64,"));
    for attribute in [" src=\"", " href=\"", " srcset=\"", " action=\""] {
        for rest in html.split(attribute).skip(1) {
            let start: String = rest.chars().take(40).collect();
            assert!(start.starts_with("data:") || start.starts_with('#'), "{attribute}{start}");
        }
    }
    for loader in ["<link", "<script src", "<iframe", "@import", "url(http", "url(//"] {
        assert!(!html.contains(loader), "{loader}");
    }
    Ok(())
}

#[test]
fn the_exported_float_file_measures_as_the_run_does() -> anyhow::Result<()> {
    let file = shared_folder()?.join("measured.onnx");
    trainer("export")?.arg(tiny_run()?).arg("-o").arg(&file).run()?.succeeds()?;
    assert_eq!(ModelFile::read(&file)?.manifest().precision, Precision::Float32);
    let measure = |subject: &std::path::Path| -> anyhow::Result<Value> {
        trainer("eval --json --device cpu --data")?.arg(tiny_data()?).arg(subject).run()?.succeeds()?.json()
    };
    let (run, exported) = (measure(tiny_run()?)?, measure(&file)?);
    let calibrated = |found: &Value, key: &str| found["calibration"][key].as_f64().unwrap_or(f64::NAN);
    let carried = ModelFile::read(&file)?.manifest().temperature;
    assert_eq!(calibrated(&exported, "temperature"), carried, "the file's");
    // Burn and the engine round differently.
    assert!((calibrated(&run, "temperature") / carried - 1.0).abs() < 0.02, "{carried}: {run}");
    for key in ["accuracy", "pxap"] {
        let (run, exported) = (run[key].as_f64().unwrap(), exported[key].as_f64().unwrap());
        assert!((run - exported).abs() <= 0.5, "{key}: {run} % in Burn, {exported} % in the engine");
    }
    Ok(())
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() -> anyhow::Result<()> {
    let program = trainer("eval --device cpu --data")?.arg(tiny_data()?).arg(tiny_run()?);
    program.reader_leaves_after_a_line().run()?.succeeds()?.says(&[])?;
    trainer("--help")?.reader_leaves_after_a_line().run()?.succeeds()?;
    Ok(())
}
