//! The epochs of a run as TensorBoard's event file, beside `metrics.jsonl`.
//!
//! A file of TFRecords, each an `Event` in protobuf (`tensorflow/core/lib/io/record_writer.h`,
//! `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`):
//!
//! ```text
//! length of the data      u64, little-endian
//! its checksum            u32, masked CRC-32C
//! data
//! the data's checksum     u32, masked CRC-32C
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use comet_engine::storage::write_atomically;
use prost::Message;

use super::record::{EpochRecord, Phase, ValidationRecord};

/// How the names of event files begin, for TensorBoard to find them.
const PREFIX: &str = "events.out.tfevents.";
/// How the name of ours ends: it is found again by that.
const SUFFIX: &str = ".comet.0";
/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    /// Of the first event only.
    #[prost(string, tag = "3")]
    file_version: String,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// Required, since a value of 0 would be left out else.
    #[prost(float, required, tag = "2")]
    simple_value: f32,
}

/// Brings the event file in the run's folder `out` up to `records`, the whole journal; there is one file a run, which
/// is made when there is none.
///
/// New epochs are appended, so that a TensorBoard that is reading goes on. If the file holds something else than the
/// beginning of these records, as after a resumed run has gone back, it is replaced: no epoch is in it twice.
///
/// # Errors
/// The folder or file cannot be read or written.
pub(super) fn write_events(out: &Path, records: &[EpochRecord]) -> io::Result<()> {
    let last = records.last().map_or(0.0, |record| record.seconds);
    let path = match find(out)? {
        Some(path) => path,
        None => out.join(format!("{PREFIX}{}.{}{SUFFIX}", started(last), host())),
    };
    let bytes = encode(begun(&path), records);
    let there = match fs::read(&path) {
        Ok(there) => there,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(fault) => return Err(fault),
    };
    match bytes.strip_prefix(there.as_slice()) {
        Some([]) => Ok(()),
        Some(rest) if !there.is_empty() => {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(rest)?;
            file.sync_all()
        }
        _ => write_atomically(&path, &bytes),
    }
}

/// The event file that this module wrote into a folder before; of several the first by name.
fn find(out: &Path) -> io::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_ours {
            found.push(entry.path());
        }
    }
    Ok(found.into_iter().min())
}

/// Seconds from 1970 to the start of a run that has taken `seconds` so far.
fn started(seconds: f64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // What is not a number becomes 0, and what is too large the largest.
    now.saturating_sub(seconds as u64)
}

/// The start of the run, as the file's name has it: the bytes of a file follow from its name and the records.
fn begun(path: &Path) -> f64 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
    number.and_then(|number| number.parse::<u32>().ok()).map_or(0.0, f64::from)
}

/// The machine's name as far as it can be part of a file's; only Linux says it in a file.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    if plain.is_empty() { "localhost".into() } else { plain }
}

/// The whole file. Wall times are those of uninterrupted training: `begun` plus the epoch's own seconds.
fn encode(begun: f64, records: &[EpochRecord]) -> Vec<u8> {
    let head = Event { wall_time: begun, file_version: VERSION.into(), ..Event::default() };
    let mut bytes = Vec::new();
    put_record(&mut bytes, &head.encode_to_vec());
    let detector = records.iter().filter(|record| record.phase == Phase::Detector);
    let detector_epochs = detector.map(|record| record.epoch).max().unwrap_or(0);
    for record in records {
        let before = if record.phase == Phase::Comet { detector_epochs } else { 0 };
        let event = Event {
            // Milliseconds: the last digit of a number may change when the journal is read.
            wall_time: begun + (1000.0 * record.seconds).round() / 1000.0,
            step: i64::try_from(before.saturating_add(record.epoch)).unwrap_or(i64::MAX),
            summary: Some(Summary { value: scalars(record) }),
            ..Event::default()
        };
        put_record(&mut bytes, &event.encode_to_vec());
    }
    bytes
}

fn put_record(bytes: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    for part in [&length[..], &checksum(&length)[..], data, &checksum(data)[..]] {
        bytes.extend_from_slice(part);
    }
}

