//! Settings of `comet-edge run` from a file and the environment; completions and manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use comet_tests::program::{Finished, Program, comet_edge};
use comet_tests::{repository, shipped_model};

/// Six images of one class.
fn images() -> PathBuf {
    repository().join("calib/hands/images/3")
}

/// A file that names source and model, and `more` lines.
fn config(folder: &Path, more: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join("edge.toml");
    let (source, model) = (images(), shipped_model("hands.int8.onnx"));
    fs::write(&file, format!("source = {source:?}\nmodel = {model:?}\njson = true\n{more}"))?;
    Ok(file)
}

fn run(file: &Path) -> anyhow::Result<Program> {
    Ok(comet_edge("run --config")?.arg(file))
}

fn predictions(finished: &Finished) -> usize {
    finished.stdout.lines().count()
}

#[test]
fn typed_options_take_precedence_over_the_environment_and_the_environment_over_the_file() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let file = config(folder.path(), "frames = 3\n")?;
    assert_eq!(predictions(&run(&file)?.run()?.succeeds()?), 3);
    let env = run(&file)?.env("COMET_EDGE_FRAMES", "2");
    assert_eq!(predictions(&env.run()?.succeeds()?), 2);
    assert_eq!(predictions(&env.words("--frames 1").run()?.succeeds()?), 1);
    let named = comet_edge("run")?.env("COMET_EDGE_CONFIG", &file.display().to_string());
    assert_eq!(predictions(&named.run()?.succeeds()?), 3);
    Ok(())
}

#[test]
fn a_typed_source_takes_the_place_of_the_files_camera() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("edge.toml");
    fs::write(&file, "camera = 4711\nframes = 1\n")?;
    let finished = run(&file)?.arg("--source").arg(images()).run()?.succeeds()?;
    assert_eq!(predictions(&finished), 1);
    let clash = config(folder.path(), "camera = 4711\n")?;
    run(&clash)?.run()?.ends_with(2)?.says(&["--camera", "cannot be used with"])?;
    Ok(())
}

#[test]
fn a_fault_is_reported_with_its_place_and_what_to_write_instead() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cases = [
        ("framse = 3\n", &["edge.toml:4:", "'framse'", "did you mean 'frames'?"][..]),
        ("\nloop = \"yes\"\n", &["edge.toml:5:", "'loop' must be true or false"]),
        ("fps = 0\n", &["edge.toml:4:", "'fps'", "1..=1000"]),
        ("frames = 3\nframes = 4\n", &["edge.toml:5:", "cannot be understood"]),
    ];
    for (more, words) in cases {
        run(&config(folder.path(), more)?)?.run()?.ends_with(2)?.says(words)?;
    }
    run(Path::new("no-such.toml"))?.run()?.ends_with(2)?.says(&["no-such.toml", "--config"])?;
    let file = config(folder.path(), "frames = 1\n")?;
    let unknown = run(&file)?.env("COMET_EDGE_FRAMSE", "3");
    unknown.run()?.ends_with(2)?.says(&["did you mean 'COMET_EDGE_FRAMES'?"])?;
    let other = run(&file)?.env("COMET_EDGE_KERNEL", "scalar");
    assert_eq!(predictions(&other.run()?.succeeds()?), 1);
    Ok(())
}

#[test]
fn shells_complete_the_flags_of_run() -> anyhow::Result<()> {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = comet_edge("completions")?.arg(shell).run()?.succeeds()?.stdout;
        // Fish writes flags without their dashes.
        let flag = if shell == "fish" { "-l camera" } else { "--camera" };
        assert!(script.contains(flag) && script.contains("no-reconnect"), "{shell}");
    }
    comet_edge("completions tcsh")?.run()?.ends_with(2)?.says(&["bash"])?;
    Ok(())
}

#[test]
fn the_manual_names_every_command_and_has_a_page_for_each() -> anyhow::Result<()> {
    let help = comet_edge("--help")?.run()?.succeeds()?.stdout;
    let listed = help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next());
    // The text of a command goes on in lines that are indented further.
    let names = listed.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    let commands: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && commands.contains(&"doctor"), "{help}");
    let page = comet_edge("man")?.run()?.succeeds()?.stdout.replace('\\', "");
    let folder = tempfile::tempdir()?;
    comet_edge("man")?.arg(folder.path()).run()?.succeeds()?;
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(page.contains(&format!("comet-edge-{command}(1)")), "{command}: {page}");
        assert!(folder.path().join(format!("comet-edge-{command}.1")).is_file(), "{command}");
    }
    Ok(())
}
