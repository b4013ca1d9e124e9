//! Model files that were cut off, damaged, or never were models.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use comet_engine::model::{FORMAT_VERSION, MANIFEST_KEY, ModelError, ModelErrorKind, ModelFile};
use comet_engine::run::Session;
use comet_onnx::proto::ModelProto;
use comet_tests::fixture::{image, jpeg};
use comet_tests::program::comet_edge;
use comet_tests::random::SplitMix64;
use comet_tests::small_model::{manifest, model, with_checksum};
use comet_tests::{repository, shipped_model};

const SHIPPED: &str = "hands.int8.onnx";

/// Does `work` for each of the numbers, on two threads.
fn on_two_threads(numbers: &[usize], work: impl Fn(&mut dyn Iterator<Item = usize>) + Sync) {
    let every_second = |first: usize| work(&mut numbers.iter().copied().skip(first).step_by(2));
    std::thread::scope(|scope| {
        scope.spawn(|| every_second(0));
        every_second(1);
    });
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn random_bits(bytes: &[u8], count: usize) -> Vec<usize> {
    let mut random = SplitMix64::named("model_files");
    (0..count).map(|_| random.below(8 * bytes.len())).collect()
}

/// Reads a file without verifying its checksum and, if `run`, runs it. A panic is the only failure.
fn parse_unverified(bytes: &[u8], run: bool, what: &str) -> bool {
    let attempt = || -> Result<(), ModelError> {
        let file = ModelFile::parse("damaged", bytes, false)?;
        if run {
            let preprocess = &file.manifest().preprocess;
            let (width, height) = (preprocess.width as usize, preprocess.height as usize);
            let prediction = Session::new(&file)?.run(&vec![0.25; 3 * width * height])?;
            assert_eq!(prediction.mask.values().len(), width * height, "{what}");
        }
        Ok(())
    };
    let ended = catch_unwind(AssertUnwindSafe(attempt));
    ended.unwrap_or_else(|_| unreachable!("{what} made the reader panic")).is_ok()
}

#[test]
fn every_prefix_of_a_model_file_is_refused() -> anyhow::Result<()> {
    let whole = fs::read(shipped_model(SHIPPED))?;
    ModelFile::parse("whole", &whole, true)?;
    let mut lengths: Vec<usize> = (0..whole.len()).step_by(4096).collect();
    lengths.extend([1, 2, 3, whole.len() - 1, whole.len() - 64, whole.len() - 100]);
    on_two_threads(&lengths, |lengths| {
        for length in lengths {
            assert!(ModelFile::parse("cut", &whole[..length], true).is_err(), "{length} bytes");
        }
    });
    Ok(())
}

#[test]
fn every_flipped_bit_is_refused() -> anyhow::Result<()> {
    let whole = fs::read(shipped_model(SHIPPED))?;
    on_two_threads(&random_bits(&whole, 2_000), |bits| {
        let mut bytes = whole.clone();
        for bit in bits {
            flip(&mut bytes, bit);
            let error = ModelFile::parse("flipped", &bytes, true).err();
            assert!(error.is_some(), "bit {bit}");
            flip(&mut bytes, bit);
        }
    });
    Ok(())
}

#[test]
fn without_its_checksum_a_damaged_file_is_an_error_or_still_gives_a_prediction() -> anyhow::Result<()> {
    let mut bytes = fs::read(shipped_model(SHIPPED))?;
    for length in (1..=100).map(|part| part * bytes.len() / 101) {
        parse_unverified(&bytes[..length], false, &format!("a cut to {length} bytes"));
    }
    let mut accepted = 0;
    for bit in random_bits(&bytes, 300) {
        flip(&mut bytes, bit);
        // Preparing the network takes most of the time: every thirtieth is run.
        let run = accepted % 30 == 0;
        accepted += usize::from(parse_unverified(&bytes, run, &format!("a flip of bit {bit}")));
        flip(&mut bytes, bit);
    }
    assert!(accepted > 0, "most bits are weights");
    Ok(())
}

#[test]
fn without_its_checksum_a_damaged_small_file_is_an_error_or_still_gives_a_prediction() {
    let mut bytes = with_checksum(&model(), &manifest().to_string());
    let (mut accepted, mut refused) = (0, 0);
    for bit in random_bits(&bytes, 1_500) {
        flip(&mut bytes, bit);
        match parse_unverified(&bytes, true, &format!("a flip of bit {bit}")) {
            true => accepted += 1,
            false => refused += 1,
        }
        flip(&mut bytes, bit);
    }
    for length in 0..bytes.len() {
        parse_unverified(&bytes[..length], true, &format!("a cut to {length} bytes"));
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

/// The shipped model with another manifest and a checksum that fits.
fn with_manifest(change: impl FnOnce(&mut serde_json::Value)) -> anyhow::Result<Vec<u8>> {
    let file = ModelFile::read(&shipped_model(SHIPPED))?;
    let proto: &ModelProto = file.proto();
    let entry = proto.metadata_props.iter().find(|entry| entry.key == MANIFEST_KEY);
    let mut manifest = serde_json::from_str(entry.map_or("", |entry| entry.value.as_str()))?;
    change(&mut manifest);
    Ok(with_checksum(proto, &manifest.to_string()))
}

#[test]
fn another_format_version_is_named() -> anyhow::Result<()> {
    let same = with_manifest(|_| {})?;
    ModelFile::parse("same", &same, true)?;
    let newer = with_manifest(|manifest| manifest["format_version"] = (FORMAT_VERSION + 1).into())?;
    let error = ModelFile::parse("newer", &newer, true).unwrap_err();
    assert!(
        matches!(error.kind, ModelErrorKind::Version { found } if found == u64::from(FORMAT_VERSION) + 1)
    );

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("newer.onnx");
    fs::write(&file, newer)?;
    let finished = comet_edge("inspect")?.arg(&file).run()?.ends_with(3)?;
    finished.says(&["newer.onnx", "manifest format 2", "reads format 1", "export the model again"])?;
    Ok(())
}

#[test]
fn a_valid_file_whose_manifest_does_not_fit_is_refused_with_the_field() -> anyhow::Result<()> {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 6] = [
        ("classes", |manifest| manifest["classes"] = serde_json::json!(["one", "two"])),
        ("preprocess", |manifest| manifest["preprocess"]["width"] = 97.into()),
        ("preprocess.std", |manifest| manifest["preprocess"]["std"][1] = 0.0.into()),
        ("fill", |manifest| manifest["fill"] = 1.0.into()),
        ("temperature", |manifest| manifest["temperature"] = 0.0.into()),
        ("temperature", |manifest| manifest["temperature"] = 101.into()),
    ];
    for (field, change) in changes {
        let error = ModelFile::parse("changed", &with_manifest(change)?, true).unwrap_err();
        let is_named = matches!(error.kind, ModelErrorKind::Field { field: named, .. } if named == field);
        assert!(is_named, "{field}: {error}");
    }
    Ok(())
}

/// Twice the temperature halves the logarithm of the odds.
#[test]
fn a_temperature_in_the_manifest_changes_probabilities_and_no_class() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, photo) = (folder.path().join("model.onnx"), folder.path().join("photo.png"));
    image(16, 16, 1).save(&photo)?;
    let predict = |temperature: Option<f64>| -> anyhow::Result<(serde_json::Value, f64)> {
        let mut manifest = manifest();
        if let Some(temperature) = temperature {
            manifest["temperature"] = temperature.into();
        }
        fs::write(&file, with_checksum(&model(), &manifest.to_string()))?;
        let found = comet_edge("predict --json --model")?.arg(&file).arg(&photo).run()?.succeeds()?.json()?;
        let scores: Vec<f64> =
            found["scores"].as_array().into_iter().flatten().filter_map(|s| s.as_f64()).collect();
        assert_eq!(found["probability"].as_f64(), scores.iter().copied().reduce(f64::max), "{found}");
        Ok((found, (scores[0] / scores[1]).ln()))
    };
    let (plain, odds) = predict(None)?;
    let (same, _) = predict(Some(1.0))?;
    assert_eq!((&same["scores"], &same["class"]), (&plain["scores"], &plain["class"]), "1 is no temperature");
    for temperature in [2.0, 0.5] {
        let (found, warm) = predict(Some(temperature))?;
        assert_eq!((&found["class"], &found["mask"]), (&plain["class"], &plain["mask"]));
        assert!((warm - odds / temperature).abs() < 1e-4, "{temperature}: {warm} and {odds}");
        let told = comet_edge("inspect")?.arg(&file).run()?.succeeds()?.stdout;
        assert!(told.contains(&format!("temperature  {temperature} (")), "{told}");
    }
    assert!(odds.abs() > 0.01, "the classes differ");
    Ok(())
}

