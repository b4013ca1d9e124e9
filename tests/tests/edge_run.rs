//! `comet-edge run`: streams, ends, signals, and readers that leave.

use std::fs;
use std::path::Path;
use std::time::Duration;

use comet_tests::fixture::{image, jpeg};
use comet_tests::program::{Finished, Program, comet_edge};
use comet_tests::shipped_model;
use serde_json::Value;

/// A drawn scene of 64 x 64 pixels as fast as it can be predicted, without end.
const ENDLESS: &str = "--source synthetic:64x64,0,1";

/// `comet-edge run` with the shipped model.
fn run(words: &str) -> anyhow::Result<Program> {
    Ok(comet_edge("run")?.arg("--model").arg(shipped_model("hands.int8.onnx")).words(words))
}

/// The numbers of the predicted frames.
fn frames(finished: &Finished) -> anyhow::Result<Vec<u64>> {
    Ok(finished.json_lines()?.iter().filter_map(|line| line["frame"].as_u64()).collect())
}

fn scores(finished: &Finished) -> anyhow::Result<Vec<Value>> {
    Ok(finished.json_lines()?.iter().map(|line| line["scores"].clone()).collect())
}

/// Three different JPEGs.
fn three_jpegs() -> anyhow::Result<Vec<Vec<u8>>> {
    (1..=3).map(|number| jpeg(&image(96, 64, number))).collect()
}

/// Grey frames, each brighter than the one before.
fn y4m(frames: u8) -> Vec<u8> {
    let mut stream = b"YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n".to_vec();
    for frame in 0..frames {
        stream.extend_from_slice(b"FRAME\n");
        stream.extend([60 * frame; 16 * 8]);
        stream.extend([128u8; 2 * 8 * 4]);
    }
    stream
}

#[test]
fn jpegs_one_after_another_are_frames() -> anyhow::Result<()> {
    let images = three_jpegs()?;
    let folder = tempfile::tempdir()?;
    for (number, image) in images.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.jpg")), image)?;
    }
    // What lies between images is skipped.
    let stream = [images[0].as_slice(), b"\r\n--frame\r\n\r\n", &images[1], &images[2]].concat();
    let piped = run("--source -")?.input(stream.clone()).run()?.succeeds()?.says(&["3 predicted"])?;
    assert_eq!(frames(&piped)?, [0, 1, 2]);
    assert!(piped.json_lines()?.iter().all(|line| line["source"] == "stdin"));
    let files = run("--source")?.arg(folder.path()).run()?.succeeds()?;
    assert_eq!(scores(&piped)?, scores(&files)?, "a frame gives the same prediction as its file");

    let clip = folder.path().join("clip.mjpeg");
    fs::write(&clip, stream)?;
    let clip = run("--source")?.arg(&clip);
    assert_eq!(scores(&clip.run()?.succeeds()?)?, scores(&piped)?);
    Ok(())
}

#[test]
fn a_damaged_frame_costs_itself_only() -> anyhow::Result<()> {
    let images = three_jpegs()?;
    let cut = &images[1][..images[1].len() - 40];
    let stream = [images[0].as_slice(), cut, &images[2]].concat();
    let finished = run("--source -")?.input(stream).run()?.succeeds()?;
    assert_eq!(frames(&finished)?, [0, 2]);
    finished.says(&["skipped stdin", "2 predicted", "1 corrupt"])?;
    Ok(())
}

#[test]
fn uncompressed_video_is_read_and_its_end_may_be_cut() -> anyhow::Result<()> {
    let finished = run("--source -")?.input(y4m(3)).run()?.succeeds()?;
    assert_eq!(frames(&finished)?, [0, 1, 2]);
    let scores = scores(&finished)?;
    assert!(scores[0] != scores[1] && scores[1] != scores[2]);
    let mut cut = y4m(3);
    cut.truncate(cut.len() - 10);
    let finished = run("--source -")?.input(cut).run()?.succeeds()?;
    assert_eq!(frames(&finished)?, [0, 1]);
    finished.says(&["the stream ends inside it"])?;
    Ok(())
}

#[test]
fn a_stream_of_another_kind_is_refused_with_what_is_read() -> anyhow::Result<()> {
    let streams: [(Vec<u8>, &str); 5] = [
        (b"RIFF\x00\x10\x00\x00AVI LIST".to_vec(), "neither MJPEG (FF D8) nor Y4M"),
        (vec![0xa7; 100_000], "neither MJPEG (FF D8) nor Y4M"),
        (Vec::new(), "it is empty"),
        (b"YUV4MPEG2 W16 C420\nFRAME\n".to_vec(), "height"),
        (b"YUV4MPEG2 W99999999 H8\nFRAME\n".to_vec(), "pixels"),
    ];
    for (stream, said) in streams {
        let finished = run("--source -")?.input(stream).run()?.ends_with(5)?.says(&["stdin", said])?;
        assert_eq!(finished.stdout, "");
    }
    Ok(())
}

