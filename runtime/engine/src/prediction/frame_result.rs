//! A record, and everything that it was made from.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;

use super::explanation::Explanation;
use super::lazy_jpeg::{EncodedJpeg, LazyJpeg};
use super::record::Record;

/// A record, and everything that it was made from. Clones share images and input.
#[derive(Clone, Debug)]
pub struct FrameResult {
    /// The record.
    pub record: Record,
    /// The image, upright.
    pub image: Arc<RgbImage>,
    /// The region `(x, y, width, height)` of the image that the model saw.
    pub region: (u32, u32, u32, u32),
    /// The model's input, `[3, height, width]`, normalised.
    pub tensor: Arc<Vec<f32>>,
    /// Attribution map and logits; averages if the record says so.
    pub explanation: Explanation,
    /// This frame's own map and logits, where [`explanation`](Self::explanation) is an average.
    pub unsmoothed: Option<Explanation>,
    /// The source's own JPEG, complete with its tables, if it gave one.
    pub jpeg: Option<Arc<Vec<u8>>>,
    /// The image encoded here, for sources that give no JPEG; empty until it is asked for.
    pub encoded: EncodedJpeg,
    /// When the frame was captured.
    pub captured: Instant,
}

impl FrameResult {
    /// The image as JPEG: the source's own, or one that is encoded by the first who asks, which takes a few
    /// milliseconds.
    ///
    /// # Errors
    /// The image is larger than a JPEG can be.
    pub fn to_jpeg(&self) -> io::Result<Arc<Vec<u8>>> {
        match &self.jpeg {
            Some(jpeg) => Ok(Arc::clone(jpeg)),
            None => self.encoded.of(&self.image),
        }
    }

    /// The same for another thread to encode.
    pub fn lazy_jpeg(&self) -> LazyJpeg {
        match &self.jpeg {
            Some(jpeg) => LazyJpeg::from_bytes(Arc::clone(jpeg)),
            None => LazyJpeg::from_image(Arc::clone(&self.image), self.encoded.clone()),
        }
    }

    /// What the network said about this very frame.
    pub fn own_explanation(&self) -> &Explanation {
        self.unsmoothed.as_ref().unwrap_or(&self.explanation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Mask;
    use crate::prediction::timings::Timings;

    fn result(jpeg: Option<Arc<Vec<u8>>>) -> FrameResult {
        let mask = Mask::new(1, 1, vec![0.5]).unwrap();
        let explanation = Explanation { mask, logits: vec![1.0, 0.0], temperature: 1.0 };
        let classes = ["one", "two"].map(String::from);
        FrameResult {
            record: Record::new(("camera", 0), &explanation, &classes, 1, Timings::default()),
            image: Arc::new(RgbImage::new(8, 6)),
            region: (0, 0, 8, 6),
            tensor: Arc::default(),
            explanation,
            unsmoothed: None,
            jpeg,
            encoded: EncodedJpeg::default(),
            captured: Instant::now(),
        }
    }

    #[test]
    fn a_frame_is_encoded_once_for_all_who_need_it() {
        let result = result(None);
        let copy = result.clone();
        let later = copy.lazy_jpeg();
        assert!(!result.encoded.is_encoded());
        let first = result.to_jpeg().unwrap();
        assert!(Arc::ptr_eq(&first, &copy.to_jpeg().unwrap()));
        assert!(Arc::ptr_eq(&first, &later.bytes().unwrap()));
    }

    #[test]
    fn a_jpeg_of_the_source_is_not_encoded_again() {
        let own = Arc::new(vec![0xff, 0xd8]);
        let result = result(Some(Arc::clone(&own)));
        assert!(Arc::ptr_eq(&own, &result.to_jpeg().unwrap()));
        assert!(Arc::ptr_eq(&own, &result.lazy_jpeg().bytes().unwrap()));
        assert!(!result.encoded.is_encoded());
    }
}
