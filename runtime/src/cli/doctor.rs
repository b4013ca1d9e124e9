//! `doctor`: one line a check, with the fix for what fails.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::args::DoctorArgs;
use super::exit::Exit;
use super::print::{print_json, print_text};
use super::{machine, model};
use crate::engine::Session;
use crate::source::{SyntheticScene, VideoDevice, describe_devices, video_devices};

/// Below this, in MiB, a large camera picture may fail.
const LEAST_MEMORY: u64 = 256;
/// Degrees Celsius at which boards begin to slow down.
const HOT: f64 = 80.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

#[derive(Serialize)]
struct Report {
    pass: bool,
    checks: Vec<Check>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail, None)
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: &'static str) -> Self {
        Self::new(name, Status::Warn, detail, Some(fix))
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: &'static str) -> Self {
        Self::new(name, Status::Fail, detail, Some(fix))
    }

    fn new(name: &'static str, status: Status, detail: impl Into<String>, fix: Option<&'static str>) -> Self {
        Self { name, status, detail: detail.into(), fix }
    }
}

pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let devices = video_devices();
    let thermal = Path::new("/sys/class/thermal");
    let checks = vec![
        camera(&devices),
        permissions(&devices),
        processor(&machine::processor_features()),
        built_in_model(),
        memory(machine::available_memory(Path::new("/proc"))),
        temperature(machine::hottest(thermal), &machine::throttled(thermal)),
    ];
    let pass = checks.iter().all(|check| check.status != Status::Fail);
    if args.json {
        print_json(&Report { pass, checks })?;
    } else {
        for check in &checks {
            print_text(line(check))?;
        }
    }
    Ok(if pass { Exit::Ok } else { Exit::Failed })
}

fn line(check: &Check) -> String {
    let status = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "fail",
    };
    let fix = check.fix.map(|fix| format!("\n      fix: {fix}")).unwrap_or_default();
    format!("{status}  {}: {}{fix}", check.name, check.detail)
}

fn camera(devices: &[VideoDevice]) -> Check {
    let name = "camera";
    if !cfg!(feature = "camera") {
        let fix = "build with the default features";
        return Check::warn(name, "this build has no camera support", fix);
    }
    match devices.is_empty() {
        true => Check::warn(name, "no video devices", "plug a USB camera in; without one use --source DIR"),
        false => Check::ok(name, describe_devices(devices)),
    }
}

/// Opening a node starts no capture, and works while another program uses the camera.
fn permissions(devices: &[VideoDevice]) -> Check {
    let name = "permissions";
    let opened = |device: &VideoDevice| OpenOptions::new().read(true).write(true).open(&device.path);
    let denied: Vec<String> = devices
        .iter()
        .filter(|device| {
            opened(device).err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
        })
        .map(|device| device.path.display().to_string())
        .collect();
    match denied.is_empty() {
        true => Check::ok(name, format!("{} video devices, none is forbidden", devices.len())),
        false => Check::fail(
            name,
            format!("may not open {}", denied.join(", ")),
            "sudo usermod -aG video $USER, then log in again",
        ),
    }
}

fn processor(features: &[(&str, bool)]) -> Check {
    let name = "processor";
    let word = |(feature, has): &(&str, bool)| format!("{feature} {}", if *has { "yes" } else { "no" });
    let detail = match features {
        [] => std::env::consts::ARCH.to_owned(),
        features => {
            let words: Vec<String> = features.iter().map(word).collect();
            format!("{}: {}", std::env::consts::ARCH, words.join(", "))
        }
    };
    match features.iter().any(|(_, has)| *has) {
        true => Check::ok(name, detail),
        false => Check::warn(name, detail, "it works, but slowly: choose a processor with one of these"),
    }
}

fn built_in_model() -> Check {
    let name = "model";
    let fix = "the program is damaged or built wrong: install it again";
    let answer = || -> Result<String, Box<dyn std::error::Error>> {
        let model = model::read(None, false)?;
        let mut session = Session::new(&model)?;
        let picture = SyntheticScene::default().draw(0);
        let begun = Instant::now();
        let answer = session.explain(&picture)?;
        let ms = 1000.0 * begun.elapsed().as_secs_f64();
        if !answer.is_valid() || answer.logits.len() != model.manifest().classes.len() {
            return Err("its answer to a drawn picture is not valid".into());
        }
        let manifest = model.manifest();
        let plan = session.plan();
        let why = plan.remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
        let kernels = format!("{}'{why}", plan.kernels);
        Ok(format!(
            "{} ({}) answers a drawn picture in {ms:.1} ms with the kernels '{kernels}",
            manifest.name, manifest.precision
        ))
    };
    match answer() {
        Ok(detail) => Check::ok(name, detail),
        Err(error) => Check::fail(name, error.to_string(), fix),
    }
}

fn memory(available: Option<u64>) -> Check {
    let name = "memory";
    let fix = "end other programs, or ask the camera for smaller pictures (--width, --height)";
    match available {
        None => Check::ok(name, "not known on this system"),
        Some(mib) if mib < LEAST_MEMORY => Check::warn(name, format!("{mib} MiB available"), fix),
        Some(mib) => Check::ok(name, format!("{mib} MiB available")),
    }
}

fn temperature(hottest: Option<(String, f64)>, throttled: &[String]) -> Check {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_warning_with_a_fix() {
        assert_eq!(camera(&[]).status, Status::Warn);
        assert_eq!(permissions(&[]).status, Status::Ok);
        assert_eq!(processor(&[("avx2", false)]).status, Status::Warn);
        assert_eq!(memory(Some(100)).status, Status::Warn);
        assert_eq!(memory(None).status, Status::Ok);
        let hot = temperature(Some(("cpu".into(), 91.0)), &[]);
        assert!(hot.status == Status::Warn && line(&hot).contains("fix: "), "{hot:?}");
        assert_eq!(temperature(None, &[]).status, Status::Ok);
        assert_eq!(temperature(None, &["cpufreq".into()]).status, Status::Warn);
    }

    #[test]
    fn the_built_in_model_answers() {
        let check = built_in_model();
        assert_eq!(check.status, Status::Ok, "{}", check.detail);
    }
}
