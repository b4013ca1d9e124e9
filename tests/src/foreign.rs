//! Models that another program quantized, with ONNX Runtime's predictions (`tests/reference/make_foreign_qdq.py`).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use comet_engine::model::{ModelError, ModelFile};
use comet_onnx::proto::{Message, ModelProto};
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::repository;

/// Every file, images, and what ONNX Runtime predicts.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Of the maps every value of this number is stored.
    pub stride: usize,
    /// One step of a logit in 8 bits.
    pub logit_step: f32,
    /// What all of the models were shown.
    pub images: Vec<RgbImage>,
    /// One a file.
    pub models: Vec<Foreign>,
}

/// A model and its predictions for the images.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The file's name without its ending.
    pub name: String,
    /// One an image.
    pub predictions: Vec<Prediction>,
}

/// ONNX Runtime's prediction for an image.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Some values of the map.
    pub mask: Vec<f32>,
    /// One a class.
    pub logits: Vec<f32>,
}

/// Reads what the script wrote.
pub fn golden() -> anyhow::Result<Golden> {
    let file = repository().join("tests/golden/foreign.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let golden: Value = serde_json::from_str(&text)?;
    let whole = |key: &str| golden[key].as_u64().with_context(|| format!("no number '{key}'"));
    let (side, stride) = (u32::try_from(whole("side")?)?, usize::try_from(whole("stride")?)?);
    let models: Vec<Foreign> = list(&golden["models"]).iter().map(foreign).collect();
    let images: Vec<RgbImage> = list(&golden["images"]).iter().map(|blocks| image(blocks, side)).collect();
    let complete = models.iter().all(|model| model.predictions.len() == images.len());
    ensure!(complete && !models.is_empty() && !images.is_empty(), "{} is not complete", file.display());
    Ok(Golden { stride, logit_step: golden["logit_step"].as_f64().unwrap_or(0.0) as f32, images, models })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn numbers(value: &Value) -> Vec<f32> {
    list(value).iter().filter_map(Value::as_f64).map(|number| number as f32).collect()
}

fn foreign(model: &Value) -> Foreign {
    let file = model["model"].as_str().unwrap_or_default();
    let prediction =
        |case: &Value| Prediction { mask: numbers(&case["mask"]), logits: numbers(&case["logits"]) };
    Foreign {
        name: file.trim_end_matches(".onnx").to_owned(),
        predictions: list(&model["cases"]).iter().map(prediction).collect(),
    }
}

/// Patches of one shade, `[channel, row, column]`, with a texture in which neighbouring pixels differ.
fn image(blocks: &Value, side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let shade = |channel: u32| {
            let rows = &blocks[channel as usize];
            let (row, column) = (y as usize * list(rows).len(), x as usize * list(rows).len());
            let block = rows[row / side as usize][column / side as usize].as_u64().unwrap_or(0);
            // At most 223 + 31.
            (block + u64::from((7 * x + 3 * y + 5 * channel) % 32)) as u8
        };
        Rgb([shade(0), shade(1), shade(2)])
    })
}

/// The file of a model.
pub fn path(name: &str) -> PathBuf {
    repository().join("tests/golden/foreign").join(name).with_extension("onnx")
}

/// The contents of a model's file.
pub fn proto(name: &str) -> anyhow::Result<ModelProto> {
    let file = path(name);
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    Ok(ModelProto::decode(bytes.as_slice())?)
}

/// Parses a model without a checksum by the rules of model files.
pub fn parse(name: &str, proto: &ModelProto) -> Result<ModelFile, ModelError> {
    ModelFile::parse(name, &proto.encode_to_vec(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_file_and_predictions_of_the_images_size() -> anyhow::Result<()> {
        let golden = golden()?;
        assert!(golden.models.len() >= 8 && golden.images.len() >= 4 && golden.logit_step > 0.0);
        for model in &golden.models {
            let file = parse(&model.name, &proto(&model.name)?)?;
            let preprocess = &file.manifest().preprocess;
            let pixels = preprocess.width as usize * preprocess.height as usize;
            for (prediction, image) in model.predictions.iter().zip(&golden.images) {
                assert_eq!(image.dimensions(), (preprocess.width, preprocess.height));
                assert_eq!(prediction.mask.len(), pixels.div_ceil(golden.stride), "{}", model.name);
                assert_eq!(prediction.logits.len(), file.manifest().classes.len(), "{}", model.name);
            }
        }
        // No two pixels that are neighbours are alike.
        assert_ne!(golden.images[0].get_pixel(0, 0), golden.images[0].get_pixel(1, 0));
        Ok(())
    }
}
