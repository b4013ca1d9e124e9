//! `comet-edge run --record`: what kills, full disks and missing folders leave of a recording.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use comet_edge::sink::AviReader;
use comet_edge::source::SyntheticScene;
use comet_tests::program::{Program, Running, comet_edge, profile_folder};
use comet_tests::random::SplitMix64;
use comet_tests::shipped_model;
use image::RgbImage;
use serde_json::Value;

/// A drawn scene as fast as it can be predicted, without end.
const ENDLESS: &str = "--source synthetic:160x120,0,1";
/// The same at the pace of a camera, and live.
const CAMERA: &str = "--live --source synthetic:160x120,30,1";

/// `comet-edge run` with the shipped model, recording into `folder`.
fn record(folder: &Path, words: &str) -> anyhow::Result<Program> {
    let program = comet_edge("run --model")?.arg(shipped_model("hands.int8.onnx"));
    Ok(program.arg("--record").arg(folder).words(words))
}

/// What lies in a folder; nothing if the folder is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn has_part(folder: &Path) -> bool {
    names(folder).iter().any(|name| name.ends_with(".avi.part"))
}

/// The finished videos, the oldest first.
fn videos(folder: &Path) -> Vec<PathBuf> {
    let names = names(folder);
    names.iter().filter(|name| name.ends_with(".avi")).map(|name| folder.join(name)).collect()
}

/// Number of predictions so far.
fn predictions(running: &Running) -> usize {
    running.stdout().lines().count()
}

/// The images to which a video's index leads, as it leads a player.
fn indexed(video: &[u8]) -> Option<Vec<&[u8]>> {
    const MOVI: usize = 220;
    let word = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(*video.get(at..)?.first_chunk::<4>()?) as usize)
    };
    let index = MOVI + word(MOVI - 4)?;
    let is_sound = word(4)? + 8 == video.len() && video.get(index..index + 4)? == b"idx1";
    is_sound.then_some(())?;
    let image = |number: usize| {
        let entry = index + 8 + 16 * number;
        let chunk = MOVI + word(entry + 8)?;
        video.get(chunk + 8..)?.get(..word(entry + 12)?)
    };
    (0..word(index + 4)? / 16).map(image).collect()
}

/// The images and the records of a finished segment; an error unless it is whole.
fn read_segment(video: &Path) -> anyhow::Result<(Vec<RgbImage>, Vec<Value>)> {
    let bytes = fs::read(video)?;
    let text = fs::read_to_string(video.with_extension("jsonl"))?;
    let records: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let jpegs = indexed(&bytes).context("the index is broken")?;
    let mut reader = AviReader::open(Cursor::new(&bytes))?;
    ensure!(reader.is_finished(), "the video is not finished");
    let counts = (jpegs.len(), reader.len(), records.len());
    ensure!(counts == (counts.0, counts.0, counts.0) && counts.0 > 0, "index, video, records: {counts:?}");
    let mut images = Vec::new();
    for (number, jpeg) in jpegs.into_iter().enumerate() {
        ensure!(reader.jpeg(number)? == jpeg, "frame {number}: video and index are apart");
        let image = image::load_from_memory(jpeg).with_context(|| format!("frame {number}"))?;
        ensure!(image.width() == reader.size().0 && image.height() == reader.size().1);
        images.push(image.into_rgb8());
    }
    for record in &records {
        ensure!(record["time"].is_string() && record["monotonic_s"].is_number(), "{record}");
    }
    let frames: Vec<_> = records.iter().filter_map(|record| record["frame"].as_u64()).collect();
    ensure!(frames.len() == records.len() && frames.is_sorted_by(|a, b| a < b), "{frames:?}");
    Ok((images, records))
}

/// Number of recorded frames in all finished segments of a folder; an error if one is not whole.
fn recorded(folder: &Path) -> anyhow::Result<usize> {
    let mut frames = 0;
    for video in videos(folder) {
        let (_, records) = read_segment(&video).with_context(|| video.display().to_string())?;
        frames += records.len();
    }
    Ok(frames)
}

/// An error if anything but finished pairs is left.
fn only_pairs(folder: &Path) -> anyhow::Result<()> {
    let names = names(folder);
    let lone = names.iter().find(|name| match name.rsplit_once('.') {
        Some((stem, "avi")) => !names.contains(&format!("{stem}.jsonl")),
        Some((stem, "jsonl")) => !names.contains(&format!("{stem}.avi")),
        _ => true,
    });
    ensure!(lone.is_none(), "{lone:?} among {names:?}");
    Ok(())
}

