//! `doctor`: one line a check, with the fix for what fails.

mod camera;
mod model;
mod system;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::args::ModelArgs;
use super::exit::Exit;
use super::machine;
use super::print::{print_json, print_text};
use crate::engine::Tier;
use crate::source::video_devices;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge doctor
  comet-edge doctor --model tiles.int8.onnx --calib calib/tiles --record /var/lib/comet-edge
  comet-edge doctor --json

The exit code is 1 if a check fails; warnings do not count.")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder with the float model's stored answers [default: calib/<name> beside model or program]
    #[arg(long, value_name = "DIR")]
    calib: Option<PathBuf>,
    /// Folder that a run will write to [default: the current one]
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

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
    let checks = examine(args);
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

fn examine(args: &DoctorArgs) -> Vec<Check> {
    let devices = video_devices();
    let mut checks = vec![
        camera::camera(&devices),
        camera::permissions(&devices),
        camera::formats(&devices, camera::ask),
        system::processor(&machine::processor_features(), Tier::detect()),
    ];
    checks.extend(model::checks(&args.model, args.calib.as_deref()));
    let thermal = Path::new("/sys/class/thermal");
    checks.extend([
        system::memory(machine::available_memory(Path::new("/proc"))),
        system::temperature(machine::hottest(thermal), &machine::throttled(thermal)),
        system::disk(args.record.as_deref()),
        system::programs(std::env::var_os("PATH").as_deref()),
        system::clock(SystemTime::now()),
    ]);
    checks
}

fn line(check: &Check) -> String {
    let status = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "fail",
    };
    // Names come from devices and files: a control character must not reach a terminal.
    let detail: String = check.detail.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let fix = check.fix.map(|fix| format!("\n      fix: {fix}")).unwrap_or_default();
    format!("{status}  {}: {detail}{fix}", check.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fix_and_nothing_that_commands_a_terminal() {
        let check = Check::warn("camera", "a \u{1b}[2J b", "plug it in");
        assert_eq!(line(&check), "warn  camera: a ?[2J b\n      fix: plug it in");
        assert_eq!(line(&Check::ok("memory", "9 MiB")), "ok    memory: 9 MiB");
    }
}