#[test]
fn a_file_that_is_no_model_is_refused_in_one_plain_sentence() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let shipped = fs::read(shipped_model(SHIPPED))?;
    let mut damaged = shipped.clone();
    flip(&mut damaged, 4 * shipped.len());
    let files: [(&str, Vec<u8>, &str); 7] = [
        ("empty", Vec::new(), "has 0 bytes"),
        ("text", b"weights, if you please\n".to_vec(), "is not an ONNX file"),
        ("image", jpeg(&image(32, 32, 1))?, "is not an ONNX file"),
        ("zeros", vec![0; 100_000], "is not an ONNX file"),
        ("toml", fs::read(repository().join("Cargo.toml"))?, "is not an ONNX file"),
        ("cut", shipped[..shipped.len() / 2].to_vec(), "cut off"),
        ("damaged", damaged, "does not match its own SHA-256"),
    ];
    for (name, bytes, said) in files {
        let file = folder.path().join(name);
        fs::write(&file, bytes)?;
        for words in
            ["inspect", "predict image.jpg --model", "bench --model", "run --source synthetic --model"]
        {
            let finished = comet_edge(words)?.arg(&file).run()?.ends_with(3)?.says(&[said, name])?;
            let errors = finished.stderr.lines().filter(|line| !line.starts_with("hint:")).count();
            assert!(errors == 1 && finished.stdout.is_empty(), "{name}: {}", finished.stderr);
        }
    }
    comet_edge("inspect no-such.onnx")?.run()?.ends_with(5)?.says(&["no-such.onnx", "cannot be read"])?;
    comet_edge("inspect")?.arg(folder.path()).run()?.ends_with(5)?.says(&["cannot be read"])?;
    Ok(())
}

#[test]
fn a_file_without_a_checksum_is_read_only_on_demand() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("edited.onnx");
    let mut bytes = with_checksum(&model(), &manifest().to_string());
    let digit = bytes.len() - 10;
    bytes[digit] ^= 1;
    fs::write(&file, bytes)?;
    comet_edge("inspect")?.arg(&file).run()?.ends_with(3)?.says(&["--skip-hash"])?;
    let found = comet_edge("inspect --json --skip-hash")?.arg(&file).run()?.succeeds()?.json()?;
    assert_eq!(found["manifest"]["name"], "small");
    Ok(())
}
