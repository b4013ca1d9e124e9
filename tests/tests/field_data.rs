//! Data sets as other programs, cameras and people leave them: nothing in them is lost without a message.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use comet_tests::fixture::{
    TRAINING, copy_folder, entries, first_file, image, jpeg, tiny_data, tiny_run, training,
};
use comet_tests::program::trainer;
use image::{DynamicImage, GrayImage, Luma, Rgba, RgbaImage};
use serde_json::Value;
use tempfile::TempDir;

/// A copy of the plants that may be changed, and the folder that it lies in.
fn plants() -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("plants");
    copy_folder(tiny_data()?, &data)?;
    Ok((folder, data))
}

/// Images of a format, numbered from `first` on.
fn write_images(folder: &Path, suffix: &str, first: u8, count: u8) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for number in first..first + count {
        image(32, 32, number).save(folder.join(format!("{number}.{suffix}")))?;
    }
    Ok(())
}

/// `trainer data report` as JSON.
fn report(data: &Path) -> anyhow::Result<Value> {
    trainer("data report --json")?.arg(data).run()?.succeeds()?.json()
}

/// The report's notices as one text.
fn notices(report: &Value) -> String {
    report["notices"].to_string()
}

/// How many images of each class a report counts, over all splits.
fn counts(report: &Value) -> Vec<u64> {
    let classes = report["classes"].as_array().map_or(0, Vec::len);
    let splits = report["splits"].as_array().cloned().unwrap_or_default();
    let count = |class: usize| splits.iter().filter_map(|split| split["counts"][class].as_u64()).sum();
    (0..classes).map(count).collect()
}

/// Every mask of a data set, in all splits and classes.
fn masks(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut masks = Vec::new();
    for split in entries(&data.join("masks"))? {
        for class in entries(&split)? {
            masks.extend(entries(&class)?);
        }
    }
    Ok(masks)
}

#[test]
fn sub_folders_and_every_format_are_read_and_the_rest_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("photos");
    write_images(&data.join("bird/2023"), "jpg", 0, 2)?;
    write_images(&data.join("bird/2024/may"), "png", 2, 2)?;
    write_images(&data.join("cat"), "webp", 10, 4)?;
    write_images(&data.join("dog"), "jpg", 20, 2)?;
    write_images(&data.join("dog"), "webp", 22, 2)?;
    for (number, suffix) in (30..).zip(["bmp", "gif", "tif", "tiff"]) {
        write_images(&data.join("fish"), suffix, number, 1)?;
    }
    fs::create_dir(data.join("empty"))?;
    for path in ["bird/1.heic", "bird/2023/2.heic", "cat/notes.txt"] {
        fs::write(data.join(path), "x")?;
    }
    let found = report(&data)?;
    assert_eq!(found["classes"].to_string(), "[\"bird\",\"cat\",\"dog\",\"fish\"]");
    assert_eq!(counts(&found), [4, 4, 4, 4]);
    assert_eq!(found["unreadable"].to_string(), "[]");
    let text = notices(&found);
    for word in ["/empty", "2 file(s) left out (.heic)", "1 file(s) left out (.txt)"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let run = folder.path().join("run");
    training(&data, &run, 1)?.run()?.succeeds()?.says(&["/empty", "2 file(s) left out (.heic)"])?;
    Ok(())
}

#[test]
fn a_class_folder_without_any_image_is_an_error_that_says_what_is_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("photos");
    for class in ["cat", "dog"] {
        write_images(&data.join(class), "png", 0, 3)?;
    }
    fs::create_dir_all(data.join("bird/2023"))?;
    fs::write(data.join("bird/2023/1.heic"), "x")?;
    let said = ["class 'bird' holds no image", "1 .heic"];
    trainer("data report")?.arg(&data).run()?.ends_with(5)?.says(&said)?;
    training(&data, &folder.path().join("run"), 1)?.run()?.ends_with(5)?.says(&said)?;
    Ok(())
}

#[test]
fn a_jpeg_that_is_cut_off_is_unreadable_for_the_trainer_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("photos");
    for class in ["cat", "dog"] {
        fs::create_dir_all(data.join(class))?;
        for number in 0..6 {
            let bytes = jpeg(&image(200, 200, number))?;
            let cut = if class == "dog" && number == 3 { bytes.len() / 3 } else { bytes.len() };
            fs::write(data.join(class).join(format!("{number}.jpg")), &bytes[..cut])?;
        }
    }
    let found = report(&data)?;
    let unreadable = found["unreadable"].as_array().context("a list")?;
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    let path = data.join("dog/3.jpg").display().to_string();
    assert!(unreadable[0].to_string().contains(&path), "{unreadable:?}");
    let skipped = format!("skipped: {path}");
    training(&data, &folder.path().join("run"), 1)?.run()?.succeeds()?.says(&[&skipped])?;
    Ok(())
}

