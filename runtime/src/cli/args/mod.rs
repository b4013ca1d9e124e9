//! What can be typed. Help texts live here; nothing is opened or read.

mod commands;
mod run;
mod shared;
mod values;

use clap::{Parser, Subcommand};

pub(super) use commands::{
    BenchArgs, CamerasArgs, CompletionsArgs, DoctorArgs, InspectArgs, ManArgs, PredictArgs, ProveArgs,
    VerifyArgs,
};
pub(super) use run::RunArgs;
pub(super) use shared::{ModelArgs, OutputArgs};

/// Classify images and show where most of the evidence lies: class, attribution map and checks of each
#[derive(Debug, Parser)]
#[command(
    name = "comet-edge",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  comet-edge run --camera 0                  classify what a camera sees
  comet-edge predict hand.jpg --overlay out  classify an image and draw its attribution map
  comet-edge doctor                          look for what is missing on this machine

Exit codes: 0 done, 1 a check failed, 2 wrong arguments, 3 model rejected, 4 source lost, 5 input or output failed"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Classify images: files, folders or quoted patterns
    Predict(PredictArgs),
    /// Classify a camera, a stream or a folder, frame after frame, until it ends or is stopped
    Run(Box<RunArgs>),
    /// Compare a model with its float reference; fails if a limit is missed
    Verify(Box<VerifyArgs>),
    /// Measure the time that a frame takes
    Bench(BenchArgs),
    /// Show the contents of a model file
    Inspect(InspectArgs),
    /// List the cameras of this machine and their formats
    Cameras(CamerasArgs),
    /// Run the model again on bundles of evidence; fails if a prediction does not follow from the masked image
    Prove(ProveArgs),
    /// Check camera, processor, model, memory, disk and temperature, with a fix for what fails
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceSpec;
    use clap::CommandFactory;
    use std::time::Duration;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn parse_run(line: &str) -> RunArgs {
        let Command::Run(run) = parse(line).unwrap().command else { unreachable!("run was typed") };
        *run
    }

    #[test]
    fn the_definition_is_sound_and_has_help() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes") && help.contains("predict"), "{help}");
    }

    #[test]
    fn run_takes_a_camera_or_a_source() {
        let run = parse_run("comet-edge run --camera 2 --every 3 --duration 1.5m --loop");
        assert_eq!((run.camera, run.every, run.repeat), (Some(2), 3, true));
        assert_eq!(run.duration, Some(Duration::from_secs(90)));
        assert_eq!(parse_run("comet-edge run --source - --jsonl -").source, Some(SourceSpec::Stdin));
        assert!(parse("comet-edge run --camera 0 --source x").is_err());
        assert!(parse("comet-edge run --every 0").is_err());
        assert!(parse("comet-edge run --text --json").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_source_need_not_be_utf_8() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let name = OsString::from_vec(b"caf\xe9/0.jpg".to_vec());
        let words = ["comet-edge".into(), "run".into(), "--source".into(), name.clone()];
        let Command::Run(run) = Cli::try_parse_from(words).unwrap().command else {
            unreachable!("run was typed")
        };
        assert_eq!(run.source, Some(SourceSpec::Path(name.into())));
    }

    #[test]
    fn an_unknown_source_is_refused_with_what_is_understood() {
        let error = parse("comet-edge run --source synthetic:axb").unwrap_err().to_string();
        assert!(error.contains("synthetic["), "{error}");
    }

    #[test]
    #[cfg(feature = "web")]
    fn the_page_is_served_on_a_port_of_this_machine_unless_an_address_is_given() {
        for line in ["--http", "--http 8080", "--http=8080", "--http localhost:8080"] {
            let run = parse_run(&format!("comet-edge run {line}"));
            assert_eq!(run.page.http.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:8080"));
        }
        let error = parse("comet-edge run --http example.com:x").unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:8080"), "{error}");
    }

    #[test]
    fn the_background_of_overlays_is_one_of_two() {
        use comet_engine::image::OverlayBackground;

        assert_eq!(parse_run("comet-edge run").outputs.overlay_background, OverlayBackground::Dim);
        let run = parse_run("comet-edge run --overlay-background keep");
        assert_eq!(run.outputs.overlay_background, OverlayBackground::Keep);
        let error = parse("comet-edge predict x --overlay-background black").unwrap_err().to_string();
        assert!(error.contains("dim") && error.contains("keep"), "{error}");
    }

    #[test]
    fn verify_wants_exactly_one_reference() {
        assert!(parse("comet-edge verify --calib c").is_ok());
        assert!(parse("comet-edge verify --reference f.onnx --images d").is_ok());
        for line in ["verify", "verify --reference f.onnx", "verify --calib c --reference f --images d"] {
            assert!(parse(&format!("comet-edge {line}")).is_err(), "{line}");
        }
    }
}
