//! Readings of the machine: processor, memory, temperature. The folders are arguments, for tests.

use std::fs;
use std::path::Path;

pub(super) use crate::monitor::{hottest, throttled};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_what_is_missing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(available_memory(folder.path()), None);
        fs::write(folder.path().join("meminfo"), "MemTotal: 9 kB\nMemAvailable:    2097152 kB\n").unwrap();
        assert_eq!(available_memory(folder.path()), Some(2048));
    }
}
