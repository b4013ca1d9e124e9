//! `doctor`: one line a check, with the fix for what fails.

mod camera;
mod check;
mod model;
mod system;

use std::path::Path;
use std::time::SystemTime;

use comet_engine::run::Tier;
use serde::Serialize;

use super::args::DoctorArgs;
use super::exit::Exit;
use super::print::{print_json, print_text};
use super::{environment, machine};
use crate::source::video_devices;
use check::{Check, Status, line};

#[derive(Serialize)]
struct Report {
    pass: bool,
    checks: Vec<Check>,
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
        camera::formats(&devices, camera::query),
        system::processor(&machine::processor_features(), Tier::detect()),
    ];
    checks.extend(model::checks(&args.model, args.calib.as_deref()));
    let thermal = Path::new("/sys/class/thermal");
    checks.extend([
        system::memory(machine::available_memory(Path::new("/proc"))),
        system::temperature(machine::hottest(thermal), &machine::throttled(thermal)),
        system::disk(args.record.as_deref()),
        system::programs(environment::search_path().as_deref()),
        system::clock(SystemTime::now()),
    ]);
    checks
}
