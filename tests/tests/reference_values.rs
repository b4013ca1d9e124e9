//! What is shipped: models, their checksums, their reference sets, and the texts around them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use comet_engine::explain::ReferenceSet;
use comet_engine::model::{ModelFile, Precision, sha256_hex};
use comet_tests::fixture::entries;
use comet_tests::program::comet_edge;
use comet_tests::{repository, shipped_model};

const SHIPPED: [&str; 3] = ["hands", "plants", "recycling"];

#[test]
fn the_checksums_are_those_of_the_files_and_no_model_is_without_one() -> anyhow::Result<()> {
    let text = fs::read_to_string(shipped_model("SHA256SUMS"))?;
    let mut summed = BTreeSet::new();
    for line in text.lines() {
        let (sum, name) =
            line.split_once("  ").ok_or_else(|| anyhow::anyhow!("'{line}' is not a checksum and a name"))?;
        let path = shipped_model(name.trim_start_matches("models/"));
        assert_eq!(sha256_hex(&fs::read(&path)?), sum, "{}", path.display());
        summed.insert(path);
    }
    let models = entries(&repository().join("models"))?;
    let models: BTreeSet<_> =
        models.into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "onnx")).collect();
    assert_eq!(models, summed);
    for name in SHIPPED {
        assert!(summed.contains(&shipped_model(&format!("{name}.int8.onnx"))), "{name} is shipped");
    }
    Ok(())
}

#[test]
fn the_shipped_models_predict_as_their_float_parents_did() -> anyhow::Result<()> {
    for name in SHIPPED {
        let calib = repository().join("calib").join(name);
        let verify = comet_edge("verify --json --model")?.arg(shipped_model(&format!("{name}.int8.onnx")));
        let found = verify.arg("--calib").arg(&calib).run()?.succeeds()?.json()?;
        assert_eq!(found["pass"], true, "{found}");
        assert!(found["n"].as_u64() >= Some(32), "{name}: {}", found["n"]);
        // Limits that every model keeps would refuse nothing.
        assert!(found["limits"]["max_mask_mae"].as_f64() <= Some(0.05), "{name}: {}", found["limits"]);
        assert!(found["limits"]["min_agreement"].as_f64() >= Some(90.0), "{name}: {}", found["limits"]);
        assert!(found["limits"]["min_mask_iou_p5"].as_f64() > Some(0.0), "{name}: {}", found["limits"]);
    }
    Ok(())
}

#[test]
fn the_shipped_models_record_where_they_come_from() -> anyhow::Result<()> {
    for name in SHIPPED {
        let model = ModelFile::read(&shipped_model(&format!("{name}.int8.onnx")))?;
        let manifest = model.manifest();
        assert_eq!((manifest.name.as_str(), manifest.precision), (name, Precision::Int8));
        let fidelity = manifest.fidelity.as_ref().expect("it was compared with its parent");
        let limits = manifest.limits.expect("by these limits");
        assert_eq!(limits.misses(fidelity), Vec::<String>::new());
        let metrics = manifest.metrics.as_ref().expect("it was measured");
        let guessing = 100.0 / manifest.classes.len() as f64;
        assert!(metrics.n >= 100 && metrics.accuracy > 3.0 * guessing, "{name}: {metrics:?}");

        let set = ReferenceSet::read(&repository().join("calib").join(name))?;
        set.check_model(&model)?;
        let float = shipped_model(&format!("{name}.f32.onnx"));
        if float.is_file() {
            let float = ModelFile::read(&float)?;
            assert_eq!(manifest.float_sha256.as_deref(), Some(float.sha256()), "{name}");
            set.check_model(&float)?;
        }
    }
    Ok(())
}

#[test]
fn no_file_names_a_folder_of_the_machine_that_it_was_made_on() -> anyhow::Result<()> {
    let Ok(listed) = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output() else {
        eprintln!("not tried: git is not there");
        return Ok(());
    };
    if !listed.status.success() {
        eprintln!("not tried: this is not a git checkout");
        return Ok(());
    }
    // Put together here, so that this file does not hold them.
    let folders = ["work", "root"].map(|name| format!("/{name}/"));
    // Only where a path begins, which "build/tmp/x" does not.
    let begins = |byte: Option<&u8>| {
        byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"._-$}/".contains(byte))
    };
    let mut found = Vec::new();
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        // A file that was just removed is still listed.
        let Ok(bytes) = fs::read(repository().join(name)) else { continue };
        for folder in &folders {
            let mut windows = bytes.windows(folder.len()).enumerate();
            let at = windows.find(|(at, window)| {
                *window == folder.as_bytes() && begins(at.checked_sub(1).and_then(|before| bytes.get(before)))
            });
            if let Some((at, _)) = at {
                found.push(format!("{name}: {folder} at byte {at}"));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
    Ok(())
}