/// A way to save a mask: the file's new name, and its pixels.
type Save = (&'static str, fn(&str) -> String, fn(&GrayImage) -> DynamicImage);

#[test]
fn masks_mean_the_same_in_every_form_that_people_save_them_in() -> anyhow::Result<()> {
    let same_name: fn(&str) -> String = |stem| format!("{stem}.png");
    let forms: [Save; 6] = [
        ("values 0 and 1", same_name, |mask| values(mask, 1).into()),
        ("a name with _mask", |stem| format!("{stem}_mask.png"), |mask| mask.clone().into()),
        ("the image's whole name", |stem| format!("{stem}.png.bmp"), |mask| mask.clone().into()),
        ("black with the mask as opacity", same_name, |mask| opacity(mask, [0; 3]).into()),
        ("red with the mask as opacity", same_name, |mask| opacity(mask, [200, 0, 0]).into()),
        ("dark red on black", same_name, |mask| {
            let rgba = DynamicImage::from(values(mask, 64)).into_rgba8();
            let rgba = RgbaImage::from_fn(rgba.width(), rgba.height(), |x, y| {
                Rgba([rgba.get_pixel(x, y).0[0], 0, 0, 255])
            });
            DynamicImage::from(rgba).into_rgb8().into()
        }),
    ];
    let expected = report(tiny_data()?)?["splits"].clone();
    assert!(expected[0]["marked"].as_f64().is_some_and(|marked| marked > 1.0), "{expected}");
    for (form, name, convert) in forms {
        let (_folder, data) = plants()?;
        for path in masks(&data)? {
            let mask = image::open(&path)?.into_luma8();
            fs::remove_file(&path)?;
            let stem = path.file_stem().context("a name")?.to_string_lossy().into_owned();
            convert(&mask).save(path.with_file_name(name(&stem)))?;
        }
        let found = report(&data)?;
        assert_eq!(found["splits"], expected, "{form}");
        assert_eq!(notices(&found), "[]", "{form}");
    }
    let text = trainer("data report")?.arg(tiny_data()?).run()?.succeeds()?.stdout;
    assert!(text.contains("How they are read: in files with a palette"), "{text}");
    Ok(())
}

/// A mask with `value` in place of 255.
fn values(mask: &GrayImage, value: u8) -> GrayImage {
    GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
        Luma([if mask.get_pixel(x, y).0[0] > 0 { value } else { 0 }])
    })
}

/// A mask in the opacity of one colour.
fn opacity(mask: &GrayImage, [red, green, blue]: [u8; 3]) -> RgbaImage {
    RgbaImage::from_fn(mask.width(), mask.height(), |x, y| {
        Rgba([red, green, blue, mask.get_pixel(x, y).0[0]])
    })
}

#[test]
fn masks_that_cannot_be_meant_are_named() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    for path in entries(&data.join("masks/train/flower-red"))? {
        GrayImage::new(32, 32).save(path)?;
    }
    for path in entries(&data.join("masks/train/flower-blue"))? {
        GrayImage::from_pixel(32, 32, Luma([255])).save(path)?;
    }
    for path in entries(&data.join("masks/train/flower-pink"))? {
        fs::rename(&path, path.with_extension("mask-of-it.png"))?;
    }
    let yellow = first_file(&data.join("masks/train/flower-yellow"))?;
    let mask = image::open(&yellow)?.into_luma8();
    fs::remove_file(&yellow)?;
    mask.save(yellow.with_extension("jpg"))?;
    let each = TRAINING / 6;
    let said = [
        format!("class 'flower-red': all {each} mask(s) are empty"),
        format!("class 'flower-blue': all {each} mask(s) mark every pixel"),
        format!("{each} file(s) in masks/ match no image"),
        "1 mask(s) in JPEG format".to_owned(),
    ];
    let text = trainer("data report")?.arg(&data).run()?.succeeds()?.stdout;
    for word in &said {
        assert!(text.contains(word), "{word}: {text}");
    }
    let run = folder.path().join("run");
    let words: Vec<&str> = said.iter().map(String::as_str).collect();
    training(&data, &run, 1)?.run()?.succeeds()?.says(&words)?;
    Ok(())
}

