use std::fs::{self, File};
use std::path::Path;

use super::*;
use crate::sink::recording::quota::scan;
use crate::sink::recording::reader::AviReader;
use crate::sink::sample::result;

/// A recorder that loses nothing.
fn recorder(folder: &Path) -> Recorder {
    let patience = Duration::from_secs(10);
    Recorder::new(RecordingOptions { patience, ..RecordingOptions::new(folder) }).unwrap()
}

/// Frames of every finished segment; a part is an error of the test.
fn frames(folder: &Path) -> Vec<usize> {
    let holdings = scan(folder).unwrap();
    let frames = holdings.iter().map(|(stem, holding)| {
        assert!(!holding.unfinished, "{stem}");
        AviReader::open(File::open(folder.join(format!("{stem}.avi"))).unwrap()).unwrap().len()
    });
    frames.collect()
}

#[test]
fn results_become_one_segment_of_images_and_records() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let mut recorder = recorder(&folder);
    for number in 0..20 {
        recorder.accept(&mut result("camera0", number, [1.0, 0.0, 0.0])).unwrap();
    }
    recorder.finish().unwrap();
    assert_eq!((frames(&folder), recorder.lost().load(Ordering::Relaxed)), (vec![20], 0));
    let (stem, _) = scan(&folder).unwrap().pop_first().unwrap();
    let text = fs::read_to_string(folder.join(format!("{stem}.jsonl"))).unwrap();
    for (number, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["frame"], number);
        assert!(line["monotonic_s"].is_number());
        let time = line["time"].as_str().unwrap();
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
    }
}

#[test]
fn a_frame_is_encoded_by_the_recorders_thread_and_not_again_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path());
    let mut result = result("camera0", 0, [1.0, 0.0, 0.0]);
    recorder.accept(&mut result).unwrap();
    recorder.finish().unwrap();
    assert!(result.encoded.is_encoded());
    let (stem, _) = scan(folder.path()).unwrap().pop_first().unwrap();
    let mut video = AviReader::open(File::open(folder.path().join(format!("{stem}.avi"))).unwrap()).unwrap();
    assert_eq!(video.jpeg(0).unwrap(), *result.to_jpeg().unwrap());
}

#[test]
fn a_disk_that_takes_seconds_for_the_end_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path());
    recorder.accept(&mut result("camera0", 0, [1.0, 0.0, 0.0])).unwrap();
    // In place of the real thread, one that needs longer than half a second.
    let thread = recorder.thread.take().unwrap();
    let slow = move || {
        sleep(Duration::from_millis(700));
        thread.join().unwrap()
    };
    recorder.thread = Some(Builder::new().name("slow disk".into()).spawn(slow).unwrap());
    recorder.finish().unwrap();
    assert_eq!(frames(folder.path()), [1]);
}

#[test]
fn what_is_lost_at_the_deadline_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path());
    let (release, wait) = sync_channel::<()>(0);
    let stuck = move || {
        let _ = wait.recv();
        Ok(())
    };
    recorder.thread = Some(Builder::new().name("stuck disk".into()).spawn(stuck).unwrap());
    recorder.shared.waiting.store(3, Ordering::Relaxed);
    recorder.deadline = Some(Instant::now());
    let fault = recorder.finish().unwrap_err().to_string();
    assert!(fault.contains("without 3 frames") && fault.contains("recovers"), "{fault}");
    assert_eq!(recorder.lost().load(Ordering::Relaxed), 3);
    drop(release);
}

#[test]
fn an_image_of_another_size_begins_a_new_segment() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path());
    for (number, width) in [8, 8, 16, 8].into_iter().enumerate() {
        let mut result = result("camera0", number as u64, [1.0, 0.0, 0.0]);
        result.image = Arc::new(image::RgbImage::new(width, 6));
        recorder.accept(&mut result).unwrap();
    }
    recorder.finish().unwrap();
    assert_eq!(frames(folder.path()), [2, 1, 1]);
}

#[test]
fn a_quota_that_holds_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecordingOptions::new(folder.path());
    let refused = Recorder::new(RecordingOptions { quota: Some(ByteSize(5000)), ..options });
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("4.9 KiB") && error.contains("1 MiB or more"), "{error}");
}

#[test]
fn recording_pauses_while_its_folder_is_a_file_and_then_goes_on() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("records");
    let mut recorder = recorder(&folder);
    let mut number = 0;
    let mut faults = 0;
    let mut record_until = |what: &str, done: &mut dyn FnMut(usize) -> bool| {
        let begun = Instant::now();
        while !done(faults) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            faults += usize::from(recorder.accept(&mut result("camera0", number, [0.0; 3])).is_err());
            number += 1;
            sleep(Duration::from_millis(10));
        }
    };
    record_until("a segment", &mut |_| folder.is_dir() && !scan(&folder).unwrap().is_empty());
    fs::rename(&folder, outer.path().join("elsewhere")).unwrap();
    fs::write(&folder, "in the way").unwrap();
    record_until("the fault", &mut |faults| faults == 1);
    let paused = Instant::now();
    record_until("a second attempt", &mut |_| paused.elapsed() > Duration::from_millis(1200));
    fs::remove_file(&folder).unwrap();
    record_until("a new segment", &mut |_| folder.is_dir() && !scan(&folder).unwrap().is_empty());
    let end = recorder.finish().unwrap_err().to_string();
    assert!(end.contains("frames are missing"), "{end}");
    assert_eq!(faults, 1, "one warning a minute");
    assert!(frames(&folder).iter().all(|frames| *frames > 0));
    assert!(recorder.lost().load(Ordering::Relaxed) > 0);
}
