//! `comet-edge run --camera`: formats, unplugging, stalls, damaged images, on a camera that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use comet_tests::fake_camera::{FakeCamera, NUMBER};
use comet_tests::fixture::{image, jpeg};
use comet_tests::program::{Finished, Program, Running, comet_edge};
use comet_tests::shipped_model;
use image::{Rgb, RgbImage};
use serde_json::Value;

/// Size of the images where it does not matter.
const SIZE: (u32, u32) = (64, 48);
const BACK: &str = "gives frames again";

fn run(words: &str) -> anyhow::Result<Program> {
    Ok(comet_edge("run --jsonl -")?.arg("--model").arg(shipped_model("hands.int8.onnx")).words(words))
}

/// `comet-edge run` on a camera, without end.
fn watch(camera: &FakeCamera, words: &str) -> anyhow::Result<Program> {
    Ok(camera.plug_into(run("--camera")?.arg(NUMBER.to_string()).words(words)))
}

/// A webcam: two JPEGs of different length, so that each buffer ends with the rest of another image.
fn webcam() -> anyhow::Result<FakeCamera> {
    let grey = RgbImage::from_pixel(640, 480, Rgb([90; 3]));
    FakeCamera::new(&[jpeg(&image(640, 480, 1))?, jpeg(&grey)?])
}

fn scores(finished: &Finished) -> anyhow::Result<Vec<Value>> {
    Ok(finished.json_lines()?.iter().map(|line| line["scores"].clone()).collect())
}

/// Waits for another three predictions.
fn wait_for_predictions(running: &mut Running) -> anyhow::Result<()> {
    let so_far = running.stdout().lines().count();
    running.wait_until("predictions", |running| running.stdout().lines().count() >= so_far + 3)
}

fn occurrences(running: &Running, words: &str) -> u64 {
    running.stderr().matches(words).count() as u64
}

/// The number before `what` in the summary.
fn counted(finished: &Finished, what: &str) -> anyhow::Result<u64> {
    let summary = finished.stderr.lines().rfind(|line| line.contains(" predicted")).context("no summary")?;
    let counts = summary.split(", ").filter_map(|part| part.split_once(' '));
    let count = counts.filter(|(_, name)| name.starts_with(what)).find_map(|(count, _)| count.parse().ok());
    Ok(count.unwrap_or(0))
}

/// Brightness that differs from pixel to pixel, in the range of video.
fn brightness() -> Vec<u8> {
    let (width, height) = SIZE;
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    pixels.map(|(x, y)| (16 + (3 * x + 5 * y + x * y / 7) % 220) as u8).collect()
}

/// What an image without colour looks like: BT.601 in 8-bit fixed point.
fn without_colour(brightness: &[u8]) -> anyhow::Result<RgbImage> {
    let shade = |&luma: &u8| ((298 * (i32::from(luma) - 16) + 128) >> 8).clamp(0, 255) as u8;
    let bytes = brightness.iter().map(shade).flat_map(|shade| [shade; 3]).collect();
    RgbImage::from_raw(SIZE.0, SIZE.1, bytes).context("the number of pixels")
}

#[test]
fn each_format_is_predicted_as_the_same_image_in_a_file() -> anyhow::Result<()> {
    let colours = image(SIZE.0, SIZE.1, 3);
    let luma = brightness();
    let grey = without_colour(&luma)?;
    let yuyv = luma.iter().flat_map(|&luma| [luma, 128]).collect();
    let full_range = luma.iter().flat_map(|&luma| [luma; 3]).collect();
    let full_range = RgbImage::from_raw(SIZE.0, SIZE.1, full_range).context("the number of pixels")?;
    let nv12 = luma.iter().copied().chain(std::iter::repeat_n(128, luma.len() / 2)).collect();
    let bgr = colours.pixels().flat_map(|pixel| pixel.0.into_iter().rev()).collect();
    let jpeg = jpeg(&colours)?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    fs::write(file("colours.jpg"), &jpeg)?;
    colours.save(file("colours.png"))?;
    grey.save(file("grey.png"))?;
    full_range.save(file("full_range.png"))?;
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("MJPG", jpeg, "colours.jpg"),
        ("RGB3", colours.into_raw(), "colours.png"),
        ("BGR3", bgr, "colours.png"),
        ("YUYV", yuyv, "grey.png"),
        ("NV12", nv12, "grey.png"),
        ("GREY", luma, "full_range.png"),
    ];
    for (format, frame, same) in cases {
        let expected = scores(&run("--source")?.arg(file(same)).run()?.succeeds()?)?;
        let camera = FakeCamera::new(&[frame])?.set("FORMAT", format).set("SIZES", "320x240,64x48");
        let finished = watch(&camera, "--width 64 --height 48 --frames 3")?.run()?.succeeds()?;
        let predicted = scores(&finished)?;
        assert_eq!(predicted.len(), 3, "{format}");
        assert!(predicted.iter().all(|scores| Some(scores) == expected.first()), "{format}: {predicted:?}");
    }
    Ok(())
}