#[test]
fn a_run_records_which_share_can_really_be_pasted() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    let (scenes, run) = (folder.path().join("scenes"), folder.path().join("run"));
    write_images(&scenes, "png", 0, 3)?;
    let masks = data.join("masks/train");
    for class in ["flower-blue", "flower-orange", "flower-pink"] {
        for path in entries(&masks.join(class))? {
            GrayImage::new(32, 32).save(path)?;
        }
    }
    let train = |run: &Path| anyhow::Ok(training(&data, run, 1)?.words("--paste 1.0 --scenes").arg(&scenes));
    let said = "50 % of the images are pasted on scenes where 100 % were asked for";
    train(&run)?.run()?.succeeds()?.says(&[said])?;
    let info: Value = serde_json::from_slice(&fs::read(run.join("run.json"))?)?;
    assert_eq!(info["effective_paste"], 0.5, "{info}");

    for class in entries(&masks)? {
        for path in entries(&class)? {
            GrayImage::new(32, 32).save(path)?;
        }
    }
    let said = [format!("all {TRAINING} masks are empty"), data.display().to_string()];
    train(&folder.path().join("none"))?.run()?.ends_with(5)?.says(&[&said[0], &said[1]])?;
    Ok(())
}

#[test]
fn system_folders_and_locked_ones_do_not_end_a_job() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("disk");
    for class in ["cat", "dog"] {
        write_images(&data.join(class), "png", 0, 4)?;
        for path in ["._0.png", "Thumbs.db", "desktop.ini"] {
            fs::write(data.join(class).join(path), "x")?;
        }
        write_images(&data.join(class).join("@eaDir"), "png", 0, 2)?;
    }
    write_images(&data.join("lost+found"), "png", 0, 2)?;
    write_images(&data.join(".thumbnails"), "png", 0, 2)?;
    write_images(&data.join("__MACOSX/cat"), "png", 0, 2)?;
    let locked = data.join("dog/locked");
    write_images(&locked, "png", 4, 1)?;
    set_mode(&locked, 0o000)?;
    // The superuser may read everything.
    let is_locked = fs::read_dir(&locked).is_err();
    let found = report(&data);
    let run = folder.path().join("run");
    let trained = training(&data, &run, 1)?.run()?.succeeds();
    set_mode(&locked, 0o700)?;

    let (found, dogs) = (found?, if is_locked { 4 } else { 5 });
    assert_eq!(counts(&found), [4, dogs]);
    assert_eq!(found["unreadable"].to_string(), "[]");
    let text = notices(&found);
    for word in ["'@eaDir'", "'lost+found'", "'.thumbnails'", "'__MACOSX'", "6 file(s) left out (hidden"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let refused = "locked: cannot be read and is left out";
    assert_eq!(text.contains(refused), is_locked, "{text}");
    let expected: &[&str] = if is_locked { &["'lost+found'", refused] } else { &["'lost+found'"] };
    trained?.says(expected)?;
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[test]
fn a_split_that_lacks_a_class_is_named() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    fs::remove_dir_all(data.join("images/val/flower-blue"))?;
    fs::remove_dir_all(data.join("masks/val/flower-blue"))?;
    let said = "split 'val' has no image of 1 class(es): flower-blue";
    let text = notices(&report(&data)?);
    assert!(text.contains(said), "{text}");
    training(&data, &folder.path().join("run"), 1)?.run()?.succeeds()?.says(&[said])?;
    Ok(())
}

#[test]
fn splits_need_no_folder_images() -> anyhow::Result<()> {
    let (folder, data) = plants()?;
    let expected = report(&data)?;
    for split in ["train", "val"] {
        fs::rename(data.join("images").join(split), data.join(split))?;
    }
    fs::remove_dir(data.join("images"))?;
    let found = report(&data)?;
    for key in ["classes", "splits", "notices", "mean", "std"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    training(&data, &folder.path().join("run"), 1)?.run()?.succeeds()?;
    Ok(())
}

#[test]
fn a_class_name_with_a_line_break_is_refused_on_one_line() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for class in ["cat", "do\ng"] {
        write_images(&folder.path().join(class), "png", 0, 3)?;
    }
    let ended = trainer("data report")?.arg(folder.path()).run()?.ends_with(5)?.says(&["\"do\\ng\""])?;
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{}", ended.stderr);
    Ok(())
}

#[test]
fn another_seed_never_measures_on_training_images() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("plain");
    for class in entries(&tiny_data()?.join("images/train"))? {
        copy_folder(&class, &data.join(class.file_name().context("a name")?))?;
    }
    let eval = |seed: &str| -> anyhow::Result<Value> {
        let words = format!("eval --json --device cpu --seed {seed} --data");
        trainer(&words)?.arg(&data).arg(tiny_run()?).run()?.succeeds()?.json()
    };
    let first = eval("0")?;
    let n = first["n"].as_u64().context("a count")?;
    assert!((6..=30).contains(&n), "{n}");
    for seed in ["1", "2", "77"] {
        let other = eval(seed)?;
        // The mean area of the maps differs as soon as one image does.
        for key in ["n", "area", "confusion"] {
            assert_eq!(first[key], other[key], "{key} with seed {seed}");
        }
    }
    Ok(())
}
