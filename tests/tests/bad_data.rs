//! Data sets as people have them: damaged files, missing masks, a class too few or too many.

use std::fs;
use std::path::{Path, PathBuf};

use comet_tests::fixture::{
    TRAINING, VALIDATION, copy_folder, entries, first_file, image, tiny_data, tiny_run, training,
};
use comet_tests::program::{Program, trainer};
use serde_json::Value;
use tempfile::TempDir;

/// A copy of the plants that may be spoilt, and the folder that it lies in.
fn plants() -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("plants");
    copy_folder(tiny_data()?, &data)?;
    Ok((folder, data))
}

/// `trainer eval` of the tiny run on other data, as JSON.
fn eval(data: &Path) -> anyhow::Result<Program> {
    Ok(trainer("eval --json --device cpu --data")?.arg(data).arg(tiny_run()?))
}

/// The numbers of training and validation images that a run reports.
fn counts(run: &Path) -> anyhow::Result<(Option<u64>, Option<u64>)> {
    let info: Value = serde_json::from_slice(&fs::read(run.join("run.json"))?)?;
    Ok((info["data"]["train"].as_u64(), info["data"]["val"].as_u64()))
}

/// A plain data set: `<class>/<number>.png`.
fn write_class(root: &Path, class: &str, count: u8) -> anyhow::Result<()> {
    fs::create_dir_all(root.join(class))?;
    for number in 0..count {
        image(32, 32, number).save(root.join(class).join(format!("{number}.png")))?;
    }
    Ok(())
}

#[test]
fn a_damaged_image_is_named_and_skipped() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    let cut = first_file(&data.join("images/train/flower-red"))?;
    let bytes = fs::read(&cut)?;
    fs::write(&cut, &bytes[..bytes.len() / 2])?;
    let text = first_file(&data.join("images/val/flower-blue"))?;
    fs::write(&text, "no image")?;
    fs::write(data.join("images/train/flower-red/notes.txt"), "not looked at")?;

    let run = folder.path().join("run");
    let skipped = [cut, text].map(|path| format!("skipped: {}", path.display()));
    training(&data, &run, 1)?.run()?.succeeds()?.says(&[&skipped[0], &skipped[1]])?;
    assert_eq!(counts(&run)?, (Some(TRAINING as u64 - 1), Some(VALIDATION as u64 - 1)));
    let ended = eval(&data)?.run()?.succeeds()?.says(&[&skipped[1]])?;
    assert_eq!(ended.json()?["n"], VALIDATION - 1);
    Ok(())
}

#[test]
fn a_mask_of_another_size_is_named_and_its_image_skipped() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    let train = first_file(&data.join("masks/train/flower-red"))?;
    let val = first_file(&data.join("masks/val/flower-red"))?;
    for mask in [&train, &val] {
        image(16, 32, 0).save(mask)?;
    }
    let said = "the mask has 16 x 32 pixels, its image 32 x 32";
    let (train, val) = (train.display().to_string(), val.display().to_string());
    let run = folder.path().join("run");
    training(&data, &run, 1)?.run()?.succeeds()?.says(&[&train, &val, said])?;
    let ended = eval(&data)?.run()?.succeeds()?.says(&[&val, said])?;
    assert_eq!(ended.json()?["n"], VALIDATION - 1);
    Ok(())
}

#[test]
fn without_masks_a_run_works_and_localisation_is_null() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    fs::remove_dir_all(data.join("masks"))?;
    let run = folder.path().join("run");
    training(&data, &run, 1)?.run()?.succeeds()?.says(&[])?;
    let ended = trainer("eval --json --device cpu --data")?.arg(&data).arg(&run).run()?.succeeds()?;
    let found = ended.json()?;
    for key in ["pxap", "pxap_1000", "auc_iou", "iou50", "true_area"] {
        assert!(found[key].is_null(), "{key}: {}", found[key]);
    }
    assert!(found["accuracy"].is_f64() && found["area"].is_f64() && found["n"] == VALIDATION);
    Ok(())
}

