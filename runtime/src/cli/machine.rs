//! Readings of the machine: processor, memory, temperature. The folders are arguments, for tests.

use std::fs;
use std::path::Path;

/// Instructions that speed up int8 networks, and whether this processor has them.
pub(super) fn processor_features() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    let features = vec![
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = vec![
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features = Vec::new();
    features
}

/// Memory that programs can still get, in MiB, from `/proc/meminfo`.
pub(super) fn available_memory(proc: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc.join("meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// The hottest zone of `/sys/class/thermal`: its name and degrees Celsius.
pub(super) fn hottest(thermal: &Path) -> Option<(String, f64)> {
    let zones = entries(thermal, "thermal_zone").into_iter().filter_map(|zone| {
        let millidegrees: f64 = read(&zone, "temp")?.parse().ok()?;
        Some((read(&zone, "type").unwrap_or_default(), millidegrees / 1000.0))
    });
    zones.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The processor's cooling devices that slow it down just now. Fans are no throttling.
pub(super) fn throttled(thermal: &Path) -> Vec<String> {
    let devices = entries(thermal, "cooling_device").into_iter().filter_map(|device| {
        let kind = read(&device, "type")?;
        let state: u64 = read(&device, "cur_state")?.parse().ok()?;
        let slows = ["cpufreq", "processor", "devfreq"].iter().any(|word| kind.to_lowercase().contains(word));
        (slows && state > 0).then_some(kind)
    });
    devices.collect()
}

fn entries(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
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
        write(
            folder.path(),
            &[
                ("thermal_zone0/temp", "41000\n"),
                ("thermal_zone0/type", "cpu-thermal\n"),
                ("thermal_zone1/temp", "83500\n"),
                ("thermal_zone1/type", "gpu\n"),
                ("thermal_zone2/temp", "broken\n"),
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
    fn memory_is_read_and_what_is_missing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(available_memory(folder.path()), None);
        assert_eq!(hottest(folder.path()), None);
        write(folder.path(), &[("meminfo", "MemTotal: 9 kB\nMemAvailable:    2097152 kB\n")]);
        assert_eq!(available_memory(folder.path()), Some(2048));
    }
}