#[test]
fn odd_rates_and_a_device_left_in_another_format_are_no_obstacle() -> anyhow::Result<()> {
    for (setting, value) in [("RATE", "15/2"), ("LEFT_IN", "H264")] {
        let camera = webcam()?.set(setting, value);
        let finished = watch(&camera, "--frames 2")?.run()?;
        let finished = finished.succeeds().with_context(|| format!("{setting} {value}"))?;
        assert_eq!(finished.json_lines()?.len(), 2, "{setting} {value}");
    }
    Ok(())
}

#[test]
fn a_camera_without_a_supported_format_is_reported_with_those_that_it_has() -> anyhow::Result<()> {
    let camera = webcam()?.set("FORMAT", "H264").set("SIZES", "640x480,320x240");
    let finished = watch(&camera, "")?.limit(Duration::from_secs(20)).run()?;
    let offer = "it offers: 640x480 H264 30 fps, 320x240 H264 30 fps";
    finished.ends_with(4)?.says(&["camera90", "cannot be opened", offer, "supported are MJPG", "hint: "])?;
    Ok(())
}

#[test]
fn a_camera_that_lists_no_rates_or_its_sizes_in_steps_gives_the_wanted_size() -> anyhow::Result<()> {
    let cases = [("640x480", "none"), ("stepwise", "none"), ("stepwise", "")];
    for (sizes, intervals) in cases {
        let camera = FakeCamera::new(&[])?.set("FORMAT", "YUYV").set("SIZES", sizes);
        let camera = camera.set("INTERVALS", intervals);
        let folder = tempfile::tempdir()?;
        watch(&camera, "--frames 1 --overlay")?.arg(folder.path()).run()?.succeeds()?;
        let drawn = image::image_dimensions(folder.path().join("camera90.overlay.jpg"))?;
        assert_eq!(drawn, (640, 480), "sizes {sizes}, intervals {intervals}");
    }
    Ok(())
}

#[test]
fn a_camera_that_cannot_be_opened_is_reported_with_what_to_do() -> anyhow::Result<()> {
    let cases = [
        ("absent", "No such file or directory"),
        ("busy", "another program holds the camera"),
        ("forbidden", "usermod -aG video"),
    ];
    for (word, said) in cases {
        let camera = webcam()?;
        camera.control(word)?;
        let finished = watch(&camera, "")?.limit(Duration::from_secs(20)).run()?;
        finished.ends_with(4)?.says(&["camera90", "cannot be opened", said, "hint: "])?;
    }
    Ok(())
}

/// The resources that a process holds.
#[derive(Debug)]
struct Footprint {
    descriptors: usize,
    threads: usize,
    resident_kib: usize,
}

impl Footprint {
    fn of(process: u32) -> anyhow::Result<Self> {
        let process = Path::new("/proc").join(process.to_string());
        let status = fs::read_to_string(process.join("status"))?;
        let number = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("/proc has no {name}"))
        };
        Ok(Self {
            descriptors: fs::read_dir(process.join("fd"))?.count(),
            threads: number("Threads:")?,
            resident_kib: number("VmRSS:")?,
        })
    }
}

#[test]
fn a_camera_that_comes_and_goes_is_read_again_and_leaks_nothing() -> anyhow::Result<()> {
    let cycles = if std::env::var_os("COMET_EDGE_LONG_TESTS").is_some() { 1000 } else { 25 };
    // Gone for longer than the first attempt to open it again.
    let camera = webcam()?.set("RATE", "100").set("CYCLE", "3:70");
    let mut running = watch(&camera, "")?.limit(Duration::from_secs(60 + 2 * cycles)).spawn()?;
    // What is made once is there by then.
    running.wait_until("the fifth return", |running| occurrences(running, BACK) >= 5)?;
    let before = Footprint::of(running.id())?;
    running.wait_until("the last return", |running| occurrences(running, BACK) >= cycles)?;
    let after = Footprint::of(running.id())?;
    running.signal("TERM")?;
    let finished = running.finish()?.succeeds()?.says(&["disconnected", "trying to open it again"])?;
    assert!(counted(&finished, "times opened again")? >= cycles, "{}", finished.stderr);
    // A camera holds two of the program's descriptors and one of its threads, or neither while it is away.
    assert!(after.descriptors <= before.descriptors + 2, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 1, "{before:?} {after:?}");
    // One leaked set of buffers is 2,400 KiB.
    assert!(after.resident_kib <= before.resident_kib + 4096, "{before:?} {after:?}");
    Ok(())
}