/// The sum of the differences of all values.
fn difference(one: &RgbImage, other: &RgbImage) -> u64 {
    one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

#[test]
fn each_line_is_the_record_of_its_frame() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    record(folder.path(), ENDLESS)?.words("--frames 30").run()?.succeeds()?;
    only_pairs(folder.path())?;
    let videos = videos(folder.path());
    assert_eq!(videos.len(), 1, "{videos:?}");
    let (images, records) = read_segment(&videos[0])?;
    let scene = SyntheticScene { width: 160, height: 120, fps: 0, seed: 1, frames: None };
    for (image, record) in images.iter().zip(&records) {
        let number = record["frame"].as_u64().context("no number")?;
        let (own, next) = (scene.draw(number), scene.draw(number + 1));
        assert!(difference(image, &own) < difference(image, &next), "frame {number}");
    }
    Ok(())
}

#[test]
fn a_kill_at_any_moment_costs_no_finished_segment() -> anyhow::Result<()> {
    let kills = if std::env::var_os("COMET_EDGE_LONG_TESTS").is_some() { 200 } else { 12 };
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let mut moments = SplitMix64::new(12);
    let mut seen = BTreeSet::new();
    for kill in 0..kills {
        let mut running = record(folder, ENDLESS)?.words("--segment 150ms").spawn()?;
        running.wait_until("a prediction", |running| predictions(running) > 0)?;
        sleep(Duration::from_micros(moments.below(600_000) as u64));
        running.kill()?;
        running.finish()?;
        for video in videos(folder) {
            if seen.insert(video.clone()) {
                read_segment(&video).with_context(|| format!("{} after kill {kill}", video.display()))?;
            }
        }
    }
    // The next recording looks after what the last kill left.
    record(folder, ENDLESS)?.words("--frames 5").run()?.succeeds()?;
    only_pairs(folder)?;
    recorded(folder)?;
    let recovered = names(folder).iter().filter(|name| name.ends_with(".recovered.avi")).count();
    assert!(recovered > 0, "no kill left anything to recover");
    assert!(seen.len() > recovered, "no segment was finished between the kills");
    Ok(())
}

#[test]
fn a_signal_finishes_the_last_segment() -> anyhow::Result<()> {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir()?;
        let mut running = record(folder.path(), CAMERA)?.spawn()?;
        running.wait_until("ten predictions", |running| predictions(running) >= 10)?;
        let begun = Instant::now();
        running.signal(signal)?;
        let ended = running.finish()?.succeeds()?.says(&["predicted"])?;
        // What a service manager waits for; a slow disk may need most of it.
        assert!(begun.elapsed() < Duration::from_secs(10), "{signal} took {:?}", begun.elapsed());
        only_pairs(folder.path())?;
        let (recorded, predicted) = (recorded(folder.path())?, ended.stdout.lines().count());
        assert!((1..=predicted).contains(&recorded), "{recorded} of {predicted}");
    }
    Ok(())
}

#[test]
fn the_oldest_segments_make_room_and_other_files_stay() -> anyhow::Result<()> {
    const QUOTA: u64 = 1 << 20;
    const STEM: usize = "20000101T000000.000Z".len();
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let old = folder.join("20000101T000000.000Z.avi");
    fs::write(&old, vec![0u8; 600_000])?;
    fs::write(old.with_extension("jsonl"), "{}\n")?;
    let foreign = ["20000101T000000.000Z.avi.bak", "19990101T000000.000Z.mp4", "video.avi", "notes.txt"];
    for name in foreign {
        fs::write(folder.join(name), vec![0u8; 200_000])?;
    }
    fs::create_dir(folder.join("19990101T000000.000Z.avi"))?;
    let own = |name: &String| name.starts_with("20") && !name.ends_with(".bak");
    let begun_by_us = || names(folder).into_iter().filter(own).find(|name| !name.starts_with("2000"));

    let words = "--source synthetic:640x480,0,1 --segment 300ms --quota 1MiB";
    let mut running = record(folder, words)?.spawn()?;
    running.wait_until("a segment", |_| begun_by_us().is_some())?;
    let first = begun_by_us().context("the first segment is gone at once")?;
    let first = folder.join(format!("{}.avi", first.get(..STEM).unwrap_or_default()));
    running.wait_until("the first segment", |_| first.exists())?;
    running.wait_until("its end", |_| !first.exists())?;
    assert!(!old.exists(), "a newer segment went before an older one");
    running.signal("TERM")?;
    running.finish()?.succeeds()?;

    let held: u64 = names(folder)
        .iter()
        .filter(|name| own(name))
        .map(|name| fs::metadata(folder.join(name)).map(|metadata| metadata.len()))
        .sum::<Result<u64, std::io::Error>>()?;
    assert!(held <= QUOTA && held > QUOTA / 2, "{held} bytes");
    for name in foreign {
        assert_eq!(fs::metadata(folder.join(name))?.len(), 200_000, "{name}");
        fs::remove_file(folder.join(name))?;
    }
    fs::remove_dir(folder.join("19990101T000000.000Z.avi"))?;
    only_pairs(folder)?;
    recorded(folder)?;
    Ok(())
}