#[test]
fn pasting_without_masks_is_an_error_that_names_the_set() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    fs::remove_dir_all(data.join("masks"))?;
    let scenes = folder.path().join("scenes");
    write_class(folder.path(), "scenes", 3)?;
    let said = format!("{}: has no masks", data.display());
    let run = folder.path().join("run");
    let train = training(&data, &run, 1)?.arg("--scenes").arg(&scenes).run()?;
    train.ends_with(5)?.says(&[&said, "masks/<split>/<class>/<name>.png"])?;
    eval(&data)?.arg("--scenes").arg(&scenes).run()?.ends_with(5)?.says(&[&said])?;
    Ok(())
}

#[test]
fn a_class_with_one_image_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("photos");
    for (class, count) in [("cup", 5), ("key", 5), ("pen", 1)] {
        write_class(&data, class, count)?;
    }
    let run = folder.path().join("run");
    training(&data, &run, 1)?.run()?.ends_with(5)?.says(&["class 'pen' has 1 image", "photos"])?;
    fs::remove_dir_all(data.join("pen"))?;
    training(&data, &run, 1)?.run()?.succeeds()?;
    assert_eq!(counts(&run)?, (Some(7), Some(3)), "about a fifth of each class validates, chosen by name");
    Ok(())
}

#[test]
fn one_image_is_not_enough_and_two_are() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("photos"), folder.path().join("run"));
    write_class(&data, "cup", 1)?;
    training(&data, &run, 1)?.run()?.ends_with(5)?.says(&["class 'cup' has 1 image", "add more"])?;
    for class in ["cup", "key"] {
        write_class(&data, class, 2)?;
    }
    training(&data, &run, 1)?.run()?.succeeds()?;
    assert_eq!(counts(&run)?, (Some(2), Some(2)));
    Ok(())
}

#[test]
fn images_of_one_colour_are_named_and_do_not_stop_a_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("photos"), folder.path().join("run"));
    for class in ["cup", "key"] {
        fs::create_dir_all(data.join(class))?;
        for number in 0..10 {
            let grey = image::RgbImage::from_pixel(40, 40, image::Rgb([90; 3]));
            grey.save(data.join(class).join(format!("{number}.png")))?;
        }
    }
    let finished = training(&data, &run, 1)?.run()?.succeeds()?;
    finished.says(&["warning: all pixels of all training images have the same colour"])?;
    Ok(())
}

#[test]
fn images_of_one_pixel_are_enlarged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("photos"), folder.path().join("run"));
    for (class, shade) in [("dark", 20), ("light", 220)] {
        fs::create_dir_all(data.join(class))?;
        for number in 0..8 {
            let pixel = image::RgbImage::from_pixel(1, 1, image::Rgb([shade, shade, number]));
            pixel.save(data.join(class).join(format!("{number}.png")))?;
        }
    }
    let words = "train --preset small --width 8 --detector-epochs 1 --epochs 1 --device cpu --data";
    let program = trainer(words)?.arg(&data).arg("--out").arg(&run);
    program.run()?.succeeds()?.says(&["chosen: size = 32: the shorter side of half of the images"])?;
    Ok(())
}

#[test]
fn what_large_images_cost_is_said() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("photos"), folder.path().join("run"));
    for class in ["cup", "key"] {
        write_class(&data, class, 4)?;
    }
    let large = data.join("cup/large.png");
    image::RgbImage::new(6_000, 4_100).save(&large)?;
    // By their names some of them are training images.
    for number in 0..3 {
        fs::copy(&large, data.join(format!("cup/large-{number}.png")))?;
    }
    let finished = training(&data, &run, 1)?.words("--max-minutes 0.00001").run()?.succeeds()?;
    finished.says(&["warning: there are images of up to 25 megapixels", "GB of memory"])?;
    Ok(())
}

#[test]
fn a_class_that_is_far_rarer_than_another_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("photos"), folder.path().join("run"));
    write_class(&data, "often", 60)?;
    write_class(&data, "rare", 2)?;
    let finished = training(&data, &run, 1)?.words("--max-minutes 0.00001").run()?.succeeds()?;
    finished.says(&["warning: class 'rare' has 1 training image(s), class 'often' has"])?;
    Ok(())
}