#[test]
fn a_run_ends_after_so_many_frames_or_so_much_time() -> anyhow::Result<()> {
    assert_eq!(frames(&run(ENDLESS)?.words("--frames 3").run()?.succeeds()?)?, [0, 1, 2]);
    assert_eq!(frames(&run(ENDLESS)?.words("--frames 3 --every 2").run()?.succeeds()?)?, [0, 2, 4]);
    let timed = run(ENDLESS)?.words("--duration 300ms").limit(Duration::from_secs(20)).run()?.succeeds()?;
    assert!(!frames(&timed)?.is_empty());
    let scene = run("--source synthetic:64x64,0,1,4")?.run()?.succeeds()?.says(&["4 predicted"])?;
    assert_eq!(frames(&scene)?, [0, 1, 2, 3], "the scene's own end");
    Ok(())
}

#[test]
fn a_drawn_scene_is_the_same_every_time() -> anyhow::Result<()> {
    let once = || -> anyhow::Result<Vec<Value>> {
        scores(&run("--source synthetic:64x48,0,7,5")?.run()?.succeeds()?)
    };
    assert_eq!(once()?, once()?);
    let other = scores(&run("--source synthetic:64x48,0,8,5")?.run()?.succeeds()?)?;
    assert_ne!(other, once()?, "another seed");
    Ok(())
}

#[test]
fn a_file_begins_again_if_asked() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    image(32, 32, 1).save(folder.path().join("one.png"))?;
    let program = run("--loop --frames 3")?.arg("--source").arg(folder.path());
    assert_eq!(frames(&program.run()?.succeeds()?)?, [0, 1, 2]);
    Ok(())
}

#[test]
fn signals_end_a_run_in_order_and_at_once() -> anyhow::Result<()> {
    for signal in ["TERM", "INT"] {
        for source in ["--source synthetic --live", ENDLESS] {
            let mut running = run(source)?.spawn()?;
            running.wait_until("a prediction", |running| running.stdout().contains('\n'))?;
            let begun = std::time::Instant::now();
            running.signal(signal)?;
            let finished = running.finish()?.succeeds()?.says(&["predicted"])?;
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(1), "{source}: {signal} took {took:?}");
            assert!(finished.stdout.ends_with('\n') && !finished.json_lines()?.is_empty(), "whole lines");
        }
    }
    Ok(())
}

#[test]
fn a_silent_pipe_does_not_hold_a_run_that_was_asked_to_end() -> anyhow::Result<()> {
    let mut running = run("--source -")?.silent_input().spawn()?;
    running.wait_until("the beginning", |running| running.stderr().contains("predicting stdin"))?;
    let begun = std::time::Instant::now();
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_reader_that_leaves_ends_a_run_without_an_error() -> anyhow::Result<()> {
    let limit = Duration::from_secs(20);
    run(ENDLESS)?.reader_leaves_after_a_line().limit(limit).run()?.succeeds()?.says(&["predicted"])?;
    let folder = tempfile::tempdir()?;
    for number in 0..40 {
        image(32, 32, number).save(folder.path().join(format!("{number}.png")))?;
    }
    for words in ["predict --json --model", "predict --model"] {
        let program = comet_edge(words)?.arg(shipped_model("hands.int8.onnx")).arg(folder.path());
        program.reader_leaves_after_a_line().limit(limit).run()?.succeeds()?.says(&[])?;
    }
    Ok(())
}

#[test]
fn a_log_is_appended_to() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log.jsonl");
    for _ in 0..2 {
        let finished = run(ENDLESS)?.words("--frames 3 --jsonl").arg(&log).run()?.succeeds()?;
        assert_eq!(finished.stdout, "", "what goes to a file does not go to the service's journal too");
    }
    let lines: Vec<Value> =
        fs::read_to_string(&log)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 6);
    Ok(())
}

#[test]
fn a_live_source_outlives_results_that_cannot_be_written() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let program = run("--source synthetic:64x64,20,1 --live --frames 12 --overlay")?.arg(&out);
    let mut running = program.spawn()?;
    running.wait_until("a prediction", |running| running.stdout().contains('\n'))?;
    fs::rename(&out, folder.path().join("elsewhere"))?;
    let finished = running.finish()?.succeeds()?;
    assert_eq!(finished.json_lines()?.len(), 12);
    Ok(())
}

#[test]
fn a_source_that_is_not_there_is_named() -> anyhow::Result<()> {
    run("--source no-such-folder")?.run()?.ends_with(5)?.says(&["no-such-folder", "valid sources: "])?;
    run("--source udp://host/1")?.run()?.ends_with(2)?.says(&["exec:ffmpeg", "valid sources: "])?;
    run("--source clip.mp4")?.run()?.ends_with(5)?.says(&["does not exist"])?;
    run("--source synthetic:huge")?.run()?.ends_with(2)?.says(&["synthetic["])?;
    run("--camera 0 --source -")?.run()?.ends_with(2)?.says(&["--camera"])?;
    Ok(())
}

#[test]
fn without_a_camera_the_error_lists_what_was_found() -> anyhow::Result<()> {
    if Path::new("/dev/video0").exists() {
        eprintln!("not tried: this machine has a camera");
        return Ok(());
    }
    let finished = run("--camera 0")?.limit(Duration::from_secs(10)).run()?.ends_with(4)?;
    let finished = finished.says(&["camera0", "cannot be opened", "found: ", "hint: "])?;
    let devices = fs::read_dir("/dev")?.flatten().filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .strip_prefix("video")
            .is_some_and(|number| number.parse::<u32>().is_ok())
    });
    if devices.count() == 0 {
        finished.says(&["found: no video devices"])?;
    }
    Ok(())
}
