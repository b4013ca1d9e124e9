//! What a run needs besides camera and model: processor, memory, a cool board, a disk, programs, a clock.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use comet_engine::run::Tier;
use comet_engine::storage::write_atomically;

use super::check::Check;

const MIB: u64 = 1 << 20;
/// Below this, in MiB, a large camera image may fail.
const LEAST_MEMORY: u64 = 256;
/// Below this, in MiB, a recording soon ends.
const LEAST_SPACE: u64 = 512;
/// Degrees Celsius at which boards begin to slow down.
const HOT: f64 = 80.0;
/// The first second of 2025: this program did not exist before.
const EARLIEST: u64 = 1_735_689_600;
/// Programs that sources start, any of each group, and what they are for.
const PROGRAMS: [(&[&str], &str); 3] = [
    (&["ffmpeg"], "video files and network streams"),
    (&["rpicam-vid", "libcamera-vid"], "Raspberry Pi camera modules"),
    (&["gst-launch-1.0"], "Jetson camera modules"),
];

pub(super) fn processor(features: &[(&str, bool)], tier: Tier) -> Check {
    let name = "processor";
    let word = |(feature, has): &(&str, bool)| format!("{feature} {}", if *has { "yes" } else { "no" });
    let words: Vec<String> = features.iter().map(word).collect();
    let detail = format!("{}: {}; fastest kernels {}", std::env::consts::ARCH, words.join(", "), tier.name());
    match features.iter().any(|(_, has)| *has) {
        true => Check::ok(name, detail),
        false => Check::warn(name, detail, "it works, but slowly: a processor with one of these is faster"),
    }
}

pub(super) fn memory(available: Option<u64>) -> Check {
    let name = "memory";
    let fix = "end other programs, or ask the camera for smaller images (--width, --height)";
    match available {
        None => Check::ok(name, "not known on this system"),
        Some(mib) if mib < LEAST_MEMORY => Check::warn(name, format!("{mib} MiB available"), fix),
        Some(mib) => Check::ok(name, format!("{mib} MiB available")),
    }
}

pub(super) fn temperature(hottest: Option<(String, f64)>, throttled: &[String]) -> Check {
    let name = "temperature";
    let detail = match &hottest {
        Some((zone, degrees)) => format!("{degrees:.0} °C ({zone})"),
        None => "no sensors".into(),
    };
    if !throttled.is_empty() {
        let detail = format!("{detail}; slowed down by {}", throttled.join(", "));
        return Check::warn(name, detail, "cool the board: a heat sink, a fan, or fewer frames (--every)");
    }
    match hottest {
        Some((_, degrees)) if degrees >= HOT => {
            Check::warn(name, detail, "cool the board: it slows down above 80 to 85 °C")
        }
        _ => Check::ok(name, detail),
    }
}

/// Writes a small file and looks for room. A folder that a run will make is judged by its parent.
pub(super) fn disk(record: Option<&Path>) -> Check {
    let name = "disk";
    let wanted = record.unwrap_or(Path::new("."));
    let folder = wanted.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let shown = folder.display();
    if let Err(error) = try_to_write(folder) {
        let detail = format!("{shown} cannot be written to ({error})");
        let fix = "give this user the right to write there, or name another folder";
        return match record {
            Some(_) => Check::fail(name, detail, fix),
            None => Check::warn(name, detail, fix),
        };
    }
    match rustix::fs::statvfs(folder) {
        Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize) / MIB, &shown.to_string()),
        Err(error) => Check::ok(name, format!("{shown} can be written to; its room is not known ({error})")),
    }
}

fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".comet-edge-doctor.{}", std::process::id()));
    write_atomically(&probe, &[0; 4096])?;
    fs::remove_file(probe)
}