#[test]
fn a_class_of_which_nothing_can_be_read_is_named() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    for path in entries(&data.join("images/train/flower-red"))? {
        fs::write(path, "no image")?;
    }
    let run = folder.path().join("run");
    let ended = training(&data, &run, 1)?.run()?;
    ended.ends_with(5)?.says(&["class 'flower-red' has 0 image"])?;
    Ok(())
}

#[test]
fn folders_that_are_not_a_data_set_are_named_with_what_is_expected() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, path) = (folder.path().join("run"), |name: &str| folder.path().join(name));
    fs::create_dir_all(path("empty"))?;
    fs::create_dir_all(path("splits/images/train/cup"))?;
    write_class(&path("one"), "cup", 4)?;
    write_class(&path("broken/images/train"), "cup", 1)?;
    write_class(&path("broken/images/train"), "key", 1)?;
    for class in ["cup", "key"] {
        fs::write(path("broken/images/train").join(class).join("0.png"), "no image")?;
    }
    let cases = [
        ("empty", "no images found. Expected"),
        ("splits", "no images found. Expected"),
        ("none", "cannot be read"),
        ("one", "there is one class only ('cup')"),
        ("broken", "none of the 2 images could be read"),
    ];
    for (name, said) in cases {
        let data = path(name);
        let ended = training(&data, &run, 1)?.run()?;
        ended.ends_with(5)?.says(&[said, &data.display().to_string()])?;
    }
    Ok(())
}

#[test]
fn an_unknown_split_is_named_with_those_that_exist() -> anyhow::Result<()> {
    let ended = eval(tiny_data()?)?.words("--split test").run()?;
    ended.ends_with(5)?.says(&["there is no split 'test'", "train, val"])?;
    Ok(())
}

#[test]
fn a_class_that_the_model_does_not_know_is_named() -> anyhow::Result<()> {
    let (_folder, data) = plants()?;
    write_class(&data.join("images/val"), "tulip", 2)?;
    let ended = eval(&data)?.run()?.ends_with(5)?;
    ended.says(&["the class 'tulip' is unknown to the model", "flower-red"])?;
    Ok(())
}

#[test]
fn a_run_can_be_measured_on_some_of_its_classes() -> anyhow::Result<()> {
    let (_folder, data) = plants()?;
    for part in ["images", "masks"] {
        for split in ["train", "val"] {
            fs::remove_dir_all(data.join(part).join(split).join("flower-blue"))?;
        }
    }
    let found = eval(&data)?.run()?.succeeds()?.json()?;
    assert_eq!(found["n"], VALIDATION - 2);
    assert_eq!(found["classes"].as_array().map(Vec::len), Some(6), "the model's classes");
    Ok(())
}

#[test]
fn the_report_names_damaged_repeated_and_rare_images() -> anyhow::Result<()> {
    let (_folder, data) = plants()?;
    let damaged = first_file(&data.join("images/train/flower-red"))?;
    fs::write(&damaged, "no image")?;
    let copied = first_file(&data.join("images/train/flower-blue"))?;
    fs::copy(&copied, data.join("images/val/flower-blue/again.png"))?;
    write_class(&data.join("images/train"), "tulip", 1)?;

    let found = trainer("data report --json")?.arg(&data).run()?.succeeds()?.json()?;
    let list = |key: &str| found[key].to_string();
    assert!(list("unreadable").contains(&damaged.display().to_string()), "{}", list("unreadable"));
    let duplicates = found["duplicates"].as_array().map(Vec::len);
    assert!(duplicates == Some(1) && list("duplicates").contains("again.png"), "{}", list("duplicates"));
    assert_eq!(list("rare"), "[\"tulip (1)\"]");
    let text = trainer("data report")?.arg(&data).run()?.succeeds()?.stdout;
    assert!(text.contains("unreadable files: 1") && text.contains("again.png"), "{text}");
    Ok(())
}
