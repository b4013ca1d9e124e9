//! Images as tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};
use comet_engine::image::Preprocess;
use rayon::prelude::*;

use super::sample::Sample;

/// Some images, normalised, on their way to a device.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `[n, 3, height, width]`, flat.
    pub pixels: Vec<f32>,
    /// Class indices.
    pub labels: Vec<i64>,
    /// Height and width.
    pub size: (usize, usize),
}

impl Batch {
    /// Normalises images of the model's size.
    pub fn new(samples: &[Sample], preprocess: &Preprocess) -> Self {
        let tensors: Vec<Vec<f32>> =
            samples.par_iter().map(|sample| preprocess.normalise(&sample.image)).collect();
        Self {
            pixels: tensors.concat(),
            labels: samples.iter().map(|sample| sample.class as i64).collect(),
            size: (preprocess.height as usize, preprocess.width as usize),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images `[n, 3, height, width]` on `device`.
    pub fn images(&self, device: &Device) -> Tensor<4> {
        let shape = [self.len(), 3, self.size.0, self.size.1];
        Tensor::from_data(TensorData::new(self.pixels.clone(), shape), device)
    }

    /// The classes `[n]` on `device`.
    pub fn targets(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(self.labels.clone(), [self.len()]), device)
    }
}
