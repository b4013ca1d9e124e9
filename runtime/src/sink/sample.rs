//! Results for tests.

use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;

use comet_engine::image::Mask;
use comet_engine::prediction::{EncodedJpeg, Explanation, FrameResult, Record, Timings};

/// A result about frame `number` of `source`, with a map of 2 x 2 pixels.
pub(in crate::sink) fn result(source: &str, number: u64, logits: [f32; 3]) -> FrameResult {
    let mask = Mask::new(2, 2, vec![0.0, 0.25, 0.75, 1.0]).unwrap();
    let explanation = Explanation { mask, logits: logits.to_vec(), temperature: 1.0 };
    let classes = ["one", "two", "three"].map(String::from);
    FrameResult {
        record: Record::new((source, number), &explanation, &classes, 1, Timings::default()),
        image: Arc::new(RgbImage::new(8, 6)),
        region: (1, 0, 6, 6),
        tensor: Arc::new((0..12).map(|n| n as f32).collect()),
        explanation,
        unsmoothed: None,
        jpeg: None,
        encoded: EncodedJpeg::default(),
        captured: Instant::now(),
    }
}
