//! The pretrained backbone against PyTorch (`tests/golden/backbone.json`), and files of weights that must be refused.

use std::collections::HashMap;
use std::fs;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use burn::tensor::{DType, Device, Tensor, TensorData};
use comet_tests::repository;
use comet_trainer::model::{
    Classifier, Comet, CometConfig, EfficientNetLite, EfficientNetLiteConfig, Preset, PretrainedError,
    WeightsFile, shipped_weights,
};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn bytes(value: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(value.as_str().context("a text")?)?)
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|value| value as f32).collect()
}

/// Half-precision numbers as floats.
fn halves(bytes: Vec<u8>) -> anyhow::Result<Vec<f32>> {
    let count = bytes.len() / 2;
    let data = TensorData::from_bytes_vec(bytes, [count], DType::F16).convert::<f32>();
    data.try_to_vec().map_err(|error| anyhow::anyhow!("{error:?}"))
}

fn backbone() -> anyhow::Result<EfficientNetLite> {
    let mut network = EfficientNetLiteConfig { classes: 2 }.init(&Device::flex());
    // Stem, 15 blocks of three layers and one of two, last: each a convolution and four tensors of BatchNorm.
    assert_eq!(shipped_weights().fill_classifier(&mut network)?, (1 + 15 * 3 + 2 + 1) * 5);
    Ok(network)
}

#[test]
fn the_pretrained_backbone_gives_the_logits_that_pytorch_gives() -> anyhow::Result<()> {
    let golden: Value = serde_json::from_slice(&fs::read(repository().join("tests/golden/backbone.json"))?)?;
    let network = backbone()?;
    let classes: Vec<u64> =
        golden["classes"].as_array().context("classes")?.iter().filter_map(Value::as_u64).collect();
    let (weights, bias) = (halves(bytes(&golden["weight_f16"])?)?, floats(&golden["bias"]));
    assert_eq!(weights.len(), classes.len() * 1280);
    let side = golden["side"].as_u64().context("side")? as usize;
    let images = golden["images"].as_array().context("images")?;
    assert!(images.len() >= 4);
    for image in images {
        let pixels = bytes(&image["pixels_u8"])?;
        let plane = |channel: usize| {
            pixels.iter().skip(channel).step_by(3).map(|value| f32::from(*value) / 127.5 - 1.0)
        };
        let values: Vec<f32> = (0..3).flat_map(plane).collect();
        let x = Tensor::<4>::from_data(TensorData::new(values, [1, 3, side, side]), &Device::flex());
        let pooled: Vec<f32> =
            network.pooled(x).into_data().try_to_vec().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let logits: Vec<f32> = weights
            .chunks(pooled.len())
            .zip(&bias)
            .map(|(row, bias)| row.iter().zip(&pooled).map(|(a, b)| a * b).sum::<f32>() + bias)
            .collect();
        let expected = floats(&image["logits"]);
        let scale = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in logits.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-3 * scale, "{}: {found} is not {expected}", image["file"]);
        }
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        assert_eq!(best.and_then(|best| classes.get(best)).copied(), image["top1"].as_u64());
    }
    Ok(())
}

fn pair() -> (Comet, Classifier) {
    let config = CometConfig {
        preset: Preset::Lite,
        head: Preset::Lite.default_head(),
        width: 0,
        classes: 3,
        momentum: 0.1,
    };
    (config.init(&Device::flex()), config.classifier().init(&Device::flex()))
}

/// What filling a pair with other bytes says; their checksum is given as the right one.
fn refused(bytes: &[u8]) -> anyhow::Result<String> {
    let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let (mut comet, mut detector) = pair();
    let file = WeightsFile { name: "weights.safetensors", bytes, sha256: &sha256 };
    match file.fill(&mut comet, &mut detector) {
        Ok(count) => anyhow::bail!("{count} tensors were taken"),
        Err(error) => Ok(error.to_string()),
    }
}

/// The shipped file with other tensors.
fn changed(change: impl FnOnce(&mut HashMap<String, (Vec<usize>, Vec<u8>)>)) -> anyhow::Result<Vec<u8>> {
    let shipped = SafeTensors::deserialize(shipped_weights().bytes)?;
    let mut tensors: HashMap<String, (Vec<usize>, Vec<u8>)> = shipped
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let mut views = Vec::new();
    for (name, (shape, data)) in &tensors {
        views.push((name.clone(), TensorView::new(safetensors::Dtype::F16, shape.clone(), data)?));
    }
    Ok(safetensors::serialize(views, None)?)
}

#[test]
fn a_damaged_file_of_weights_is_refused_by_its_checksum() -> anyhow::Result<()> {
    let mut damaged = shipped_weights().bytes.to_vec();
    let last = damaged.last_mut().context("bytes")?;
    *last ^= 1;
    let file = WeightsFile { bytes: &damaged, ..shipped_weights() };
    let (mut comet, mut detector) = pair();
    let error = file.fill(&mut comet, &mut detector).err().context("it was taken")?;
    assert!(matches!(error, PretrainedError::Checksum { .. }));
    let text = error.to_string();
    assert!(text.contains("efficientnet-lite0.safetensors") && text.contains("SHA-256"), "{text}");
    Ok(())
}

#[test]
fn missing_tensors_and_other_shapes_are_named() -> anyhow::Result<()> {
    let text = refused(&changed(|tensors| drop(tensors.remove("blocks.3.depthwise.conv.weight")))?)?;
    assert!(text.contains("weights.safetensors") && text.contains("blocks.3.depthwise"), "{text}");
    let text = refused(&changed(|tensors| {
        if let Some((shape, _)) = tensors.get_mut("stem.conv.weight") {
            *shape = vec![16, 6, 3, 3];
        }
    })?)?;
    assert!(text.contains("stem.conv.weight"), "{text}");
    let text = refused(b"no safetensors at all")?;
    assert!(text.contains("cannot be read as safetensors"), "{text}");
    Ok(())
}

#[test]
fn networks_without_weights_of_their_own_say_so() -> anyhow::Result<()> {
    let config = CometConfig {
        preset: Preset::Small,
        head: Preset::Small.default_head(),
        width: 8,
        classes: 3,
        momentum: 0.1,
    };
    let (mut comet, mut detector) = (config.init(&Device::flex()), config.classifier().init(&Device::flex()));
    let error = shipped_weights().fill(&mut comet, &mut detector).err().context("it was taken")?;
    assert!(error.to_string().contains("--from-scratch"), "{error}");
    Ok(())
}