#[test]
fn a_folder_that_is_removed_is_made_again() -> anyhow::Result<()> {
    let outer = tempfile::tempdir()?;
    let folder = outer.path().join("records");
    let mut running = record(&folder, CAMERA)?.spawn()?;
    running.wait_until("a segment", |_| has_part(&folder))?;
    // Renamed first: the recorder must not put a file into a folder that is half removed.
    let away = outer.path().join("away");
    fs::rename(&folder, &away)?;
    fs::remove_dir_all(&away)?;
    running.wait_until("the warning", |running| running.stderr().contains("recording pauses"))?;
    let predicted = predictions(&running);
    running.wait_until("a new segment", |_| has_part(&folder))?;
    running.wait_until("more predictions", |running| predictions(running) > predicted + 10)?;
    ends_with_one_warning(running, &folder)
}

/// Ends a run whose recording paused once, and looks at what it left.
fn ends_with_one_warning(running: Running, folder: &Path) -> anyhow::Result<()> {
    running.signal("TERM")?;
    let ended = running.finish()?.succeeds()?;
    assert_eq!(ended.stderr.matches("recording pauses").count(), 1, "{}", ended.stderr);
    only_pairs(folder)?;
    assert!(recorded(folder)? > 0);
    Ok(())
}

#[test]
fn predictions_go_on_while_nothing_can_be_recorded() -> anyhow::Result<()> {
    let outer = tempfile::tempdir()?;
    let folder = outer.path().join("records");
    let mut running = record(&folder, CAMERA)?.spawn()?;
    running.wait_until("a segment", |_| has_part(&folder))?;
    // A file in the folder's place stops root, too, which a folder without the right to write does not.
    fs::rename(&folder, outer.path().join("away"))?;
    fs::write(&folder, "in the way")?;
    running.wait_until("the warning", |running| running.stderr().contains("recording pauses"))?;
    let (paused, predicted) = (Instant::now(), predictions(&running));
    running.wait_until("three attempts", |_| paused.elapsed() > Duration::from_secs(3))?;
    assert!(
        predictions(&running) > predicted + 20,
        "{} predictions in 3 s",
        predictions(&running) - predicted
    );
    fs::remove_file(&folder)?;
    running.wait_until("a new segment", |_| has_part(&folder))?;
    ends_with_one_warning(running, &folder)
}

/// A full disk is a write that fails in the middle of a frame. A limit on the size of files does the same,
/// without a small disk and the right to mount it.
#[test]
fn a_write_that_fails_in_the_middle_of_a_frame_costs_that_frame() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    // 200 blocks of 512 bytes; the signal that comes with the limit is ignored, so that the write fails.
    let limited = "trap '' XFSZ && ulimit -f 200 && exec \"$0\" \"$@\"";
    let own = profile_folder()?;
    let profiles = [own.clone(), own.with_file_name("release")];
    let mut programs = profiles.iter().map(|profile| profile.join("comet-edge"));
    let program = programs.find(|path| path.is_file()).context("comet-edge is not built: run 'make test'")?;
    let output = Command::new("timeout")
        .args(["60", "sh", "-c", limited])
        .arg(program)
        .args(["run", "--duration", "5s", "--model"])
        .arg(shipped_model("hands.int8.onnx"))
        .args(CAMERA.split_whitespace())
        .arg("--record")
        .arg(folder)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // The last segment may meet the limit, too, when its index is written.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{:?}: {said}", output.status);
    assert_eq!(said.matches("recording pauses").count(), 1, "{said}");
    let predicted = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(recorded(folder)? < predicted, "frames were lost, predictions were not");
    record(folder, ENDLESS)?.words("--frames 5").run()?.succeeds()?;
    only_pairs(folder)?;
    assert!(recorded(folder)? > 10);
    Ok(())
}

#[test]
fn two_recordings_share_a_folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let mut long = record(folder, CAMERA)?.spawn()?;
    long.wait_until("a segment", |_| has_part(folder))?;
    let part = names(folder);
    record(folder, ENDLESS)?.words("--frames 20").run()?.succeeds()?;
    assert!(part.is_subset(&names(folder)), "the part of a recording that lives was touched");
    long.signal("TERM")?;
    long.finish()?.succeeds()?;
    only_pairs(folder)?;
    assert_eq!(videos(folder).len(), 2);
    assert!(names(folder).iter().all(|name| !name.contains("recovered")));
    recorded(folder)?;
    Ok(())
}

#[test]
fn what_cannot_be_recorded_at_all_is_reported_at_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let words = format!("{ENDLESS} --frames 1");
    record(&file, &words)?.run()?.ends_with(5)?.says(&["file", "cannot be written"])?;
    let small = format!("{words} --quota 100k");
    record(folder.path(), &small)?.run()?.ends_with(5)?.says(&["100 KiB", "1 MiB or more"])?;
    let unit = format!("{words} --quota 2XB");
    record(folder.path(), &unit)?.run()?.ends_with(2)?.says(&["--quota", "2GiB, 500MB"])?;
    Ok(())
}