/// CRC-32C, masked so that a checksum of data that hold checksums is a good one too.
fn checksum(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Everything that a record says, by TensorBoard's tags; the detector's stand under `detector/`.
fn scalars(record: &EpochRecord) -> Vec<Scalar> {
    let val = |value: fn(&ValidationRecord) -> Option<f64>| record.val.as_ref().and_then(value);
    let values = [
        ("loss/total", Some(record.loss)),
        ("loss/predictor", record.loss_predictor),
        ("loss/detector", record.loss_detector),
        ("loss/completeness", record.completeness),
        ("loss/area_penalty", record.area_penalty),
        ("train/accuracy", Some(record.train_accuracy)),
        ("train/area", record.area),
        ("val/accuracy", val(|val| Some(val.accuracy))),
        ("val/balanced_accuracy", val(|val| val.balanced_accuracy)),
        ("val/pxap", val(|val| val.pxap)),
        ("val/iou50", val(|val| val.iou50)),
        ("val/auc_iou", val(|val| val.auc_iou)),
        ("val/area", val(|val| val.area)),
        ("learning_rate", Some(record.learning_rate)),
        ("seconds", Some(record.seconds)),
    ];
    let prefix = match record.phase {
        Phase::Detector => "detector/",
        Phase::Comet => "",
    };
    let present = values.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
    present.map(|(tag, value)| Scalar { tag: format!("{prefix}{tag}"), simple_value: value as f32 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<EpochRecord> {
        let detector = EpochRecord {
            phase: Phase::Detector,
            epoch: 1,
            learning_rate: 0.001,
            loss: 2.5,
            train_accuracy: 40.0,
            val: Some(ValidationRecord { accuracy: 50.0, ..ValidationRecord::default() }),
            seconds: 10.5,
            ..EpochRecord::default()
        };
        let comet = |epoch: usize| EpochRecord {
            epoch,
            loss: 3.0 / epoch as f64,
            loss_predictor: Some(1.5),
            area_penalty: Some(0.0),
            area: Some(30.0),
            val: Some(ValidationRecord { accuracy: 75.0, pxap: Some(60.0), ..ValidationRecord::default() }),
            seconds: 10.5 + 20.0 * epoch as f64,
            ..EpochRecord::default()
        };
        vec![detector, comet(1), comet(2)]
    }

    /// The events of a file; every length and checksum is checked.
    fn decode(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
            let (sum, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(*sum, checksum(length));
            let (data, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
            let (sum, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(*sum, checksum(data));
            events.push(Event::decode(data).unwrap());
            bytes = rest;
        }
        events
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn only_file(folder: &Path) -> PathBuf {
        let files = files(folder);
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    fn steps(events: &[Event]) -> Vec<i64> {
        events.iter().map(|event| event.step).collect()
    }

    fn value(event: &Event, tag: &str) -> Option<f32> {
        let scalars = &event.summary.as_ref()?.value;
        scalars.iter().find(|scalar| scalar.tag == tag).map(|scalar| scalar.simple_value)
    }

    /// RFC 3720, B.4, and the check value of the catalogue of CRCs; then the mask by hand.
    #[test]
    fn checksums_are_masked_castagnoli_ones() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let masked = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked, 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8));
        assert_eq!(checksum(b"123456789"), masked.to_le_bytes());
    }

    /// The bytes that TensorFlow writes for the first event: fields 1 (double), 3 (string).
    #[test]
    fn the_first_record_is_that_of_every_event_file() {
        let bytes = encode(1.0, &[]);
        let data = [&[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x1a, 13][..], b"brain.Event:2"].concat();
        assert_eq!(bytes[..8], 24u64.to_le_bytes());
        assert_eq!(bytes[12..36], data);
        assert_eq!(bytes.len(), 8 + 4 + 24 + 4);
        assert_eq!(decode(&bytes)[0].file_version, VERSION);
    }

    #[test]
    fn every_value_of_an_epoch_has_a_tag_and_detector_epochs_come_first() {
        let events = decode(&encode(1000.0, &records()));
        assert_eq!(steps(&events), [0, 1, 2, 3]);
        assert_eq!(events[1].wall_time, 1010.5);
        assert_eq!(value(&events[1], "detector/loss/total"), Some(2.5));
        assert_eq!(value(&events[1], "detector/val/accuracy"), Some(50.0));
        assert_eq!(value(&events[1], "detector/learning_rate"), Some(0.001));
        assert_eq!(value(&events[1], "loss/total"), None);
        assert_eq!(value(&events[3], "loss/total"), Some(1.5));
        assert_eq!(value(&events[3], "loss/area_penalty"), Some(0.0), "zero is a value");
        assert_eq!(value(&events[3], "val/pxap"), Some(60.0));
        assert_eq!(value(&events[3], "val/iou50"), None, "what was not measured has no point");
        let full = EpochRecord {
            loss_detector: Some(1.0),
            completeness: Some(1.0),
            val: Some(ValidationRecord {
                balanced_accuracy: Some(1.0),
                iou50: Some(1.0),
                auc_iou: Some(1.0),
                area: Some(1.0),
                ..records()[2].val.clone().unwrap()
            }),
            ..records()[2].clone()
        };
        let numbers = |value: &serde_json::Value| {
            value.as_object().unwrap().values().filter(|value| value.is_number()).count()
        };
        let json = serde_json::to_value(&full).unwrap();
        // All numbers of the record but that of the epoch, which is the step.
        assert_eq!(scalars(&full).len(), numbers(&json) + numbers(&json["val"]) - 1, "{json}");
    }

    #[test]
    fn a_loss_that_is_no_number_is_kept_as_it_is() {
        let diverged = EpochRecord { epoch: 1, loss: f64::NAN, ..EpochRecord::default() };
        let events = decode(&encode(0.0, &[diverged]));
        assert!(value(&events[1], "loss/total").unwrap().is_nan());
    }

    #[test]
    fn epochs_are_appended_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        for count in 1..=3 {
            write_events(folder.path(), &records()[..count]).unwrap();
            let events = decode(&fs::read(only_file(folder.path())).unwrap());
            assert_eq!(events.len(), 1 + count);
        }
        let path = only_file(folder.path());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.") && name.ends_with(".comet.0"), "{name}");
        let begun = begun(&path);
        assert!(begun > 1.6e9 && decode(&fs::read(&path).unwrap())[0].wall_time == begun, "{name}");
        let before = fs::read(&path).unwrap();
        write_events(folder.path(), &records()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before, "nothing new");
    }

    #[test]
    fn a_resumed_run_has_no_epoch_twice() {
        let folder = tempfile::tempdir().unwrap();
        write_events(folder.path(), &records()).unwrap();
        // The last epoch is trained again, which takes another time.
        let mut again = records();
        again[2].seconds += 5.0;
        write_events(folder.path(), &again).unwrap();
        let path = only_file(folder.path());
        assert_eq!(fs::read(&path).unwrap(), encode(begun(&path), &again));
        // A run that went back further.
        write_events(folder.path(), &again[..2]).unwrap();
        assert_eq!(steps(&decode(&fs::read(only_file(folder.path())).unwrap())), [0, 1, 2]);
    }

    #[test]
    fn a_torn_or_foreign_file_is_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        write_events(folder.path(), &records()).unwrap();
        let path = only_file(folder.path());
        let whole = fs::read(&path).unwrap();
        for left in [&whole[..whole.len() - 7], &whole[..0], b"something else"] {
            fs::write(&path, left).unwrap();
            write_events(folder.path(), &records()).unwrap();
            assert!(fs::read(only_file(folder.path())).unwrap() == whole);
        }
        // TensorBoard's own files, and those of others, are not touched.
        let other = folder.path().join("events.out.tfevents.1.elsewhere.7.0");
        fs::write(&other, b"theirs").unwrap();
        write_events(folder.path(), &records()[..1]).unwrap();
        assert_eq!((fs::read(&other).unwrap(), files(folder.path()).len()), (b"theirs".to_vec(), 2));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_events(&folder.path().join("none"), &records()).is_err());
    }
}