#[test]
fn an_unplugged_camera_is_lost_where_reconnecting_is_off() -> anyhow::Result<()> {
    let camera = webcam()?;
    let mut running = watch(&camera, "--no-reconnect")?.limit(Duration::from_secs(20)).spawn()?;
    wait_for_predictions(&mut running)?;
    camera.control("absent")?;
    let finished = running.finish()?.ends_with(4)?.says(&["disconnected", "is lost", "os error 19"])?;
    assert!(finished.json_lines()?.len() >= 3, "what was predicted before is there");
    Ok(())
}

#[test]
fn a_stall_is_noticed_reported_and_survived() -> anyhow::Result<()> {
    // One camera goes on by itself once the stall is over, the other one only if it is opened again.
    for (word, next) in [("stall", ""), ("wedge", "wedge")] {
        let camera = webcam()?;
        let mut running = watch(&camera, "")?.spawn()?;
        wait_for_predictions(&mut running)?;
        camera.control(word)?;
        let begun = Instant::now();
        running.wait_until(word, |running| occurrences(running, "camera90 gave no frame") == 1)?;
        let noticed = begun.elapsed();
        // Two seconds until a stall counts, and what a busy machine adds.
        assert!(noticed < Duration::from_secs(4), "{word}: {noticed:?}");
        camera.control(next)?;
        running.wait_until("the end of it", |running| occurrences(running, BACK) == 1).context(word)?;
        wait_for_predictions(&mut running)?;
        running.signal("TERM")?;
        let finished = running.finish()?.succeeds()?.says(&[])?;
        let counts = (counted(&finished, "times stalled")?, counted(&finished, "times opened again")?);
        assert_eq!(counts, (1, 1), "{word}: {}", finished.stderr);
        // The thread had come back from the driver by itself.
        assert!(!finished.stderr.contains("hangs in the driver"), "{word}: {}", finished.stderr);
    }
    Ok(())
}

#[test]
fn a_silent_camera_does_not_hold_up_the_end_of_a_run() -> anyhow::Result<()> {
    for noticed in [false, true] {
        let camera = webcam()?;
        let mut running = watch(&camera, "")?.spawn()?;
        wait_for_predictions(&mut running)?;
        camera.control("stall")?;
        match noticed {
            false => std::thread::sleep(Duration::from_millis(300)),
            true => running.wait_until("the stall", |running| occurrences(running, "gave no frame") == 1)?,
        }
        let begun = Instant::now();
        running.signal("TERM")?;
        running.finish()?.succeeds()?.says(&["predicted"])?;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "stall noticed: {noticed}; it took {took:?}");
    }
    Ok(())
}

#[test]
fn damaged_images_are_counted_and_skipped() -> anyhow::Result<()> {
    let camera = webcam()?;
    let mut running = watch(&camera, "")?.spawn()?;
    wait_for_predictions(&mut running)?;
    for damage in ["cut", "torn", "garbage", "empty"] {
        let so_far = occurrences(&running, "skipped camera90: is damaged");
        camera.control(damage)?;
        running
            .wait_until(damage, |running| occurrences(running, "skipped camera90: is damaged") > so_far)?;
        camera.control("")?;
        wait_for_predictions(&mut running).context(damage)?;
    }
    running.signal("TERM")?;
    let finished = running.finish()?.succeeds()?.says(&[])?;
    assert!(counted(&finished, "corrupt")? >= 4, "{}", finished.stderr);
    assert_eq!(counted(&finished, "times stalled")?, 0, "{}", finished.stderr);
    // The predictions are those of two whole images; none was made from half of one.
    let seen: BTreeSet<String> = scores(&finished)?.iter().map(Value::to_string).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    Ok(())
}

#[test]
fn the_list_of_cameras_and_the_doctor_work_beside_a_camera() -> anyhow::Result<()> {
    let camera = webcam()?;
    let list = camera.plug_into(comet_edge("cameras --json")?).run()?.succeeds()?.says(&[])?;
    assert!(list.json()?.is_array());
    // Whether it passes depends on the machine.
    let report = camera.plug_into(comet_edge("doctor --json")?).run()?.says(&[])?.json()?;
    assert!(report["checks"].is_array(), "{report}");
    Ok(())
}
