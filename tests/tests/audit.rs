//! `trainer eval` reports how much of the accuracy depends on what the map selects.

use std::fs;
use std::path::Path;

use comet_tests::fixture::{VALIDATION, tiny_data, tiny_run};
use comet_tests::program::trainer;
use serde_json::Value;

const VERSIONS: [&str; 4] = ["as_used", "cut_at_half", "left_out", "uniform_dimming"];

fn measured(model: &Path) -> anyhow::Result<Value> {
    trainer("eval --json --device cpu --data")?.arg(tiny_data()?).arg(model).run()?.succeeds()?.json()
}

#[test]
fn a_run_and_its_model_file_are_both_audited() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tiny.onnx");
    trainer("export")?.arg(tiny_run()?).arg("-o").arg(&file).run()?.succeeds()?;
    for model in [tiny_run()?, file.as_path()] {
        let found = measured(model)?;
        let audit = &found["audit"];
        assert_eq!(audit["n"], VALIDATION, "{audit}");
        assert_eq!(audit["as_used"], found["accuracy"], "every map of this run is valid");
        for version in VERSIONS {
            let percent = audit[version].as_f64();
            assert!(percent.is_some_and(|value| (0.0..=100.0).contains(&value)), "{version}: {audit}");
        }
    }
    Ok(())
}

#[test]
fn the_table_and_the_report_hold_the_audit_with_n_and_what_it_means() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("report.html");
    let program = trainer("eval --device cpu --data")?.arg(tiny_data()?).arg(tiny_run()?);
    let ended = program.arg("--report").arg(&page).run()?.succeeds()?;
    let html = fs::read_to_string(&page)?;
    assert!(html.contains("Does the map select?"));
    for name in ["map as used", "map cut at 0.5", "what is left out", "uniform dimming"] {
        let line = ended.stdout.lines().find(|line| line.trim_start().starts_with(name));
        let n = format!("n = {VALIDATION}");
        assert!(line.is_some_and(|line| line.contains(&n) && line.contains("accuracy")), "{name}: {line:?}");
        assert!(html.contains(name), "{name}");
    }
    Ok(())
}