fn room(mib: u64, folder: &str) -> Check {
    let (name, detail) = ("disk", format!("{folder} can be written to, {mib} MiB free"));
    match mib < LEAST_SPACE {
        true => Check::warn(name, detail, "remove old recordings, or record to another disk"),
        false => Check::ok(name, detail),
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// None of them is needed for USB cameras, images and standard input.
pub(super) fn programs(path: Option<&OsStr>) -> Check {
    let name = "programs";
    let is_there = |program: &&str| {
        path.is_some_and(|path| std::env::split_paths(path).any(|folder| is_program(&folder.join(program))))
    };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (group, purpose) in PROGRAMS {
        match group.iter().find(|program| is_there(program)) {
            Some(program) => found.push(*program),
            None => missing.push(format!("{} ({purpose})", group.join(" or "))),
        }
    }
    let absent = match missing.is_empty() {
        true => String::new(),
        false => format!("not found: {}", missing.join(", ")),
    };
    match (found.is_empty(), missing.is_empty()) {
        (true, _) => {
            let fix = "only if a source needs one of them: sudo apt install ffmpeg, or rpicam-apps";
            Check::warn(name, absent, fix)
        }
        (false, true) => Check::ok(name, found.join(", ")),
        (false, false) => Check::ok(name, format!("{}; {absent}", found.join(", "))),
    }
}

/// Boards without a battery start in the past until they have a network: records would carry wrong times.
pub(super) fn clock(now: SystemTime) -> Check {
    let name = "clock";
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap_or_default());
    let day = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    match seconds < EARLIEST {
        true => {
            Check::warn(name, format!("it shows {day}"), "connect to a network, or: timedatectl set-time")
        }
        false => Check::ok(name, format!("{day} (UTC)")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Status, line};
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_missing_is_a_warning_with_a_fix() {
        assert_eq!(processor(&[("avx2", false)], Tier::Scalar).status, Status::Warn);
        assert!(processor(&[("avx2", true)], Tier::Avx2).detail.contains("avx2 yes; fastest kernels avx2"));
        assert_eq!(memory(Some(100)).status, Status::Warn);
        assert_eq!(memory(None).status, Status::Ok);
        let hot = temperature(Some(("cpu".into(), 91.0)), &[]);
        assert!(hot.status == Status::Warn && line(&hot).contains("fix: "), "{hot:?}");
        assert_eq!(temperature(None, &[]).status, Status::Ok);
        assert_eq!(temperature(None, &["cpufreq".into()]).status, Status::Warn);
    }

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let check = disk(Some(&folder.path().join("new/out")));
        assert!(check.status != Status::Fail && check.detail.contains("MiB free"), "{check:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // Not even root can make a folder below a file.
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(disk(Some(&file.join("out"))).status, Status::Fail);
        assert_eq!(room(LEAST_SPACE - 1, "x").status, Status::Warn);
        assert_eq!(room(LEAST_SPACE, "x").status, Status::Ok);
    }

    #[test]
    fn programs_are_looked_for_in_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let none = programs(Some(folder.path().as_os_str()));
        assert!(none.status == Status::Warn && none.detail.contains("rpicam-vid or libcamera"), "{none:?}");
        assert_eq!(programs(None).status, Status::Warn);
        let program = folder.path().join("libcamera-vid");
        fs::write(&program, "").unwrap();
        assert_eq!(programs(Some(folder.path().as_os_str())).status, Status::Warn, "it cannot be run");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let one = programs(Some(folder.path().as_os_str()));
        assert_eq!(one.status, Status::Ok);
        assert!(one.detail.starts_with("libcamera-vid; not found: ffmpeg (video"), "{}", one.detail);
    }

    #[test]
    fn a_clock_that_was_never_set_is_noticed() {
        let at = |second| clock(UNIX_EPOCH + Duration::from_secs(second));
        assert!(at(0).status == Status::Warn && at(0).detail == "it shows 1970-01-01");
        assert_eq!(at(EARLIEST).detail, "2025-01-01 (UTC)");
    }
}
