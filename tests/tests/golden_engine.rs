//! The engine against ONNX Runtime on the shipped models (`tests/reference/make_engine_golden.py`).

use std::path::Path;

use comet_engine::image::read_rgb;
use comet_engine::model::{ModelFile, Precision};
use comet_engine::run::Session;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|number| number as f32).collect()
}

fn top(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}

/// Float files: every map value and logit to 1e-4. Int8 files: the same class, mean map difference at most 0.01.
#[test]
fn shipped_models_predict_as_in_onnx_runtime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("tests/golden/engine.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let stride = golden["stride"].as_u64().unwrap() as usize;
    let models = golden["models"].as_array().unwrap();
    assert!(models.len() >= 6, "three shipped models, float and int8");
    for entry in models {
        let name = entry["model"].as_str().unwrap();
        let model = ModelFile::read(&root.join(name)).unwrap();
        let mut session = Session::new(&model).unwrap();
        for case in entry["cases"].as_array().unwrap() {
            let file = case["file"].as_str().unwrap();
            let found = session.explain(&read_rgb(&root.join(file)).unwrap()).unwrap();
            let (mask, logits) = (numbers(&case["mask"]), numbers(&case["logits"]));
            let ours: Vec<f32> = found.mask.values().iter().step_by(stride).copied().collect();
            assert_eq!(ours.len(), mask.len(), "{name} {file}");
            let differences = ours.iter().zip(&mask).map(|(a, b)| (a - b).abs());
            match model.manifest().precision {
                Precision::Float32 => {
                    let largest = differences.fold(0f32, f32::max);
                    assert!(largest <= 1e-4, "{name} {file}: map differs by {largest}");
                    let pairs = found.logits.iter().zip(&logits);
                    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                    assert!(largest <= 1e-4, "{name} {file}: logits differ by {largest}");
                }
                Precision::Int8 => {
                    let mean = differences.sum::<f32>() / mask.len() as f32;
                    assert!(mean <= 0.01, "{name} {file}: map MAE {mean}");
                    assert_eq!(Some(found.top()), top(&logits), "{name} {file}");
                }
            }
        }
    }
}
