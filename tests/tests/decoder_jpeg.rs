//! JPEGs that decoders get wrong without noticing: both programs refuse them by name, or decode them correctly.

use std::fs;
use std::path::PathBuf;

use comet_engine::image::{ImageErrorKind, decode_rgb, read_rgb};
use comet_tests::fixture::{image, jpeg};
use comet_tests::program::comet_edge;
use comet_tests::{repository, shipped_model};

/// `progressive.jpg` is a drawn scene with a red rectangle, 64 x 48 pixels, made by
/// `cjpeg -quality 80 -sample 2x2 -progressive scene.ppm`; `separate-scans.jpg` is the same scene, made by
/// `cjpeg -quality 80 -sample 2x2 scene.ppm | jpegtran -scans FILE` with the lines `0;`, `1;` and `2;` in FILE.
fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

#[test]
fn a_baseline_jpeg_with_a_scan_for_each_component_is_refused_with_what_to_do() -> anyhow::Result<()> {
    let path = fixture("separate-scans.jpg");
    let fault = read_rgb(&path).unwrap_err();
    assert!(matches!(fault.kind, ImageErrorKind::SeparateScans), "{fault}");
    let program = comet_edge("predict")?.arg("--model").arg(shipped_model("hands.int8.onnx"));
    let output = program.arg(&path).run()?;
    assert!(output.stdout.is_empty(), "{}", output.stdout);
    output.says(&["separate-scans.jpg", "jpegtran -optimize"])?;
    Ok(())
}

#[test]
fn a_progressive_jpeg_is_decoded_right_and_cut_ones_are_refused() -> anyhow::Result<()> {
    let bytes = fs::read(fixture("progressive.jpg"))?;
    let image = decode_rgb(&bytes, "whole")?;
    assert_eq!(image.dimensions(), (64, 48));
    for (got, drawn) in image.get_pixel(32, 20).0.into_iter().zip([220, 60, 40]) {
        assert!(got.abs_diff(drawn) < 20, "{got} for {drawn}");
    }
    for part in [3, 4, 5] {
        let cut = &bytes[..bytes.len() * part / 6];
        let closed = [cut, &[0xff, 0xd9]].concat();
        for bytes in [cut, &closed] {
            let fault = decode_rgb(bytes, "cut").unwrap_err().to_string();
            assert!(fault.contains("is damaged"), "{fault}");
        }
    }
    Ok(())
}

#[test]
fn a_frame_closed_too_early_or_with_a_gap_is_skipped_and_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = jpeg(&image(320, 240, 3))?;
    let quarter = &whole[..whole.len() / 4];
    fs::write(folder.path().join("a-whole.jpg"), &whole)?;
    fs::write(folder.path().join("b-cut.jpg"), quarter)?;
    fs::write(folder.path().join("c-closed.jpg"), [quarter, &[0xff, 0xd9]].concat())?;
    let gap = [&whole[..whole.len() / 2], &whole[whole.len() * 3 / 4..]].concat();
    fs::write(folder.path().join("d-gap.jpg"), gap)?;
    let program = comet_edge("predict --json")?.arg("--model").arg(shipped_model("hands.int8.onnx"));
    let output = program.arg(folder.path()).run()?.succeeds()?;
    let output = output.says(&[
        "b-cut.jpg: is damaged",
        "c-closed.jpg: is damaged (premature end",
        "blocks are missing",
        "d-gap.jpg: is damaged",
    ])?;
    assert_eq!(output.json_lines()?.len(), 1);
    Ok(())
}
