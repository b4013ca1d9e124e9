//! Faults that users of such programs report, tried on the command line: jobs with one bad file, addresses and paths as
//! people type them, and a demo that ends by itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use comet_tests::fixture::image;
use comet_tests::program::{Program, comet_edge};
use comet_tests::{repository, shipped_model};

/// A command with the shipped model.
fn with_hands(command: &str) -> anyhow::Result<Program> {
    Ok(comet_edge(command)?.arg("--model").arg(shipped_model("hands.int8.onnx")))
}

#[test]
fn a_run_over_files_of_which_none_can_be_read_fails_as_predict_does() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("a.png"), "not an image")?;
    fs::write(folder.path().join("b.jpg"), "not an image either")?;
    for program in [with_hands("run")?.arg("--source"), with_hands("predict")?] {
        let ended = program.arg(folder.path()).run()?.ends_with(5)?;
        ended.says(&["a.png", "b.jpg", "no image could be read", "hint:"])?;
    }
    // One that can be read is enough.
    image(32, 32, 1).save(folder.path().join("c.png"))?;
    let ended =
        with_hands("run")?.arg("--source").arg(folder.path()).run()?.succeeds()?.says(&["a.png", "b.jpg"])?;
    assert_eq!(ended.json_lines()?.len(), 1);
    Ok(())
}

#[test]
fn an_overlay_that_cannot_be_written_does_not_end_a_run_and_is_an_error_at_its_end() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (images, out) = (folder.path().join("images"), folder.path().join("out"));
    fs::create_dir(&images)?;
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        image(48, 48, number as u8).save(images.join(format!("{name}.png")))?;
    }
    // Not even root can replace a folder by a file.
    fs::create_dir_all(out.join("b.overlay.jpg/in-the-way"))?;
    let program = with_hands("run")?.words("--json --overlay").arg(&out).arg("--source").arg(&images);
    let ended = program.run()?.ends_with(5)?;
    let said = ["not written", "b.overlay.jpg", "could not be written: 1;", "3 predicted", "1 not written"];
    let ended = ended.says(&said)?;
    let lines = ended.json_lines()?;
    let written: Vec<bool> = lines.iter().map(|line| line["overlay_file"].is_string()).collect();
    assert_eq!(written, [true, false, true]);
    Ok(())
}

#[test]
fn a_full_disk_ends_a_job_and_is_named_with_what_to_do() -> anyhow::Result<()> {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("not tried: this system has no /dev/full");
        return Ok(());
    }
    let images = repository().join("calib/hands/images/3");
    let program = with_hands("run")?.words("--jsonl /dev/full --source").arg(images);
    program.run()?.ends_with(5)?.says(&["/dev/full", "cannot be written", "hint: the disk is full"])?;
    Ok(())
}

#[test]
fn a_path_that_is_not_utf_8_is_read_by_run_as_by_predict() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let odd = folder.path().join(OsString::from_vec(b"caf\xe9".to_vec()));
    if let Err(fault) = fs::create_dir(&odd) {
        eprintln!("not tried: this file system takes no such name ({fault})");
        return Ok(());
    }
    let file = odd.join(OsString::from_vec(b"na\xefve.png".to_vec()));
    image(32, 32, 1).save_with_format(&file, image::ImageFormat::Png)?;
    for path in [&odd, &file] {
        for program in [with_hands("run")?.words("--json --source"), with_hands("predict")?.arg("--json")] {
            assert_eq!(program.arg(path).run()?.succeeds()?.json_lines()?.len(), 1, "{}", path.display());
        }
    }
    Ok(())
}

#[test]
fn text_is_printed_into_a_pipe_if_it_is_asked_for() -> anyhow::Result<()> {
    let images = repository().join("calib/hands/images/3");
    let program = with_hands("run")?.words("--text --frames 2 --source").arg(&images);
    let printed = program.run()?.succeeds()?.stdout;
    assert_eq!(printed.lines().count(), 2);
    assert!(printed.lines().all(|line| line.contains(" %  map ") && !line.starts_with('{')), "{printed}");
    let both = with_hands("run")?.words("--text --jsonl - --source").arg(&images);
    both.run()?.ends_with(2)?.says(&["--text", "--jsonl"])?;
    Ok(())
}

#[test]
fn a_contact_sheet_is_one_image_of_a_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sheet = folder.path().join("new/sheet.png");
    let images = repository().join("calib/hands/images/3");
    for command in ["run", "predict"] {
        let mut program = with_hands(command)?.words("--overlay-background keep --contact-sheet").arg(&sheet);
        if command == "run" {
            program = program.arg("--source");
        }
        program.arg(&images).run()?.succeeds()?;
        let drawn = image::open(&sheet)?;
        assert!(drawn.width() > 96 && drawn.height() > 96, "{} x {}", drawn.width(), drawn.height());
        fs::remove_file(&sheet)?;
    }
    Ok(())
}

#[test]
fn kernels_are_forced_for_every_command_that_runs_a_model() -> anyhow::Result<()> {
    let file = shipped_model("hands.int8.onnx");
    let scalar = |program: Program| program.env("COMET_EDGE_KERNEL", "scalar");
    let plan = scalar(comet_edge("inspect --plan --json")?.arg(&file)).run()?.succeeds()?.json()?;
    assert_eq!(plan["plan"]["kernels"], "scalar");
    let bench = scalar(with_hands("bench")?.words("--json --iterations 1")).run()?.succeeds()?.json()?;
    assert_eq!(bench["kernel"], "scalar");
    let calib = repository().join("calib/hands");
    let images = calib.join("images/3");
    for program in [
        with_hands("verify")?.arg("--calib").arg(&calib),
        with_hands("predict")?.arg(&images),
        with_hands("run")?.arg("--source").arg(&images),
    ] {
        let refused = program.env("COMET_EDGE_KERNEL", "no-such-kernels").run()?;
        refused.ends_with(3)?.says(&["COMET_EDGE_KERNEL", "no-such-kernels", "scalar"])?;
    }
    Ok(())
}

#[test]
fn the_manual_lists_the_environment_variables() -> anyhow::Result<()> {
    let page = comet_edge("man")?.run()?.succeeds()?.stdout.replace('\\', "");
    for variable in ["COMET_EDGE_<FLAG>", "COMET_EDGE_KERNEL", "NOTIFY_SOCKET", "WATCHDOG_USEC", "PATH"] {
        assert!(page.contains(variable), "{variable}: {page}");
    }
    Ok(())
}

/// Without a terminal the demo ends by itself, and leaves something to read and something to look at.
#[test]
fn the_demo_prints_text_draws_a_sheet_and_ends_by_itself() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // The script works below the folder that it is started in.
    std::os::unix::fs::symlink(repository().join("calib"), folder.path().join("calib"))?;
    let program = comet_tests::program::profile_folder()?.join("comet-edge");
    if !program.is_file() {
        eprintln!("not tried: comet-edge is not built in this profile");
        return Ok(());
    }
    let output = Command::new("sh")
        .arg(repository().join("tests/demo.sh"))
        .arg(program)
        .arg("4")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.lines().filter(|line| line.contains(" %  map ")).count(), 4, "{printed}");
    assert!(!printed.contains("{\"schema\""), "{printed}");
    assert!(folder.path().join("target/demo/contact-sheet.png").is_file());
    Ok(())
}
