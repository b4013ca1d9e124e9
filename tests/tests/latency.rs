//! A live source that is faster than the network: the newest frame is predicted, nothing queues, every drop is counted.

use comet_tests::program::comet_edge;
use comet_tests::shipped_model;
use serde_json::Value;

fn median(lines: &[Value], field: &str) -> f64 {
    let mut values: Vec<f64> = lines.iter().filter_map(|line| line["ms"][field].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Whatever the machine's speed, a prediction is at most as old as two runs of the network and the time between two frames.
#[test]
fn predictions_are_never_older_than_two_inferences_and_every_drop_is_counted() -> anyhow::Result<()> {
    // The portable kernels are the slowest: on this model and these frames several of them pass in one inference.
    let words = "run --source synthetic:64x64,400,1 --live --frames 60 --check-every 0 --threads 1 --model";
    let program = comet_edge(words)?.arg(shipped_model("hands.int8.onnx")).env("COMET_EDGE_KERNEL", "scalar");
    let finished = program.run()?.succeeds()?;
    let lines = finished.json_lines()?;
    let (inference, total) = (median(&lines, "inference"), median(&lines, "total"));
    assert!(total <= 2.0 * inference + 2.5, "inference {inference} ms, capture to prediction {total} ms");
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line["frame"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.len() == 60);
    let count = |word: &str| -> u64 {
        let before = finished.stderr.split(&format!(" {word}")).next().unwrap_or_default();
        let number = before.rsplit([' ', ',', '\n']).next().unwrap_or_default();
        number.parse().unwrap_or(0)
    };
    let (frames, predicted, dropped) = (count("frames,"), count("predicted"), count("dropped"));
    assert!(dropped > 0, "{}", finished.stderr);
    // One more may wait in the slot when the run ends.
    assert!((predicted + dropped..=predicted + dropped + 1).contains(&frames), "{}", finished.stderr);
    Ok(())
}

/// The record of a process: resident pages, or `None` where there is no such file.
fn resident(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// Memory after many frames is the memory after a few. COMET_EDGE_LONG_TESTS=1 predicts 100,000 of them.
#[test]
fn memory_does_not_grow_with_the_number_of_frames() -> anyhow::Result<()> {
    let frames: usize = if std::env::var_os("COMET_EDGE_LONG_TESTS").is_some() { 100_000 } else { 3_000 };
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log.jsonl");
    let program = comet_edge("run --source synthetic:64x64,0,1 --jsonl")?.arg(&log);
    let mut running = program.limit(std::time::Duration::from_secs(3600)).spawn()?;
    let pid = running.id();
    let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    running.wait_until("the first frames", |_| lines() > frames / 10)?;
    let before = resident(pid);
    running.wait_until("the last frames", |_| lines() > frames)?;
    let after = resident(pid);
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    let Some((before, after)) = before.zip(after) else {
        eprintln!("not measured: there is no /proc here");
        return Ok(());
    };
    assert!(after as f64 <= 1.01 * before as f64, "{before} pages after a tenth, {after} at the end");
    Ok(())
}
