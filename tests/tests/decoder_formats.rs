//! Images of every format that is read, under right and wrong names, through the program.

use std::fs;

use comet_tests::fixture::image;
use comet_tests::program::comet_edge;
use comet_tests::shipped_model;
use image::ImageFormat;
use serde_json::Value;

/// The lines of `predict --json` on a folder, after a check of stderr.
fn predict(folder: &std::path::Path, said: &[&str]) -> anyhow::Result<Vec<Value>> {
    let program = comet_edge("predict --json")?.arg("--model").arg(shipped_model("hands.int8.onnx"));
    program.arg(folder).run()?.succeeds()?.says(said)?.json_lines()
}

#[test]
fn every_lossless_format_gives_the_same_prediction() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let image = image(80, 60, 1);
    let formats = [
        ("a.png", ImageFormat::Png),
        ("b.webp", ImageFormat::WebP),
        ("c.bmp", ImageFormat::Bmp),
        ("d.tif", ImageFormat::Tiff),
        ("e.TIFF", ImageFormat::Tiff),
        // Names that lie: the content counts.
        ("f.jpg", ImageFormat::WebP),
        ("g.png", ImageFormat::Bmp),
    ];
    for (name, format) in formats {
        image.save_with_format(folder.path().join(name), format)?;
    }
    let lines = predict(folder.path(), &[])?;
    assert_eq!(lines.len(), formats.len());
    for line in &lines {
        assert_eq!(line["scores"], lines[0]["scores"], "{}", line["source"]);
        assert_eq!(line["mask"], lines[0]["mask"], "{}", line["source"]);
    }
    Ok(())
}

#[test]
fn the_first_frame_of_a_gif_is_classified() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    image(80, 60, 1).save_with_format(folder.path().join("a.gif"), ImageFormat::Gif)?;
    assert_eq!(predict(folder.path(), &[])?.len(), 1);
    Ok(())
}

#[test]
fn files_that_are_something_else_are_named_and_skipped() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    image(80, 60, 1).save(folder.path().join("z.png"))?;
    fs::write(folder.path().join("a.jpg"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")?;
    fs::write(folder.path().join("b.png"), "<!DOCTYPE html><title>404</title>")?;
    fs::write(folder.path().join("c.jpeg"), "")?;
    fs::write(folder.path().join("d.webp"), "version https://git-lfs.github.com/spec/v1\n")?;
    let said = [
        "a.jpg: is a HEIC image",
        "b.png: is an HTML page",
        "c.jpeg: is an empty file",
        "d.webp: is a pointer of Git LFS",
        "JPEG, PNG, WebP, BMP, GIF and TIFF are read",
    ];
    assert_eq!(predict(folder.path(), &said)?.len(), 1);
    Ok(())
}
