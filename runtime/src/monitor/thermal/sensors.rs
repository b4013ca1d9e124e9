//! What Linux and the Raspberry Pi's firmware report about heat. The folders are arguments, for tests.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Some sensors that are not connected report nonsense.
const PLAUSIBLE: std::ops::Range<f64> = -50.0..200.0;
/// How long the firmware's program may take.
const ASKING: Duration = Duration::from_secs(1);
/// Bits of `get_throttled` that are about now: too little voltage, clock capped, throttled, soft limit. Higher ones are about
/// the past.
const NOW: u32 = 0xf;

/// The hottest zone of `/sys/class/thermal`: its name and degrees Celsius.
pub(crate) fn hottest(thermal: &Path) -> Option<(String, f64)> {
    let zones = entries(thermal, "thermal_zone").into_iter().filter_map(|zone| {
        let millidegrees: f64 = read(&zone, "temp")?.parse().ok()?;
        let celsius = millidegrees / 1000.0;
        PLAUSIBLE.contains(&celsius).then(|| (read(&zone, "type").unwrap_or_default(), celsius))
    });
    zones.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The processor's cooling devices that slow it down just now. Fans do not count.
pub(crate) fn throttled(thermal: &Path) -> Vec<String> {
    let devices = entries(thermal, "cooling_device").into_iter().filter_map(|device| {
        let kind = read(&device, "type")?;
        let state: u64 = read(&device, "cur_state")?.parse().ok()?;
        let slows = ["cpufreq", "processor", "devfreq"].iter().any(|word| kind.to_lowercase().contains(word));
        (slows && state > 0).then_some(kind)
    });
    devices.collect()
}

/// The smallest share of its full clock that a processor may use now, from `/sys/devices/system/cpu`.
pub(super) fn lowest_cap(processors: &Path) -> Option<f64> {
    let caps = entries(processors, "cpu").into_iter().filter_map(|processor| {
        let clock = processor.join("cpufreq");
        let cap: f64 = read(&clock, "scaling_max_freq")?.parse().ok()?;
        let full: f64 = read(&clock, "cpuinfo_max_freq")?.parse().ok()?;
        (cap > 0.0 && full > 0.0).then(|| cap / full)
    });
    caps.min_by(f64::total_cmp)
}

fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn read(folder: &Path, file: &str) -> Option<String> {
    Some(fs::read_to_string(folder.join(file)).ok()?.trim().to_owned())
}

/// The Raspberry Pi's `vcgencmd`, where it is installed. It is not asked again once it has failed.
#[derive(Debug)]
pub(super) struct Firmware(Option<PathBuf>);

impl Firmware {
    pub(super) fn find(root: &Path) -> Self {
        let places = ["usr/bin/vcgencmd", "opt/vc/bin/vcgencmd"];
        Self(places.iter().map(|place| root.join(place)).find(|program| program.is_file()))
    }

    /// Whether the firmware slows the processor down just now. Takes a second at most, less if `ending`.
    pub(super) fn throttles_now(&mut self, ending: &dyn Fn() -> bool) -> bool {
        let bits = self.0.as_deref().and_then(|program| ask(program, ending));
        if bits.is_none() {
            self.0 = None;
        }
        bits.is_some_and(|bits| bits & NOW != 0)
    }
}

/// Reads `throttled=0x50005`.
fn ask(program: &Path, ending: &dyn Fn() -> bool) -> Option<u32> {
    let mut command = Command::new(program);
    command.arg("get_throttled").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + ASKING;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline && !ending() => sleep(Duration::from_millis(10)),
            _ => {
                // Both fail if it has ended meanwhile, which is what they are for.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut reply = String::new();
    child.stdout.take()?.take(64).read_to_string(&mut reply).ok()?;
    let bits = reply.trim().strip_prefix("throttled=0x")?;
    u32::from_str_radix(bits, 16).ok().filter(|_| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_hottest_zone_and_a_slowed_processor_are_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(hottest(folder.path()), None);
        write(
            folder.path(),
            &[
                ("thermal_zone0/temp", "41000\n"),
                ("thermal_zone0/type", "cpu-thermal\n"),
                ("thermal_zone1/temp", "83500\n"),
                ("thermal_zone1/type", "gpu\n"),
                ("thermal_zone2/temp", "broken\n"),
                ("thermal_zone3/temp", "9999000\n"),
                ("cooling_device0/type", "thermal-cpufreq-0\n"),
                ("cooling_device0/cur_state", "2\n"),
                ("cooling_device1/type", "pwm-fan\n"),
                ("cooling_device1/cur_state", "3\n"),
            ],
        );
        assert_eq!(hottest(folder.path()), Some(("gpu".into(), 83.5)));
        assert_eq!(throttled(folder.path()), ["thermal-cpufreq-0"]);
    }

    #[test]
    fn the_lowest_cap_is_that_of_any_processor() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lowest_cap(folder.path()), None);
        write(
            folder.path(),
            &[
                ("cpu0/cpufreq/scaling_max_freq", "1800000\n"),
                ("cpu0/cpufreq/cpuinfo_max_freq", "1800000\n"),
                ("cpu1/cpufreq/scaling_max_freq", "900000\n"),
                ("cpu1/cpufreq/cpuinfo_max_freq", "1800000\n"),
                ("cpuidle/current_driver", "none\n"),
            ],
        );
        assert_eq!(lowest_cap(folder.path()), Some(0.5));
    }

    /// A shell writes the script: a file that this process wrote could not be run while another test forks.
    fn script(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let write = r#"printf '%s\n' '#!/bin/sh' "$1" > "$0" && chmod 755 "$0""#;
        assert!(Command::new("sh").arg("-c").arg(write).arg(file).arg(text).status().unwrap().success());
    }

    #[test]
    fn the_firmware_is_asked_for_now_and_one_that_hangs_is_ended() {
        let cases = [
            ("echo throttled=0x50005", true),
            ("echo throttled=0x50000", false),
            ("echo VCHI initialization failed; exit 1", false),
            ("exec sleep 60", false),
        ];
        for (text, now) in cases {
            let root = tempfile::tempdir().unwrap();
            script(&root.path().join("usr/bin/vcgencmd"), text);
            let mut firmware = Firmware::find(root.path());
            let begun = Instant::now();
            assert_eq!(firmware.throttles_now(&|| false), now, "{text}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{text}: {:?}", begun.elapsed());
            assert_eq!(firmware.0.is_some(), text.contains("throttled="), "{text}");
        }
    }
}
