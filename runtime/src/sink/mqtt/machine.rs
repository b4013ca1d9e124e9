//! What distinguishes this machine from others.

use std::fs;

use comet_engine::model::sha256_hex;

/// The longest part of a host's name that is used.
const LONGEST_HOST: usize = 24;
/// The longest part of a source's name that is used.
const LONGEST_SOURCE: usize = 32;
/// Digits of the hash.
const DIGITS: usize = 6;
/// Where boards and systems keep a number of their own that every user can read. A copied SD card has the same machine-id in many boards; the
/// serial number of the board is in no image.
const NUMBERS: [&str; 3] =
    ["/sys/firmware/devicetree/base/serial-number", "/etc/machine-id", "/var/lib/dbus/machine-id"];

/// A machine's name, and everything that makes it one of its kind.
#[derive(Debug)]
pub(super) struct Machine {
    host: String,
    numbers: String,
}

impl Machine {
    /// The machine that this program runs on.
    pub(super) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let host = read("/proc/sys/kernel/hostname").trim().to_owned();
        let numbers = NUMBERS.iter().map(|path| read(path).trim().to_owned() + "\n").collect();
        Self { host, numbers }
    }

    /// `<host>-<short>-<digits>`: a hash over machine and source. The machine-id itself must not be published.
    pub(super) fn camera_name(&self, short: &str, identity: &str) -> String {
        let Self { host, numbers } = self;
        let hash = sha256_hex(format!("comet-edge name\n{host}\n{numbers}\n{short}\n{identity}").as_bytes());
        let digits: String = hash.chars().take(DIGITS).collect();
        let cut = |text: &str, longest: usize| text.chars().take(longest).collect::<String>();
        let words = [cut(host, LONGEST_HOST), cut(short, LONGEST_SOURCE), digits];
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(host: &str, numbers: &str) -> Machine {
        Machine { host: host.into(), numbers: numbers.into() }
    }

    #[test]
    fn names_differ_by_machine_and_source_and_stay_the_same() {
        let one = machine("raspberrypi", "10000000a3b1\n");
        let name = one.camera_name("camera0", "camera0");
        assert!(
            name.starts_with("raspberrypi-camera0-") && name.len() == "raspberrypi-camera0-".len() + 6,
            "{name}"
        );
        assert_eq!(one.camera_name("camera0", "camera0"), name);
        let others = [
            machine("raspberrypi", "10000000a3b2\n").camera_name("camera0", "camera0"),
            machine("other", "10000000a3b1\n").camera_name("camera0", "camera0"),
            one.camera_name("camera1", "camera1"),
            one.camera_name("stream", "rtsp://a/1"),
            one.camera_name("stream", "rtsp://a/2"),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().chain([&name]).collect();
        assert_eq!(distinct.len(), 6, "{others:?}");
    }

    #[test]
    fn a_machine_without_a_name_still_has_one_for_its_camera() {
        let name = machine("", "").camera_name("", "");
        assert_eq!(name.len(), DIGITS);
        assert!(!Machine::this().camera_name("camera0", "").is_empty());
    }
}
